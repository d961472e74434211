"""When a run may begin, decided from the log alone: by one process, by two, on any clock."""

import datetime
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from greenroom.clock import NS_PER_S, VirtualClock
from greenroom.contracts import Alert
from greenroom.errors import BadInput, Refused
from greenroom.manifests import to_json
from greenroom.monitoring.alerts import AlertOrigin, record_alert
from greenroom.registry.signing import revoke_key
from greenroom.retraining import requests
from greenroom.retraining.requests import (
    Rules,
    RunCause,
    read_rules,
    record_outcome,
    request_run,
    runs,
    scheduled,
)
from greenroom.retraining.triggers import evaluate_triggers
from greenroom.store.workspace import Workspace
from tests.people import set_policy
from tests.simulation.fakes import debut

NOON = int(datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC).timestamp()) * NS_PER_S


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    """A workspace in which mira has a release on stage, at noon."""
    workspace = Workspace(tmp_path, VirtualClock(utc_ns=NOON))
    debut(workspace, "mira", "Ada")
    return workspace


def wait(home: Workspace, seconds: float) -> None:
    clock = home.log.clock
    assert isinstance(clock, VirtualClock)
    clock.advance(round(seconds * NS_PER_S))


def learn(home: Workspace, **rules: Any) -> None:
    set_policy(home, "mira", "Ada", learning=read_rules(rules, "here").manifest())


def finish(home: Workspace, outcome: str, reason: str = "so it was") -> None:
    record_outcome(home.log, runs(home.log)[-1].name, outcome, reason, "test")


def alert(home: Workspace, key: str, cause: str = "new style", actor: str = "mira") -> None:
    told = Alert("style", cause, (), 3.0, 10, 0, 0, 5)
    record_alert(home.log, told, AlertOrigin(actor, key=key, source="chart"), by="charts")


def refused(home: Workspace, why: str, kind: str = "alert") -> None:
    before = len(home.log.entries())
    with pytest.raises(Refused, match=why):
        request_run(home, "mira", "a test", "test", RunCause(kind))
    assert len(home.log.entries()) == before


def test_one_run_at_a_time_an_actor(home: Workspace) -> None:
    first = request_run(home, "mira", "a test", "test")
    refused(home, f"run {first.name} goes on", "person")
    assert request_run(home, "noor", "another actor", "test").name == "noor-0001"
    finish(home, requests.PROMOTED)
    refused(home, "run mira-0001 goes on")  # that was the other's


def test_of_many_threads_one_asks(home: Workspace) -> None:
    gate, won = threading.Barrier(8), []

    def one() -> None:
        own = Workspace(home.home, home.log.clock)
        gate.wait()
        try:
            won.append(request_run(own, "mira", "a race", "test").name)
        except Refused:
            pass

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == ["mira-0001"] == [run.name for run in runs(home.log)]


