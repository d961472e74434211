"""Which alerts call for a run, by what was on stage and which run went on: told from the log alone."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from greenroom.clock import NS_PER_S, VirtualClock
from greenroom.contracts import Alert
from greenroom.manifests import AutoApproval
from greenroom.monitoring.alerts import AlertOrigin, record_alert
from greenroom.registry.promote import live_ref
from greenroom.retraining import triggers
from greenroom.retraining.requests import (
    PROMOTED,
    REJECTED,
    Rules,
    RunCause,
    record_outcome,
    request_run,
    runs,
)
from greenroom.retraining.triggers import evaluate_triggers, pending_alerts
from greenroom.store.workspace import Workspace
from tests import examples
from tests.people import set_policy

NOON = int(datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC).timestamp()) * NS_PER_S
STYLE, SOUND = "new style", "new sound"
RULES = Rules(causes=(STYLE, SOUND), gather_s=0)
OLD, NEW = "0" * 64, "1" * 64


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    """A workspace in whose log mira's release OLD is on stage."""
    return staged(tmp_path)


def staged(folder: Path) -> Workspace:
    workspace = Workspace(folder, VirtualClock(utc_ns=NOON))
    move(workspace, OLD)
    return workspace


def move(home: Workspace, release: str) -> None:
    home.log.move(live_ref("mira"), release, expect=home.log.ref(live_ref("mira")), by="test")


def alert(home: Workspace, cause: str, release: str = "") -> int:
    told, key = Alert("style", cause, (), 3.0, 10, 0, 0, 5), str(len(home.log.entries()))
    origin = AlertOrigin("mira", key, "chart", release)
    return record_alert(home.log, told, origin, by="charts").entry.index


def begin(home: Workspace, kind: str) -> str:
    """Ask as an alert of new style does, or as somebody else."""
    asks = alert(home, STYLE, OLD) if kind == "alert" else -1
    return request_run(home, "mira", "a test", "test", RunCause(kind, asks)).name


def calls(home: Workspace) -> int | None:
    found = pending_alerts(home, "mira", RULES)
    return found[0].entry.index if found else None


DURING = [
    # who asked; what is raised while the run goes on, and about what; whether it calls afterwards
    ("alert", STYLE, OLD, False),
    ("alert", STYLE, "", False),
    ("alert", STYLE, NEW, True),  # the challenger, on trial, knows it no better
    ("alert", SOUND, OLD, True),
    ("alert", SOUND, "", True),
    ("person", STYLE, OLD, True),
    ("person", STYLE, "", True),
    ("schedule", SOUND, OLD, True),
    ("schedule", "capture fault", OLD, False),
]


@pytest.mark.parametrize(("kind", "cause", "release", "wanted"), DURING)
@pytest.mark.parametrize("outcome", [PROMOTED, REJECTED])
def test_an_alert_while_a_run_goes_on(
    home: Workspace, kind: str, cause: str, release: str, wanted: bool, outcome: str
) -> None:
    alert(home, SOUND)  # raised before the run was asked for: answered by it, whoever asked
    run = begin(home, kind)
    raised = alert(home, cause, release)
    expected = raised if wanted else None
    assert calls(home) == expected
    if outcome == PROMOTED:
        move(home, NEW)
    record_outcome(home.log, run, outcome, "so it was", "test", NEW)
    assert calls(home) == expected
    alert(home, STYLE)
    begin(home, "person")
    assert calls(home) is None


AFTER = [
    # how the run ended; what is raised afterwards, and about what; whether it calls
    (PROMOTED, STYLE, OLD, False),  # a show that cannot follow repeats itself
    (PROMOTED, STYLE, NEW, True),
    (PROMOTED, STYLE, "", True),
    (PROMOTED, SOUND, OLD, True),
    (REJECTED, STYLE, OLD, True),
    (REJECTED, STYLE, "", True),
]


