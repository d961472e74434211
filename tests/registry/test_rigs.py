"""Another mapping of a face's channels: a rig and a model of its own, and one clear error else."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from greenroom.errors import BadInput, Refused
from greenroom.manifests import Model, Rig
from greenroom.registry.rigs import arkit_mapping, read_rig, set_rig_mapping
from greenroom.store.workspace import Workspace
from tests import examples

CHANNELS = ["mouth_oh_c", "jawOpen", "tooth_l"]
OH = {"mouth_oh_c": {"mouthFunnel": 0.5, "jawOpen": 0.25}, "jawOpen": {"jawOpen": 1}}


def _file(arkit: Any = OH, name: str = "second", **more: Any) -> bytes:
    return json.dumps({"name": name, "arkit": arkit, **more}).encode()


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


def _model(workspace: Workspace, **more: Any) -> str:
    dataset = workspace.publish(examples.dataset([]), by="t")
    return workspace.publish(
        examples.model(workspace, dataset, **{"rig": CHANNELS, **more}), by="t"
    )


def test_another_mapping_is_a_rig_and_a_model_of_its_own(home: Workspace) -> None:
    model = _model(home)
    assert arkit_mapping(home, home.objects.read_any(model)) == (("jawOpen", "jawOpen", 1.0),)
    made = set_rig_mapping(home, model, _file(), "f.json", "t")
    manifest = home.objects.read(made, Model)
    assert manifest.parents.start == model and manifest.rig == CHANNELS
    rig = home.objects.read(manifest.parts["rig"], Rig)
    assert rig.arkit == OH and rig.name == "second" and rig.channels == CHANNELS
    plain = home.objects.read(rig.parents.rig, Rig)
    assert plain == Rig(channels=CHANNELS)
    assert arkit_mapping(home, manifest) == (
        ("mouth_oh_c", "jawOpen", 0.25),
        ("mouth_oh_c", "mouthFunnel", 0.5),
        ("jawOpen", "jawOpen", 1.0),
    )
    assert home.catalog.children(manifest.parts["rig"]) == [made]
    third = set_rig_mapping(home, made, _file({"tooth_l": {"jawLeft": 1}}), "f.json", "t")
    back = set_rig_mapping(home, third, _file(), "f.json", "t")
    assert home.objects.read_any(back).parts == manifest.parts  # the same rig, the same hash
    with pytest.raises(BadInput, match="has this rig already"):
        set_rig_mapping(home, made, _file(), "f.json", "t")
    assert home.fsck().bad == []


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "truncated"),
        (b'["jawOpen"]', "Expected `object`"),
        (_file({}), "no channel is mapped"),
        (_file({"jawOpen": {}}), "'jawOpen' drives nothing; leave it out"),
        (_file({"mouth_oh": {"jawOpen": 1}}), "no channel of this rig; there is mouth_oh_c"),
        (_file({"jawOpen": {"jaw_open": 1}}), "no name of ARKit's; there is jawOpen"),
        (_file({"jawOpen": {"jawOpen": float("nan")}}), "malformed|invalid"),
        (_file({"jawOpen": {"jawOpen": 11}}), "by 11; weights are -10 to 10"),
        (_file().replace(b"0.25", b"1e999"), "out of range"),
        (_file({"jawOpen": {"jawOpen": "1"}}), "Expected `float`"),
        (_file(name=" "), "has no name"),
        (_file(rate=30), "unknown field `rate`"),
    ],
)
def test_a_bad_file_is_one_clear_error(home: Workspace, data: bytes, match: str) -> None:
    model = _model(home)
    with pytest.raises(BadInput, match=f"^f.json: .*({match})") as error:
        set_rig_mapping(home, model, data, "f.json", "t")
    assert "\n" not in str(error.value)
    assert [row.object for row in home.catalog.find("model")] == [model]
    assert home.catalog.find("rig") == []


def test_weights_may_be_whole_numbers_and_below_nought() -> None:
    name, said = read_rig(_file({"jawOpen": {"jawOpen": -1}}), ("jawOpen",), where="f")
    assert (name, said) == ("second", {"jawOpen": {"jawOpen": -1.0}})


def test_models_without_a_face_and_updated_ones_are_refused(home: Workspace) -> None:
    manifest = home.objects.read(_model(home), Model)
    plain = _model(home, rig=[])
    with pytest.raises(BadInput, match="drives no face"):
        set_rig_mapping(home, plain, _file(), "f.json", "t")
    trained = _model(home)
    parents = structs.replace(manifest.parents, start=trained)
    updated = _model(home, update=examples.UPDATE, parents=parents)
    with pytest.raises(BadInput, match=f"that was trained: {trained[:12]}"):
        set_rig_mapping(home, updated, _file(), "f.json", "t")


def test_the_rig_of_another_face_is_refused(home: Workspace) -> None:
    other = home.publish(Rig(channels=["jawOpen"]), by="t")
    model = home.objects.read_any(_model(home, parts={"rig": other}))
    with pytest.raises(Refused, match="rig of another face"):
        arkit_mapping(home, model)