def test_of_two_processes_one_asks(home: Workspace) -> None:
    code = """
import sys
from pathlib import Path
from greenroom.errors import Refused
from greenroom.errors import Refused
from greenroom.retraining.requests import request_run
from greenroom.store.workspace import Workspace
home = Workspace(Path(sys.argv[1]))
sys.stdin.readline()
try:
    print(request_run(home, "mira", "a race", "test").name)
except Refused as error:
    print("refused")
"""
    command = [sys.executable, "-c", code, str(home.home)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racing: list[Any] = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    said = sorted(process.communicate("go\n")[0].strip() for process in racing)
    assert said == ["mira-0001", "refused"]


def test_a_cool_down_holds_for_all_but_people(home: Workspace) -> None:
    learn(home, cool_down_s=3600, per_day=9)
    request_run(home, "mira", "a test", "test")
    wait(home, 7200)
    finish(home, requests.PROMOTED)
    wait(home, 3599)
    refused(home, "the last run ended less than 3600 s ago")
    refused(home, "the last run ended less than 3600 s ago", "schedule")
    wait(home, 1)
    request_run(home, "mira", "a test", "test", RunCause("alert"))
    finish(home, requests.PROMOTED)
    request_run(home, "mira", "a person does not wait", "test")


def test_a_days_budget_counts_everybodys_runs(home: Workspace) -> None:
    learn(home, cool_down_s=0, per_day=2)
    for _ in range(2):
        request_run(home, "mira", "a test", "test")
        finish(home, requests.PROMOTED)
        wait(home, 3600)
    refused(home, "2 runs in 24 hours", "alert")
    refused(home, "2 runs in 24 hours", "person")
    wait(home, 22 * 3600)  # the first is 24 hours old
    request_run(home, "mira", "a test", "test", RunCause("alert"))


@pytest.mark.parametrize("outcome", [requests.REJECTED, requests.FAILED])
def test_rejections_in_a_row_freeze_it_and_a_person_thaws_it(home: Workspace, outcome: str) -> None:
    learn(home, cool_down_s=0, per_day=99, freeze_after=3)
    for _ in range(3):
        request_run(home, "mira", "a test", "test", RunCause("alert"))
        finish(home, outcome)
    wait(home, 30 * 86_400)
    refused(home, "learning is frozen", "alert")
    refused(home, "learning is frozen", "schedule")
    request_run(home, "mira", "somebody looked", "Ada", RunCause("person"))
    finish(home, requests.PROMOTED)
    request_run(home, "mira", "a test", "test", RunCause("alert"))


def test_nights_without_anything_new_freeze_nothing(home: Workspace) -> None:
    learn(home, cool_down_s=0, per_day=99, freeze_after=3)
    for outcome in (requests.REJECTED, requests.REJECTED):
        request_run(home, "mira", "a test", "test", RunCause("alert"))
        finish(home, outcome)
    for _ in range(5):
        request_run(home, "mira", "a night", "test", RunCause("schedule"))
        finish(home, requests.REJECTED, requests.NOTHING_NEW)
    request_run(home, "mira", "a test", "test", RunCause("alert"))
    finish(home, requests.FAILED)  # the third that says something
    refused(home, "the last 3 runs were not good enough")


def test_a_storm_of_alerts_starts_one_run(home: Workspace) -> None:
    learn(home, cool_down_s=10, per_day=99, gather_s=0)
    for n in range(200):
        alert(home, f"storm {n}")
    assert [run.kind for run in evaluate_triggers(home, "watch")] == ["alert"]
    for n in range(100):
        alert(home, f"during {n}")  # the run learns from these too
        assert evaluate_triggers(home, "watch") == []
    wait(home, 60)
    finish(home, requests.PROMOTED)
    wait(home, 60)
    assert evaluate_triggers(home, "watch") == []
    alert(home, "news")
    (second,) = evaluate_triggers(home, "watch")
    assert home.log.entries()[second.alert].body["key"] == "news"
    assert len(runs(home.log)) == 2


def test_an_alert_in_the_cool_down_is_answered_after_it(home: Workspace) -> None:
    learn(home, cool_down_s=600, gather_s=0)
    request_run(home, "mira", "a test", "test")
    finish(home, requests.PROMOTED)
    alert(home, "soon")
    assert evaluate_triggers(home, "watch") == []
    wait(home, 600)
    assert len(evaluate_triggers(home, "watch")) == 1


@pytest.mark.parametrize("cause", ["capture fault", "machine"])
def test_a_fault_is_mended_and_not_learned_from(home: Workspace, cause: str) -> None:
    learn(home, causes=["new style", "new person", "new sound", "model"], gather_s=0)
    for n in range(50):
        alert(home, str(n), cause)
        alert(home, f"theirs {n}", "new style", "noor")
        wait(home, 600)
        assert evaluate_triggers(home, "watch") == []
    with pytest.raises(BadInput, match=f"nothing is learned from {cause}"):
        read_rules({"causes": [cause]}, "here")


def at(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).timestamp()) * NS_PER_S


@pytest.mark.parametrize(
    ("zone", "since", "before", "after"),
    [
        ("UTC", "2026-11-26T04:00Z", "2026-11-27T02:59Z", "2026-11-27T03:00Z"),
        ("Asia/Tokyo", "2026-11-26T00:00Z", "2026-11-26T17:59Z", "2026-11-26T18:00Z"),
        # The clocks of Paris go back in the night of 25 October, and ahead in that of 28 March.
        ("Europe/Paris", "2026-10-24T12:00Z", "2026-10-25T01:59Z", "2026-10-25T02:00Z"),
        ("Europe/Paris", "2027-03-27T12:00Z", "2027-03-28T00:59Z", "2027-03-28T01:00Z"),
    ],
)
def test_the_night_comes_at_the_hour_of_its_zone(
    zone: str, since: str, before: str, after: str
) -> None:
    rules = Rules(nightly="0 3 * * *", zone=zone)
    assert not scheduled(rules, at(since), at(before))
    assert scheduled(rules, at(since), at(after))


