"""Calibrate a live body: listen to a person in the T-pose, and keep what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from greenroom.capture.body_calibration import (
    BodyCalibration,
    forget_calibration,
    receiver_key,
    save_calibration,
)
from greenroom.capture.packets import BodySample, newest
from greenroom.capture.receivers import (
    LISTENING,
    RECEIVERS,
    open_receiver,
    resolve_receiver,
    try_receiver,
)
from greenroom.capture.receivers.addresses import with_allowed
from greenroom.capture.receivers.selection import split_use
from greenroom.capture.skeleton.tpose_calibration import TPoseSamples, fit_tpose
from greenroom.clock import TICK_HZ, Clock, Pacer, WallClock
from greenroom.contracts import Receiver
from greenroom.errors import BadInput
from greenroom.frames import BONES
from greenroom.plugins import scheme_of
from greenroom.registry.promote import live_release
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace

WAIT_S = 30.0
"""How long a body is waited for."""
COUNTDOWN_S = 2.0
"""From the first body to the measurement: time to stand still."""
LOST_S = 1.0
"""Without a body for so long, the measurement ends."""

_RECORDED = ("take", "wav")

Progress = Callable[[str, str], None]
"""Called with the stage, and a line for people."""


@dataclass(frozen=True)
class CalibrateRequest:
    """What to calibrate.

    Attributes:
        actor: who performs.
        url: of the live input; its options but `allow` are not needed.
        allow: networks that may send to it, where other machines reach it.
        seconds: length of the measurement.
        wait_s: how long a body is waited for.
        countdown_s: from the first body to the measurement.
    """

    actor: str
    url: str
    allow: Sequence[str] = ()
    seconds: float = 3.0
    wait_s: float = WAIT_S
    countdown_s: float = COUNTDOWN_S


@dataclass(frozen=True)
class CalibrationResult:
    """A calibration that was kept, and its file."""

    calibration: BodyCalibration
    path: Path

    @property
    def json(self) -> dict[str, Any]:
        """What `calibrate --json` prints."""
        calibration = self.calibration
        return {
            "actor": calibration.actor,
            "url": calibration.url,
            "file": str(self.path),
            "bones": len(calibration.rest),
            "facing_deg": round(calibration.facing_deg, 2),
            "floor_m": round(calibration.floor_m, 4),
            "hip_ratio": round(calibration.hip_ratio, 4),
        }


@dataclass
class _Recording:
    """Bodies of a measurement."""

    samples: list[BodySample] = field(default_factory=list)

    def stacked(self, offsets: Any) -> TPoseSamples:
        return TPoseSamples(
            np.stack([sample.root for sample in self.samples]).astype(np.float64),
            np.stack([sample.rotations for sample in self.samples]).astype(np.float64),
            validity=np.stack([sample.validity for sample in self.samples]).astype(np.float64),
            offsets=offsets,
        )


def calibrate_input(
    workspace: Workspace,
    request: CalibrateRequest,
    progress: Progress = lambda stage, line: None,
    clock: Clock | None = None,
) -> CalibrationResult:
    """Listen to a person in the T-pose; keep how the sender's body becomes the actor's.

    Args:
        workspace: where it is kept.
        request: what to calibrate.
        progress: called ten times a second.
        clock: paces the listening; None for the machine's.

    Raises:
        BadInput: the input cannot be opened or gives no body, nothing arrives, the person moves, or does
            not stand in the T-pose.
    """
    release = load_release(workspace, live_release(workspace, request.actor))
    receiver = _open(workspace, request)
    try:
        recording = _listen(receiver, request, progress, clock=clock or WallClock())
        offsets = getattr(getattr(receiver, "decoder", None), "offsets", _no_offsets)()
    finally:
        receiver.close()
    fit = fit_tpose(recording.stacked(offsets), release.skeleton)
    calibration = BodyCalibration(
        actor=request.actor,
        url=receiver_key(request.url),
        made_utc_ns=workspace.log.clock.utc_ns(),
        facing_deg=fit.facing_deg,
        floor_m=fit.floor_m,
        hip_ratio=fit.hip_ratio,
        rest={name: _quaternion(turn) for name, turn in fit.rest.items()},
    )
    return CalibrationResult(calibration, save_calibration(workspace, calibration))


def forget_input(workspace: Workspace, actor: str, url: str) -> Path:
    """Remove the calibration of a live input; return where it was.

    Raises:
        BadInput: there is none.
    """
    return forget_calibration(workspace, actor, url)


def _quaternion(turn: Any) -> tuple[float, float, float, float]:
    x, y, z, w = (float(number) for number in turn)
    return x, y, z, w


def _no_offsets() -> Any:
    return np.full((len(BONES), 3), np.nan)


def _open(workspace: Workspace, request: CalibrateRequest) -> Receiver:
    """Return the open receiver, without a jitter buffer's options or a choice of kinds."""
    scheme = scheme_of(request.url)
    if scheme not in RECEIVERS.names() or scheme in _RECORDED:
        known = ", ".join(f"{name}:" for name in RECEIVERS.names() if name not in _RECORDED)
        raise BadInput(f"'{request.url}' is no live input", then=f"known: {known}")
    url, _ = split_use(request.url)
    url = with_allowed(url, request.allow) if scheme in LISTENING else resolve_receiver(url)
    receiver = open_receiver(url, workspace)
    gives = getattr(receiver, "gives", ("body",))
    receiver.close()
    if "body" not in gives:
        raise BadInput(
            f"it gives no body: {', '.join(gives)}",
            where=request.url,
            then="calibrate an input that gives one, such as vmc://:39540",
        )
    try_receiver(url, workspace)
    return open_receiver(url, workspace)


