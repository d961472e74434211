"""The jitter buffer: what is played when, whatever the network does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.receivers.jitter_buffer import (
    HOLD_NS,
    LOST,
    JitterBuffer,
    LiveFrame,
    Pose,
    blend_poses,
    blend_weights,
)
from greenroom.clock import tick_ns
from greenroom.frames import Floats
from greenroom.rotations import angle_between, from_euler

MS = 1_000_000
NAN = np.float32(np.nan)


def pose(degrees: float, missing: bool = False) -> Pose:
    """A body turned about +Y, which stands at x = degrees."""
    turn = from_euler(np.asarray([degrees], np.float64), "Y").astype(np.float32)
    rotations = np.tile(turn, (55, 1))
    validity = np.ones(55, np.float32)
    if missing:
        rotations[1], validity[1] = NAN, 0
    return Pose(np.asarray([degrees, 1, 0], np.float32), rotations, validity)


def frame(sent_ms: float, arrival_ms: float, timed: bool = True, **more: object) -> LiveFrame:
    """A frame whose body and face say when it was sent."""
    face = np.full(52, sent_ms / 1000, np.float32)
    sent = sent_ms / 1000 if timed else None
    return LiveFrame(round(arrival_ms * MS), sent, lambda: pose(sent_ms / 10), face, **more)  # type: ignore[arg-type]


def played(buffer: JitterBuffer, now_ms: float) -> float | None:
    """The sender's millisecond that is played, by the body; the face agrees."""
    sample = buffer.sample(round(now_ms * MS))
    if sample.root is None:
        assert sample.weights is None
        return None
    assert sample.weights is not None and sample.rotations is not None
    assert sample.weights[0] * 100 == pytest.approx(float(sample.root[0]), abs=1e-3)
    return float(sample.root[0]) * 10


def test_jitter_is_taken_out_and_between_samples_it_is_interpolated() -> None:
    """60 samples a second, each up to 15 ms late: each tick plays what was sent 45 ms before it."""
    rng, buffer = np.random.default_rng(0), JitterBuffer(40 * MS)
    arrivals = np.maximum.accumulate(np.arange(600) * 50 / 3 + 5 + rng.uniform(0, 15, 600))
    frames = [frame(i * 50 / 3, arrival) for i, arrival in enumerate(arrivals)]
    errors = []
    for tick in range(15, 280):
        now = tick * 100 / 3
        while frames and frames[0].arrival_ns <= now * MS:
            buffer.put(frames.pop(0))
        got = played(buffer, now)
        assert got is not None
        errors.append(got - (now - 45))
    assert max(map(abs, errors[60:])) < 2.5 and np.median(np.abs(errors)) < 1
    assert buffer.late == 0


def test_without_a_delay_the_newest_is_played() -> None:
    buffer = JitterBuffer(0)
    for i in range(4):
        buffer.put(frame(10 * i, 10 * i + 3))
    assert played(buffer, 40) == pytest.approx(30)


def test_the_first_sample_stands_in_until_it_is_due_and_the_last_for_a_moment() -> None:
    buffer = JitterBuffer(20 * MS)
    buffer.put(frame(0, 0))
    assert played(buffer, 1) == 0 and played(buffer, 169) == 0
    assert HOLD_NS == 150 * MS and played(buffer, 171) is None


def test_a_sample_after_its_playout_is_counted_and_wins_if_nothing_else_came() -> None:
    buffer = JitterBuffer(20 * MS)
    for i in range(30):
        buffer.put(frame(33 * i, 33 * i))
        played(buffer, 33 * i + 20)
    played(buffer, 33 * 30 + 60)
    buffer.put(frame(33 * 30, 33 * 30 + 80))
    assert played(buffer, 33 * 30 + 81) == pytest.approx(990, abs=0.1)
    assert buffer.late == 1


def test_an_overtaken_sample_goes_to_its_place() -> None:
    buffer = JitterBuffer(60 * MS)
    for sent, reordered in ((0, False), (40, False), (20, True), (60, False)):
        buffer.put(frame(sent, max(sent, 41) if reordered else sent, is_reordered=reordered))
    assert played(buffer, 85) == pytest.approx(25, abs=0.2)
    assert played(buffer, 90) == pytest.approx(30, abs=0.2)


