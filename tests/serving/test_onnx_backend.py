"""A graph is tried on the golden clip before it may perform."""

import numpy as np
import pytest

from greenroom.contracts import GOLDEN_TICKS, flat_width, golden_clip
from greenroom.errors import CheckFailed
from greenroom.frames import Floats
from greenroom.serving.onnx_backend import self_test
from tests.live.stand_in import SHAPE, FakeModel


class Says(FakeModel):
    """Says the same at every tick, but for an error."""

    def __init__(self, error: float = 0.0) -> None:
        super().__init__()
        self.error = error

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        return {n: np.full((1, *s), 0.5 + self.error, "f4") for n, s in SHAPE.outputs().items()}


KEPT = np.full((GOLDEN_TICKS, flat_width(SHAPE.outputs())), 0.5, "<f4").tobytes()


def test_the_golden_clip_is_the_same_everywhere() -> None:
    clip = golden_clip(SHAPE)
    assert [round(float(clip[0]["history"][0, 0, i]), 6) for i in range(3)] == [
        0.236068,
        -0.527864,
        0.708204,
    ]
    assert len(clip) == GOLDEN_TICKS and not np.array_equal(clip[0]["state"], clip[1]["state"])
    for tick in clip:
        assert set(np.unique(tick["valid"])) <= {0, 1} and (tick["age"] >= 0).all()
        assert all(tick[n].shape == (1, *size) for n, size in SHAPE.inputs().items())


def test_a_graph_that_says_what_it_said_passes() -> None:
    self_test(Says(), KEPT)
    self_test(Says(1e-3), KEPT)
    self_test(Says(1e-3), None)  # an older model kept nothing to compare with


@pytest.mark.parametrize(
    ("error", "golden", "why"),
    [
        (0.1, KEPT, "off what it was when trained"),
        (np.nan, KEPT, "no finite numbers"),
        (np.nan, None, "no finite numbers"),
        (0.0, KEPT[:-4], "other outputs"),
    ],
)
def test_a_graph_that_says_something_else_is_refused(
    error: float, golden: bytes | None, why: str
) -> None:
    with pytest.raises(CheckFailed, match=why):
        self_test(Says(error), golden)
