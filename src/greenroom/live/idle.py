"""Let a performer whom nobody captures stand at ease: breathe, shift its weight, look about, and talk.

The idle is made and not recorded. What it does is a function of time, of a seed and of how loud the
voice is, so that a replay makes the same. A foot that stands when capture ends stays where it is; the
other one steps beside it.

Convention: seconds since capture was lost; angles in radians about +X (bends forwards), +Y (turns to the
left) and +Z (leans to the right); the body faces `heading`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.features.pose import Heading, heading_of
from greenroom.frames import BONE, BONES, Floats
from greenroom.live.kinematics import (
    SIDES,
    BodyKinematics,
    PlacedPose,
    Point,
    Quaternion,
    about,
    add,
    blend,
    compose,
    norm,
    subtract,
)

STANCE: dict[str, tuple[float, float, float]] = {
    "leftUpperArm": (0.0, -0.20, -1.25),
    "leftLowerArm": (0.0, -0.38, 0.0),
    "leftHand": (0.0, 0.0, -0.10),
    "leftUpperLeg": (0.0, 0.06, 0.0),
    "spine": (0.02, 0.0, 0.0),
    "neck": (0.03, 0.0, 0.0),
}
"""How somebody stands at ease, as rotation vectors; the right side is the mirror image of the left."""
KNEES_M = 0.012
"""How far the knees lower the hips."""
PLANTED_M = 0.045
"""An ankle less than this above its rest stands on the floor."""
WIDEST_M, NARROWEST_M = 0.55, 0.10
"""Feet further apart than one, or nearer than the other, are put right by a step."""
LIFT_M = 0.05
"""Height of a step."""
SWAY_M = 0.028
"""How far the hips go to one side when they shift their weight."""
RISE_M = 0.02
"""How fast somebody whom capture had below the floor comes up, metres a tick."""
HANGING = 0.998
"""Of a leg's length, how far the hips may be from the ankle before they are lowered."""
LOUD = 0.06
"""Root mean square of a voice that is loud; 1 is the largest that a sample can be."""


@dataclass(frozen=True)
class IdlePose:
    """What the idle wants at a tick: root (3,), rotations (55, 4), and where the ankles go."""

    root: Floats
    rotations: Floats
    ankles: dict[str, Point]


def _vector(x: float, y: float, z: float) -> Quaternion:
    angle = math.sqrt(x * x + y * y + z * z)
    return about((x / angle, y / angle, z / angle), angle) if angle > 1e-9 else (0.0, 0.0, 0.0, 1.0)


_STANCE = STANCE | {
    "right" + name.removeprefix("left"): (x, -y, -z)
    for name, (x, y, z) in STANCE.items()
    if name.startswith("left")
}


class _FootPlan:
    """Where each foot goes after capture is lost.

    Args:
        body: the performer.
        pose: where its bones are.
        before: where they were a tick before.
        heading: which way it faces.
    """

    def __init__(
        self, body: BodyKinematics, pose: PlacedPose, before: PlacedPose, heading: Heading
    ) -> None:
        feet = {side: pose.places[body.legs[side][2]] for side in SIDES}
        self.starts = feet
        self.speeds = {
            side: tuple(
                TICK_HZ * (now - old)
                for now, old in zip(feet[side], before.places[body.legs[side][2]], strict=True)
            )
            for side in SIDES
        }
        heights = {side: feet[side][1] - body.ankle for side in SIDES}
        standing = min(SIDES, key=heights.__getitem__)
        other = SIDES[1 - SIDES.index(standing)]
        sin, cos = heading
        lateral = cos, -sin  # of the performer's left
        x, _, z = feet[standing]
        sign = 1.0 if standing == "left" else -1.0
        middle = x - sign * body.half_stance * lateral[0], z - sign * body.half_stance * lateral[1]
        gap_x, _, gap_z = subtract(feet["left"], feet["right"])
        apart, across = math.hypot(gap_x, gap_z), gap_x * lateral[0] + gap_z * lateral[1]
        self.targets = {standing: (x, body.ankle, z)}
        if max(heights.values()) < PLANTED_M and apart < WIDEST_M and across > NARROWEST_M:
            fx, _, fz = feet[other]
            self.targets[other] = (fx, body.ankle, fz)
            self.middle = (x + fx) / 2, (z + fz) / 2
        else:
            self.targets[other] = (
                middle[0] - sign * body.half_stance * lateral[0],
                body.ankle,
                middle[1] - sign * body.half_stance * lateral[1],
            )
            self.middle = middle
        self.durations = {
            side: min(0.9, 0.30 + 0.7 * norm(subtract(self.targets[side], feet[side])))
            for side in SIDES
        }

    def at(self, side: str, time_s: float) -> Point:
        """Return where an ankle is."""
        start, end, duration = self.starts[side], self.targets[side], self.durations[side]
        u = min(1.0, time_s / duration)
        share = u * u * u * (10 - 15 * u + 6 * u * u)
        x, y, z = blend(start, end, share)
        along = math.hypot(end[0] - start[0], end[2] - start[2])
        lift = min(1.0, along / 0.15) * LIFT_M * 16 * (u * (1 - u)) ** 2
        # What it was doing runs out: a cubic that begins with its speed and ends where it began.
        push = duration * u * (1 - u) ** 2
        vx, vy, vz = (max(-1.0, min(1.0, v)) for v in self.speeds[side])
        return x + push * vx, max(end[1], y + lift + push * vy), z + push * vz


