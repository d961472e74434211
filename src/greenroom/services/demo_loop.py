"""The demo of the learning loop: light fails, the style changes, a better release comes on stage."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom import embedded
from greenroom.capture import sample_data
from greenroom.clock import TICK_HZ
from greenroom.config import JOB_FOLDER
from greenroom.demo.program import LONGEST_S, Program, ProgramRequest, load_body, make_program
from greenroom.errors import CheckFailed, Refused
from greenroom.live.playlist import open_playlist
from greenroom.live.show import ShowHooks, ShowResult, perform
from greenroom.live.supervisor import ShowSpec
from greenroom.manifests import AutoApproval, Gate
from greenroom.observers.capture_buffer import CaptureRecorder
from greenroom.observers.drift_channels import motion_channels
from greenroom.observers.drift_monitor import DriftMonitor
from greenroom.observers.page import welcome_message
from greenroom.registry.policy import PolicyRules, set_policy
from greenroom.registry.promote import live_release
from greenroom.registry.release import Release, load_release
from greenroom.registry.signing import DEMO, keys_of, make_key, root_key
from greenroom.retraining.requests import PROMOTED, Run, read_rules, runs
from greenroom.services.demo import LINGER_S, DemoHooks, DemoResult, ensure_sample_clips
from greenroom.services.retraining_status import RetrainingStatus
from greenroom.services.show_results import replay_in_new_process
from greenroom.services.show_session import ShowSession, warned
from greenroom.store.workspace import Workspace

DARK_S = (38.0, 54.0)
"""When the light fails."""
AFTER_PROMOTION_S = 20.0
"""Of the show after the new release is the champion."""
SIGNER = "demo"
STEPS = 80
RULES = {
    "causes": ["new style"],
    "cool_down_s": 60,
    "per_day": 24,
    "preset": "tokens",
    "steps": STEPS,
    "canary_s": 15,
    "gather_s": 30,
}
GATES = [Gate(metric="infill.joints_deg", against="champion", margin=-1.0, level=0.95)]


@dataclass(frozen=True)
class LoopAlert:
    """An alert of the show.

    Attributes:
        signal: that is out of control.
        cause: such as "new style".
        where: limbs or channels.
        second: when it was raised.
    """

    signal: str
    cause: str
    where: list[str]
    second: float


@dataclass(frozen=True)
class LoopResult:
    """What came of the show and of the retraining beside it.

    Attributes:
        demo: the show and its replay.
        alerts: of the show, in order.
        style_s: when the style changed.
        captured_takes: number of takes that were recorded from the show.
        run: the retraining; None where none ended in time.
        promotion_s: from the first alert of a new style to the promotion; None without one.
        confidence: stretch of the show → mean confidence of the model.
        errors: the last that the retraining process wrote to stderr.
    """

    demo: DemoResult
    alerts: list[LoopAlert]
    style_s: float
    captured_takes: int
    run: Run | None
    promotion_s: float | None
    confidence: dict[str, float | None]
    errors: str

    def json(self) -> dict[str, Any]:
        """Return it as the command prints it."""
        run = self.run
        run_json = run and {"run": run.name, "outcome": run.outcome, "reason": run.reason}
        return {
            **self.demo.show_result.json,
            "simulated": True,
            "alerts": [asdict(alert) for alert in self.alerts],
            "style_second": self.style_s,
            "captured_takes": self.captured_takes,
            "run": run_json,
            "alert_to_promoted_s": self.promotion_s,
            "confidence": self.confidence,
            "replay": self.demo.replay,
        }

    @property
    def is_closed(self) -> bool:
        """Whether a retraining was promoted."""
        return self.run is not None and self.run.outcome == PROMOTED

    def check(self) -> None:
        """Pass where the replay is exact and a retraining was promoted.

        Raises:
            CheckFailed: one of the two is not so.
        """
        self.demo.check()
        if not self.is_closed:
            run = self.run
            why = "no run ended in time" if run is None else f"{run.outcome}: {run.reason}"
            raise CheckFailed(f"the loop did not close: {why}", then=self.errors.strip())


def perform_loop(
    workspace: Workspace, request: ProgramRequest, by: str, hooks: DemoHooks
) -> LoopResult:
    """Perform, watch, retrain, swap, and replay.

    Args:
        workspace: the workspace.
        request: what program.
        by: name for the log.
        hooks: functions that are called meanwhile.

    Raises:
        BadInput: the recordings cannot be played.
        Refused: the workspace has a root key.
    """
    request.check()
    ensure_sample_clips(hooks.notify)
    embedded.install(workspace)
    release = load_release(workspace, live_release(workspace, embedded.ACTOR))
    _sign(workspace)
    hooks.notify("reading what plays, and learning the reference")
    embedded.ingest_clips(workspace, by)  # what the champion was trained on
    show = _LoopShow(workspace, release, make_program(workspace, request, by), by=by, hooks=hooks)
    return _replay(workspace, show, show.run())


def _sign(workspace: Workspace) -> None:
    """Put the demo's policy in force, signed by a key that counts in a workspace without a root."""
    actor = embedded.ACTOR
    if root_key(workspace) is not None:
        raise Refused(
            "this workspace has a root key, and the demo signs a policy with a key of its own",
            then="give another folder: greenroom --home DIR demo --loop",
        )
    if not any(key.owner == SIGNER and key.trust == DEMO for key in keys_of(workspace).values()):
        make_key(workspace, SIGNER, trust=DEMO)
    until = (workspace.today() + datetime.timedelta(days=1)).isoformat()
    set_policy(
        workspace,
        actor,
        SIGNER,
        PolicyRules(
            gates=GATES,
            auto_approval=AutoApproval(until=until, per_day=24, kinds=["retrain"]),
            learning=read_rules(RULES, "the demo").manifest(),
        ),
    )


