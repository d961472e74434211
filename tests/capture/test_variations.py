"""Movement that is made of other movement: what each transform does, and that it can be refused."""

import numpy as np
import pytest

from greenroom.capture.readers import read_recording
from greenroom.capture.sample_data import Clip
from greenroom.capture.variations import Variation
from greenroom.errors import BadInput
from greenroom.frames import BONE, Body
from greenroom.rotations import angle_between


@pytest.fixture(scope="module")
def walk(published: list[Clip]) -> Body:
    clip = next(clip for clip in published if clip.name.endswith("_walk"))
    body = read_recording(clip.data, clip.path).body
    assert body is not None
    return body


def test_nothing_asked_for_changes_nothing(walk: Body) -> None:
    same = Variation().of(walk)
    np.testing.assert_array_equal(same.rotations, walk.rotations)
    np.testing.assert_array_equal(same.root, walk.root)


def test_twice_as_fast_lasts_half_as_long_and_ends_in_the_same_pose(walk: Body) -> None:
    fast = Variation(tempo=2.0).of(walk)
    assert abs(len(fast) - (len(walk) + 1) / 2) <= 1
    np.testing.assert_allclose(fast.root[0], walk.root[0], atol=1e-6)
    there = walk.validity[0] > 0
    assert angle_between(fast.rotations[5, there], walk.rotations[10, there]).max() < 0.1


def test_amplitude_scales_the_way_from_the_mean_pose(walk: Body) -> None:
    knee = BONE["leftLowerLeg"]
    swings = [
        float(np.ptp(angle_between(body.rotations[:, knee], body.rotations[:1, knee])))
        for body in (walk, Variation(amplitude=0.5).of(walk))
    ]
    assert 0.4 < swings[1] / swings[0] < 0.6
    hips = Variation(amplitude=0.5).of(walk).rotations[:, 0]
    np.testing.assert_allclose(hips, walk.rotations[:, 0], atol=1e-6)


def test_posture_turns_the_bones_that_it_names_and_no_other(walk: Body) -> None:
    bent = Variation(posture={"spine": (30, 0, 0)}).of(walk)
    turned = angle_between(bent.rotations, walk.rotations)
    np.testing.assert_allclose(turned[:, BONE["spine"]], 30, atol=0.1)
    others = [i for i in range(turned.shape[1]) if i != BONE["spine"]]
    assert np.nanmax(turned[:, others]) < 0.1


def test_a_mirror_twice_is_none(walk: Body) -> None:
    twice = Variation(mirror=True).of(Variation(mirror=True).of(walk))
    assert np.nanmax(angle_between(twice.rotations, walk.rotations)) < 0.1


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Variation(tempo=0), "above nought"),
        (Variation(amplitude=-1), "above nought"),
        (Variation(posture={"tail": (1, 0, 0)}), "no bone tail"),
    ],
)
def test_what_cannot_be_is_refused(walk: Body, wrong: Variation, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        wrong.of(walk)
