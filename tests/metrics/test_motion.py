import math

import numpy as np
import pytest

from greenroom.metrics.motion import SufficientStats, aggregate, angles_6d, joint_pace, quiet_pace
from greenroom.rotations import from_euler, to_six


@pytest.mark.parametrize("degrees", [0.0, 0.01, 10.0, 90.0, 179.0])
def test_the_angle_between_6d_rotations_is_the_turn(degrees: float) -> None:
    a = to_six(from_euler(np.asarray([20.0, 30.0, 40.0]), "ZXY"))
    turn = from_euler(np.asarray([degrees]), "Y")
    b = to_six(turn)
    assert angles_6d(b, to_six(np.asarray([0.0, 0, 0, 1]))) == pytest.approx(degrees, abs=1e-5)
    assert angles_6d(a * 3, a) == pytest.approx(0, abs=1e-5)  # lengths do not matter


def test_a_figure_over_takes_is_a_ratio_of_sums() -> None:
    mean = [SufficientStats("mean", {"model": 10.0}, 2), SufficientStats("mean", {"model": 2.0}, 4)]
    assert aggregate(mean, "model") == 2
    skill = [
        SufficientStats("skill", {"model": 1.0, "hold": 4.0}, 4.0),
        SufficientStats("skill", {"model": 1.0}, 0.0),
    ]
    assert aggregate(skill, "model") == 0.5
    assert math.isnan(aggregate([SufficientStats("mean", {"model": 0.0}, 0)], "model"))


def turning(speeds: list[float]) -> np.ndarray:
    """Return rotations (T, 6 J) of three joints, of which two turn that many degrees a second."""
    angles = np.concatenate([[0.0], np.cumsum(speeds) / 30])
    moving = to_six(from_euler(angles[:, None], "Y"))
    still = to_six(from_euler(0 * angles[:, None], "Y"))
    return np.concatenate([moving, still, moving], axis=1)


def test_a_pace_is_the_median_joints_of_every_whole_second() -> None:
    assert joint_pace(turning([60.0] * 30 + [90.0] * 30 + [500.0] * 29)) == pytest.approx([60, 90])
    assert joint_pace(turning([60.0] * 5 + [30.0] * 5)) == pytest.approx([45])  # no whole second
    assert len(joint_pace(turning([]))) == 0


def test_a_frozen_picture_is_no_quiet_body() -> None:
    lively = turning([float(10 + second) for second in range(20) for _ in range(30)])
    frozen = turning([0.0] * 300)
    assert quiet_pace([lively]) == pytest.approx(10.95)
    assert quiet_pace([frozen, lively]) == pytest.approx(10.95)
    assert quiet_pace([frozen]) == 0
