"""The parts of a model that was just trained: named where it has them, and a mapping is kept."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from greenroom.manifests import ModelParents, ModelPart, Rig
from greenroom.store.workspace import Workspace
from tests import examples

pytestmark = pytest.mark.train
CHANNELS = ["mouth_oh_c", "jawOpen"]
MAPPED = Rig(channels=CHANNELS, name="mapped", arkit={"jawOpen": {"jawOpen": 1.0}})


def _parts(
    workspace: Workspace, styles: int = 0, rig: Sequence[str] = (), start: str = ""
) -> dict[str, str]:
    from greenroom.networks.motion_net import build_network
    from greenroom.networks.presets import preset_of
    from greenroom.training.model_parts import publish_parts

    size = preset_of("mini")
    trained = build_network(size.shape(2, 16, 43, 2, styles), size)
    dataset = workspace.publish(examples.dataset([]), by="t")
    parents = ModelParents(dataset=dataset, start=start)
    model = examples.model(
        workspace, dataset, rig=list(rig), styles=["calm", "wild"], parents=parents
    )
    model = structs.replace(model, figures={"style_doubt_at": 1.0, "gain": 2.0})
    return publish_parts(workspace, model, trained, "t").parts


def test_a_model_without_parts_names_none(tmp_path: Path) -> None:
    assert _parts(Workspace(tmp_path)) == {}


def test_a_style_part_holds_all_that_its_head_needs(tmp_path: Path) -> None:
    from safetensors.numpy import load

    workspace = Workspace(tmp_path)
    found = _parts(workspace, styles=2)
    assert list(found) == ["style"]
    part = workspace.objects.read(found["style"], ModelPart)
    assert part.part == "style" and part.figures == {"style_doubt_at": 1.0}
    tensors = load(workspace.objects.get(part.blobs["tensors"]))
    sizes = {name: list(value.shape) for name, value in tensors.items()}
    assert sizes == part.shape and sizes["centres"] == [2, 1] and sizes["state_mean"] == [16]
    np.testing.assert_array_equal(tensors["familiarity"], np.float32([9, 1, 0, 1e6]))
    assert _parts(workspace, styles=2) == found


def test_a_training_keeps_the_mapping_that_it_started_from(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    rig = workspace.publish(MAPPED, by="t")
    dataset = workspace.publish(examples.dataset([]), by="t")
    start = workspace.publish(examples.model(workspace, dataset, parts={"rig": rig}), by="t")
    assert _parts(workspace, rig=CHANNELS, start=start) == {"rig": rig}
    plain = {"rig": workspace.objects.put_manifest(Rig(channels=CHANNELS))}
    assert _parts(workspace, rig=CHANNELS) == plain
    older = workspace.publish(examples.model(workspace, dataset), by="t")
    assert _parts(workspace, rig=CHANNELS, start=older) == plain
    other = _parts(workspace, rig=CHANNELS[:1], start=start)["rig"]
    assert workspace.objects.read(other, Rig) == Rig(channels=CHANNELS[:1])
