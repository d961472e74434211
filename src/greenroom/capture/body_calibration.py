"""What a person's T-pose says of a live sender, and where it is kept: HOME/calibrations/ACTOR.

Convention: a sender's bones may rest in any axes. With S the sender's world rotation of a bone, S₀ the
same in the T-pose, and F the facing (from ours to the sender's world), ours is W = F⁻¹ S S₀⁻¹ F.
Positions are turned by F⁻¹, lowered by the floor and scaled by the ratio of the hips' heights.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np

from greenroom.errors import BadInput
from greenroom.frames import BONE, BONES, PARENTS, Doubles, Floats
from greenroom.rotations import IDENTITY, from_vector, inverse, multiply, rotate
from greenroom.store.objects import write_durably
from greenroom.store.workspace import Workspace

FOLDER = "calibrations"
_PORTS = {"vmc": 39540, "mvn": 9763}
_NAME = re.compile(r"[^A-Za-z0-9.]+")

Quaternion = tuple[float, float, float, float]


class BodyCalibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one sender's body becomes one actor's.

    Attributes:
        actor: who performs.
        url: of the receiver, without its options.
        made_utc_ns: when, nanoseconds since 1970.
        facing_deg: yaw of the person in the sender's world, about +Y, degrees in (-180, 180].
        floor_m: height of the floor in the sender's world, metres.
        hip_ratio: the actor's hip height in the sender's, in (0.2, 5).
        rest: bone → its world rotation (x, y, z, w) in the T-pose, in the sender's world.
        version: of this file.
    """

    actor: str
    url: str
    made_utc_ns: int
    facing_deg: float
    floor_m: float
    hip_ratio: float
    rest: dict[str, Quaternion]
    version: int = 1

    @property
    def facing(self) -> Doubles:
        """The rotation (4,) from our world to the sender's."""
        yaw = np.asarray([0.0, np.deg2rad(self.facing_deg), 0.0])
        return np.asarray(from_vector(yaw), dtype=np.float64)


class PoseCorrection:
    """Apply a calibration to poses.

    Args:
        calibration: of their sender.
    """

    def __init__(self, calibration: BodyCalibration) -> None:
        """Compute what stands before and after each bone's rotation."""
        back = inverse(calibration.facing)
        rest = np.tile(np.asarray(IDENTITY), (len(BONES), 1))
        for bone, parent in enumerate(PARENTS):
            known = calibration.rest.get(BONES[bone])
            if known is not None:
                rest[bone] = known
            elif parent >= 0:  # its axes are taken to be its parent's
                rest[bone] = rest[parent]
        above = multiply(back, rest[list(PARENTS)])
        above[0] = back
        self._before = above.astype(np.float32)
        self._after = multiply(inverse(rest), calibration.facing).astype(np.float32)
        self._back = back.astype(np.float32)
        self._floor = np.asarray([0, calibration.floor_m, 0], dtype=np.float32)
        self._ratio = np.float32(calibration.hip_ratio)

    def root(self, root: Floats) -> Floats:
        """Return the place of the hips (3,), metres; NaN stays NaN."""
        placed: Floats = rotate(self._back, root - self._floor) * self._ratio
        return placed

    def rotations(self, rotations: Floats) -> Floats:
        """Return local rotations (55, 4), relative to the T-pose; NaN stays NaN."""
        turned: Floats = multiply(multiply(self._before, rotations), self._after)
        return turned


def receiver_key(url: str) -> str:
    """Return a receiver's URL without its options, and with its port and host.

    >>> receiver_key("vmc://:39540?use=body&allow=10.0.0.0/8"), receiver_key("vmc://localhost")
    ('vmc://127.0.0.1:39540', 'vmc://127.0.0.1:39540')
    """
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    host = "127.0.0.1" if host == "localhost" else host
    try:
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        port = None
    if ":" in host:
        host = f"[{host}]"
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path}"


def calibration_path(workspace: Workspace, actor: str, url: str) -> Path:
    """Return where the calibration of a receiver is kept.

    Args:
        workspace: whose folder it is in.
        actor: who performs.
        url: of the receiver, with or without its options.
    """
    name = _NAME.sub("-", receiver_key(url)).strip("-")
    return workspace.home / FOLDER / _NAME.sub("-", actor) / f"{name}.json"


def save_calibration(workspace: Workspace, calibration: BodyCalibration) -> Path:
    """Keep a calibration, in place of an earlier one; return its file.

    Raises:
        GreenroomError: it cannot be written.
    """
    path = calibration_path(workspace, calibration.actor, calibration.url)
    data = msgspec.json.format(msgspec.json.encode(calibration), indent=1)
    write_durably(path, data + os.linesep.encode())
    return path


def load_calibration(workspace: Workspace, actor: str, url: str) -> BodyCalibration | None:
    """Return the calibration of a receiver; None where there is none.

    Raises:
        BadInput: the file is damaged.
    """
    path = calibration_path(workspace, actor, url)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        calibration = msgspec.json.decode(data, type=BodyCalibration)
        _require_sound(calibration)
    except (msgspec.MsgspecError, ValueError) as error:
        then = f"calibrate again, or: greenroom calibrate {actor} --in {url} --forget"
        raise BadInput(f"no calibration: {error}", where=str(path), then=then) from error
    return calibration


def _require_sound(calibration: BodyCalibration) -> None:
    lengths = [sum(x * x for x in turn) for turn in calibration.rest.values()]
    if not all(0.99 < length < 1.01 for length in lengths):
        raise ValueError("a rotation is no unit quaternion")
    if not set(calibration.rest) <= set(BONE):
        raise ValueError("it names a bone that no humanoid has")
    if not (0.2 < calibration.hip_ratio < 5 and abs(calibration.floor_m) < 100):
        raise ValueError("its ratio or its floor is absurd")
    if not abs(calibration.facing_deg) <= 360:
        raise ValueError("its facing is absurd")


def forget_calibration(workspace: Workspace, actor: str, url: str) -> Path:
    """Remove the calibration of a receiver; return where it was.

    Raises:
        BadInput: there is none.
    """
    path = calibration_path(workspace, actor, url)
    try:
        path.unlink()
    except FileNotFoundError:
        raise BadInput(
            f"there is no calibration of {receiver_key(url)} for {actor}",
            then=f"make one: greenroom calibrate {actor} --in {url}",
        ) from None
    return path
