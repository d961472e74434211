"""Curves under a clip."""

import numpy as np

from greenroom.render.traces import traces


def test_what_moves_most_is_drawn_once_and_only_the_mark_moves() -> None:
    random = np.random.default_rng(0)
    truth = random.random((20, 8), dtype=np.float32)
    truth[:, 3] = truth[:, 2] * 0.5  # the same movement: one row tells both
    truth[:, 4] = 0.2
    truth[5, 0] = np.nan
    pictures = traces(truth, truth + 0.1, [f"channel{n}" for n in range(8)], 300)
    assert len(pictures) == 20 and pictures[0].shape == (24 * 5 + 6, 300, 3)
    moved = np.flatnonzero((pictures[0] != pictures[19]).any(axis=(0, 2)))
    assert moved.tolist() == [112, 292]  # nothing but the mark
