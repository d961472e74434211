"""Make up a show, so that the page is tested without a model: a synthetic walk, not a recording.

By hand, to look at the page: ``python tests/stage/synthetic_show.py --port 8470``; then
``curl -X POST localhost:8470/cue/speech`` (or capture, previous, hold, alert, calm, style, fault,
mended, swap, miss, learn, promoted, rejected, failed, garbage, stop, start, rewind, standby, end,
verdict, differ).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import threading
import time
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from greenroom.frames import BONE, BONES, HUMANOID
from greenroom.rotations import from_euler, multiply
from greenroom.stage import Hub, create_app, serve_in_thread

JOINTS = [
    "hips spine chest upperChest neck head".split(),
    "UpperArm LowerArm Hand UpperLeg LowerLeg Foot".split(),
]
DRIVEN = JOINTS[0] + [f"{side}{name}" for side in ("left", "right") for name in JOINTS[1]]
NOTICE = (
    "Speech and motion were not recorded together; speech was not trained to drive the body, "
    "so what moves on the speech rung is the model's own past."
)
SIMULATED = "The performer is simulated: a skeleton walks here, no person was recorded."
RELEASE = "3f9a1c" + "0b" * 29
NEXT_RELEASE = "7be204" + "1c" * 29
SHOW = "9c1a2f" + "d4" * 29


def hello(ticks: int | None = 1800, **changes: Any) -> dict[str, Any]:
    """Return the message that opens the synthetic show."""
    return {
        "type": "hello",
        "actor": "mira",
        "release": RELEASE,
        "tick_hz": 30,
        "limit_ms": 33.3,
        "skeleton": {
            "names": list(BONES),
            "parents": list(HUMANOID.parents),
            "offsets": HUMANOID.offsets.round(4).tolist(),
        },
        "joints": DRIVEN,
        "ticks": ticks,
        "lookahead_ms": 0,
        "jitter_ms": 33.3,
        "confidence_base": 0.91,
        "confidence_low": 0.75,
        "notices": [SIMULATED, NOTICE],
        "credits": ["Motion: a synthetic walk made up for this test; no recording is played."],
        "state": "live",
    } | changes


def pose(tick: int) -> tuple[np.ndarray, np.ndarray]:
    """Return root (3,) and rotations (55, 4) of a person who strolls in a circle and gestures."""
    t = tick / 30
    phase = 2 * math.pi * 0.8 * t
    heading = 0.3 * t
    s, c = math.sin(phase), math.cos(phase)
    turns = {
        "spine": (4, 5 * s, 0),
        "upperChest": (2, -9 * s, 0),
        "neck": (4, 4 * s, 0),
        "head": (-2 + 4 * math.sin(t), 14 * math.sin(0.7 * t), 3 * math.sin(1.3 * t)),
    }
    for side, sign in (("left", 1), ("right", -1)):
        swing = sign * s
        turns[f"{side}UpperLeg"] = (-26 * swing, 0, 0)
        turns[f"{side}LowerLeg"] = (8 + 42 * max(0.0, -sign * c) ** 2, 0, 0)
        turns[f"{side}Foot"] = (10 * swing, 0, 0)
        turns[f"{side}UpperArm"] = (0, 0, -sign * 72)
        turns[f"{side}LowerArm"] = (0, -sign * (22 + 10 * swing), 0)
        turns[f"{side}Hand"] = (0, 0, -sign * 6)
        for bone in BONES:
            if bone.startswith(side) and bone.endswith(("Proximal", "Intermediate", "Distal")):
                turns[bone] = (0, -sign * 14, 0) if "Thumb" in bone else (0, 0, -sign * 16)
    rotations = np.tile(np.array([0.0, 0.0, 0.0, 1.0]), (len(BONES), 1))
    for bone, angles in turns.items():
        rotations[BONE[bone]] = from_euler(np.array(angles, dtype=float), "XYZ")
    for side, sign in (("left", 1), ("right", -1)):
        swing = from_euler(np.array([26.0 * sign * s - 4, 0, 0]), "XYZ")
        if side == "right":  # the right hand tells a story
            swing = from_euler(np.array([-28.0 + 16 * math.sin(1.7 * t), 0, 0]), "XYZ")
            rotations[BONE["rightLowerArm"]] = from_euler(
                np.array([0, 62 + 24 * math.sin(2.3 * t), 0]), "XYZ"
            )
        arm = BONE[f"{side}UpperArm"]
        rotations[arm] = multiply(swing, rotations[arm])
    rotations[0] = from_euler(np.array([math.degrees(heading), 3.0, 0.0]), "YXZ")
    root = np.array(
        [
            -0.9 * math.cos(heading) + 0.9,
            0.952 + 0.014 * math.cos(2 * phase),
            0.9 * math.sin(heading),
        ]
    )
    return root, rotations


def swap(tick: int) -> dict[str, Any]:
    """Return the message of a release that takes over: it drives the trunk and the arms only."""
    return {
        "type": "swap",
        "tick": tick,
        "release": NEXT_RELEASE,
        "joints": [name for name in DRIVEN if "Leg" not in name and "Foot" not in name],
        "confidence_base": 0.82,
        "lookahead_ms": 33.3,
    }


STEPS = {
    "pull": "Fetching the takes of the new style.",
    "build": "Cutting 412 windows from 6 takes.",
    "train": "Epoch 3 of 5; the loss still falls.",
    "validate": "Scenes that must not get worse.",
    "sandbox": "Challenger and champion on the same 40 shows.",
    "shadow": "The challenger runs beside the show and is not seen.",
    "approve": "All gates passed; the policy approves it by itself.",
    "canary": "The new release performs one frame in ten.",
    "promote": "The new release takes over.",
}
"""The learning loop's steps, with what each says."""


