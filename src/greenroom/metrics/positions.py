"""Figures of where joints are: jerk, sliding feet, and the distance to the truth.

Convention: places are world positions (T, J, 3) in metres at 30 Hz, +Y up; NaN where a joint is missing.
A figure leaves out whatever a missing joint touches.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from greenroom.clock import TICK_HZ
from greenroom.errors import BadInput
from greenroom.frames import BONE, Array, Body, Doubles
from greenroom.metrics.motion import SufficientStats

CONTACT_M = 0.025
"""A foot joint this little above where it rests stands on the floor (Zhang et al. 2018)."""
_FEET = (("leftToes", "leftFoot"), ("rightToes", "rightFoot"))


def joint_positions(body: Body) -> Doubles:
    """Return world positions (T, 55, 3), metres; NaN where a bone is missing.

    A bone below a missing one is placed as if that one were at rest.
    """
    ticks = len(body)
    local = body.skeleton.rest_translations(ticks, body.root)
    places, _ = body.skeleton.world(local, body.filled())
    places[body.validity <= 0] = np.nan
    return places


def _checked(places: Array) -> Doubles:
    out = np.asarray(places, dtype=np.float64)
    if out.ndim != 3 or out.shape[-1] != 3:
        raise BadInput(f"places are (T, J, 3), not {out.shape}")
    return out


def jerk(places: Array, rate: float = TICK_HZ) -> Doubles:
    """Return the length of the jerk (T - 3, J) in m/s³: the third difference of places times rate³.

    Source: Flash and Hogan 1985, "The coordination of arm movements". A body's own jerk is not nought:
    the truth's figure stands beside a model's, and less than it is too smooth.

    Args:
        places: (T, J, 3), metres.
        rate: ticks a second.

    Raises:
        BadInput: these are no places.

    >>> t = np.arange(6) / 30
    >>> jerk((np.stack([t**3, 0 * t, 0 * t], 1))[:, None]).round(6)[:, 0].tolist()
    [6.0, 6.0, 6.0]
    """
    third = np.diff(_checked(places), n=3, axis=0) * rate**3
    out: Doubles = np.linalg.norm(third, axis=-1)
    return out


def log_dimensionless_jerk(places: Array, rate: float = TICK_HZ) -> Doubles:
    """Return ln(D³/v² ∫ |jerk|² dt) of each joint (J,): independent of a movement's size and length.

    D is the duration in seconds and v the peak speed in m/s. Source: Balasubramanian, Melendez-Calderon
    and Burdet 2012, "A robust and sensitive metric for quantifying movement smoothness", with the sign
    turned round so that less is smoother. NaN where a joint is missing or never moves.

    Args:
        places: (T, J, 3), metres, T of 4 at least.
        rate: ticks a second.

    Raises:
        BadInput: these are no places, or too few ticks.
    """
    placed = _checked(places)
    if len(placed) < 4:
        raise BadInput(f"jerk takes 4 ticks at least, not {len(placed)}")
    duration = (len(placed) - 1) / rate
    speeds = np.linalg.norm(np.diff(placed, axis=0), axis=-1) * rate
    peak = speeds.max(axis=0)
    energy = (jerk(placed, rate) ** 2).sum(axis=0) / rate
    with np.errstate(divide="ignore", invalid="ignore"):
        out: Doubles = np.log(duration**3 / peak**2 * energy)
    return np.where(np.isfinite(out), out, np.nan)


def jerk_tally(places_by_source: Mapping[str, Array]) -> SufficientStats:
    """Return the mean jerk of one take in m/s³ by everybody (the truth is one of them).

    Args:
        places_by_source: {name: places (T, J, 3)}, all of one shape; missing in one, counted in none.

    Raises:
        BadInput: the shapes differ.
    """
    jerks = {name: jerk(places) for name, places in _same(places_by_source).items()}
    finite = np.all([np.isfinite(values) for values in jerks.values()], axis=0)
    sums = {name: float(values[finite].sum()) for name, values in jerks.items()}
    return SufficientStats("mean", sums, float(finite.sum()))


def _same(places_by_source: Mapping[str, Array]) -> dict[str, Doubles]:
    out = {name: _checked(places) for name, places in places_by_source.items()}
    shapes = {places.shape for places in out.values()}
    if len(shapes) != 1:
        raise BadInput(f"places of one take have one shape, not {sorted(shapes)}")
    return out


def foot_positions(places: Array) -> Doubles:
    """Return the places (T, 2, 3) of the feet of a humanoid (T, 55, 3): toes, or ankles without toes."""
    placed = _checked(places)
    columns = []
    for toes, ankle in _FEET:
        has_toes = bool(np.isfinite(placed[:, BONE[toes]]).all())
        columns.append(placed[:, BONE[toes if has_toes else ankle]])
    return np.stack(columns, axis=1)


def contact_weight(feet_places: Array, rest: Array | None = None) -> Doubles:
    """Return how much each foot stands on the floor (T, F), in [0, 1]: 2 - 2^(h/H), clipped.

    h is the height above where that foot rests, H 25 mm. Source: the weight of Zhang et al. 2018,
    "Mode-adaptive neural networks for quadruped motion control", section 8.

    Args:
        feet_places: (T, F, 3), metres.
        rest: heights at rest (F,), metres; by default each foot's own lowest twentieth, which takes a
            recording in which it stood for that long at least.
    """
    height = np.asarray(feet_places, dtype=np.float64)[..., 1]
    if rest is None:
        rest = rest_heights(feet_places)
    above = np.maximum(height - rest, 0) / CONTACT_M
    weight: Doubles = np.where(above < 1, 2 - 2 ** np.minimum(above, 1), 0.0)
    return np.where(np.isfinite(height), weight, 0.0)


def rest_heights(feet_places: Array) -> Doubles:
    """Return the height at which each foot rests (F,), metres: the twentieth part that is lowest.

    NaN for a foot that is never there.
    """
    height = np.asarray(feet_places, dtype=np.float64)[..., 1]
    out = np.full(height.shape[1], np.nan)
    tracked = np.isfinite(height).any(axis=0)
    if len(height) and tracked.any():
        out[tracked] = np.nanpercentile(height[:, tracked], 5, axis=0)
    return out


def _slide(feet_places: Doubles, weight: Doubles) -> tuple[float, float]:
    """Return (mm/s summed with weights, weights summed); a step counts if both its ends stand."""
    speed = np.linalg.norm(np.diff(feet_places[..., [0, 2]], axis=0), axis=-1) * TICK_HZ * 1000
    both = np.minimum(weight[1:], weight[:-1])
    both = np.where(np.isfinite(speed), both, 0.0)
    return float((np.nan_to_num(speed) * both).sum()), float(both.sum())


def foot_skate(feet_places: Array, weight: NDArray[np.float64] | None = None) -> float:
    """Return how fast feet slide while they stand, in mm/s along the floor; NaN if none stands.

    Mean horizontal speed weighted by :func:`contact_weight`. Source: Zhang et al. 2018 (the
    weighted speed),
    divided by the weights so that it is a speed.

    Args:
        feet_places: (T, F, 3), metres, as of :func:`foot_positions`.
        weight: (T, F), by default the feet's own contact.

    >>> still = np.zeros((10, 1, 3)); still[:, 0, 0] = np.arange(10) / 30 * 0.2
    >>> round(foot_skate(still), 6)
    200.0
    """
    placed = _checked(feet_places)
    total, below = _slide(placed, contact_weight(placed) if weight is None else weight)
    return total / below if below > 0 else float("nan")


def foot_skate_tally(truth: Array, places_by_source: Mapping[str, Array]) -> SufficientStats:
    """Return foot skate in mm/s over the ticks at which the truth's feet stand.

    All are judged at the truth's contacts: feet that drift in the air instead of standing slide too, and
    nobody gains by never touching the floor. Where a foot of anybody is missing none counts.

    Args:
        truth: places (T, 55, 3), metres.
        places_by_source: {name: places (T, 55, 3)}; the truth is added as "truth".

    Raises:
        BadInput: the shapes differ.
    """
    placed = {
        name: foot_positions(places)
        for name, places in _same({**places_by_source, "truth": truth}).items()
    }
    weight = contact_weight(placed["truth"])
    for values in placed.values():
        weight = np.where(np.isfinite(values).all(axis=-1), weight, 0.0)
    slides = {name: _slide(values, weight) for name, values in placed.items()}
    return SufficientStats(
        "mean", {name: total for name, (total, _) in slides.items()}, slides["truth"][1]
    )


def joint_error(truth: Array, prediction: Array, root: int = 0) -> Doubles:
    """Return each joint's distance (T, J) to the truth in mm, both moved so that the roots agree.

    Its mean is MPJPE, protocol 1: aligned by the root's place alone, not by a turn or a scale. Source:
    Ionescu et al. 2014, "Human3.6M", section 5.2. NaN where a joint or the root is missing; the root's
    own column is nought.

    Args:
        truth: (T, J, 3), metres.
        prediction: (T, J, 3), metres.
        root: index of the joint that is aligned.

    Raises:
        BadInput: the shapes differ.
    """
    aligned_inputs = _same({"truth": truth, "prediction": prediction})
    root_relative = {
        name: places - places[:, root : root + 1] for name, places in aligned_inputs.items()
    }
    out: Doubles = (
        np.linalg.norm(root_relative["prediction"] - root_relative["truth"], axis=-1) * 1000
    )
    return out


def joint_error_tally(
    truth: Array, predictions: Mapping[str, Array], root: int = 0
) -> SufficientStats:
    """Return MPJPE in mm over all joints but the root; what is missing in one counts in none.

    Args:
        truth: (T, J, 3), metres.
        predictions: {name: places (T, J, 3)}.
        root: index of the joint that is aligned.

    Raises:
        BadInput: the shapes differ.
    """
    errors = {
        name: np.delete(joint_error(truth, places, root), root, axis=1)
        for name, places in predictions.items()
    }
    finite = np.all([np.isfinite(values) for values in errors.values()], axis=0)
    sums = {name: float(values[finite].sum()) for name, values in errors.items()}
    return SufficientStats("mean", sums, float(finite.sum()))
