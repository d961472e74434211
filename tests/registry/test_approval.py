"""Signatures: what counts, and the sentence with which everything else is refused."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from greenroom import embedded
from greenroom.clock import VirtualClock
from greenroom.errors import BadInput, CheckFailed, CorruptObject, Refused
from greenroom.manifests import (
    Approval,
    ApprovalParents,
    ApprovalStatement,
    Figure,
    GroupFigure,
    Model,
    ModelBlobs,
    Policy,
    PolicyStatement,
    ReleaseManifest,
    ReleaseParents,
    to_json,
)
from greenroom.registry import approval, auto_approval, signing
from greenroom.registry import release as release_of
from greenroom.registry.card import model_card
from greenroom.registry.policy import (
    PolicyRules,
    approve_policy,
    missing_approvals,
    policy_ref,
)
from greenroom.registry.promote import live_release, promote
from greenroom.registry.release import load_release
from greenroom.registry.signing import (
    DEMO,
    ROOT,
    SIGNED,
    Key,
    keys_of,
    make_key,
    private_keys,
    revoke_key,
    root_key,
    sign,
    sign_key,
    verify,
)
from greenroom.store.log import Log
from greenroom.store.workspace import Workspace
from tests import examples
from tests.people import approve, set_policy, with_key

DAY_NS = 86_400_000_000_000


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    """A workspace with the embedded model, on a day in 2026."""
    workspace = Workspace(tmp_path, VirtualClock(utc_ns=1_790_000_000_000_000_000))
    embedded.install(workspace)
    return workspace


@pytest.fixture
def model(home: Workspace) -> str:
    return str(home.objects.read_any(live_release(home, "mira")).parents.model)


def another(home: Workspace, model: str, note: str) -> str:
    """A second model, like the first."""
    return home.publish(examples.noted(home.objects.read(model, Model), note), by="test")


def pass_days(home: Workspace, days: int) -> None:
    clock = home.log.clock
    assert isinstance(clock, VirtualClock)
    clock.advance(days * DAY_NS)


def test_the_embedded_release_is_signed(home: Workspace) -> None:
    release = live_release(home, "mira")
    assert approval.valid_approvers(home, release) == ["The Greenroom developers"]
    assert load_release(home, release).name == release
    assert embedded.install(home) == release  # again: nothing is added
    assert len([e for e in home.log.entries() if e.event == "approve"]) == 1


def test_an_approval_makes_no_key(home: Workspace, model: str) -> None:
    before = len(home.log.entries())
    with pytest.raises(BadInput, match="'Ada' has no key here; run: greenroom key new 'Ada'"):
        release_of.approve(home, model, "Ada")
    assert not (home.home / "keys").exists()
    assert not [e for e in home.log.entries()[before:] if e.event in ("key", "approve")]


def test_a_key_is_a_file_that_only_its_owner_can_read(home: Workspace, model: str) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    (path,) = private_keys(home, "Ada")
    assert path.stat().st_mode & 0o077 == 0 and path.parent.stat().st_mode & 0o077 == 0
    assert approval.valid_approvers(home, release) == ["Ada"]
    before = len(home.log.entries())
    assert approve(home, another(home, model, "b"), "Ada") == release
    assert len(home.log.entries()) == before  # once is enough


def test_nobodys_name_is_no_name(home: Workspace, model: str) -> None:
    with pytest.raises(BadInput, match="needs a name"):
        approve(home, model, "  ")
    with pytest.raises(BadInput, match="needs its owner"):
        make_key(home, " ")
    make_key(home, "Ada %2F")
    make_key(home, "Ada %2F")
    files = private_keys(home, "Ada %2F")
    assert len(files) == 2 and {file.parent for file in files} == {home.home / "keys"}


def refused(home: Workspace, release: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        load_release(home, release)
    with pytest.raises(Refused, match=why):
        promote(home, "mira", release, "test")


def test_an_expired_key_is_refused(home: Workspace, model: str) -> None:
    today = datetime.datetime.fromtimestamp(home.log.clock.utc_ns() / 1e9, datetime.UTC).date()
    make_key(home, "Ada", today + datetime.timedelta(days=30))
    release = approve(home, another(home, model, "b"), "Ada")
    pass_days(home, 30)
    load_release(home, release)
    pass_days(home, 1)
    refused(home, release, "the key of Ada expired on")
    with pytest.raises(Refused, match="expired"):
        approve(home, another(home, model, "c"), "Ada")


def test_an_approval_that_ended_is_refused(home: Workspace, model: str) -> None:
    today = datetime.datetime.fromtimestamp(home.log.clock.utc_ns() / 1e9, datetime.UTC).date()
    release = approve(home, another(home, model, "b"), "Ada", until=today)
    load_release(home, release)
    pass_days(home, 1)
    refused(home, release, "the approval of Ada ended on")


def test_a_revoked_key_takes_what_it_signed_with_it(home: Workspace, model: str) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    revoke_key(home, "Ada", "Eve")
    refused(home, release, "the key of Ada was revoked")
    assert not private_keys(home, "Ada")
    with pytest.raises(BadInput, match="no key that could be revoked"):
        revoke_key(home, "Ada", "Eve")
    make_key(home, "Ada")  # the root's key is gone, so nobody can let another one count
    refused_to_sign = pytest.raises(Refused, match="is not signed by the workspace's root")
    with refused_to_sign:
        approve(home, another(home, model, "b"), "Ada")


@pytest.mark.parametrize("copy", ["upper", "parents"])
def test_a_copy_of_an_old_approval_is_no_new_one(home: Workspace, model: str, copy: str) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    old = next(
        e.body["approval"]
        for e in home.log.entries()
        if e.body.get("release") == release and e.event == "approve"
    )
    signed = home.objects.read(old, Approval)
    changed = (
        structs.replace(signed, signature=signed.signature.upper())
        if copy == "upper"
        else structs.replace(signed, parents=ApprovalParents(release=live_release(home, "mira")))
    )
    approval.revoke(home, release, "Eve", "it stumbles")
    approval.record_approval(home, release, home.publish(changed, by="Mallory"), "Mallory")
    refused(home, release, "an old approval was entered again")


def test_a_root_that_is_revoked_or_expired_signs_no_more_keys(home: Workspace) -> None:
    make_key(home, "Ada", expires=datetime.date(2026, 12, 31))
    (file,) = private_keys(home, "Ada")
    stolen = file.read_bytes()
    assert make_key(home, "Bob").trust == SIGNED
    pass_days(home, 365)
    assert make_key(home, "Cy").trust == ""
    revoke_key(home, "Ada", "Ada")
    file.write_bytes(stolen)
    assert make_key(home, "Mallory").trust == ""


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "a\\b", "   ", "", ".hidden", "Ada ", " Ada", "Ada\n", "ADA", "ada", "Ａda"],
)
def test_a_name_that_is_none_or_anothers_in_another_spelling_gets_no_key(
    home: Workspace, name: str
) -> None:
    make_key(home, "Ada")
    with pytest.raises(BadInput):
        make_key(home, name)
    assert [file.name[:4] for file in (home.home / "keys").iterdir()] == ["Ada-"]


def test_a_release_of_a_revoked_releases_model_does_not_go_on_stage(
    home: Workspace, model: str
) -> None:
    made = another(home, model, "b")
    release = approve(home, made, "Ada")
    approval.revoke(home, release, "Eve", "it stumbles")
    manifest = home.objects.read(release, ReleaseManifest)
    copy = home.publish(structs.replace(manifest, blobs={}), by="Ada")
    approval.sign_approval(home, copy, "Ada")
    refused(home, copy, f"its model is that of release {release[:12]}, of which Eve revoked it")
    with pytest.raises(Refused, match="Eve revoked it: it stumbles"):
        promote(home, "mira", copy, "Ada")
    pass_days(home, 1)
    approval.sign_approval(home, release, "Ada")  # she has looked at it, and says so
    assert load_release(home, copy) and load_release(home, release)


def test_a_copy_waits_until_as_many_approved_the_revoked_release_as_its_policy_asks(
    home: Workspace, model: str
) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    for name in ("Bob", "Cy"):
        make_key(home, name)
    set_policy(home, "mira", "Ada", needed=2, approvers=["Ada", "Bob"])
    approval.revoke(home, release, "Eve", "it stumbles")
    manifest = home.objects.read(release, ReleaseManifest)
    copy = home.publish(structs.replace(manifest, blobs={}), by="Ada")
    for name in ("Ada", "Bob"):
        approval.sign_approval(home, copy, name)
    pass_days(home, 1)
    approval.sign_approval(home, release, "Ada")
    refused(home, copy, f"that of release {release[:12]}, which was revoked, and only 1 of 2")
    approval.sign_approval(home, release, "Bob")
    assert load_release(home, copy) and load_release(home, release)


def test_a_clock_that_is_set_back_revives_no_expired_key(
    home: Workspace, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_key(home, "Ada", expires=datetime.date(2026, 12, 31))
    pass_days(home, 365)
    home.log.append("note", {}, by="anybody")  # the log has seen a later day
    pass_days(home, -365)
    monkeypatch.setattr(Log, "require_clock", lambda log: None)  # as who sets a clock back has it
    assert make_key(home, "Cy").trust == ""
    entry = home.log.append("note", {}, by="Ada")
    with pytest.raises(Refused, match="the key of Ada expired"):
        verify(home, sign(home, "Ada", {"a": 1}), entry)


def test_nothing_is_signed_while_the_logs_newest_time_is_from_the_future(
    home: Workspace, model: str
) -> None:
    make_key(home, "Ada", expires=datetime.date(2030, 12, 31))
    release = approve(home, another(home, model, "b"), "Ada")
    pass_days(home, 3650)
    entry = home.log.append("note", {}, by="Bob")  # whose clock is ten years ahead
    pass_days(home, -3650)
    size = len(home.log.entries())
    for act in (
        lambda: make_key(home, "Cy"),
        lambda: sign(home, "Ada", {"a": 1}),
        lambda: sign_key(home, private_keys(home, "Ada")[0].stem[-8:]),
        lambda: set_policy(home, "mira", "Ada"),
        lambda: auto_approval.auto_approve(home, release, "retrain", "Ada"),
    ):
        with pytest.raises(CheckFailed, match=f"entry {entry.index} of the log, by Bob, is of 20"):
            act()
    assert len(home.log.entries()) == size and not private_keys(home, "Cy")
    approval.revoke(home, release, "Eve", "it stumbles")  # is never kept from anybody
    refused(home, release, "Eve revoked it")


def test_a_key_that_an_expired_root_signs_is_no_success(home: Workspace, model: str) -> None:
    today = datetime.datetime.fromtimestamp(home.log.clock.utc_ns() / 1e9, datetime.UTC).date()
    make_key(home, "Ada", expires=today)
    pass_days(home, 1)
    cy = make_key(home, "Cy")
    with pytest.raises(Refused, match="the key of Cy still does not count"):
        sign_key(home, cy.public)


def test_a_person_counts_once_with_two_keys_or_two_spellings(home: Workspace, model: str) -> None:
    make_key(home, "Ada")
    set_policy(home, "mira", "Ada", needed=2)
    release = approve(home, another(home, model, "b"), "Ada")
    with pytest.MonkeyPatch.context() as patch:  # as a workspace of before this check has it
        patch.setattr(signing, "check_owner", lambda owner, owners: None)
        make_key(home, "ada ")
        make_key(home, "Ada")
    approval.sign_approval(home, release, "ada ")
    home.log.append("approve", {"release": release, "approval": "ab" * 32}, by="Ada")
    refused(home, release, "has 1 of 2 approvals")
    approve(home, another(home, model, "b"), "Ben")
    assert load_release(home, release)


def test_two_approvers_are_two_people() -> None:
    with pytest.raises(BadInput, match="differ only by case or blanks"):
        PolicyRules(2, ("Ada", "ada")).statement("mira", "Ada", None)


def test_a_planted_key_stops_no_revocation(home: Workspace, model: str) -> None:
    make_key(home, "Root")
    make_key(home, "Ada")
    home.log.append("key", Key("ab" * 32, "Ada", None).statement(), by="Mallory")
    (root,) = private_keys(home, "Root")
    root.rename(root.with_suffix(".away"))
    assert len(revoke_key(home, "Ada", "Ada")) == 1  # by its own signature
    with pytest.raises(BadInput, match="no key that counts"):
        revoke_key(home, "Ada", "Ada")


def test_junk_in_the_log_stops_nobody(home: Workspace, model: str) -> None:
    make_key(home, "Ada")
    for junk in ({"public": "zz"}, {}, {"public": "zz", "owner": "Bob", "expires": "2026-99-99"}):
        home.log.append("key", junk, by="Mallory")
    release = approve(home, another(home, model, "b"), "Ada")
    waiting = set_policy(home, "mira", "Ada", needed=2)
    home.log.append("approve-policy", {"policy": waiting, "approval": "ab" * 32}, by="Mallory")
    home.log.append("approve-policy", {}, by="Mallory")
    home.log.append("annotate", {"take": "ab" * 32}, by="Mallory")
    assert home.attributions.annotations("ab" * 32) == ()
    refused(home, release, "has 1 of 2 approvals")


def test_a_revoked_release_is_refused_and_its_old_approval_cannot_be_replayed(
    home: Workspace, model: str
) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    old = next(
        e.body["approval"]
        for e in home.log.entries()
        if e.body.get("release") == release and e.event == "approve"
    )
    approval.revoke(home, release, "Eve", "it stumbles")
    refused(home, release, "Eve revoked it: it stumbles")
    approval.record_approval(home, release, old, "Mallory")
    refused(home, release, "an old approval was entered again")
    pass_days(home, 1)
    approve(home, another(home, model, "b"), "Ada")
    load_release(home, release)


def test_an_approval_of_another_release_is_refused(home: Workspace, model: str) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    taken = home.log.entries()[-1].body["approval"]
    other = home.publish(examples.noted_release(home, release, "slipped in"), by="Mallory")
    approval.record_approval(home, other, taken, "Mallory")
    refused(home, other, "the approval is of another release")


def test_an_altered_signature_or_a_strange_key_is_refused(home: Workspace, model: str) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    approval.revoke(home, release, "Ada", "for the test")
    good = home.objects.read_any(home.log.entries()[-2].body["approval"])
    flipped = good.signature[:-1] + ("0" if good.signature[-1] != "0" else "1")
    later = structs.replace(good.statement, until="2099-01-01")
    for n, (change, why) in enumerate(
        (
            ({"signature": flipped}, "the signature is not Ada's"),
            ({"signature": "zz"}, "the signature is not Ada's"),
            ({"statement": later}, "the signature is not Ada's"),
            ({"key": "00" * 32}, "a key that the log does not know"),
        )
    ):
        unseen = structs.replace(good.statement, at_ns=str(n))
        forged = home.publish(
            structs.replace(good, **{"statement": unseen, **change}), by="Mallory"
        )
        approval.record_approval(home, release, forged, "Mallory")
        refused(home, release, why)
        approval.revoke(home, release, "Ada", "for the test")


def test_somebody_elses_name_cannot_be_signed_with_ones_own_key(
    home: Workspace, model: str
) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    approval.revoke(home, release, "Ada", "for the test")
    with_key(home, "Mallory")
    statement = ApprovalStatement(release=release, at_ns="0", by="Ada")
    signed = sign(home, "Mallory", to_json(statement))
    forged = Approval(
        statement=statement,
        parents=ApprovalParents(release=release),
        key=signed["key"],
        signature=signed["signature"],
    )
    approval.record_approval(home, release, home.publish(forged, by="Mallory"), "Ada")
    refused(home, release, "says Ada but the key is Mallory's")


@pytest.mark.parametrize("part", ["graph", "model", "release", "approval", "card", "dataset"])
def test_a_flipped_byte_is_refused_by_the_name_of_its_object(
    home: Workspace, model: str, part: str
) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    manifest = home.objects.read_any(release)
    parts = home.objects.read_any(manifest.parents.model)
    name = {
        "card": manifest.blobs["card"],
        "graph": parts.blobs.graph,
        "model": manifest.parents.model,
        "release": release,
        "approval": home.log.entries()[-1].body["approval"],
        "dataset": parts.parents.dataset,
    }[part]
    path = home.objects.path(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    if part == "dataset":  # not needed to perform, but fsck finds it
        assert [fault.name for fault in home.fsck().bad][:1] == [name]
        return
    with pytest.raises((CorruptObject, Refused), match=name[:12] if part != "approval" else "."):
        load_release(home, release)


def test_a_swapped_graph_is_refused(home: Workspace, model: str) -> None:
    other = home.objects.put(b"another graph")
    swapped = home.publish(
        structs.replace(home.objects.read(model, Model), blobs=ModelBlobs(graph=other)),
        by="Mallory",
    )
    manifest = home.objects.read(live_release(home, "mira"), ReleaseManifest)
    parents = ReleaseParents(model=swapped)
    release = home.publish(structs.replace(manifest, parents=parents), by="Mallory")
    refused(home, release, "approved by nobody")
    approval.sign_approval(home, release, with_key(home, "Mallory"))
    refused(home, release, "names another graph than its model")


def test_where_two_must_approve_one_is_not_enough(home: Workspace, model: str) -> None:
    set_policy(home, "mira", "Direction", needed=2, approvers=["Ada", "Bob", "Cy"])
    release = approve(home, another(home, model, "b"), "Ada")
    refused(home, release, r"has 1 of 2 approvals \(Ada\)")
    approve(home, another(home, model, "b"), "Ada")
    refused(home, release, "has 1 of 2 approvals")
    make_key(home, "Ada")  # a second key of the same person is no second person
    approve(home, another(home, model, "b"), "Ada")
    refused(home, release, "has 1 of 2 approvals")
    with pytest.raises(Refused, match="'Mallory' may not approve for mira; ask Ada, Bob, Cy"):
        approve(home, another(home, model, "b"), "Mallory")
    approve(home, another(home, model, "b"), "Bob")
    assert load_release(home, release).name == release


def test_a_policy_of_somebody_whose_key_was_revoked_counts_no_more(
    home: Workspace, model: str
) -> None:
    with_key(home, "Root")
    set_policy(home, "mira", "Root", needed=1, approvers=["Ada"])
    set_policy(home, "mira", "Ada", needed=1, approvers=["Ada"])
    revoke_key(home, "Ada", "Eve")
    with pytest.raises(Refused, match="the policy of mira does not count"):
        approve(home, model, "Root")
    with pytest.raises(
        Refused, match="counts no more of mira is signed by the workspace's root, not by Ada"
    ):
        set_policy(home, "mira", "Ada", approvers=["Ada", "Bob"])
    set_policy(home, "mira", "Root", approvers=["Bob"])
    approve(home, model, "Bob")
    with pytest.raises(BadInput, match="2 approvals cannot come from 1 approvers"):
        set_policy(home, "mira", "Root", needed=2, approvers=["Ada", "Ada"])


def test_the_first_key_is_the_root_and_the_packages_and_the_demos_never_are(
    home: Workspace,
) -> None:
    assert root_key(home) is None  # the package's key is there already
    demo = make_key(home, "demo", trust=DEMO)
    assert demo.trust == DEMO and root_key(home) is None
    root = make_key(home, "Ada")
    assert root.trust == ROOT and root_key(home) == root
    assert keys_of(home)[demo.public].trust == ""  # no more: there is a root
    with pytest.raises(Refused, match="the key of demo is not signed by the workspace's root"):
        sign(home, "demo", {"a": 1})
    assert make_key(home, "Bob").trust == SIGNED
    forged = {"public": "ab" * 32, "owner": "Mallory", "expires": None, "trust": "root"}
    home.log.append("key", forged, by="Mallory")
    assert keys_of(home)["ab" * 32].trust == ""


def test_a_key_that_the_root_did_not_sign_counts_only_once_it_did(
    home: Workspace, model: str
) -> None:
    make_key(home, "Ada")
    (root,) = private_keys(home, "Ada")
    elsewhere = root.rename(home.home / "elsewhere.pem")
    bob = make_key(home, "Bob")
    assert not bob.trust
    with pytest.raises(Refused, match="Ada can sign it: greenroom key sign"):
        approve(home, another(home, model, "b"), "Bob")
    with pytest.raises(BadInput, match="only the workspace's root can sign a key"):
        sign_key(home, bob.public[:12])
    with pytest.raises(Refused, match="needs a signature"):
        revoke_key(home, "Ada", "Bob")
    elsewhere.rename(root)
    assert sign_key(home, bob.public[:12]).trust == SIGNED
    load_release(home, approve(home, another(home, model, "b"), "Bob"))
    home.log.append("revoke-key", {"public": bob.public}, by="Mallory")
    other = {"public": bob.public, "signed_by": "ab" * 32, "signature": "00" * 64}
    home.log.append("revoke-key", other, by="Mallory")
    assert not keys_of(home)[bob.public].revoked  # nobody signed it
    assert revoke_key(home, "Bob", "Ada") == [bob.public] and keys_of(home)[bob.public].revoked


def test_two_person_rules_cannot_be_undone_by_one(home: Workspace, model: str) -> None:
    set_policy(home, "mira", "Root", needed=2, approvers=["Ada", "Bob"])
    first = str(home.log.ref(policy_ref("mira")))
    with pytest.raises(Refused, match="'Root' may not change the policy of mira; ask Ada, Bob"):
        set_policy(home, "mira", "Root", needed=1)
    easier = set_policy(home, "mira", "Ada", needed=1)
    assert home.log.ref(policy_ref("mira")) == first
    assert missing_approvals(home, easier) == (["Ada"], 1)
    release = approve(home, another(home, model, "b"), "Ada")
    refused(home, release, "has 1 of 2 approvals")
    with pytest.raises(Refused, match="may not change"):
        approve_policy(home, easier, with_key(home, "Mallory"))
    assert not approve_policy(home, easier, "Ada")  # twice the same person is one person
    home.log.move(policy_ref("mira"), easier, expect=first, by="Ada")  # past the rules
    refused(home, release, "it has 1 of the 2 approvals that a change needs")
    with pytest.raises(Refused, match="'Root' may not change the policy of mira"):
        set_policy(home, "mira", "Root", needed=1)  # the rule of two is in force still
    mended = set_policy(home, "mira", "Ada", needed=2, approvers=["Ada", "Bob", "Cy"])
    assert approve_policy(home, mended, with_key(home, "Bob"))
    refused(home, release, "has 1 of 2 approvals")


def test_an_earlier_policy_cannot_be_put_in_force_again(home: Workspace, model: str) -> None:
    set_policy(home, "mira", "Root")
    first = str(home.log.ref(policy_ref("mira")))
    set_policy(home, "mira", "Root", needed=2, approvers=["Ada", "Bob"])
    second = str(home.log.ref(policy_ref("mira")))
    home.log.move(policy_ref("mira"), first, expect=second, by="Mallory")
    assert "an earlier policy was put in force again" in approve_refused(home, model)
    forged = {"name": policy_ref("mira"), "old": None, "new": first}  # the writer chooses `old`
    home.log.append("ref", forged, by="Mallory")
    assert "past the log's own ref" in approve_refused(home, model)
    home.log.append("ref", {**forged, "new": "ab" * 32}, by="Mallory")
    assert "does not count" in approve_refused(home, model)
    set_policy(home, "mira", "Ada", needed=2, approvers=["Ada", "Bob"])


def approve_refused(home: Workspace, model: str) -> str:
    with pytest.raises(Refused) as refusal:
        approve(home, another(home, model, "b"), "Ada")
    return str(refusal.value)


def test_two_people_change_a_two_person_rule(home: Workspace, model: str) -> None:
    set_policy(home, "mira", "Root", needed=2, approvers=["Ada", "Bob"])
    easier = set_policy(home, "mira", "Ada", needed=1)
    assert approve_policy(home, easier, with_key(home, "Bob"))
    assert home.log.ref(policy_ref("mira")) == easier
    load_release(home, approve(home, another(home, model, "b"), "Cy"))
    with pytest.raises(Refused, match="the policy of mira has changed since"):
        approve_policy(home, set_policy_waiting(home, easier), "Ada")


def set_policy_waiting(home: Workspace, before: str) -> str:
    """A policy that was written before the one in force."""
    old = home.objects.read(before, Policy).statement.previous
    statement = PolicyStatement(actor="mira", by="Ada", approvers=["Ada"], previous=old)
    signed = sign(home, "Ada", to_json(statement))
    policy = Policy(
        actor="mira", statement=statement, key=signed["key"], signature=signed["signature"]
    )
    return home.publish(policy, by="Ada")


def test_the_first_policy_is_the_roots(home: Workspace) -> None:
    with_key(home, "Ada")
    with pytest.raises(Refused, match="signed by the workspace's root, not by Bob"):
        set_policy(home, "mira", "Bob")
    name = set_policy(home, "mira", "Ada")
    assert set_policy(home, "mira", "Ada") == name  # the same again is the same


def test_a_damaged_key_file_is_told_in_one_line(home: Workspace) -> None:
    make_key(home, "Ada")
    private_keys(home, "Ada")[0].write_bytes(b"-----BEGIN PRIVATE KEY-----\nnonsense\n")
    with pytest.raises(BadInput, match="the key of 'Ada' cannot be read"):
        sign(home, "Ada", {"a": 1})
    with pytest.raises(BadInput, match="'Bob' has no key here"):
        sign(home, "Bob", {"a": 1})


def test_a_signed_statement_survives_json(home: Workspace) -> None:
    make_key(home, "Ada")
    signed = json.loads(json.dumps(sign(home, "Ada", {"größe": [1, 2.5, None], "a": "b"})))
    assert verify(home, signed).owner == "Ada" and len(keys_of(home)) == 2


def test_the_card_is_written_from_the_manifests(home: Workspace, model: str) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    text = home.objects.get(home.objects.read_any(release).blobs["card"]).decode()
    for part in ("## Data", "## Rights when it was trained", "It was not validated.", "graph LR"):
        assert part in text
    assert "| deepmimic | Zlib |" in text and home.objects.read_any(model).feature_spec in text


def test_the_card_says_where_a_model_is_worse_and_whom_it_began_with(
    home: Workspace, model: str
) -> None:
    def row(low: float, high: float, **more: Any) -> Figure:
        numbers = {"model": 0.2, "baseline": 0.1, "takes": 4, "baselines": {"ridge": 0.1}}
        return Figure(**numbers, ci=(0.1, 0.3), gain=(low, high), **more)

    styles = {
        style: GroupFigure(model=0.2, baseline=0.1, gain=gain, takes=4)
        for style, gain in (("calm", (0.1, 0.2)), ("wild", (-3, -1)), ("", (-0.1, 0.1)))
    }
    figures = {
        "forecast": {
            "skill_200": row(0.1, 0.2, groups={"style": styles}),
            "skill_33": row(-0.2, -0.1),
        }
    }
    validation = home.publish(examples.validation(model, figures=figures), by="test")
    old = home.objects.read(model, Model)
    later = structs.replace(old, parents=structs.replace(old.parents, start=model))
    text = model_card(home, home.publish(later, by="test"), validation, [])
    for part in (
        "## Groups that gain least",
        "| forecast.skill_200 | style: wild | 0.200 | 0.100 | -3.000 to -1.000 | 4 |",
        "It is worse than the baseline at forecast.skill_33, forecast.skill_200 (style: wild).",
        "It does not differ significantly from the baseline at forecast.skill_200 (style: not said).",
        f'model_{model[:12]}["model {model[:12]}, where it began"] --> model_',
    ):
        assert part in text, text
    assert text.count('takes"] --> dataset_') == 2  # those behind the start as well