def run(step: str, done: float | None = None, **changes: Any) -> dict[str, Any]:
    """Return the message of the learning loop's progress."""
    return {
        "type": "run",
        "run": "r1",
        "why": "new style since 0:01:12",
        "step": step,
        "done": done,
        "state": "running",
        "text": STEPS[step],
    } | changes


ENDINGS = {
    "promoted": run("promote", 1, state="promoted", text="Better on 9 of 10 gates, worse on none."),
    "rejected": run(
        "sandbox",
        state="rejected",
        text="Feet slide 12 % more than before; the old release goes on.",
    ),
    "failed": run(
        "train", 0.6, state="failed", text="The trainer ran out of memory. Read logs/train.log."
    ),
}
"""How a run of the learning loop ends."""

ALERTS = {
    "alert": ("confidence low", None, None, "Confidence has been low for 2 s. Check the light."),
    "style": (
        "hand speed",
        "hand speed",
        "new style",
        "Hands move faster than in training. It is learned from; go on.",
    ),
    "fault": (
        "wrist lost",
        "left wrist",
        "capture fault",
        "The left wrist is not seen. Check the camera on the left.",
    ),
}
"""Name, signal, cause and sentence of each alert that a cue begins."""


def frame(
    tick: int, rung: str, counts: dict[str, int], driven: int = len(DRIVEN)
) -> dict[str, Any]:
    """Return the message of one tick; `driven` is how many joints the release drives."""
    root, rotations = pose(tick)
    rng = np.random.default_rng(tick)
    t = tick / 30
    ghost = None
    if rung == "capture":
        seen = multiply(rotations, from_euler(rng.normal(0, 1.2, (len(BONES), 3)), "XYZ"))
        valid = [0 if name.startswith("leftLower") and 4 < t % 9 < 6 else 1 for name in BONES]
        ghost = {
            "root": (root + rng.normal(0, 0.004, 3)).round(4).tolist(),
            "rotations": seen.ravel().round(4).tolist(),
            "valid": valid,
        }
    spread = 0.02 + np.exp(2.2 * np.sin(t * 0.9 + np.arange(driven) * 1.7))
    speech = 0.12 if rung == "capture" else 0.55
    weights = spread / spread.sum() * (1 - speech)
    loud = max(0.0, math.sin(t * 1.1)) * abs(math.sin(t * 5.3)) * (0.7 + 0.3 * rng.random())
    model = 0.7 + abs(rng.normal(0, 0.15)) + (7 if tick % 211 == 0 else 0)
    return {
        "type": "frame",
        "tick": tick,
        "clip": "synthetic walk",
        "rung": rung,
        "root": root.round(4).tolist(),
        "rotations": rotations.ravel().round(4).tolist(),
        "ghost": ghost,
        "face": None,
        "confidence": round(0.92 + 0.03 * math.sin(t) - (0.22 if rung != "capture" else 0), 4),
        "attention": {"joints": weights.round(4).tolist(), "speech": speech},
        "ms": {"features": 0.4, "model": model, "post": 0.2, "frame": model + 0.9},
        "late": 0,
        "frames": sum(counts.values()),
        "missed": tick + 1 - sum(counts.values()),
        "control": [],
        "rungs": counts,
        "audio": [-round(0.9 * loud, 4), round(0.85 * loud, 4)],
        "energy_db": round(-60 + 45 * loud, 2),
        "voiced": loud > 0.2,
        "f0_hz": 110 + 30 * math.sin(t) if loud > 0.2 else None,
    }


