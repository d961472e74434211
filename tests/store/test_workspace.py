import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from greenroom.clock import VirtualClock
from greenroom.errors import BadInput
from greenroom.manifests import Medium, Take, TakeClock
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests import examples


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One small take, a model of it, and a ref to the model."""
    workspace = Workspace(tmp_path / "home", VirtualClock())
    take = workspace.publish(examples.take(workspace), by="ada")
    workspace.attributions.ingest(take, Attribution("ada"), "ada")
    model = workspace.publish(examples.dataset([take]), by="ada")
    workspace.log.move("models/ada", model, expect=None, by="ada")
    workspace.catalog.sync()
    return workspace


def only(workspace: Workspace, kind: str) -> str:
    return workspace.catalog.find(kind)[0].object


def test_a_whole_workspace_has_no_faults(workspace: Workspace) -> None:
    seen: list[int] = []
    findings = workspace.fsck(seen.append)
    assert findings.bad == []
    assert (findings.objects, findings.entries, findings.refs) == (3, 4, 1)
    assert seen == [1, 2, 3]


def test_an_empty_one_has_none_either(tmp_path: Path) -> None:
    findings = Workspace(tmp_path / "nothing").fsck()
    assert findings.bad == [] and findings.objects == 0
    assert not (tmp_path / "nothing").exists()


def test_every_flipped_bit_of_every_object_is_reported(workspace: Workspace) -> None:
    for name in list(workspace.objects):
        path = workspace.objects.path(name)
        whole = path.read_bytes()
        for byte in range(len(whole)):
            damaged = bytearray(whole)
            damaged[byte] ^= 1 << byte % 8
            path.write_bytes(damaged)
            faults = workspace.fsck().bad
            assert [(fault.what, fault.name) for fault in faults] == [("object", name)]
        path.write_bytes(whole)
    assert workspace.fsck().bad == []


def test_a_flipped_bit_of_the_log_is_reported(workspace: Workspace) -> None:
    whole = workspace.log.path.read_bytes()
    for byte in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[byte] ^= 1
        workspace.log.path.write_bytes(damaged)
        assert [fault.what for fault in Workspace(workspace.home).fsck().bad] == ["log"]


def test_a_missing_blob_is_reported_with_who_names_it(workspace: Workspace) -> None:
    take = only(workspace, "take")
    blob = workspace.objects.read(take, Take).media["body"].blob
    workspace.objects.path(blob).unlink()
    [fault] = workspace.fsck().bad
    assert (fault.what, fault.name) == ("object", blob) and take[:12] in fault.reason


def test_a_missing_manifest_is_reported_where_it_was_published_and_named(
    workspace: Workspace,
) -> None:
    take, model = only(workspace, "take"), only(workspace, "dataset")
    workspace.objects.path(take).unlink()
    faults = {(fault.what, fault.name) for fault in workspace.fsck().bad}
    assert faults == {("manifest", take), ("object", take)}
    workspace.objects.path(model).unlink()
    faults = {(fault.what, fault.name) for fault in workspace.fsck().bad}
    assert faults == {("manifest", take), ("manifest", model), ("ref", "models/ada")}


@pytest.mark.parametrize(
    "change",
    [
        "update refs set object = '" + "0" * 64 + "'",
        "insert into refs values ('models/eve', '" + "0" * 64 + "')",
    ],
)
def test_a_catalogue_that_disagrees_is_reported(workspace: Workspace, change: str) -> None:
    with closing(sqlite3.connect(workspace.catalog.path)) as db:
        db.execute(change)
        db.commit()
    [fault] = workspace.fsck().bad
    assert fault.what == "ref" and "the catalogue has 000000000000" in fault.reason
    workspace.catalog.rebuild()
    assert workspace.fsck().bad == []


def test_a_catalogue_that_has_not_read_on_is_no_fault(workspace: Workspace) -> None:
    take, model = only(workspace, "take"), only(workspace, "dataset")
    workspace.log.move("models/ada", take, expect=model, by="ada")
    assert workspace.fsck().bad == []


def test_a_damaged_catalogue_is_reported(workspace: Workspace) -> None:
    workspace.catalog.path.write_bytes(b"not a database")
    [fault] = workspace.fsck().bad
    assert fault.what == "catalogue" and "catalog.sqlite" in fault.name
    workspace.catalog.sync()
    assert workspace.fsck().bad == []


def test_publishing_needs_what_is_named(workspace: Workspace) -> None:
    before = list(workspace.objects), workspace.log.head()
    for manifest in (
        Take(media={"body": Medium(format="bvh", blob="0" * 64)}, clock=TakeClock(ticks=1)),
        examples.dataset(["0" * 64]),
    ):
        with pytest.raises(BadInput, match="which is missing"):
            workspace.publish(manifest, by="ada")
    assert (list(workspace.objects), workspace.log.head()) == before


def test_publishing_twice_adds_nothing(workspace: Workspace) -> None:
    take = only(workspace, "take")
    size = workspace.log.head()
    assert workspace.publish(workspace.objects.read(take, Take), by="bob") == take
    assert workspace.log.head() == size
    assert workspace.published(take) and not workspace.published("0" * 64)


def test_resolve_by_six_digits_or_more(workspace: Workspace) -> None:
    take = only(workspace, "take")
    for digits in (6, 12, 63, 64):
        assert workspace.resolve(take[:digits], "take") == take
    for text in (take[:5], "", take[:6] + "*", take.upper()[:12] + "G", take + "0"):
        with pytest.raises(BadInput, match="too short for a hash|there is no take"):
            workspace.resolve(text, "take")
    with pytest.raises(BadInput, match="there is no model"):
        workspace.resolve(take[:12], "model")


def test_a_prefix_of_two_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace.catalog, "resolve", lambda *_: ["a" * 64, "a" * 63 + "b"])
    with pytest.raises(BadInput, match="2 takes begin with aaaaaa; give more digits"):
        workspace.resolve("aaaaaa", "take")


def test_resolve_by_a_name_that_one_has(workspace: Workspace) -> None:
    def named(number: int) -> str:
        weights = {only(workspace, "take"): float(number)}
        return workspace.publish(examples.dataset([], name="all", weights=weights), by="ada")

    first = named(1)
    assert workspace.resolve("all", "dataset") == first
    with pytest.raises(BadInput, match="there is no take 'all'"):
        workspace.resolve("all", "take")
    second = named(2)
    with pytest.raises(BadInput, match="2 datasets are called 'all'") as caught:
        workspace.resolve("all", "dataset")
    assert first[:12] in str(caught.value) and second[:12] in str(caught.value)
