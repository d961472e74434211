"""Fixtures for every room: a made-up person as BVH, the shared recordings, the published clips."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from greenroom import config
from greenroom.capture.sample_data import Clip, clips, fetched


@pytest.fixture(autouse=True)
def _one_process_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands called in this process do not change it for the tests after (tests/test_beside.py)."""
    monkeypatch.setattr("greenroom.cli.context.run_in_background", lambda: None)
    monkeypatch.setattr("greenroom.live.show.retain_freed_memory", lambda: None)


VRM = {
    "hips": ("", (0, 0.95, 0)),
    "spine": ("hips", (0, 0.1, 0)),
    "chest": ("spine", (0, 0.15, 0)),
    "neck": ("chest", (0, 0.2, 0)),
    "head": ("neck", (0, 0.1, 0)),
    "leftShoulder": ("chest", (0.04, 0.15, 0)),
    "leftUpperArm": ("leftShoulder", (0.14, 0, 0)),
    "leftLowerArm": ("leftUpperArm", (0.27, 0, 0)),
    "leftHand": ("leftLowerArm", (0.25, 0, 0)),
    "rightShoulder": ("chest", (-0.04, 0.15, 0)),
    "rightUpperArm": ("rightShoulder", (-0.14, 0, 0)),
    "rightLowerArm": ("rightUpperArm", (-0.27, 0, 0)),
    "rightHand": ("rightLowerArm", (-0.25, 0, 0)),
    "leftUpperLeg": ("hips", (0.1, -0.05, 0)),
    "leftLowerLeg": ("leftUpperLeg", (0, -0.42, 0)),
    "leftFoot": ("leftLowerLeg", (0, -0.41, 0)),
    "leftToes": ("leftFoot", (0, -0.06, 0.13)),
    "rightUpperLeg": ("hips", (-0.1, -0.05, 0)),
    "rightLowerLeg": ("rightUpperLeg", (0, -0.42, 0)),
    "rightFoot": ("rightLowerLeg", (0, -0.41, 0)),
    "rightToes": ("rightFoot", (0, -0.06, 0.13)),
}
AXES = {
    "Y": np.eye(3),
    "Z": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),  # ours → Z up, facing -Y
    "X": np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]),
}


def make_bvh(
    frames: int = 12,
    rate: float = 30.0,
    unit: float = 0.01,
    up: str = "Y",
    names: dict[str, str] | None = None,
    arms: str = "T",
    seed: int = 0,
    order: str = "ZXY",
    amplitude: float = 20.0,
) -> bytes:
    names = names or {bone: bone for bone in VRM}
    rng = np.random.default_rng(seed)
    down = {"T": 0.0, "A": 45.0, "down": 90.0}[arms]
    lines = ["HIERARCHY"]

    def offset(bone: str) -> str:
        x, y, z = VRM[bone][1]
        if bone.endswith(("LowerArm", "Hand")):
            x, y = x * np.cos(np.deg2rad(down)), -abs(x) * np.sin(np.deg2rad(down))
        return " ".join(f"{v:.6f}" for v in AXES[up] @ (x, y, z) / unit)

    def walk(bone: str, depth: int) -> None:
        lines.append(("  " * depth) + ("JOINT " if depth else "ROOT ") + names[bone])
        lines.append("{")
        lines.append("OFFSET " + offset(bone))
        place = "Xposition Yposition Zposition " if not depth else ""
        turns = " ".join(f"{axis}rotation" for axis in order)
        lines.append(f"CHANNELS {6 if place else 3} {place}{turns}")
        children = [b for b, (parent, _) in VRM.items() if parent == bone]
        for child in children:
            walk(child, depth + 1)
        if not children:
            lines.extend(["End Site", "{", "OFFSET 0 0 0", "}"])
        lines.append("}")

    walk("hips", 0)
    lines += ["MOTION", f"Frames: {frames}", f"Frame Time: {1 / rate:.8f}"]
    t = np.arange(frames)[:, None] / rate
    count = 3 * len(VRM)
    phases, speeds = rng.uniform(0, 6.28, count), rng.uniform(1, 4, count)
    turns = amplitude * np.sin(t * speeds + phases)
    root = np.stack([0 * t[:, 0], 0.95 + 0 * t[:, 0], 0.8 * t[:, 0]], axis=1) @ AXES[up].T / unit
    for row in np.concatenate([root, turns], axis=1):
        lines.append(" ".join(f"{v:.6f}" for v in row) + " ")
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture(scope="session")
def person() -> Callable[..., bytes]:
    return make_bvh


@pytest.fixture(scope="session")
def published() -> list[Clip]:
    cache = config.cache()
    if not fetched(cache):
        pytest.skip("published clips not fetched: run make setup")
    return clips(cache)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    default = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    path = Path(os.environ.get("GREENROOM_SHARED_DATA", default))
    if not path.is_dir():
        pytest.skip("shared recordings not found: set GREENROOM_SHARED_DATA")
    return path
