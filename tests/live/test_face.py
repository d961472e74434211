"""A captured face is performed as captured, eases in and out, and what is missing stays missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.packets import encode_face
from greenroom.contracts import Packet
from greenroom.frames import ARKIT
from greenroom.live.face import LEAVE_TICKS, FaceBlender
from greenroom.live.performer import Performer
from tests.live.stand_in import FakeModel, role

JAW, SMILE, BLINK = (ARKIT.index(name) for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkLeft"))
PLACES = np.asarray([JAW, SMILE])
SPOKEN = np.asarray([0.5, 0.2], np.float32)


def captured(**weights: float) -> np.ndarray:
    face = np.full(52, np.nan, np.float32)
    for name, weight in weights.items():
        face[ARKIT.index(name)] = weight
    return face


def play(blender: FaceBlender, ticks: int, face: np.ndarray | None) -> np.ndarray:
    out = []
    for _ in range(ticks):
        blender.captured = face
        out.append(blender.step(SPOKEN, speaking=True))
    return np.stack(out)


def test_a_captured_weight_wins_and_the_others_stay_the_models_or_missing() -> None:
    out = play(FaceBlender(PLACES), 30, captured(jawOpen=0.9, eyeBlinkLeft=0.4))
    assert out[-1, JAW] == pytest.approx(0.9, abs=0.05)
    assert out[-1, BLINK] == pytest.approx(0.4, abs=0.05)
    assert out[-1, SMILE] == pytest.approx(0.2, abs=0.05)
    others = [i for i in range(52) if i not in (JAW, SMILE, BLINK)]
    assert np.isnan(out[:, others]).all()


def test_it_begins_and_ends_without_a_pop() -> None:
    blender = FaceBlender(PLACES)
    before = play(blender, 20, None)
    during = play(blender, 30, captured(jawOpen=1.0, eyeBlinkLeft=1.0))
    after = play(blender, LEAVE_TICKS + 5, None)
    whole = np.concatenate([before, during, after])
    assert np.abs(np.diff(whole[:, JAW])).max() < 0.25
    assert np.abs(np.diff(np.nan_to_num(whole[:, BLINK]))).max() < 0.25
    assert np.isnan(before[:, BLINK]).all() and np.isnan(after[-1, BLINK])
    assert after[LEAVE_TICKS - 1, BLINK] < 0.01
    assert after[-1, JAW] == pytest.approx(0.5, abs=0.01)


def test_while_it_lasts_it_is_performed_as_it_moves() -> None:
    blender = FaceBlender(PLACES)
    play(blender, 30, captured(jawOpen=0.0))
    for tick in range(60):
        jaw = 0.5 + 0.5 * np.sin(tick)
        blender.captured = captured(jawOpen=jaw)
        assert blender.step(SPOKEN, speaking=True)[JAW] == pytest.approx(jaw, abs=0.05)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 1)), max_size=40))
def test_whatever_comes_weights_are_in_range_and_driven_ones_never_missing(steps) -> None:
    blender = FaceBlender(PLACES)
    for is_captured, speaking, weight in steps:
        blender.captured = captured(eyeBlinkLeft=weight) if is_captured else None
        face = blender.step(SPOKEN, speaking)
        present = face[np.isfinite(face)]
        assert ((present >= 0) & (present <= 1)).all() and np.isfinite(face[PLACES]).all()
        assert not is_captured or np.isfinite(face[BLINK])


def test_a_face_alone_may_perform() -> None:
    performer = Performer(role(), FakeModel(confidence=0.1), 0)
    weights = captured(jawOpen=0.7)
    for tick in range(30):
        packet = Packet(0, encode_face(tick, weights))
        outcome = performer.step(tick, [packet], late=False)
    assert outcome.rung == "idle"
    assert outcome.frame.face[JAW] == pytest.approx(0.7, abs=0.05)
    assert np.isfinite(outcome.frame.rotations).all()
