import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.formats.deepmimic import read_deepmimic
from greenroom.capture.skeleton.retarget import to_body
from greenroom.errors import BadInput
from greenroom.frames import BONE
from greenroom.rotations import to_vector

REST = [0.0, 0.9, 0.0] + [1.0, 0, 0, 0] * 4 + [0.0] + [1.0, 0, 0, 0] * 2 + [0.0]
REST += [1.0, 0, 0, 0] + [0.0] + [1.0, 0, 0, 0] * 2 + [0.0]


def clip(rows, step=1 / 30) -> bytes:
    steps = step if isinstance(step, list) else [step] * (len(rows) - 1) + [0.0]
    frames = [[s, *row] for s, row in zip(steps, rows, strict=True)]
    return json.dumps({"Loop": "wrap", "Frames": frames}).encode()


def at(**changes: float) -> list[float]:
    row = list(REST)
    for key, value in changes.items():
        row[int(key[1:]) - 1] = value
    return row


def places_of(body):
    return body.skeleton.world(
        body.skeleton.rest_translations(len(body), body.root), body.filled()
    )[0]


def test_at_rest_it_stands_facing_ahead_with_its_arms_down():
    body = to_body(read_deepmimic(clip([REST, at(_1=0.1)]), where="d"))
    places = places_of(body)[0]
    assert places[BONE["leftUpperLeg"], 0] == pytest.approx(0.084887, abs=1e-6)
    assert places[BONE["leftHand"], 1] < places[BONE["leftUpperArm"], 1] - 0.5
    assert places[BONE["leftFoot"], 1] == pytest.approx(0.9 - 0.831416, abs=1e-5)
    assert body.root[1, 2] - body.root[0, 2] == pytest.approx(0.1)  # their +X is our +Z
    assert np.isnan(body.rotations[:, BONE["leftHand"]]).all()  # the wrist is fixed: no rotation


def test_knees_bend_back_and_elbows_forward():
    body = to_body(read_deepmimic(clip([at(_20=-1.0, _29=1.0, _34=-1.0, _43=1.0)] * 2), where="d"))
    places = places_of(body)[0]
    for side in ("left", "right"):
        assert places[BONE[f"{side}Foot"], 2] < places[BONE[f"{side}LowerLeg"], 2] - 0.2
        assert places[BONE[f"{side}Hand"], 2] > places[BONE[f"{side}LowerArm"], 2] + 0.2


def test_durations_that_vary_become_one_rate():
    rows = [at(_1=x) for x in (0.0, 0.1, 0.3, 0.4)]
    motion = read_deepmimic(clip(rows, [0.1, 0.2, 0.1, 0.0]), where="d")
    assert motion.rate == pytest.approx(10.0)
    np.testing.assert_allclose(motion.translations[:, 0, 0], [0, 0.1, 0.2, 0.3, 0.4], atol=1e-9)


BAD = {
    "empty": b"",
    "cut": clip([REST, REST])[:-9],
    "no frames": b'{"Loop": "wrap"}',
    "zero frames": b'{"Loop": "wrap", "Frames": []}',
    "width": clip([REST, REST[:-1]]),
    "word": clip([REST, [*REST[:-1], "x"]]),
    "bool": clip([REST, [*REST[:-1], True]]),
    "nan": clip([REST, [*REST[:-1], float("nan")]]),
    "huge": clip([REST, [*REST[:-1], 10**400]]),
    "duration": clip([REST] * 3, [0.1, 0.0, 0.0]),
    "negative": clip([REST] * 3, [0.1, -0.1, 0.0]),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", BAD)
def test_bad_clips_are_refused(name):
    with pytest.raises(BadInput) as caught:
        read_deepmimic(BAD[name], where="d.txt")
    assert caught.value.then and "d.txt" in str(caught.value)


@settings(max_examples=100, deadline=2000)
@given(st.integers(0, 900), st.integers(0, 9), st.binary(max_size=8))
def test_mutilated_clips_are_read_or_refused(place, cut, junk):
    data = bytearray(clip([REST, at(_1=0.1), REST]))
    data[place : place + cut] = junk
    try:
        motion = read_deepmimic(bytes(data), where="d")
    except BadInput:
        return
    assert np.isfinite(motion.rotations).all() and np.isfinite(motion.translations).all()


def test_the_published_walk_walks(published):
    walk = next(c for c in published if c.name == "humanoid3d_walk")
    body = to_body(read_deepmimic(walk.data, where=walk.path))
    places = places_of(body)
    feet = places[:, [BONE["leftFoot"], BONE["rightFoot"]], 1]
    assert 0.0 < feet.min() and feet.min(axis=1).max() < 0.12  # a foot is on the floor, none below
    assert body.root[-1, 2] - body.root[0, 2] > 0.8  # forward along the facing
    for side in ("left", "right"):
        assert to_vector(body.rotations[:, BONE[f"{side}LowerLeg"]])[:, 0].min() > 0
    together = np.corrcoef(places[:, BONE["leftHand"], 2], places[:, BONE["rightFoot"], 2])[0, 1]
    assert together > 0  # the left arm swings with the right leg: sides are right
