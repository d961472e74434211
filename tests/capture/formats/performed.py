"""An asymmetric performance that each format writes, and where its bones are."""

import numpy as np

from greenroom.clock import Timecode
from greenroom.frames import ARKIT, BONE, BONES, HUMANOID, Body, Doubles, Face
from greenroom.rotations import from_vector

TICKS = 30
TIMECODE = Timecode(1_790_000_000_123_456_789, first=10)


def asymmetric(ticks: int = TICKS) -> Body:
    rng = np.random.default_rng(3)
    vectors = np.cumsum(rng.normal(0, 0.06, (ticks, len(BONES), 3)), axis=0)
    turns = from_vector(vectors + rng.normal(0, 0.4, (1, len(BONES), 3))).astype(np.float32)
    turns[:, [BONE["leftEye"], BONE["rightEye"]]] = [0, 0, 0, 1]
    root = np.cumsum(rng.normal(0, 0.02, (ticks, 3)), axis=0) + [0.3, 0.95, -0.2]
    validity = np.ones(turns.shape[:2], dtype=np.float32)
    return Body(HUMANOID, root.astype(np.float32), turns, validity)


def driven_face(ticks: int = TICKS) -> Face:
    weights = np.random.default_rng(4).uniform(0, 1, (ticks, len(ARKIT)))
    return Face(ARKIT, weights.astype(np.float32))


def places(body: Body) -> tuple[Doubles, Doubles]:
    local = body.skeleton.rest_translations(len(body), body.root)
    return body.skeleton.world(local, body.rotations)
