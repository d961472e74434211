"""`greenroom demo --loop`: from a failing light and a new style to a better release on stage."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from greenroom import embedded
from greenroom.capture import sample_data
from greenroom.cli.context import Context, answer, meter, short
from greenroom.cli.learning import need_extras
from greenroom.clock import TICK_HZ
from greenroom.config import JOB_FOLDER, cache
from greenroom.demo.program import LONGEST_S, Program, load_body, made_program
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
from greenroom.services.retraining_status import RetrainingStatus
from greenroom.services.show_results import replay_in_new_process, show_summary
from greenroom.services.show_session import ShowSession, warned
from greenroom.stage.api import page_server
from greenroom.store.workspace import Workspace

DARK_S = (38.0, 54.0)
"""When the light fails."""
LINGER_S = 20.0
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


def loop_demo(
    context: Context,
    page: tuple[str, int] | None,
    as_json: bool,
    program: Callable[[Workspace, str], Program] = made_program,
) -> None:
    """Perform, watch, learn, swap, replay; print what came of it.

    Args:
        context: where, and who asks.
        page: host and port of the page; None for none.
        as_json: how it is printed.
        program: makes what plays, in a workspace for whoever asks.

    Raises:
        CheckFailed: the loop did not close, or the replay differs.
    """
    need_extras()
    if not sample_data.fetched(cache()):
        click.echo("fetching the published clips, once (about 110 MB)", err=True)
        sample_data.fetch(cache())
    workspace = context.workspace
    embedded.install(workspace)
    release = load_release(workspace, live_release(workspace, embedded.ACTOR))
    _sign(workspace)
    click.echo("reading what plays, and learning the reference", err=True)
    embedded.ingest_clips(workspace, context.user)  # what the champion was trained on
    plays = program(workspace, context.user)
    show = _Show(context, release, plays=plays, page=page, as_json=as_json)
    _close(context, show, show_result=show.run(), starts_s=plays.starts_s, as_json=as_json)


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


class _Show:
    """The show, what watches it, and the process that learns beside it."""

    def __init__(
        self,
        context: Context,
        release: Release,
        plays: Program,
        page: tuple[str, int] | None,
        as_json: bool,
    ) -> None:
        self.context, self.release, self.as_json = context, release, as_json
        self.plays = plays
        workspace = context.workspace
        self.ticks = round(LONGEST_S * TICK_HZ)
        dark = [(round(DARK_S[0] * TICK_HZ), round(DARK_S[1] * TICK_HZ))]
        self.order = ShowSpec(release, plays.takes, self.ticks, dark=dark)
        playlist = open_playlist(workspace, plays.takes, self.ticks)
        serve = page_server(workspace, page)
        self.stage = ShowSession(
            workspace, release, playlist=playlist, ticks=self.ticks, serve=serve, by=context.user
        )
        self.folder = Path(tempfile.mkdtemp(prefix="greenroom-loop-"))
        self.capture_recorder = CaptureRecorder(
            workspace,
            plays.attribution,
            skeleton=release.skeleton,
            name="captured",
            by=context.user,
        )
        self.confidence = _Confidence()
        self.watch = DriftMonitor(motion_channels(plays.reference), self._alert)
        self.before = len(runs(workspace.log, release.actor))
        self.alert_s = self.promoted_s = 0.0
        self.run_: Run | None = None
        self._next_s = 0.0

    def errors(self) -> str:
        """Return the last of what the process that learns complained of."""
        return (self.folder / "errors").read_bytes()[-300:].decode(errors="replace")

    def _alert(self, alert: Any, begins: bool) -> None:
        self.stage.teller.alert(alert, begins)
        if begins and alert.cause == "new style":
            self.alert_s = self.alert_s or time.monotonic()
            self.capture_recorder.begin(alert.began)

    def _staged(self, release: Release, tick: int) -> None:
        """A release comes on stage: what it learned is no news to the charts any more."""
        first = self.stage.teller.release is None
        self.stage.staged(release, tick)
        if not first:
            workspace = Workspace(self.context.workspace.home)  # a log is read by one thread
            learned = {take: load_body(workspace, take) for take in self.capture_recorder.takes}
            self.watch.renew(lambda: motion_channels({**self.plays.reference, **learned}))

    def _enough(self) -> bool:
        """Whether the run has ended, and the show went on for a while after it."""
        now = time.monotonic()
        if now < self._next_s:
            return False
        self._next_s = now + 0.5
        ended = [
            run
            for run in runs(self.context.workspace.log, self.release.actor)[self.before :]
            if run.outcome
        ]
        if ended and not self.promoted_s:
            self.run_, self.promoted_s = ended[0], now
            self.capture_recorder.end()
        return bool(self.promoted_s) and now > self.promoted_s + LINGER_S

    def run(self) -> ShowResult:
        """Perform until the loop has closed, or the show is over."""
        workspace = self.context.workspace
        observers = [*self.stage.observers, self.watch, self.capture_recorder, self.confidence]
        observers.append(
            RetrainingStatus(workspace, self.stage.hub, self.release.actor, self.folder)
        )
        self.stage.open(
            welcome_message(
                self.release,
                self.ticks,
                [self.plays.notice],
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
                by=self.context.user,
                observers=observers,
                hooks=ShowHooks(
                    progress=meter("on air", self.as_json),
                    warn=warned,
                    staged=self._staged,
                    enough=self._enough,
                ),
            )
        finally:
            worker.terminate()
            worker.communicate()


def _close(
    context: Context, show: _Show, show_result: ShowResult, starts_s: float, as_json: bool
) -> None:
    """Replay, and say what came of it."""
    stage = show.stage
    try:
        stage.say("end", {k: show_result.json[k] for k in ("show", "frames", "late", "rungs")})
        verdict = replay_in_new_process(context.workspace.home, show_result.show)
        stage.say("verdict", verdict)
        run = show.run_
        result = {**_result(show, show_result, starts_s), "replay": verdict}
        answer(as_json, result, _text(result, show_result))
        if verdict["exact"] != show_result.json["frames"]:
            raise CheckFailed(f"the replay differs: {verdict['first_difference']}")
        if run is None or run.outcome != PROMOTED:
            errors = show.errors()
            why = "no run ended in time" if run is None else f"{run.outcome}: {run.reason}"
            raise CheckFailed(f"the loop did not close: {why}", then=errors.strip())
        stage.close(linger_s=2.0)
    except BaseException:
        stage.close()
        raise
    finally:
        shutil.rmtree(show.folder, ignore_errors=True)


def _result(show: _Show, show_result: ShowResult, starts_s: float) -> dict[str, Any]:
    """Return what came of the show and of the retraining beside it, as JSON."""
    run = show.run_
    alerts = [
        {
            "signal": a.signal,
            "cause": a.cause,
            "where": list(a.where),
            "second": round(a.tick / TICK_HZ, 1),
        }
        for a in show.stage.teller.alerts
    ]
    swap = show_result.json["swaps"][0][0] if show_result.json["swaps"] else None
    style = starts_s * TICK_HZ
    dark, light = (second * TICK_HZ for second in DARK_S)
    return {
        **show_result.json,
        "simulated": True,
        "alerts": alerts,
        "style_second": round(starts_s, 1),
        "captured_takes": len(show.capture_recorder.takes),
        "run": None
        if run is None
        else {"run": run.name, "outcome": run.outcome, "reason": run.reason},
        "alert_to_promoted_s": round(show.promoted_s - show.alert_s, 1)
        if run and show.alert_s
        else None,
        "confidence": {
            "reference": show.confidence.between(0, dark),
            "in_the_dark": show.confidence.between(dark, light),
            "light_back": show.confidence.between(light, style),
            "new_style": show.confidence.between(style, swap or np.inf),
            "after_swap": None if swap is None else show.confidence.between(swap, np.inf),
        },
    }


def _text(result: dict[str, Any], show_result: ShowResult) -> str:
    means = result["confidence"]
    lines = [
        show_summary(show_result),
        f"  alerts ({result['style_second']:g} s: the style changes)",
    ]
    lines += [
        f"    {a['second']:6.1f} s  {a['signal']:8} {a['cause']}: {', '.join(a['where'])}"
        for a in result["alerts"]
    ]
    run = result["run"]
    if run is not None:
        lines.append(f"  run {run['run']}: {run['outcome']}, {run['reason']}")
    lines += [
        f"  swap at {tick / TICK_HZ:.1f} s to {short(name)}" for tick, name in result["swaps"]
    ]
    if result["alert_to_promoted_s"] is not None:
        lines.append(f"  from alert to champion {result['alert_to_promoted_s']:.0f} s")
    lines.append(
        f"  confidence {means['reference']} on the reference, {means['in_the_dark']} in the dark, "
        f"{means['light_back']} after it; {means['new_style']} in the new style, {means['after_swap']} "
        "after the swap"
    )
    verdict = result["replay"]
    proof = f"bit-exact {verdict['exact']}/{verdict['frames']} ({verdict['class']})"
    return "\n".join([*lines, f"replay in a fresh process: {proof}"])
