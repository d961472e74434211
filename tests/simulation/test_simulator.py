"""A month of everything that goes wrong; and a class that was broken on purpose is caught."""

import datetime
import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from greenroom.clock import utc_day
from greenroom.errors import GreenroomError
from greenroom.manifests import GateDecision, Model, Rig
from greenroom.registry import approval, auto_approval
from greenroom.registry.promote import promote
from greenroom.registry.release import make_release
from greenroom.retraining import requests
from greenroom.store.log import Log
from greenroom.store.workspace import Workspace
from tests import examples
from tests.people import set_policy
from tests.simulation import fakes, simulator
from tests.simulation.faulty_disk import Crash, Disk
from tests.simulation.invariants import Broken
from tests.simulation.simulator import Simulator, simulate

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(
        importlib.util.find_spec("dbos") is None,
        reason="the workflow engine is not installed: the extra loop",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 3])
def test_a_month_in_which_all_holds(tmp_path: Path, seed: int) -> None:
    counts = simulate(tmp_path, seed, 30)
    for what in ("promoted", "rejected", "crash", "refused", "no room", "consent over"):
        assert counts[what], counts
    for what in ("promoted", "rejected", "held"):
        assert counts[f"online {what}"], counts


def test_a_seed_gives_the_same_week_again(tmp_path: Path) -> None:
    def told(name: str) -> list[tuple[str, int, str]]:
        return [(e.event, e.at_ns, e.by) for e in Workspace(tmp_path / name).log.entries()]

    first = simulate(tmp_path / "a", 5, 4)
    assert first == simulate(tmp_path / "b", 5, 4) != simulate(tmp_path / "c", 6, 4)
    assert told("a") == told("b") != told("c")


def world(folder: Path) -> Simulator:
    """A world without mishaps, in which new takes may be learned from."""
    made = Simulator(folder, 0)
    made.mishap = 0.0
    return made


def caught(made: Simulator, event: Any, why: str) -> None:
    with pytest.raises(Broken, match=rf"seed 0, event \d+ \({event.__name__}\): .*{why}"):
        made.do(event)


def test_a_log_that_forgets_what_was_expected_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(self: Log, ref: str, new: str, *, expect: str | None, by: str) -> Any:
        return self.append("ref", {"name": ref, "old": expect, "new": new}, by=by)

    monkeypatch.setattr(Log, "move", careless)
    made = world(tmp_path)

    def race() -> None:
        """Two people move one ref from where both saw it."""
        first, second = (Workspace(tmp_path, made.clock) for _ in range(2))
        at = first.log.ref("actors/mira/policy")
        for one in (first, second):
            one.log.move(
                "actors/mira/policy", str(at), expect=None if one is second else at, by="x"
            )

    caught(made, race, "moves actors/mira/policy from where it was not")


def test_a_build_that_ignores_rights_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.datasets.build.refusal_reason", lambda *_: "")
    made = world(tmp_path)
    good = fakes.rights("2020-01-01", "2099-01-01")
    for seed, agreed in ((1, good), (2, None)):
        fakes.take(made.workspace, "mira", seed, agreed)
    requests.request_run(made.workspace, "mira", "a test", "test")
    caught(made, made.night, "is in a dataset, and it is quarantined")


def test_a_registry_that_promotes_anything_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "require_approved", lambda *_: ["anybody"])
    made = world(tmp_path)

    def sneak() -> None:
        """What nobody approved comes on stage."""
        promote(made.workspace, "noor", other(made, "noor"), "stage")

    caught(made, sneak, "while nobody stood behind it")


def other(made: Simulator, actor: str) -> str:
    """A release of an actor that nobody approved."""
    first = made.workspace.catalog.find("model", actor=actor)[0].object
    manifest = examples.noted(made.workspace.objects.read(first, Model), "another")
    name = made.workspace.publish(manifest, by="test")
    return make_release(made.workspace, name, "test")


def test_requests_that_do_not_look_are_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_objection", lambda *_, **__: None)
    made = world(tmp_path)

    def twice() -> None:
        """Ask while a run goes on."""
        for _ in range(2):
            requests.request_run(made.workspace, "mira", "a test", "test")

    caught(made, twice, "mira-0002 began while mira-0001 went on")


def test_a_standing_policy_that_forgives_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world(tmp_path)
    monkeypatch.setattr(auto_approval, "_never_revoked", lambda *_: None)
    bounded = auto_approval.read_auto_approval({"until": "2099-01-01", "per_day": 9}, "here")
    gates = [GateDecision(**structs.asdict(fakes.GATE), passed=True, why="so")]
    set_policy(made.workspace, "mira", "Ada", gates=[fakes.GATE], auto_approval=bounded)

    def forgiven() -> None:
        """What somebody revoked comes back without anybody."""
        model = made.workspace.catalog.find("model", actor="mira")[0].object
        release = make_release(made.workspace, model, "test", None, gates)
        auto_approval.auto_approve(made.workspace, release, auto_approval.RETRAIN, "loop")
        approval.revoke(made.workspace, release, "Eve", "it was not liked")
        made.clock.advance(10**9)
        auto_approval.auto_approve(made.workspace, release, auto_approval.RETRAIN, "loop")
        promote(made.workspace, "mira", release, "stage")

    caught(made, forgiven, "while nobody stood behind it")