def test_an_hour_that_comes_twice_is_one_night_and_one_that_never_comes_is_one_too() -> None:
    rules = Rules(nightly="30 2 * * *", zone="Europe/Paris")
    for first, last in (
        ("2026-10-24T12:00Z", "2026-10-27T12:00Z"),
        ("2027-03-27T12:00Z", "2027-03-30T12:00Z"),
    ):
        now, since, nights = at(first), at(first), 0
        while now < at(last):
            now += 600 * NS_PER_S
            if scheduled(rules, since, now):
                since, nights = now, nights + 1
        assert nights == 3


def test_many_missed_nights_are_one_run(home: Workspace) -> None:
    learn(home, nightly="0 3 * * *", zone="Asia/Tokyo", cool_down_s=60)
    assert evaluate_triggers(home, "watch") == []
    wait(home, 9 * 86_400)
    (run,) = evaluate_triggers(home, "watch")
    assert (run.kind, run.why) == ("schedule", "nightly, 0 3 * * * Asia/Tokyo")
    finish(home, requests.PROMOTED)
    wait(home, 120)
    assert evaluate_triggers(home, "watch") == []


def test_a_clock_that_is_set_back_hides_no_alert_and_stops_no_learning(home: Workspace) -> None:
    learn(home, cool_down_s=3600, per_day=1, gather_s=0, nightly="0 3 * * *")
    wait(home, 400 * 86_400)  # somebody set the year wrong
    request_run(home, "mira", "a test", "test", RunCause("alert"))
    finish(home, requests.PROMOTED)
    wait(home, -400 * 86_400)
    alert(home, "afterwards")
    (run,) = evaluate_triggers(home, "watch")
    assert run.kind == "alert"
    finish(home, requests.PROMOTED)
    wait(home, -60)  # as NTP does
    refused(home, "1 runs in 24 hours")
    wait(home, 2 * 86_400)
    assert [run.kind for run in evaluate_triggers(home, "watch")] == ["schedule"]


def test_a_policy_that_counts_no_more_stops_its_own_actor_only(home: Workspace) -> None:
    debut(home, "noor", "Ada")
    set_policy(home, "mira", "Ada")
    set_policy(home, "mira", "Eve", learning=Rules(gather_s=0).manifest())
    alert(home, "hers")
    alert(home, "his", actor="noor")
    revoke_key(home, "Eve", "Ada")
    wait(home, 120)
    assert [run.actor for run in evaluate_triggers(home, "watch")] == ["noor"]
    refused(home, "the policy of mira does not count", "person")


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {"cooldown": 5},
        {"causes": "new style"},
        {"causes": 5},
        {"causes": [["new style"]]},
        {"causes": ["boredom"]},
        {"cool_down_s": -1},
        {"cool_down_s": "an hour"},
        {"per_day": 2.5},
        {"per_day": True},
        {"freeze_after": 1.5},
        {"preset": None},
        {"nightly": "at night"},
        {"nightly": 3},
        {"nightly": "0 0 30 2 *"},
        {"zone": "Europe"},
        {"zone": "Mars/Olympus"},
        {"zone": "../../etc/passwd"},
        {"zone": ""},
        {"canary_s": float("nan")},
    ],
    ids=str,
)
def test_bad_rules_are_one_clear_error(wrong: Any) -> None:
    with pytest.raises(BadInput) as caught:
        read_rules(wrong, "rules.json")
    assert str(caught.value).startswith("rules.json: ") and "\n" not in str(caught.value)


def test_rules_survive_json_and_say_what_is_left_out() -> None:
    assert read_rules({}, "here") == Rules()
    rules = read_rules({"nightly": "0 3 * * *", "zone": "Europe/Paris", "per_day": 2}, "here")
    assert read_rules(to_json(rules.manifest()), "here") == rules and rules.freeze_after == 3


def test_how_a_run_ended_stands(home: Workspace) -> None:
    request_run(home, "mira", "a test", "Ada", job={"steps": 5})
    finish(home, requests.HELD, "nobody approved it")
    finish(home, requests.PROMOTED)
    (run,) = runs(home.log, "mira")
    assert (run.outcome, run.reason, run.by) == (requests.HELD, "nobody approved it", "Ada")
    assert run.job == {"steps": 5} and runs(home.log, "noor") == []
