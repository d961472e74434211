"""A face judged by its sound and its lips: who follows the sound wins, who does not is chance."""

import numpy as np
import pytest

from greenroom.contracts import ModelShape
from greenroom.features.speech import CHANNELS
from greenroom.frames import Floats
from greenroom.metrics.motion import aggregate
from greenroom.validation.face_evaluator import FaceEvaluator

RIG = ("jawOpen", "mouthFunnel", "mouthPucker", "browUp")
SHAPE = ModelShape(2, 16, len(CHANNELS), face=len(RIG))


def _take(seed: int, ticks: int = 900) -> tuple[Floats, Floats]:
    """A voice (T, F) and the face (T, B) that goes with it; either rounding weight may be used."""
    random = np.random.default_rng(seed)
    level = np.convolve(random.normal(size=ticks + 8), np.ones(9) / 3, "valid")
    colour = np.convolve(random.normal(size=ticks + 8), np.ones(9) / 3, "valid")
    speech = 0.1 * random.normal(size=(ticks, len(CHANNELS)))
    speech[:, :20] += level[:, None]
    speech[:, 20:40] += (level + colour)[:, None]
    speech[:, -3] += level
    face = np.zeros((ticks, len(RIG)))
    face[:, 0] = 0.4 + 0.1 * level
    face[:, 1 + seed % 2] = 0.4 + 0.1 * colour  # one take funnels, the other puckers
    face[:, 3] = 0.5 + 0.1 * np.sin(np.arange(ticks) / 30)
    return speech.astype(np.float32), face.clip(0, 1).astype(np.float32)


class FakeFace:
    """A backend that says the rows of given faces one after the other."""

    def __init__(self, faces: Floats) -> None:
        self.faces, self.asked = faces, 0

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        self.asked += 1
        return {"face": self.faces[None, (self.asked - 1) % len(self.faces)]}


def _judged(faces: Floats, speech: Floats, truth: Floats) -> FaceEvaluator:
    judge = FaceEvaluator(FakeFace(faces), SHAPE, [_take(s) for s in range(6)], RIG)
    judge.found = judge.take("take", speech, truth)  # type: ignore[attr-defined]
    return judge


def test_lips_are_judged_by_the_sum_of_what_rounds_them() -> None:
    speech, truth = _take(20)
    other = truth[:, [0, 2, 1, 3]]  # the same with the other rounding weight
    judge = _judged(other, speech, truth)
    found = judge.found  # type: ignore[attr-defined]
    assert judge.rounding == [1, 2] and judge.opening == 0
    assert aggregate([found["rounding_r"]], "model") == pytest.approx(1, abs=1e-6)
    assert aggregate([found["opening_r"]], "model") == pytest.approx(1, abs=1e-6)
    assert aggregate([found["r2w"]], "model") < 0.5


def test_a_face_that_follows_its_sound_is_matched_and_one_of_another_time_is_not() -> None:
    speech, truth = _take(21)
    matched = _judged(truth, speech, truth).matched()
    assert (
        aggregate(list(matched.values()), "model")
        == aggregate(list(matched.values()), "truth")
        > 0.9
    )
    late = _judged(np.roll(truth, 450, axis=0), speech, truth).matched()
    assert aggregate(list(late.values()), "model") == pytest.approx(0.5, abs=0.25)


def test_a_single_stretch_matches_nothing() -> None:
    speech, truth = _take(22, ticks=100)
    assert _judged(truth, speech, truth).matched() == {}
