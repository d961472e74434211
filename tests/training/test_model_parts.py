"""The parts of a model that was just trained: named where it has them, and a mapping is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenroom.store.workspace import Workspace

pytestmark = pytest.mark.train
CHANNELS = ["mouth_oh_c", "jawOpen"]
MAPPED = {"kind": "rig", "version": 2, "channels": CHANNELS, "arkit": {"jawOpen": {"jawOpen": 1}}}


def _parts(workspace: Workspace, styles: int = 0, **more: Any) -> Any:
    from greenroom.networks.motion_net import build_network
    from greenroom.networks.presets import preset_of
    from greenroom.training.model_parts import publish_parts

    size = preset_of("mini")
    trained = build_network(size.shape(2, 16, 43, 2, styles), size)
    said = {"actor": "mira", "styles": ["calm", "wild"], "features": {}, "feature_spec": "f"}
    said |= {"code": "c", "rights": [], "figures": {"style_doubt_at": 1.0, "gain": 2.0}}
    dataset = workspace.publish({"kind": "dataset", "actor": "mira"}, by="t")
    parents = {"dataset": dataset, **more.pop("parents", {})}
    return publish_parts(workspace, {**said, "parents": parents, **more}, trained, "t")


def test_a_model_without_parts_names_none(tmp_path: Path) -> None:
    assert _parts(Workspace(tmp_path)) == {}


def test_a_style_part_holds_all_that_its_head_needs(tmp_path: Path) -> None:
    from safetensors.numpy import load

    workspace = Workspace(tmp_path)
    found = _parts(workspace, styles=2)
    assert list(found["parts"]) == ["style"]
    part = workspace.objects.manifest(found["parts"]["style"], "part")
    assert part["part"] == "style" and part["figures"] == {"style_doubt_at": 1.0}
    tensors = load(workspace.objects.get(part["blobs"]["tensors"]))
    sizes = {name: list(value.shape) for name, value in tensors.items()}
    assert sizes == part["shape"] and sizes["centres"] == [2, 1] and sizes["state_mean"] == [16]
    np.testing.assert_array_equal(tensors["familiarity"], np.float32([9, 1, 0, 1e6]))
    assert _parts(workspace, styles=2) == found


def test_a_training_keeps_the_mapping_that_it_started_from(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    rig = workspace.publish(MAPPED, by="t")
    start = workspace.publish({"kind": "model", "actor": "mira", "parts": {"rig": rig}}, by="t")
    assert _parts(workspace, rig=CHANNELS, parents={"start": start}) == {"parts": {"rig": rig}}
    plain = {"parts": {"rig": workspace.objects.put_manifest({**_PLAIN, "channels": CHANNELS})}}
    assert _parts(workspace, rig=CHANNELS) == plain
    older = workspace.publish({"kind": "model", "actor": "mira"}, by="t")
    assert _parts(workspace, rig=CHANNELS, parents={"start": older}) == plain
    other = _parts(workspace, rig=CHANNELS[:1], parents={"start": start})["parts"]["rig"]
    assert workspace.objects.manifest(other, "rig") == {**_PLAIN, "channels": CHANNELS[:1]}


_PLAIN = {"kind": "rig", "version": 1}