@pytest.mark.parametrize(("outcome", "cause", "release", "wanted"), AFTER)
def test_an_alert_after_a_run(
    home: Workspace, outcome: str, cause: str, release: str, wanted: bool
) -> None:
    run = begin(home, "alert")
    if outcome == PROMOTED:
        move(home, NEW)
    record_outcome(home.log, run, outcome, "so it was", "test", NEW)
    raised = alert(home, cause, release)
    assert calls(home) == (raised if wanted else None)


def test_a_release_that_came_back_asks_again(home: Workspace) -> None:
    run = begin(home, "alert")
    move(home, NEW)
    record_outcome(home.log, run, PROMOTED, "it is on stage", "test", NEW)
    move(home, OLD)
    assert calls(home) is None
    assert alert(home, STYLE, OLD) == calls(home)


def test_what_was_held_and_promoted_by_hand_answers_as_well(home: Workspace) -> None:
    run = begin(home, "alert")
    record_outcome(home.log, run, "held", "it waits", "test", NEW)
    first = alert(home, STYLE, OLD)
    assert calls(home) == first
    begin(home, "person")
    record_outcome(home.log, runs(home.log)[-1].name, REJECTED, "nothing", "test")
    move(home, NEW)
    alert(home, STYLE, OLD)
    assert calls(home) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [f"{c}|{r}" for c in (STYLE, SOUND) for r in (OLD, NEW, "")]
            + ["alert", "person", "end", "promote", "back"]
        ),
        max_size=14,
    )
)
def test_whatever_came_before_one_run_more_is_all_that_it_calls_for(
    tmp_path_factory: pytest.TempPathFactory, events: list[str]
) -> None:
    home = staged(tmp_path_factory.mktemp("home"))
    raised: list[int] = []
    for event in events:
        home.log.clock.advance(86_401 * NS_PER_S)  # type: ignore[attr-defined]  # no rule is in the way
        going = [run.name for run in runs(home.log) if not run.outcome]
        if "|" in event:
            cause, release = event.split("|")
            raised.append(alert(home, cause, release))
        elif event in ("promote", "back"):
            move(home, NEW if event == "promote" else OLD)
        elif event == "end" and going:
            record_outcome(home.log, going[0], REJECTED, "so it was", "test")
        elif event in ("alert", "person") and not going and len(runs(home.log)) < 3:
            begin(home, event)
    for run in runs(home.log):
        if not run.outcome:
            record_outcome(home.log, run.name, REJECTED, "so it was", "test")
    known = runs(home.log)
    found = calls(home)
    # What came before the last request is answered, and what nobody was at work at is not.
    assert found is None or (found in raised and all(found > run.first for run in known))
    idle = [n for n in raised if all(run.index < n for run in known)]
    assert not idle or (found is not None and found <= idle[0])
    home.log.clock.advance(86_401 * NS_PER_S)  # type: ignore[attr-defined]
    request_run(home, "mira", "to answer all", "test")
    assert calls(home) is None and evaluate_triggers(home, "watch") == []


BOUNDS = {"norm": 0.15, "replay_loss": 0.02, "seconds": 60}


def spike(home: Workspace) -> int:
    told = Alert("spike of glad", STYLE, ("glad",), 0.8, 10, 0, 0, 5)
    origin = AlertOrigin("mira", str(len(home.log.entries())), "chart")
    return record_alert(home.log, told, origin, by="charts").entry.index


def allow(home: Workspace, *kinds: str, until: str = "2027-01-31", **more: Any) -> None:
    bounds = BOUNDS if "online" in kinds else {}
    standing = AutoApproval(until=until, per_day=9, kinds=[*kinds], bounds=bounds)
    learning = Rules(gather_s=60, spike_s=10, cool_down_s=3600, per_day=1, **more).manifest()
    set_policy(home, "mira", "Ada", auto_approval=standing, learning=learning)