class Idle:
    """A standing idle, from the moment that capture is lost.

    Args:
        body: the performer.
        rest: rotations (55, 4) of bones that the idle leaves alone.
        seed: of the show.
    """

    def __init__(self, body: BodyKinematics, rest: Floats, seed: int) -> None:
        """Stand at the middle of the stage, facing ahead."""
        self.body, self.rest = body, rest
        self.phases: list[float] = (
            np.random.default_rng([seed, 55]).uniform(0, 2 * math.pi, 8).tolist()
        )
        self.ticks = 0
        self.voice = 0.0
        self.heading: Heading = (0.0, 1.0)
        self.plan: _FootPlan | None = None

    def start(self, frames: Sequence[tuple[Floats, Floats]]) -> None:
        """Begin where the last two emitted frames, roots (3,) and rotations (55, 4), were."""
        self.ticks = 0
        if not frames:
            self.plan = None
            return
        self.rest = frames[-1][1]
        self.heading = heading_of(frames[-1][1][0])
        before, pose = (
            self.body.place(tuple(root.tolist()), [tuple(q) for q in rotations.tolist()])
            for root, rotations in (frames[0], frames[-1])
        )
        self.plan = _FootPlan(self.body, pose, before, self.heading)

    def step(self, loudness: float) -> IdlePose:
        """Return what to do at the next tick.

        Args:
            loudness: of the voice at this tick, root mean square.
        """
        self.ticks += 1
        volume = min(1.0, loudness / LOUD)
        self.voice += (volume - self.voice) * (0.25 if volume > self.voice else 0.04)
        t = self.ticks / TICK_HZ
        sin, cos = self.heading
        facing = about((0.0, 1.0, 0.0), math.atan2(sin, cos))
        # Along two axes a quarter of a turn apart a sway never stands still, as people never do.
        shift = 0.45 * self._wave(0, 10.7) + 0.35 * self._wave(3, 4.9)
        sway = SWAY_M * shift
        middle = self.plan.middle if self.plan is not None else (0.0, 0.0)
        height = self.body.hips - KNEES_M - 0.008 * abs(shift) + 0.002 * self._wave(2, 4.1)
        back = 0.010 * self._wave(3, 4.9, quarter=1)
        root = (
            middle[0] + cos * sway + sin * back,
            height,
            middle[1] - sin * sway + cos * back,
        )
        if self.plan is None:
            x = self.body.half_stance
            ankles: dict[str, Point] = {
                "left": (x, self.body.ankle, 0.0),
                "right": (-x, self.body.ankle, 0.0),
            }
        else:
            ankles = {side: self.plan.at(side, t) for side in SIDES}
        rotations: list[Quaternion] = [tuple(q) for q in self.rest.tolist()]
        for name, vector in self._posture(shift).items():
            rotations[BONE[name]] = _vector(*vector)
        rotations[0] = compose(facing, rotations[0])
        self._stand(root, rotations, ankles)
        return IdlePose(
            np.asarray(root, dtype=np.float32), np.asarray(rotations, dtype=np.float32), ankles
        )

    def _wave(self, phase: int, period_s: float, quarter: int = 0) -> float:
        turns = self.ticks / TICK_HZ / period_s + quarter / 4
        return math.sin(2 * math.pi * turns + self.phases[phase])

    def _posture(self, shift: float) -> dict[str, tuple[float, float, float]]:
        """Return rotation vectors of the bones that the idle moves."""
        breath = self._wave(2, 4.1)
        look = 0.16 * self._wave(4, 7.9) + 0.10 * self._wave(5, 4.7)
        nod = 0.03 * self._wave(6, 5.9)
        voice = self.voice
        beat = [self._wave(5, 1.9), self._wave(7, 1.5)]
        out: dict[str, tuple[float, float, float]] = dict.fromkeys(BONES[:22], (0.0, 0.0, 0.0))
        out |= _STANCE
        out["hips"] = (0.0, 0.03 * self._wave(3, 6.1), 0.045 * shift)
        out["spine"] = (0.02 + 0.008 * breath, -0.03 * self._wave(3, 6.1), -0.05 * shift)
        out["chest"] = (0.012 * breath + 0.02 * voice * beat[1], 0.15 * look, -0.015 * shift)
        out["upperChest"] = (0.01 * breath, 0.1 * look, 0.0)
        out["neck"] = (0.03 + nod - 0.02 * breath, 0.35 * look, 0.02 * shift)
        out["head"] = (0.8 * nod + 0.05 * voice * beat[0], 0.55 * look, 0.0)
        for side, sign, wave in zip(SIDES, (1.0, -1.0), beat, strict=True):
            lifted = voice * (0.55 + 0.45 * wave)
            x, y, z = out[f"{side}UpperArm"]
            own = 6 if sign > 0 else 7
            swing, away = 0.06 * self._wave(own, 3.1), 0.05 * self._wave(own, 3.1, quarter=1)
            out[f"{side}UpperArm"] = (
                x - 0.25 * lifted + swing,
                y,
                z + sign * (0.02 * breath + 0.08 * lifted + away),
            )
            x, y, z = out[f"{side}LowerArm"]
            out[f"{side}LowerArm"] = (
                x,
                y - sign * (0.8 * lifted + 0.08 * self._wave(own, 3.7)),
                z,
            )
            out[f"{side}Shoulder"] = (0.0, 0.0, sign * 0.012 * breath)
        return out

    def _stand(self, root: Point, rotations: list[Quaternion], ankles: dict[str, Point]) -> None:
        """Bend the legs so that both feet are where they are to be."""
        pose = self.body.place(root, rotations)
        for side in SIDES:
            # The feet point ahead, flat, whatever the hips do.
            foot = self.body.legs[side][2]
            outward = about((0.0, 1.0, 0.0), 0.12 if side == "left" else -0.12)
            sin, cos = self.heading
            facing = about((0.0, 1.0, 0.0), math.atan2(sin, cos))
            pose.turns[foot] = compose(facing, outward)
            self.body.step_on(side, ankles[side], rotations, pose)