class _Confidence:
    """Observe how sure the model is."""

    def __init__(self) -> None:
        self.ticks: list[int] = []
        self.means: list[float] = []

    def frame(self, row: NDArray[Any], outputs: dict[str, Any]) -> None:
        if row["asked"]:
            self.ticks.append(int(row["tick"]))
            self.means.append(float(np.mean(outputs["confidence"])))

    def between(self, first: float, last: float) -> float | None:
        ticks = np.asarray(self.ticks)
        window_means = np.asarray(self.means)[(ticks >= first) & (ticks < last)]
        return round(float(window_means.mean()), 4) if len(window_means) else None


class _LoopShow:
    """The show, what watches it, and the process that learns beside it."""

    def __init__(
        self, workspace: Workspace, release: Release, program: Program, by: str, hooks: DemoHooks
    ) -> None:
        self.workspace, self.release, self.by = workspace, release, by
        self.program, self.progress = program, hooks.progress
        self.ticks = round(LONGEST_S * TICK_HZ)
        dark = [(round(DARK_S[0] * TICK_HZ), round(DARK_S[1] * TICK_HZ))]
        self.order = ShowSpec(release, program.takes, self.ticks, dark=dark)
        playlist = open_playlist(workspace, program.takes, self.ticks)
        serve = hooks.open_page()
        self.session = ShowSession(
            workspace, release, playlist=playlist, ticks=self.ticks, serve=serve, by=by
        )
        self.session.replays = True
        self.folder = Path(tempfile.mkdtemp(prefix="greenroom-loop-"))
        self.capture_recorder = CaptureRecorder(
            workspace,
            program.attribution,
            skeleton=release.skeleton,
            name="captured",
            by=by,
        )
        self.confidence = _Confidence()
        self.watch = DriftMonitor(motion_channels(program.reference), self._alert)
        self.before = len(runs(workspace.log, release.actor))
        self.alert_s = self.promoted_s = 0.0
        self.run_: Run | None = None
        self._next_s = 0.0

    def errors(self) -> str:
        """Return the end of what the retraining process wrote to stderr."""
        return (self.folder / "errors").read_bytes()[-300:].decode(errors="replace")

    def _alert(self, alert: Any, begins: bool) -> None:
        self.session.alert_router.alert(alert, begins)
        if begins and alert.cause == "new style":
            self.alert_s = self.alert_s or time.monotonic()
            self.capture_recorder.begin(alert.began)

    def _staged(self, release: Release, tick: int) -> None:
        """A release comes on stage: what it learned is no news to the charts any more."""
        first = self.session.alert_router.release is None
        self.session.staged(release, tick)
        if not first:
            workspace = Workspace(self.workspace.home)  # a log is read by one thread
            learned = {take: load_body(workspace, take) for take in self.capture_recorder.takes}
            self.watch.renew(lambda: motion_channels({**self.program.reference, **learned}))

    def _enough(self) -> bool:
        """Whether the run has ended, and the show went on for a while after it."""
        now = time.monotonic()
        if now < self._next_s:
            return False
        self._next_s = now + 0.5
        ended = [
            run
            for run in runs(self.workspace.log, self.release.actor)[self.before :]
            if run.outcome
        ]
        if ended and not self.promoted_s:
            self.run_, self.promoted_s = ended[0], now
            self.capture_recorder.end()
        return bool(self.promoted_s) and now > self.promoted_s + AFTER_PROMOTION_S

    def run(self) -> ShowResult:
        """Perform until the loop has closed, or the show is over."""
        workspace = self.workspace
        observers = [*self.session.observers, self.watch, self.capture_recorder, self.confidence]
        observers.append(
            RetrainingStatus(workspace, self.session.hub, self.release.actor, self.folder)
        )
        self.session.open(
            welcome_message(
                self.release,
                self.ticks,
                [self.program.notice],
                [w.credit for w in sample_data.WHEELS],
            )
        )
        command = [sys.executable, "-m", "greenroom", "--home", str(workspace.home)]
        with open(self.folder / "errors", "wb") as errors:
            worker = subprocess.Popen(
                [*command, "run", "work"],
                env={**os.environ, JOB_FOLDER: str(self.folder), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        try:
            return perform(
                workspace,
                self.order,
                by=self.by,
                observers=observers,
                hooks=ShowHooks(
                    progress=self.progress,
                    warn=warned,
                    staged=self._staged,
                    enough=self._enough,
                ),
            )
        finally:
            worker.terminate()
            worker.communicate()


def _replay(workspace: Workspace, show: _LoopShow, show_result: ShowResult) -> LoopResult:
    """Replay the show in a process of its own, and collect what came of it."""
    session, linger_s = show.session, 0.0
    try:
        session.publish_end(show_result)
        demo = DemoResult(show_result, replay_in_new_process(workspace.home, show_result.show))
        session.publish("verdict", demo.replay)
        result = _result(show, demo)
        linger_s = LINGER_S if demo.is_exact and result.is_closed else 0.0
        return result
    finally:
        session.close(linger_s)
        shutil.rmtree(show.folder, ignore_errors=True)


def _result(show: _LoopShow, demo: DemoResult) -> LoopResult:
    swaps = demo.show_result.json["swaps"]
    swap = swaps[0][0] if swaps else None
    style = show.program.starts_s * TICK_HZ
    dark, light = (second * TICK_HZ for second in DARK_S)
    between = show.confidence.between
    return LoopResult(
        demo,
        alerts=[
            LoopAlert(a.signal, a.cause, list(a.where), round(a.tick / TICK_HZ, 1))
            for a in show.session.alert_router.alerts
        ],
        style_s=round(show.program.starts_s, 1),
        captured_takes=len(show.capture_recorder.takes),
        run=show.run_,
        promotion_s=round(show.promoted_s - show.alert_s, 1)
        if show.run_ and show.alert_s
        else None,
        confidence={
            "reference": between(0, dark),
            "in_the_dark": between(dark, light),
            "light_back": between(light, style),
            "new_style": between(style, swap or np.inf),
            "after_swap": None if swap is None else between(swap, np.inf),
        },
        errors=show.errors(),
    )
