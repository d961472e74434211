import numpy as np

from greenroom.frames import BONE, BONES, HUMANOID
from greenroom.render.terminal import braille_pose
from greenroom.rotations import from_vector

REST = np.tile(np.float32([0, 0, 0, 1]), (len(BONES), 1))
WHOLE = np.ones(len(BONES), dtype=np.float32)


def dots(drawn: str) -> np.ndarray:
    """Where a drawing has any dot, (rows, columns)."""
    return np.array([[sign != "\u2800" for sign in row] for row in drawn.split("\n")])


def test_a_t_pose_stands_upright_with_its_arms_out() -> None:
    drawn = dots(braille_pose(REST, WHOLE, (22, 13)))
    assert drawn.shape == (13, 22)
    assert (drawn == drawn[:, ::-1]).mean() > 0.9  # the same left and right
    assert drawn.sum(axis=1).argmax() < 5  # the arms are its widest row, high up
    assert drawn[2:7, 10:12].any(axis=1).all()  # head and spine in the middle


def test_a_raised_arm_is_seen_on_the_side_where_a_viewer_sees_it() -> None:
    turns = REST.copy()
    turns[BONE["leftUpperArm"]] = from_vector(np.float64([0, 0, np.pi / 3]))
    drawn = dots(braille_pose(turns, WHOLE, (22, 13)))
    # The performer faces the viewer: the left arm is on the right.
    assert drawn[:3, 11:].sum() > drawn[:3, :11].sum()


def test_missing_bones_are_not_drawn() -> None:
    assert not dots(braille_pose(REST * np.nan, WHOLE * 0)).any()
    arms = WHOLE.copy()
    arms[[BONE[name] for name in BONES if "left" in name]] = 0
    drawn = dots(braille_pose(REST, arms, (22, 13)))
    assert drawn[:, :9].any() and not drawn[:6, 14:].any()
    assert HUMANOID.offsets[0, 1] < 1.95
