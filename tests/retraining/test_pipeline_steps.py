"""Each step of a run, and every way in which one stops; only the long work is faked."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.clock import NS_PER_S, VirtualClock
from greenroom.errors import BadInput, Refused
from greenroom.manifests import Model
from greenroom.registry import approval
from greenroom.registry.auto_approval import read_auto_approval
from greenroom.registry.promote import (
    canary_ref,
    live_ref,
    live_release,
    promote,
    rollback,
    start_canary,
)
from greenroom.registry.release import load_release
from greenroom.registry.signing import make_key, revoke_key
from greenroom.retraining.pipeline import RetrainingPipeline
from greenroom.retraining.requests import (
    FAILED,
    HELD,
    NOTHING_NEW,
    PROMOTED,
    REJECTED,
    Rules,
    Run,
    request_run,
    runs,
)
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from greenroom.validation.gates import decide_gates
from tests import examples
from tests.people import approve, set_policy
from tests.simulation import fakes
from tests.simulation.fakes import FakeWork, rights, take

NOON = int(datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC).timestamp()) * NS_PER_S
GATES = [fakes.GATE]
AGREED = rights("2026-01-01", "2027-01-01")


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    """Mira has a release on stage, a standing policy and three new takes."""
    workspace = Workspace(tmp_path, VirtualClock(utc_ns=NOON))
    fakes.debut(workspace, "mira", "Ada")
    bounded = read_auto_approval({"until": "2026-12-31", "per_day": 9}, "here")
    set_policy(
        workspace,
        "mira",
        "Ada",
        gates=GATES,
        auto_approval=bounded,
        learning=Rules(per_day=99).manifest(),
    )
    for n in range(3):
        take(workspace, "mira", n, AGREED)
    return workspace


def work(quality: str) -> FakeWork:
    return FakeWork(0, tuple(float(quality == each) for each in fakes.QUALITIES))


class Meddling(FakeWork):
    """Work during which somebody does something.

    Args:
        step: in which.
        meddle: what they do.
    """

    def __init__(self, step: str, meddle: Any) -> None:
        self.calls = 0

        def at(name: str) -> None:
            if name == step:
                self.calls += 1
                if self.calls == 1:
                    meddle()

        super().__init__(0, at=at)


def go(
    home: Workspace, doing: FakeWork | None = None, until: str = "", **job: Any
) -> tuple[Run, Any]:
    """Do the steps as the engine does, without its journal; stop before one if named."""
    run = request_run(home, "mira", "a test", "test", job=job)
    pipeline = RetrainingPipeline(home, run, doing or work(fakes.GOOD))
    found: dict[str, Any] = {}
    for step in pipeline.steps:
        if step == until:
            return run, (pipeline, found)
        said = pipeline.do(step, dict(found))
        if "stop" in said:
            outcome, reason = said["stop"]
            pipeline.close(outcome, reason, found.get("approve", {}).get("release", ""))
            break
        found[step] = said["found"]
    else:
        pipeline.close(PROMOTED, "it is on stage", found["promote"]["release"])
    (ended,) = [known for known in runs(home.log) if known.name == run.name]
    return ended, found


def refs(home: Workspace) -> tuple[str | None, str | None]:
    return home.log.ref(live_ref("mira")), home.log.ref(canary_ref("mira"))


def test_a_better_model_comes_on_stage_with_its_lineage(home: Workspace) -> None:
    champion = live_release(home, "mira")
    run, found = go(home)
    assert (run.outcome, run.release) == (PROMOTED, live_release(home, "mira"))
    assert refs(home) == (run.release, run.release) and run.release != champion
    release = load_release(home, run.release)
    assert release.model.parents.dataset == found["build"]["dataset"]
    assert [gate.passed for gate in release.manifest.gates] == [True]
    assert approval.valid_approvers(home, run.release) == ["the policy of Ada"]
    assert len(found["pull"].pop("takes")) == 3
    assert found["pull"] == {
        "champion": champion,
        "start": home.objects.read_any(champion).parents.model,
    }
    assert home.fsck().bad == []
    assert rollback(home, "mira", "Ada") == (champion, run.release)


def test_what_the_champion_knows_stays_in_its_split(home: Workspace) -> None:
    model = home.objects.read_any(live_release(home, "mira")).parents.model
    before = home.objects.read_any(home.objects.read_any(model).parents.dataset).splits
    _, found = go(home)
    after = home.objects.read_any(found["build"]["dataset"]).splits
    for split, names in before.items():
        assert set(names) <= set(after[split])


def test_without_new_takes_nothing_is_trained(home: Workspace) -> None:
    go(home)
    run, found = go(home)
    assert (run.outcome, run.reason, found) == (REJECTED, NOTHING_NEW, {})


@pytest.mark.parametrize(
    "agreed",
    [
        None,
        rights("2026-01-01", "2026-11-25"),
        rights("2026-11-27", "2027-01-01"),
        rights("2026-01-01", "2027-01-01", "perform"),
    ],
    ids=["quarantined", "over", "not yet", "not for training"],
)
def test_what_may_not_be_learned_from_asks_for_nothing_and_is_in_no_dataset(
    home: Workspace, agreed: dict[str, Any] | None
) -> None:
    hidden = take(home, "mira", 77, agreed)
    _, found = go(home)
    assert hidden not in home.objects.read_any(found["build"]["dataset"]).parents.takes
    run, _ = go(home)
    assert run.reason == NOTHING_NEW


def test_a_champion_that_learned_from_somebody_who_withdrew_is_no_start(home: Workspace) -> None:
    run, _ = go(home)
    assert run.outcome == PROMOTED
    clock = home.log.clock
    assert isinstance(clock, VirtualClock)
    clock.advance(60 * 86_400 * NS_PER_S)  # what all but the debut's takes were agreed for is over
    fresh = take(home, "mira", 88, rights("2027-01-01", "2027-12-31"))
    _, (_, found) = go(home, until="build")
    assert found["pull"] == {"takes": [fresh], "champion": run.release, "start": ""}


def test_a_new_take_that_is_of_no_use_is_nothing_new(home: Workspace) -> None:
    go(home)
    recording = read_recording(fakes.bvh(50, ticks=5), "short.bvh")
    store_take(home, recording, Attribution("mira", ("somebody",), (AGREED,)), "test")
    run, found = go(home)
    assert (run.outcome, run.reason) == (REJECTED, NOTHING_NEW)
    assert list(found) == ["pull"]


def test_a_training_that_breaks_fails_the_run_only(home: Workspace) -> None:
    before = refs(home)
    run, _ = go(home, work(fakes.CRASHES))
    assert (run.outcome, run.reason, refs(home)) == (FAILED, "the training diverged", before)
    assert go(home)[0].outcome == PROMOTED


def test_a_gate_that_is_missed_stops_it(home: Workspace) -> None:
    before = refs(home)
    run, found = go(home, work(fakes.WORSE_ONE))
    assert run.outcome == REJECTED and run.reason.startswith("1 of 1 gates failed: infill.limb_deg")
    assert "shadow" not in found and refs(home) == before


def test_being_told_apart_from_the_champion_for_the_worse_stops_it(home: Workspace) -> None:
    set_policy(
        home,
        "mira",
        "Ada",
        gates=[structs.replace(fakes.GATE, margin=-90.0)],
        learning=Rules(per_day=99).manifest(),
    )
    run, _ = go(home, work(fakes.WORSE_ONE))
    assert run.reason == "it is worse than the champion at infill.limb_deg"


def show(home: Workspace) -> None:
    home.publish(examples.show(live_release(home, "mira")), by="test")


def test_what_is_bad_unseen_is_not_seen(home: Workspace) -> None:
    show(home)
    before = refs(home)
    run, found = go(home, work(fakes.UNSEEN))
    assert run.reason == "unseen beside the show: it says no numbers"
    assert "approve" not in found and refs(home) == before


def test_where_nothing_was_performed_yet_the_shadow_is_left_out(home: Workspace) -> None:
    run, found = go(home)
    assert found["shadow"] == {"left_out": "there was no show yet"} and run.outcome == PROMOTED


def test_a_trial_sent_back_leaves_the_champion_on_both_refs(home: Workspace) -> None:
    champion = live_release(home, "mira")
    run, found = go(home, work(fakes.BREAKS))
    assert (run.outcome, run.reason) == (REJECTED, "on trial: it stumbles")
    assert refs(home) == (champion, champion)
    tried = [e.body["new"] for e in home.log.entries() if e.body.get("name") == canary_ref("mira")]
    assert tried == [found["approve"]["release"], champion]
    assert run.release == found["approve"]["release"]


def test_a_trial_ends_also_where_the_champion_was_revoked_meanwhile(home: Workspace) -> None:
    champion = live_release(home, "mira")
    doing = Meddling("canary", lambda: approval.revoke(home, champion, "Eve", "it is worse"))
    doing.trial = lambda *given, **named: (  # type: ignore[method-assign]
        FakeWork.trial(doing, *given, **named),
        "it stumbles",
    )[1]
    run, _ = go(home, doing)
    assert (run.outcome, run.reason) == (REJECTED, "on trial: it stumbles")
    assert refs(home) == (champion, champion)
    with pytest.raises(Refused, match="Eve revoked it"):
        load_release(home, champion)  # nobody performs it for that


def other(home: Workspace) -> str:
    model = home.objects.read_any(live_release(home, "mira")).parents.model
    made = home.publish(examples.noted(home.objects.read(model, Model), "by hand"), by="test")
    return approve(home, made, "Ada")


def test_a_champion_that_changed_meanwhile_stays(home: Workspace) -> None:
    for step in ("train", "sandbox", "shadow", "canary"):
        release = other(home)
        back = live_release(home, "mira")
        run, _ = go(home, Meddling(step, lambda r=release: promote(home, "mira", r, "Ada")))
        assert (run.outcome, run.reason.split()[1:]) == (
            REJECTED,
            f"{release[:12]} came on stage meanwhile; it was compared with another".split(),
        )
        assert refs(home)[0] == release and refs(home)[1] in (None, release)
        promote(home, "mira", back, "Ada")


def test_one_that_came_where_there_was_none_stays_too(home: Workspace, tmp_path: Path) -> None:
    empty = Workspace(tmp_path / "empty", VirtualClock(utc_ns=NOON))
    bounded = read_auto_approval({"until": "2026-12-31"}, "here")
    set_policy(empty, "mira", "Ada", gates=GATES, auto_approval=bounded)
    for n in range(3):
        take(empty, "mira", n, AGREED)
    run, _ = go(empty, Meddling("shadow", lambda: fakes.debut(empty, "mira", "Ada")))
    assert run.outcome == REJECTED and "came on stage meanwhile" in run.reason
    assert len([e for e in empty.log.entries() if e.body.get("name") == live_ref("mira")]) == 1


def test_the_first_model_needs_no_champion(tmp_path: Path) -> None:
    empty = Workspace(tmp_path, VirtualClock(utc_ns=NOON))
    bounded = read_auto_approval({"until": "2026-12-31"}, "here")
    set_policy(empty, "mira", "Ada", gates=GATES, auto_approval=bounded)
    for n in range(3):
        take(empty, "mira", n, AGREED)
    run, found = go(empty)
    assert run.outcome == PROMOTED and refs(empty) == (run.release, None)
    assert found["canary"] == {"left_out": "there is no champion to go back to"}


def test_without_a_standing_policy_it_waits_and_can_be_approved_by_hand(home: Workspace) -> None:
    set_policy(home, "mira", "Ada", gates=GATES)
    before = refs(home)
    run, found = go(home)
    model = found["train"]["model"]
    assert run.outcome == HELD and f"greenroom approve {model[:12]} --by NAME" in run.reason
    assert refs(home) == before
    validation, decisions = decide_gates(home, model)  # as the command does
    release = approve(home, model, "Ada", None, validation, decisions)
    promote(home, "mira", release, "Ada")
    assert live_release(home, "mira") == release


def test_a_policy_that_is_spent_holds_it(home: Workspace) -> None:
    bounded = read_auto_approval({"until": "2026-12-31", "per_day": 1}, "here")
    set_policy(
        home,
        "mira",
        "Ada",
        gates=GATES,
        auto_approval=bounded,
        learning=Rules(per_day=99).manifest(),
    )
    assert go(home)[0].outcome == PROMOTED
    take(home, "mira", 90, AGREED)
    run, _ = go(home)
    assert run.outcome == HELD and "approves 1 a day automatically, and did so today" in run.reason


def test_a_release_revoked_before_its_promotion_does_not_come(home: Workspace) -> None:
    run, (pipeline, found) = go(home, until="canary")
    release = found["approve"]["release"]
    approval.revoke(home, release, "Eve", "not this one")
    assert pipeline.do("canary", found)["stop"][0] == REJECTED
    assert pipeline.do("promote", found)["stop"][0] == REJECTED
    # Done again after a crash, the step does not approve what somebody withdrew.
    outcome, reason = pipeline.do("approve", found)["stop"]
    assert outcome == HELD and "Eve revoked it: not this one" in reason
    assert refs(home)[0] != release and run.name == "mira-0001"


def test_steps_done_again_make_the_same(home: Workspace) -> None:
    run, found = go(home)
    again = RetrainingPipeline(home, run, work(fakes.GOOD))
    before = len(home.log.entries())
    for n, step in enumerate(again.steps):
        earlier = {name: found[name] for name in list(again.steps)[:n]}
        if step not in ("pull", "canary"):  # what there is, and whether it is watched, has changed
            assert again.do(step, earlier) == {"found": found[step]}
    assert len(home.log.entries()) == before


def test_somebody_may_ask_for_another_trial(home: Workspace) -> None:
    run = request_run(home, "mira", "a test", "Ada", job={"canary_s": 7.0})
    pipeline = RetrainingPipeline(home, run, work(fakes.GOOD))
    found: dict[str, Any] = {}
    for step in list(pipeline.steps)[:8]:
        found[step] = pipeline.do(step, dict(found))["found"]
    assert found["canary"] == {"seconds": 7.0}


def test_a_key_that_is_revoked_on_the_way_ends_the_run(home: Workspace) -> None:
    make_key(home, "Dir")
    bounded = read_auto_approval({"until": "2026-12-31", "per_day": 9}, "here")
    set_policy(
        home,
        "mira",
        "Dir",
        gates=GATES,
        auto_approval=bounded,
        learning=Rules(per_day=99).manifest(),
    )
    before = refs(home)[0]
    run, _ = go(home, Meddling("canary", lambda: revoke_key(home, "Dir", "Eve")))
    assert run.outcome == REJECTED and "the key of Dir was revoked" in run.reason
    assert refs(home)[0] == before and refs(home)[1] in (None, before)


def test_promoting_over_something_else_changes_nothing(home: Workspace) -> None:
    release = other(home)
    entries = len(home.log.entries())
    with pytest.raises(Exception, match="is at .* not nothing"):
        promote(home, "mira", release, "Ada", over="")
    assert len(home.log.entries()) == entries
    promote(home, "mira", release, "Ada", over=live_release(home, "mira"))
    with pytest.raises(BadInput, match="is not an object's hash"):
        start_canary(home, "mira", "nothing", "Ada")


@pytest.mark.parametrize(("norm", "outcome"), [(0.15, PROMOTED), (0.05, HELD)])
def test_an_online_update_comes_on_stage_within_what_was_signed_for(
    home: Workspace, norm: float, outcome: str
) -> None:
    bounds = {"norm": norm, "replay_loss": 0.02, "seconds": 60}
    said = {"until": "2026-12-31", "per_day": 9, "kinds": ["online"], "bounds": bounds}
    bounded = read_auto_approval(said, "here")
    set_policy(home, "mira", "Ada", auto_approval=bounded, learning=Rules(per_day=99).manifest())
    champion = live_release(home, "mira")
    sound = read_recording(write_wav(np.zeros(60_000, dtype=np.float32)), "voice.wav")
    voice = store_take(home, sound, Attribution("mira", ("somebody",), (AGREED,)), "test")
    run, found = go(home, online=True)
    assert voice not in found["pull"]["takes"] and found["pull"]["takes"]
    assert run.outcome == outcome and "build" not in found and "sandbox" not in found
    if outcome == HELD:
        assert "the update's norm is 0.1, more than 0.05" in run.reason
        assert live_release(home, "mira") == champion
        return
    release = load_release(home, live_release(home, "mira"))
    assert release.name == run.release and release.model.update.norm == 0.1
    again, found = go(home, online=True)
    assert (again.outcome, again.reason, found) == (REJECTED, NOTHING_NEW, {})
    take(home, "mira", 9, AGREED)
    third, found = go(home, online=True)
    assert third.outcome == PROMOTED and len(found["pull"]["takes"]) == 1
    fourth, found = go(home, online=True)  # nor is it news what the update before the last saw
    assert (fourth.outcome, fourth.reason, found) == (REJECTED, NOTHING_NEW, {})
    assert rollback(home, "mira", "Ada")[0] == run.release
