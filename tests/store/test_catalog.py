import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from greenroom.clock import VirtualClock
from greenroom.errors import BadInput, CheckFailed
from greenroom.manifests import Model, ModelParents, Take
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests import examples


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home", VirtualClock())


def ingest(workspace: Workspace, name: str, actor: str = "ada") -> str:
    take = workspace.publish(examples.take(workspace, name.encode()), by="ada")
    workspace.attributions.ingest(take, Attribution(actor, name=name), "ada")
    return take


def fill(workspace: Workspace) -> dict[str, str]:
    """Three takes of two actors, a dataset of two of them, a model of the dataset, and a ref."""
    names = {}
    for name, actor in (("one", "ada"), ("two", "ada"), ("three", "bob")):
        names[name] = ingest(workspace, name, actor)
        workspace.log.clock.advance(10)
    dataset = examples.dataset([names["one"], names["two"]], actor="ada")
    names["dataset"] = workspace.publish(dataset, by="ada")
    parents = ModelParents(dataset=names["dataset"], takes=[names["one"]])
    model = examples.model(workspace, names["dataset"], actor="ada", parents=parents)
    names["model"] = workspace.publish(model, by="bob")
    workspace.log.move("models/ada", names["model"], expect=None, by="ada")
    return names


def answers(workspace: Workspace, names: dict[str, str]) -> list[Any]:
    catalog = workspace.catalog
    return [
        *(catalog.find(kind) for kind in ("take", "dataset", "model", "release")),
        catalog.find("take", actor="ada"),
        [catalog.children(name) for name in names.values()],
        [catalog.resolve(name[:8], "take") for name in names.values()],
        catalog.refs(),
    ]


def test_find_gives_what_was_published_in_its_order(workspace: Workspace) -> None:
    names = fill(workspace)
    rows = workspace.catalog.find("take")
    assert [row.name for row in rows] == ["one", "two", "three"]
    assert [row.object for row in rows] == [names["one"], names["two"], names["three"]]
    assert [row.at_ns for row in rows] == [0, 10, 20]
    assert [row.name for row in workspace.catalog.find("take", actor="bob")] == ["three"]
    [model] = workspace.catalog.find("model")
    assert (model.actor, model.name, model.by) == ("ada", "", "bob")
    assert workspace.catalog.find("release") == []


def test_children_are_the_lineage_downwards(workspace: Workspace) -> None:
    names = fill(workspace)
    children = workspace.catalog.children
    assert children(names["one"]) == sorted([names["dataset"], names["model"]])
    assert children(names["two"]) == [names["dataset"]]
    assert children(names["dataset"]) == [names["model"]]
    assert children(names["three"]) == children(names["model"]) == []


def test_refs_are_as_they_were_when_it_was_last_asked(workspace: Workspace) -> None:
    names = fill(workspace)
    assert workspace.catalog.refs() == {}
    workspace.catalog.sync()
    workspace.log.move("models/ada", names["one"], expect=names["model"], by="ada")
    assert workspace.catalog.refs() == {"models/ada": names["model"]}
    workspace.catalog.sync()
    assert workspace.catalog.refs() == {"models/ada": names["one"]}


def test_what_is_kept_but_not_published_is_not_offered(workspace: Workspace) -> None:
    workspace.objects.put_manifest(examples.take(workspace))
    workspace.publish(examples.take(workspace, b"of nobody"), by="ada")
    assert workspace.catalog.find("take") == []


def test_a_damaged_manifest_is_not_offered(workspace: Workspace) -> None:
    names = fill(workspace)
    workspace.objects.path(names["two"]).write_bytes(b"{}")
    assert [row.name for row in workspace.catalog.find("take")] == ["one", "three"]


def test_dropped_and_rebuilt_it_answers_the_same(workspace: Workspace) -> None:
    names = fill(workspace)
    before = answers(workspace, names)
    workspace.catalog.rebuild()
    assert answers(workspace, names) == before
    workspace.catalog.path.unlink()
    assert answers(workspace, names) == before


def test_reading_on_is_the_same_as_reading_at_once(workspace: Workspace) -> None:
    workspace.catalog.sync()
    names = fill(workspace)
    once = answers(workspace, names)
    other = Workspace(workspace.home / ".." / "other", VirtualClock())
    for _ in range(2):  # publishing the same again adds nothing
        ingest(other, "one")
        assert len(other.catalog.find("take")) == 1
    assert answers(workspace, names) == once