class SyntheticShow:
    """Publish the synthetic show in real time, with what happens in it decided from outside."""

    def __init__(self, hub: Hub, ticks: int | None = 1800) -> None:
        self.hub = hub
        self.ticks = ticks
        self.routes = [Route("/cue/{name}", self.cue, methods=["POST"])]
        self.outage = threading.Event()
        self._turn = threading.Lock()  # a swap comes between two frames
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.tick, self.rung, self.running = 0, "capture", False
        self.counts: dict[str, int] = {}
        self.driven = len(DRIVEN)

    def rewind(self) -> None:
        """Forget what was played and open the show again."""
        self.tick, self.rung, self.running, self.counts = 0, "capture", True, {}
        self.driven = len(DRIVEN)
        self.say(hello(self.ticks))

    def say(self, message: dict[str, Any]) -> None:
        """Publish one message."""
        self.hub.publish(message["type"], json.dumps(message).encode())

    def step(self) -> None:
        """Publish the next frame."""
        self.counts[self.rung] = self.counts.get(self.rung, 0) + 1
        with self._turn:
            self.say(frame(self.tick, self.rung, self.counts, self.driven))
            self.tick += 1

    def swap(self) -> None:
        """Let the next release perform from the next frame on."""
        with self._turn:
            message = swap(self.tick)
            self.say(message)
            self.driven = len(message["joints"])

    def alert(self, key: str, active: bool) -> None:
        """Begin or end one of the alerts."""
        name, signal, cause, text = ALERTS[key]
        alert = {"name": name, "since_tick": self.tick, "text": text, "active": active}
        self.say({"type": "alert", "signal": signal, "cause": cause} | alert)

    def start(self) -> None:
        """Play in a thread, 30 frames a second."""
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        if self._thread:
            self._thread.join(5)

    def _play(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            due = max(due + 1 / 30, time.monotonic() - 0.2)
            time.sleep(max(0.0, due - time.monotonic()))
            if self.running:
                self.step()

    def gaps(self, frames: int) -> dict[str, int]:
        """Return how many ticks there were and were missed; a frame may be on its way."""
        ticks = max(self.tick, frames)
        return {"ticks": ticks, "missed": ticks - frames}

    async def cue(self, request: Request) -> JSONResponse:
        """Do what a test asks for."""
        name = request.path_params["name"]
        if name in ("capture", "speech", "previous", "hold"):
            self.rung = name
        elif name in ALERTS:
            self.alert(name, True)
        elif name == "calm":
            for key in ("alert", "style"):
                self.alert(key, False)
        elif name == "mended":
            self.alert("fault", False)
        elif name == "swap":
            self.swap()
        elif name == "miss":
            with self._turn:
                self.tick += 12
        elif name == "learn":  # done with all before it, and part of the way through this one
            for step in list(STEPS)[:3]:
                self.say(run(step, 0))
                await asyncio.sleep(0.15)  # who is slow hears only the last word of a burst
            self.say(run("train", 0.42))
        elif name in ENDINGS:
            if name == "promoted":
                for step in list(STEPS)[3:]:
                    self.say(run(step))
            self.say(ENDINGS[name])
        elif name == "garbage":
            self.running = False
            self.say(
                frame(self.tick, self.rung, self.counts, self.driven) | {"rotations": [0, 0, 0, 1]}
            )
        elif name in ("stop", "start"):
            self.running = name == "start"
        elif name == "rewind":
            self.rewind()
        elif name == "standby":
            self.rewind()
            self.running = False
        elif name == "outage":
            self.outage.set()
        elif name == "end":
            self.running = False
            total = sum(self.counts.values())
            gaps = self.gaps(total)
            end = {"type": "end", "show": SHOW, "frames": total, "late": 0, "rungs": self.counts}
            self.say(end | gaps)
        elif name in ("verdict", "differ"):
            total = sum(self.counts.values())
            first = {"tick": 41, "why": "the model's output differs in joint leftHand by 1.2e-07"}
            exact = (total, None) if name == "verdict" else (41, first)
            verdict = {"frames": total, "exact": exact[0], "first_difference": exact[1]}
            gaps = self.gaps(total)
            self.say({"type": "verdict", "class": "EXACT"} | verdict | gaps)
        else:
            return JSONResponse({"error": f"no cue {name}"}, 404)
        return JSONResponse({"tick": self.tick})


def main() -> None:
    """Serve the synthetic show until interrupted."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=8470)
    options.add_argument("--ticks", type=int, default=1800)
    chosen = options.parse_args()
    hub = Hub()
    show = SyntheticShow(hub, chosen.ticks or None)
    with serve_in_thread(create_app(hub, api_routes=show.routes), port=chosen.port) as server:
        print(server.url, flush=True)
        show.rewind()
        show.start()
        threading.Event().wait()


if __name__ == "__main__":
    main()
