"""What is approved without asking, and every way in which that does not count."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from greenroom.clock import NS_PER_S, VirtualClock
from greenroom.errors import BadInput, Refused
from greenroom.manifests import (
    Approval,
    ApprovalParents,
    ApprovalStatement,
    Gate,
    GateDecision,
    Model,
    Policy,
    Update,
)
from greenroom.registry import approval, auto_approval
from greenroom.registry.policy import policy_ref
from greenroom.registry.promote import live_release
from greenroom.registry.release import load_release, make_release
from greenroom.registry.signing import revoke_key
from greenroom.store.workspace import Workspace
from tests import examples
from tests.people import approve, set_policy, with_key
from tests.simulation import fakes


def decision(gate: Gate, passed: bool) -> GateDecision:
    return GateDecision(
        **structs.asdict(gate), passed=passed, why="it is" if passed else "it is not"
    )


NOON = int(datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC).timestamp()) * NS_PER_S
PASSED = [decision(fakes.GATE, True)]
GATES = [fakes.GATE]
BOUNDS = {"norm": 0.5, "replay_loss": 0.02, "seconds": 60, "in_a_row": 3}


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, VirtualClock(utc_ns=NOON))
    fakes.debut(workspace, "mira", "Ada")
    return workspace


def rule(home: Workspace, by: str = "Ada", actor: str = "mira", **said: Any) -> str:
    found = {"until": "2026-12-31", "per_day": 2, **said}
    bounded = auto_approval.read_auto_approval(found, "here")
    return set_policy(home, actor, by, gates=GATES, auto_approval=bounded)


def another(home: Workspace, note: str, gates: Any = PASSED, **more: Any) -> str:
    """A release that nobody approved."""
    first = home.objects.read_any(live_release(home, "mira")).parents.model
    made = examples.noted(home.objects.read(first, Model), note, **more)
    return make_release(home, home.publish(made, by="test"), "test", None, gates)


def wait(home: Workspace, days: float) -> None:
    clock = home.log.clock
    assert isinstance(clock, VirtualClock)
    clock.advance(round(days * 86_400 * NS_PER_S))


def give(home: Workspace, release: str, kind: str = auto_approval.RETRAIN) -> str:
    return auto_approval.auto_approve(home, release, kind, "loop")


def refused(home: Workspace, release: str, why: str, kind: str = auto_approval.RETRAIN) -> None:
    before = len(home.log.entries())
    with pytest.raises(Refused, match=why):
        give(home, release, kind)
    assert [e.event for e in home.log.entries()[before:]] == []
    with pytest.raises(Refused):
        load_release(home, release)


def forge(home: Workspace, release: str, policy: str, of: str = "") -> None:
    """Enter an approval as somebody would who can write the log, but not sign."""
    now = str(home.log.clock.utc_ns())
    statement = ApprovalStatement(release=of or release, at_ns=now, change="retrain", policy=policy)
    parents = ApprovalParents(release=release, policy=policy)
    manifest = Approval(parents=parents, statement=statement)
    approval.record_approval(home, release, home.publish(manifest, by="Mallory"), "Mallory")


def counts_not(home: Workspace, release: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        load_release(home, release)


def test_it_approves_in_its_signers_name(home: Workspace) -> None:
    rule(home)
    release = another(home, "b")
    give(home, release)
    assert load_release(home, release).name == release
    assert approval.valid_approvers(home, release) == ["the policy of Ada"]


def test_without_one_nothing_is_approved(home: Workspace) -> None:
    refused(home, another(home, "b"), "no policy of mira approves automatically")
    set_policy(home, "mira", "Ada", gates=GATES)
    refused(home, another(home, "b"), "the policy of mira approves no retrain automatically")


def test_it_ends_and_what_it_approved_before_stays(home: Workspace) -> None:
    rule(home, until="2026-11-27")
    release = another(home, "b")
    give(home, release)
    wait(home, 1)
    give(home, another(home, "c"))  # its last day counts
    wait(home, 1)
    refused(home, another(home, "d"), "the automatic approval of mira ended on 2026-11-27")
    load_release(home, release)


def test_it_approves_so_many_a_day(home: Workspace) -> None:
    rule(home, per_day=2)
    for note in "bc":
        give(home, another(home, note))
    spare = another(home, "d")
    refused(home, spare, "approves 2 a day")
    forge(home, spare, str(home.log.ref(policy_ref("mira"))))
    counts_not(home, spare, "had approved as many as it may on that day")
    wait(home, 0.5)  # midnight, UTC
    give(home, spare)
    load_release(home, spare)


def test_it_asks_for_gates_and_that_each_was_passed(home: Workspace) -> None:
    rule(home)
    missed = [decision(fakes.GATE, False)]
    refused(home, another(home, "b", missed), "gates not passed: infill.limb_deg")
    refused(home, another(home, "c", []), "gates not passed: infill.limb_deg")
    easier = [
        structs.replace(PASSED[0], margin=-9.0)
    ]  # a gate of the same metric that the policy did not set
    refused(home, another(home, "d", easier), "gates not passed: infill.limb_deg")
    bounded = auto_approval.read_auto_approval({"until": "2026-12-31"}, "here")
    set_policy(home, "mira", "Ada", auto_approval=bounded)
    refused(home, another(home, "d"), "where the policy has no gates")


def test_a_forged_approval_does_not_count(home: Workspace) -> None:
    old = rule(home)
    new = rule(home, per_day=1)
    release = another(home, "b")
    forge(home, release, old)
    counts_not(home, release, "the policy that approved it was not in force then")
    forge(home, release, new, of=another(home, "c"))
    counts_not(home, release, "the approval is of another release")


def test_a_policy_that_came_later_approves_nothing_of_before(home: Workspace) -> None:
    first = rule(home)
    set_policy(home, "mira", "Ada", gates=GATES)
    release = another(home, "b")
    forge(home, release, first)
    assert rule(home) != first  # the same rules are in force again, since now
    counts_not(home, release, "was not in force then")


def test_a_policy_that_mallory_made_is_no_policy(home: Workspace) -> None:
    rule(home)
    true = home.objects.read(str(home.log.ref(policy_ref("mira"))), Policy)
    said = structs.replace(true.statement, needed=9)
    forged = home.publish(structs.replace(true, statement=said), by="Mallory")
    home.log.move(policy_ref("mira"), forged, expect=home.log.ref(policy_ref("mira")), by="Mallory")
    release = another(home, "b")
    refused(home, release, "the policy of mira does not count: the signature is not Ada's")
    forge(home, release, forged)
    counts_not(home, release, "the policy of mira does not count")


def test_another_actors_policy_is_refused(home: Workspace) -> None:
    fakes.debut(home, "noor", "Ada")
    theirs = rule(home, actor="noor")
    release = another(home, "b")
    forge(home, release, theirs)
    counts_not(home, release, "was not in force then")
    home.log.move(policy_ref("mira"), theirs, expect=None, by="Mallory")
    refused(home, release, "it was signed for noor")


def test_a_revoked_key_takes_its_policys_approvals_with_it(home: Workspace) -> None:
    rule(home, by="Ada")
    rule(home, by="Eve")
    release = another(home, "b")
    give(home, release)
    revoke_key(home, "Eve", "Ada")
    counts_not(home, release, "the policy of mira does not count: the key of Eve was revoked")
    rule(home, by="Ada")
    counts_not(home, release, "the key of Eve was revoked")
    assert load_release(home, live_release(home, "mira"))  # what Ada approved by name stays


def test_what_a_person_revoked_only_a_person_gives_back(home: Workspace) -> None:
    rule(home)
    release = another(home, "b")
    give(home, release)
    approval.revoke(home, release, "Eve", "it stumbles")
    refused(home, release, "Eve revoked it: it stumbles")
    forge(home, release, str(home.log.ref(policy_ref("mira"))))
    counts_not(home, release, "Eve revoked it")
    approval.sign_approval(home, release, with_key(home, "Ada"))
    load_release(home, release)


@pytest.mark.parametrize("name", auto_approval.BOUNDS)
def test_an_online_update_keeps_every_bound(home: Workspace, name: str) -> None:
    rule(home, kinds=["online"], bounds=BOUNDS)
    inside = {"norm": 0.5, "replay_loss": -0.1, "seconds": 3.0, "in_a_row": 3}
    give(home, another(home, "b", [], update=Update(**inside)), auto_approval.ONLINE)
    for value in (BOUNDS[name] + 1, BOUNDS[name] * 2 + 1):
        update = Update(**{**inside, name: value})
        release = another(home, f"c {value}", [], update=update)
        refused(home, release, f"the update's {name} is", auto_approval.ONLINE)
    refused(home, another(home, "d"), "says nothing of an online update", auto_approval.ONLINE)
    refused(home, another(home, "e"), "approves no retrain automatically")


def test_a_person_may_approve_what_the_policy_does_not(home: Workspace) -> None:
    rule(home, kinds=["online"], bounds=BOUNDS)
    release = another(home, "b")
    refused(home, release, "approves no retrain")
    model = home.objects.read_any(release).parents.model
    assert approve(home, model, "Ada", decisions=PASSED) == release
    load_release(home, release)


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {},
        {"until": "soon"},
        {"until": "2026-12-31", "per_day": 0},
        {"until": "2026-12-31", "per_day": None},
        {"until": "2026-12-31", "per_day": "many"},
        {"until": "2026-12-31", "kinds": ["anything"]},
        {"until": "2026-12-31", "kinds": []},
        {"until": "2026-12-31", "kinds": [["online"]]},
        {"until": "2026-12-31", "kinds": 5},
        {"until": "2026-12-31", "bounds": 5},
        {"until": "2026-12-31", "kinds": ["online"]},
        {"until": "2026-12-31", "kinds": ["online"], "bounds": {"norm": 1}},
        {"until": "2026-12-31", "bounds": {"depth": 1}},
        {"until": "2026-12-31", "bounds": {"norm": "small"}},
        {"until": "2026-12-31", "for": "ever"},
    ],
    ids=str,
)
def test_a_bad_standing_policy_is_one_clear_error(wrong: Any) -> None:
    with pytest.raises(BadInput) as caught:
        auto_approval.read_auto_approval(wrong, "standing.json")
    assert str(caught.value).startswith("standing.json: ") and "\n" not in str(caught.value)
