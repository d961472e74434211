"""Signatures: what counts, and the sentence with which everything else is refused."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from greenroom import embedded
from greenroom.clock import VirtualClock
from greenroom.errors import BadInput, CorruptObject, Refused
from greenroom.manifests import (
    Approval,
    ApprovalParents,
    ApprovalStatement,
    Figure,
    GroupFigure,
    Model,
    ModelBlobs,
    ReleaseManifest,
    ReleaseParents,
    to_json,
)
from greenroom.registry import approval
from greenroom.registry.card import model_card
from greenroom.registry.policy import set_policy
from greenroom.registry.promote import live_release, promote
from greenroom.registry.release import approve, load_release
from greenroom.registry.signing import key_path, keys_of, make_key, revoke_key, sign, verify
from greenroom.store.workspace import Workspace
from tests import examples

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


def test_an_approval_makes_a_key_that_only_its_owner_can_read(home: Workspace, model: str) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    path = key_path(home, "Ada")
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
    with pytest.raises(BadInput, match="has a key already"):
        make_key(home, make_key(home, "Ada/../x").owner)
    assert key_path(home, "Ada/../x").parent == home.home / "keys"


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
    assert not key_path(home, "Ada").exists()
    with pytest.raises(BadInput, match="no key that could be revoked"):
        revoke_key(home, "Ada", "Eve")
    assert approve(home, another(home, model, "b"), "Ada") == release  # with a new key
    load_release(home, release)


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
    for change, why in (
        ({"signature": flipped}, "the signature is not Ada's"),
        ({"signature": "zz"}, "the signature is not Ada's"),
        ({"statement": later}, "the signature is not Ada's"),
        ({"key": "00" * 32}, "a key that the log does not know"),
    ):
        forged = home.publish(structs.replace(good, **change), by="Mallory")
        approval.record_approval(home, release, forged, "Mallory")
        refused(home, release, why)
        approval.revoke(home, release, "Ada", "for the test")


def test_somebody_elses_name_cannot_be_signed_with_ones_own_key(
    home: Workspace, model: str
) -> None:
    release = approve(home, another(home, model, "b"), "Ada")
    approval.revoke(home, release, "Ada", "for the test")
    make_key(home, "Mallory")
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
    approval.sign_approval(home, release, "Mallory")
    refused(home, release, "names another graph than its model")


def test_where_two_must_approve_one_is_not_enough(home: Workspace, model: str) -> None:
    set_policy(home, "mira", "Direction", needed=2, approvers=["Ada", "Bob", "Cy"])
    release = approve(home, another(home, model, "b"), "Ada")
    refused(home, release, r"has 1 of 2 approvals \(Ada\)")
    approve(home, another(home, model, "b"), "Ada")
    refused(home, release, "has 1 of 2 approvals")
    with pytest.raises(Refused, match="'Mallory' may not approve for mira; ask Ada, Bob, Cy"):
        approve(home, another(home, model, "b"), "Mallory")
    approve(home, another(home, model, "b"), "Bob")
    assert load_release(home, release).name == release


def test_a_policy_of_somebody_whose_key_was_revoked_counts_no_more(
    home: Workspace, model: str
) -> None:
    set_policy(home, "mira", "Direction", needed=1, approvers=["Ada"])
    revoke_key(home, "Direction", "Eve")
    with pytest.raises(Refused, match="the policy of mira does not count"):
        approve(home, model, "Ada")
    with pytest.raises(BadInput, match="2 approvals cannot come from 1 approvers"):
        set_policy(home, "mira", "Eve", needed=2, approvers=["Ada", "Ada"])


def test_a_damaged_key_file_is_told_in_one_line(home: Workspace) -> None:
    make_key(home, "Ada")
    key_path(home, "Ada").write_bytes(b"-----BEGIN PRIVATE KEY-----\nnonsense\n")
    with pytest.raises(BadInput, match="the key of 'Ada' cannot be read"):
        sign(home, "Ada", {"a": 1})
    with pytest.raises(BadInput, match="the key of 'Bob' cannot be read"):
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
        "It is not told apart from the baseline at forecast.skill_200 (style: not said).",
        f'model_{model[:12]}["model {model[:12]}, where it began"] --> model_',
    ):
        assert part in text, text
    assert text.count('takes"] --> dataset_') == 2  # those behind the start as well