def updating(made: Simulator, **bounds: float) -> None:
    """Sign for online updates, all of which are good and tried in a show."""
    made.work = fakes.FakeWork(0)
    said = {"norm": 0.15, "replay_loss": 0.02, "seconds": 60, "in_a_row": 3, **bounds}
    standing_said = {"until": "2099-01-01", "per_day": 9, "kinds": ["online"], "bounds": said}
    bounded = auto_approval.read_auto_approval(standing_said, "here")
    set_policy(made.workspace, "mira", "Ada", auto_approval=bounded)


def update(made: Simulator, seed: int, agreed: bool = True) -> None:
    """Record a take and ask for an online update."""
    good = fakes.rights("2020-01-01", "2099-01-01")
    fakes.take(made.workspace, "mira", seed, good if agreed else None)
    requests.request_run(made.workspace, "mira", "a test", "test", job={"online": True})


@pytest.mark.parametrize(("bound", "most", "good"), [("norm", 0.05, 0), ("in_a_row", 1, 1)])
def test_an_update_beyond_what_was_signed_for_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: float, good: int
) -> None:
    monkeypatch.setattr(auto_approval, "_within", lambda *_: None)
    made = world(tmp_path)
    updating(made, **{bound: most})
    for seed in range(good):
        update(made, seed)
        made.do(made.night)
    assert made.counts["online promoted"] == good
    update(made, 9)
    caught(made, made.night, "while nobody stood behind it")


def test_an_update_that_ignores_rights_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in ("retraining.pipeline", "consent.gate"):
        monkeypatch.setattr(f"greenroom.{where}.refusal_reason", lambda *_: "")
    made = world(tmp_path)
    updating(made)
    update(made, 1, agreed=False)
    caught(made, made.night, "is in a model, and it is quarantined")


@pytest.mark.parametrize("careless", [False, True])
def test_a_consent_that_ends_while_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, careless: bool
) -> None:
    made = world(tmp_path)
    ends = utc_day(made.clock.utc_ns()) + datetime.timedelta(1)
    lasting = fakes.rights("2020-01-01", ends.isoformat())
    fakes.take(made.workspace, "mira", 1, lasting)

    def late(step: str) -> None:
        """The worker was off for two days before it trained."""
        if step == "train":
            made.clock.jump(2 * 86_400 * 10**9)

    made.work = fakes.FakeWork(0, at=late)
    requests.request_run(made.workspace, "mira", "a test", "test")
    if careless:
        monkeypatch.setattr(fakes, "require_rights_of_all", lambda *asked: None)
        caught(made, made.night, "is in a model, and the consent of somebody expired")
        return
    made.do(made.night)
    (run,) = requests.runs(made.workspace.log)
    assert run.outcome == requests.REJECTED and "the consent of somebody expired" in run.reason


def test_an_update_that_learns_the_same_again_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.retraining.pipeline._updated_with", lambda *_: set())
    made = world(tmp_path)
    updating(made)
    update(made, 1)
    made.do(made.night)
    update(made, 2)
    caught(made, made.night, "learned from take .* again")


def test_a_run_that_never_ends_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(tmp_path)
    requests.request_run(made.workspace, "mira", "a test", "test")
    monkeypatch.setattr(simulator, "run_pending", lambda workspace, work: [])
    caught(made, made.night, "a run does not end")


def test_an_object_that_is_lost_is_caught(tmp_path: Path) -> None:
    made = world(tmp_path)

    def lose() -> None:
        """A file is gone."""
        at = str(made.workspace.log.ref("actors/mira/live"))
        made.workspace.objects.path(at).unlink()

    caught(made, lose, "which is lost")


def test_what_breaks_is_told_with_its_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Simulator, days: int) -> None:
        raise Broken(f"seed {self.seed}, event 7 (show): so it was")

    monkeypatch.setattr(Simulator, "run", broken)
    assert simulator.main(["--seed", "3", "--days", "1"]) == 1
    assert capsys.readouterr().out == "seed 3, event 7 (show): so it was\n"
    monkeypatch.setattr(Simulator, "run", lambda self, days: None)
    assert simulator.main(["--seed", "3", "--days", "1"]) == 0
    assert "seed 3, 1 days: all holds" in capsys.readouterr().out


@pytest.mark.parametrize("torn", [True, False])
def test_the_disk_crashes_at_every_operation_and_the_log_stands(tmp_path: Path, torn: bool) -> None:
    disk, entries, crashes = Disk(), 0, Counter[str]()
    with disk.mounted():
        for n in range(1, 12):
            home = Workspace(tmp_path)
            disk.left, disk.torn = n, torn
            try:
                home.publish(Rig(channels=[str(n)]), by="test")
            except Crash:
                crashes["crash"] += 1
            disk.left = -1
            fresh = Workspace(tmp_path)
            assert len(fresh.log.entries()) - entries in (0, 1)
            entries = len(fresh.log.entries())
            assert fresh.fsck().bad == []
        disk.full = True
        with pytest.raises(GreenroomError, match="No space left on device"):
            Workspace(tmp_path).publish(Rig(channels=["99"]), by="test")
        disk.full = False
        Workspace(tmp_path).publish(Rig(channels=["99"]), by="test")
    assert crashes["crash"] >= 5
    assert len(Workspace(tmp_path).log.entries()) == entries + 1