def keep_on_floor(
    body: BodyKinematics,
    root: Floats,
    rotations: Floats,
    ankles: dict[str, Point],
) -> tuple[Floats, Floats]:
    """Return a pose whose ankles are where they are to be, and whose toes are not below the floor.

    Args:
        body: the performer.
        root: (3,), metres.
        rotations: (55, 4), local.
        ankles: where they are to be.
    """
    place: Point = tuple(root.tolist())
    turns: list[Quaternion] = [tuple(q) for q in rotations.tolist()]
    place = _within_reach(body, place, body.place(place, turns), ankles)
    pose = body.place(place, turns)
    for side in SIDES:
        body.step_on(side, ankles[side], turns, pose)
    pose = body.place(place, turns)
    for side in SIDES:  # a foot that still tilts is lifted by what its toes lack
        toes = pose.places[body.legs[side][3]][1]
        if toes < 0:
            body.step_on(side, add(ankles[side], (0.0, -toes, 0.0)), turns, pose)
    return np.asarray(place, dtype=np.float32), np.asarray(turns, dtype=np.float32)


def _within_reach(
    body: BodyKinematics, root: Point, pose: PlacedPose, ankles: dict[str, Point]
) -> Point:
    """Lower the hips so far that both legs reach their ankles."""
    drop = 0.0
    for side in SIDES:
        hip, ankle = pose.places[body.legs[side][0]], ankles[side]
        length = body.leg_lengths[side] * HANGING
        flat = (hip[0] - ankle[0]) ** 2 + (hip[2] - ankle[2]) ** 2
        if flat < length * length:
            drop = max(drop, hip[1] - ankle[1] - math.sqrt(length * length - flat))
    return root[0], root[1] - drop, root[2]


class RisingFloor:
    """Keep whoever nobody captures off the floor, without a jump where capture had him below it.

    Args:
        body: the performer.
        last: root (3,) and rotations (55, 4) of the last frame; None at the start of a show.
    """

    def __init__(self, body: BodyKinematics, last: tuple[Floats, Floats] | None) -> None:
        """Begin where the last frame's lowest joint was."""
        self.body = body
        self.height = 0.0 if last is None else min(0.0, _lowest(body, *last))

    def lift(self, root: Floats, rotations: Floats) -> Floats:
        """Return the root (3,) of a pose of which nothing is below the floor of this tick."""
        self.height = min(0.0, self.height + RISE_M)
        deep = self.height - _lowest(self.body, root, rotations)
        return root if deep <= 0 else root + np.asarray([0, deep, 0], dtype=np.float32)


def _lowest(body: BodyKinematics, root: Floats, rotations: Floats) -> float:
    pose = body.place(tuple(root.tolist()), [tuple(q) for q in rotations.tolist()])
    return pose.lowest


def lift(
    body: BodyKinematics, target: tuple[Floats, Floats], emitted: tuple[Floats, Floats]
) -> Floats:
    """Return the root (3,) of a pose on its way to another, no deeper in the floor than that one is.

    Args:
        body: the performer.
        target: root (3,) and rotations (55, 4) that it eases to.
        emitted: root and rotations on the way.
    """
    deep = min(0.0, _lowest(body, *target)) - _lowest(body, *emitted)
    root = emitted[0]
    return root if deep <= 0 else root + np.asarray([0, deep, 0], dtype=np.float32)