def test_a_spike_asks_for_an_online_update_where_the_policy_approves_them(home: Workspace) -> None:
    allow(home, "retrain", "online")
    spike(home)
    (run,) = evaluate_triggers(home, "watch")
    assert (
        run.job == {"online": True}
        and run.kind == "alert"
        and "has become frequent: glad" in run.why
    )


def test_a_spike_asks_for_a_training_where_it_does_not(home: Workspace) -> None:
    allow(home, "retrain")
    spike(home)
    (run,) = evaluate_triggers(home, "watch")
    assert run.job == {}


def test_a_policy_that_is_over_asks_for_a_training_too(home: Workspace) -> None:
    allow(home, "retrain", "online", until="2026-11-25")
    spike(home)
    (run,) = evaluate_triggers(home, "watch")
    assert run.job == {}


def test_after_as_many_updates_as_may_follow_one_another_a_training_is_asked_for(
    home: Workspace,
) -> None:
    allow(home, "retrain", "online")
    dataset = home.publish(examples.dataset([]), by="test")
    update = structs.replace(examples.UPDATE, in_a_row=3)
    model = home.publish(examples.model(home, dataset, update=update), by="test")
    move(home, home.publish(examples.release(model), by="test"))
    spike(home)
    (run,) = evaluate_triggers(home, "watch")
    assert run.job == {}


def test_an_online_update_answers_spikes_and_leaves_what_is_new_to_a_training(
    home: Workspace,
) -> None:
    allow(home, "retrain", "online")
    spike(home)
    (quick,) = evaluate_triggers(home, "watch")
    new = alert(home, STYLE)
    spike(home)
    assert evaluate_triggers(home, "watch") == []  # one run at a time
    record_outcome(home.log, quick.name, PROMOTED, "it is on stage", "test", NEW)
    (thorough,) = evaluate_triggers(
        home, "watch"
    )  # no cool-down, nor a day's budget, of the other kind
    assert (thorough.job, thorough.alert) == ({}, new)
    spike(home)
    record_outcome(home.log, thorough.name, REJECTED, "it was not better", "test")
    assert evaluate_triggers(home, "watch") == []  # a training learns what is rare as well


def test_an_update_that_is_not_allowed_keeps_no_training_waiting(home: Workspace) -> None:
    allow(home, "retrain", "online")  # one of each kind a day
    spike(home)
    (quick,) = evaluate_triggers(home, "watch")
    record_outcome(home.log, quick.name, REJECTED, "no step within the bounds helps", "test")
    spike(home)
    assert evaluate_triggers(home, "watch") == []
    new = alert(home, STYLE)
    (thorough,) = evaluate_triggers(home, "watch")
    assert (thorough.job, thorough.alert) == ({}, new)


def test_an_update_that_is_not_allowed_keeps_no_night_waiting(home: Workspace) -> None:
    allow(home, "retrain", "online", nightly="0 3 * * *", freeze_after=1)
    spike(home)
    (quick,) = evaluate_triggers(home, "watch")
    record_outcome(home.log, quick.name, REJECTED, "no step within the bounds helps", "test")
    spike(home)
    home.log.clock.advance(2 * 86_400 * NS_PER_S)  # type: ignore[attr-defined]
    assert [run.kind for run in evaluate_triggers(home, "watch")] == ["schedule"]


def test_while_a_show_is_on_a_spike_waits_for_less(
    home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(home, "retrain", "online")
    monkeypatch.setattr(triggers, "find_show", lambda folder, actor: object())
    alert(home, STYLE)
    spike(home)
    waited = []
    for second in range(1, 100):
        home.log.clock.advance(NS_PER_S)  # type: ignore[attr-defined]
        for run in evaluate_triggers(home, "watch"):
            waited.append((second, run.job))
            record_outcome(home.log, run.name, REJECTED, "so it was", "test")
    assert waited == [(10, {"online": True}), (60, {})]