def _listen(
    receiver: Receiver, request: CalibrateRequest, progress: Progress, clock: Clock
) -> _Recording:
    """Return the bodies of the measurement, which begins a moment after the first one."""
    pacer = Pacer(clock, clock.now_ns())
    key = receiver_key(request.url)
    recording = _Recording()
    first: int | None = None
    last = 0
    measured = round(request.seconds * TICK_HZ)
    countdown = round(request.countdown_s * TICK_HZ)
    tick = 0
    while first is None or tick < first + countdown + measured:
        pacer.wait(tick)
        sample = newest(receiver.poll(clock.now_ns() - pacer.start_ns)).body
        if sample is not None:
            first, last = (tick if first is None else first), tick
            if tick >= first + countdown:
                recording.samples.append(sample)
        if first is None and tick > request.wait_s * TICK_HZ:
            raise BadInput(_nothing(receiver, request.wait_s), where=key, then=_START)
        if first is not None and tick - last > LOST_S * TICK_HZ:
            then = "stay where the sender sees you, and try again"
            raise BadInput("the body was lost while it was measured", where=key, then=then)
        if tick % 3 == 0:
            left_s = 0.0 if first is None else (first + countdown + measured - tick) / TICK_HZ
            progress(*_progress(key, sample, left_s, request.seconds))
        tick += 1
    if len(recording.samples) < max(1, measured // 2):
        raise BadInput("the body was lost half of the time", where=key, then=_START)
    return recording


_START = "start the sender, let it send its body to this address, and try again"


def _nothing(receiver: Receiver, wait_s: float) -> str:
    """Say what arrived where no body did."""
    reports: list[dict[str, Any]] = getattr(receiver, "reports", list)()
    received = sum(report["received"] for report in reports)
    malformed = sum(report["malformed"] for report in reports)
    if not received:
        return f"nothing arrived in {wait_s:.0f} s"
    return f"{received} datagrams arrived in {wait_s:.0f} s, and no body in them ({malformed} malformed)"


def _progress(
    key: str, sample: BodySample | None, left_s: float, seconds: float
) -> tuple[str, str]:
    """Return the stage, and a line that says what arrives."""
    if sample is None:
        return "waiting", f"{key}: waiting for a body"
    bones = int((sample.validity > 0).sum())
    height = float(sample.root[1])
    hips = f", hips at {height:.2f} m" if np.isfinite(height) else ""
    stage = "get ready for the T-pose" if left_s > seconds else "hold the T-pose"
    return stage, f"{key}: {bones} bones{hips}; {stage}: {left_s:.1f} s"
