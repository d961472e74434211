"""A VRM of either version stands where the performer does, and its face does what the frame says."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from starlette.routing import Route

from greenroom.errors import BadInput
from greenroom.frames import ARKIT, BONES, HUMANOID
from greenroom.services.shows import read_avatar
from greenroom.stage.api import AVATAR_PATH, _avatar_route
from tests.stage.made_vrm import glb, make_vrm
from tests.stage.page_tools import node
from tests.stage.synthetic_show import pose

FACE = {"jawOpen": 0.6, "eyeBlinkLeft": 1.0, "eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5}


def posed(vrm: bytes, face: dict[str, float] | None = None) -> dict[str, Any]:
    root, rotations = pose(37)
    weights = None if face is None else [face.get(name) for name in ARKIT]
    sent = {
        "vrm": base64.b64encode(vrm).decode(),
        "skeleton": {
            "names": list(BONES),
            "parents": list(HUMANOID.parents),
            "offsets": HUMANOID.offsets.tolist(),
        },
        "channels": list(ARKIT),
        "root": root.tolist(),
        "rotations": rotations.ravel().tolist(),
        "face": weights,
    }
    answer: dict[str, Any] = node("avatar.mjs", stdin=json.dumps(sent))
    return answer


@pytest.mark.parametrize("version", ["1.0", "0.0"])
def test_every_bone_is_where_ours_is(version: str) -> None:
    """The pose is not symmetric, so that a mirrored axis would be seen."""
    answer = posed(make_vrm(version))
    root, rotations = pose(37)
    ours = HUMANOID.world(HUMANOID.rest_translations(1, root), rotations[None])[0][0]
    eyes = ("leftEye", "rightEye")  # gaze turns them, and they carry nothing
    assert set(answer["places"]) == set(BONES)
    for name, place in answer["places"].items():
        if name not in eyes:
            np.testing.assert_allclose(place, ours[BONES.index(name)], atol=1e-3, err_msg=name)
    assert 1.3 < answer["height"] < 1.8


@pytest.mark.parametrize("version", ["1.0", "0.0"])
def test_a_face_is_shown_by_own_names_or_by_presets(version: str) -> None:
    own = posed(make_vrm(version), FACE)
    assert own["values"]["jawOpen"] == pytest.approx(0.6)
    assert own["values"]["blinkLeft"] == pytest.approx(1.0)
    assert own["values"]["aa"] == 0  # the avatar opens its jaw by itself
    preset = posed(make_vrm(version, ("aa", "blinkLeft")), FACE)
    assert preset["values"]["aa"] == pytest.approx(0.6)
    assert own["yaw"] == pytest.approx(15.0)  # to the performer's left
    rest = posed(make_vrm(version), None)
    assert set(rest["values"].values()) == {0}


def test_what_is_no_avatar_is_refused_in_one_sentence() -> None:
    assert "cannot be read as VRM" in posed(b"glTF but not really")["error"]
    plain = glb({"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": []}]})
    assert "without a VRM humanoid" in posed(plain)["error"]


def test_a_shows_avatar_is_read_before_the_show(tmp_path: Any) -> None:
    path = tmp_path / "me.vrm"
    path.write_bytes(make_vrm("1.0"))
    assert read_avatar(path) == make_vrm("1.0")
    path.write_text("no avatar")
    with pytest.raises(BadInput, match="no VRM file"):
        read_avatar(path)
    route = _avatar_route(b"glTF")
    assert isinstance(route, Route) and route.path == AVATAR_PATH