@pytest.mark.parametrize("data", [b"", b"not a database", b"\0" * 5000, b"SQLite format 3\0"])
def test_a_file_that_is_no_database_is_made_anew(workspace: Workspace, data: bytes) -> None:
    names = fill(workspace)
    before = answers(workspace, names)
    workspace.catalog.path.write_bytes(data)
    workspace.catalog.sync()
    assert answers(workspace, names) == before


def test_a_database_damaged_in_any_page_is_made_anew(workspace: Workspace) -> None:
    names = fill(workspace)
    before = answers(workspace, names)
    whole = workspace.catalog.path.read_bytes()
    size = int.from_bytes(whole[16:18], "big")
    for start in range(0, len(whole), size):
        workspace.catalog.path.write_bytes(whole[:start] + b"\xa5" * size + whole[start + size :])
        rows = [row.object for row in workspace.catalog.find("take")]
        assert rows == [names["one"], names["two"], names["three"]], f"page {start // size}"
        assert workspace.catalog.resolve(names["one"][:8], "take") == [names["one"]]
        assert workspace.catalog.children(names["dataset"]) == [names["model"]]
    assert answers(workspace, names)[0] == before[0]


def test_a_database_cut_short_is_made_anew(workspace: Workspace) -> None:
    names = fill(workspace)
    before = answers(workspace, names)
    whole = workspace.catalog.path.read_bytes()
    for length in range(0, len(whole), 3001):
        workspace.catalog.path.write_bytes(whole[:length])
        workspace.catalog.sync()
        assert workspace.catalog.find("take") == before[0]


def test_another_version_is_made_anew(workspace: Workspace) -> None:
    names = fill(workspace)
    before = answers(workspace, names)
    with closing(sqlite3.connect(workspace.catalog.path)) as db:
        db.execute("pragma user_version = 99")
    assert workspace.catalog.find("take") == before[0]
    assert answers(workspace, names) == before


def test_refs_of_a_damaged_file_are_an_error_of_ours(workspace: Workspace) -> None:
    fill(workspace)
    workspace.catalog.sync()
    workspace.catalog.path.write_bytes(b"not a database")
    with pytest.raises(CheckFailed, match="catalog"):
        workspace.catalog.refs()


def test_a_take_of_two_actors_has_a_row_for_each_and_its_newest_name(workspace: Workspace) -> None:
    take = ingest(workspace, "walk", "ada")
    assert ingest(workspace, "walk", "bob") == take
    workspace.attributions.ingest(take, Attribution("ada", name="stroll"), "ada")
    rows = workspace.catalog.find("take")
    assert [(row.object, row.actor, row.name) for row in rows] == [
        (take, "ada", "stroll"),
        (take, "bob", "walk"),
    ]
    assert workspace.resolve("stroll", "take") == workspace.resolve(take[:8], "take") == take
    with pytest.raises(BadInput, match="there is no take"):
        workspace.resolve("no such name", "take")


def test_parents_and_blobs_are_found_at_any_depth(workspace: Workspace) -> None:
    names = fill(workspace)
    model = workspace.objects.read(names["model"], Model)
    assert sorted(model.parent_hashes()) == sorted([names["dataset"], names["one"]])
    assert sorted(model.blob_hashes()) == sorted([model.blobs.graph, model.blobs.weights])
    take = workspace.objects.read(names["one"], Take)
    assert list(take.blob_hashes()) == [take.media["body"].blob] and not list(take.parent_hashes())


@pytest.mark.parametrize("seed", range(5))
def test_a_flipped_bit_makes_the_catalogue_anew_and_changes_no_answer(
    workspace: Workspace, seed: int
) -> None:
    names = fill(workspace)
    expected = answers(workspace, names)
    intact = workspace.catalog.path.read_bytes()
    dice = random.Random(seed)
    for _ in range(20):
        flipped = bytearray(intact)
        flipped[dice.randrange(len(flipped))] ^= 1 << dice.randrange(8)
        workspace.catalog.path.write_bytes(flipped)
        assert answers(Workspace(workspace.home), names) == expected
