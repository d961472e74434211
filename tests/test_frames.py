import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from greenroom.frames import ARKIT, BONE, BONES, HUMANOID, PARENTS, Body, ticks_of
from greenroom.rotations import inverse, multiply, rotate

seeds = st.integers(0, 2**32 - 1)


def random_pose(seed: int, ticks: int = 2) -> np.ndarray:
    q = np.random.default_rng(seed).normal(size=(ticks, len(BONES), 4))
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def test_the_vocabulary_is_whole():
    assert len(BONES) == len(set(BONES)) == 55 and len(ARKIT) == len(set(ARKIT)) == 52
    assert all(parent < child for child, parent in enumerate(PARENTS))
    rest, _ = HUMANOID.world(
        HUMANOID.rest_translations(1, HUMANOID.offsets[0]), np.tile([0.0, 0, 0, 1], (1, 55, 1))
    )
    assert rest[0, BONE["leftHand"], 0] > 0.5 and abs(rest[0, BONE["leftToes"], 1]) < 0.02


@given(seeds)
def test_bones_keep_their_lengths_in_every_pose(seed):
    q = random_pose(seed)
    places, turns = HUMANOID.world(HUMANOID.rest_translations(2, np.zeros(3)), q)
    for j, parent in enumerate(PARENTS):
        if parent >= 0:
            want = np.linalg.norm(HUMANOID.offsets[j])
            got = np.linalg.norm(places[:, j] - places[:, parent], axis=-1)
            np.testing.assert_allclose(got, want, atol=1e-9)
            np.testing.assert_allclose(
                np.abs(
                    np.einsum("ti,ti->t", multiply(inverse(turns[:, parent]), turns[:, j]), q[:, j])
                ),
                1.0,
                atol=1e-9,
            )


@given(seeds)
def test_turning_the_root_turns_the_whole(seed):
    q = random_pose(seed)
    turn = random_pose(seed + 1)[:1, 0]
    places, _ = HUMANOID.world(HUMANOID.rest_translations(2, np.zeros(3)), q)
    turned = q.copy()
    turned[:, 0] = multiply(np.broadcast_to(turn, (2, 4)), q[:, 0])
    again, _ = HUMANOID.world(HUMANOID.rest_translations(2, np.zeros(3)), turned)
    np.testing.assert_allclose(again, rotate(turn[:, None], places), atol=1e-9)


@given(st.integers(1, 10**6), st.floats(1.0, 1000.0))
def test_ticks_cover_the_recording_and_no_more(frames, rate):
    ticks = ticks_of(rate, frames)
    assert ticks >= 1
    if abs(rate / 30 - 1) > 1e-4:
        assert (ticks - 1) / 30 <= (frames - 1) / rate + 1e-6 < ticks / 30 + 2e-6


def test_missing_bones_are_drawn_in_the_tpose():
    rotations = np.full((1, 55, 4), np.nan, dtype=np.float32)
    body = Body(HUMANOID, np.zeros((1, 3), np.float32), rotations, np.zeros((1, 55), np.float32))
    np.testing.assert_array_equal(body.filled()[0, 3], [0, 0, 0, 1])