def test_senders_without_a_clock_are_placed_by_their_arrival() -> None:
    buffer = JitterBuffer(20 * MS)
    buffer.put(frame(0, 100, timed=False))
    buffer.put(frame(20, 120, timed=False))
    assert played(buffer, 130) == pytest.approx(10, abs=0.2)
    assert buffer.clock.skew_ppm is None


def test_a_gap_is_not_bridged() -> None:
    buffer = JitterBuffer(20 * MS)
    buffer.put(frame(0, 0))
    assert played(buffer, 33) == 0
    buffer.put(frame(160, 160))
    assert played(buffer, 165) == 0 and played(buffer, 181) == pytest.approx(160)


def test_a_source_that_says_that_it_sees_nothing_is_believed_when_it_is_due() -> None:
    buffer = JitterBuffer(20 * MS)
    buffer.put(frame(0, 0))
    buffer.put(LiveFrame(33 * MS, 0.033, body=LOST, face=LOST))
    assert played(buffer, 40) == 0 and played(buffer, 54) is None
    buffer.put(frame(66, 66))
    assert played(buffer, 87) == pytest.approx(66)


def test_the_delay_is_from_arrival_to_playout() -> None:
    buffer = JitterBuffer(20 * MS)
    for i in range(200):
        buffer.put(frame(i * 100 / 3, i * 100 / 3 + 3))
        played(buffer, (i + 1) * 100 / 3)
    assert buffer.delay_ms == pytest.approx(100 / 3 - 3, abs=0.1)


def test_a_bone_that_one_of_two_lacks_is_that_ones_in_its_half() -> None:
    before, after = pose(0), pose(40, missing=True)
    for share, is_there in ((0.25, True), (0.75, False)):
        between = blend_poses(before, after, share)
        assert bool(between.validity[1]) == is_there
        assert np.isfinite(between.rotations[1]).all() == is_there
        assert angle_between(between.rotations[2], pose(40 * share).rotations[2]) < 0.01
        assert between.root[0] == pytest.approx(40 * share)
    no_root = before._replace(root=np.full(3, NAN))
    assert blend_poses(no_root, after, 0.75).root[0] == 40
    left, right = np.asarray([0, NAN, 1, NAN], np.float32), np.asarray([1, 1, NAN, NAN], np.float32)
    np.testing.assert_array_equal(blend_weights(left, right, 0.25), [0.25, NAN, 1, NAN])


def test_the_short_way_round_is_taken() -> None:
    before, after = pose(10), pose(30)
    after = after._replace(rotations=-after.rotations)
    assert angle_between(blend_poses(before, after, 0.5).rotations[0], pose(20).rotations[0]) < 0.01


steps = st.lists(
    st.tuples(
        st.integers(0, 120),  # ms until it arrives
        st.one_of(st.floats(-5, 60), st.floats(-4e9, 4e9)),  # ms that the sender's clock goes on
        st.sampled_from(["new", "new", "new", "twice", "overtaken", "untimed", "lost"]),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from([0, 20, 200]))
def test_playout_never_goes_back_and_is_finite_whatever_comes(
    script: list[tuple[int, float, str]], delay_ms: int
) -> None:
    """Frames are numbered by their order; what is played of them never goes back."""

    def run() -> list[Floats | None]:
        buffer, out = JitterBuffer(delay_ms * MS), []
        arrival, sent, tick = 0, 0.0, 0
        for number, (wait, ahead, kind) in enumerate(script):
            arrival += wait
            while tick_ns(tick) <= arrival * MS:
                sample = buffer.sample(tick_ns(tick))
                out.append(None if sample.root is None else sample.root)
                if sample.rotations is not None and sample.validity is not None:
                    trusted = sample.rotations[sample.validity > 0].astype(np.float64)
                    np.testing.assert_allclose((trusted**2).sum(axis=-1), 1, atol=1e-5)
                    assert np.isfinite(sample.root).all()
                tick += 1
            sent += ahead / 1000
            made = frame(10 * number, arrival)
            made.sent_s = sent
            if kind == "overtaken":
                made.is_reordered, made.sent_s = True, sent - 0.05
            elif kind == "untimed":
                made.sent_s = None
            elif kind == "lost":
                made.body, made.face = LOST, LOST
            buffer.put(made)
            if kind == "twice":
                buffer.put(made)
        return out

    first, second = run(), run()
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    if not any(kind == "overtaken" for _, _, kind in script):
        places = [float(root[0]) for root in first if root is not None]
        assert all(b >= a - 1e-3 for a, b in zip(places, places[1:], strict=False)), places
