"""Commands on the learning loop: `retrain`, `pipeline`."""

from __future__ import annotations

import datetime
import importlib.util
import os
import select
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from greenroom.cli.context import ActorName, Context, Heavy, answer, as_json, meter, short
from greenroom.clock import NS_PER_S
from greenroom.errors import BadInput, MissingExtra
from greenroom.retraining.requests import FAILED, PROMOTED, REJECTED, Run, request_run, runs
from greenroom.retraining.triggers import evaluate_triggers
from greenroom.retraining.workflow import run_pending

_LOOK_S = 2.0


def _meters(as_json: bool) -> Callable[[str, str, int, int], None]:
    """Return a progress line a step."""
    meters: dict[str, Callable[[int, int], None]] = {}

    def tell(run: str, step: str, done: int, total: int) -> None:
        label = f"{run} {step}"
        meters.setdefault(label, meter(label, as_json))(done, total)

    return tell


def need_extras() -> None:
    """Tell before anything is asked for that it cannot be done here.

    Raises:
        MissingExtra: torch or the workflow engine is not installed.
    """
    for module in ("torch", "dbos"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra("greenroom retrain", "train,loop")


@click.command("retrain", cls=Heavy)
@click.argument("actor", type=ActorName())
@click.option("--why", default="somebody asked for it", show_default=True, help="For the record.")
@click.option("--preset", help="Of what is trained; default the policy's.")
@click.option("--steps", type=click.IntRange(1), help="Of the training; default the policy's.")
@click.option("--online", is_flag=True, help="A small step within a minute instead of a training.")
@click.option("--canary", type=click.FloatRange(1), metavar="SECONDS", help="On trial.")
@as_json
@click.pass_context
def retrain_command(
    ctx: click.Context,
    actor: str,
    why: str,
    preset: str | None,
    steps: int | None,
    online: bool,
    canary: float | None,
    as_json: bool,
) -> None:
    """Retrain an actor's model and bring it on stage.

    Or say why not. It needs the extras `train` and `loop`.

    Interrupted, it goes on with: greenroom run work --once.
    """
    context: Context = ctx.obj
    need_extras()
    options = {"preset": preset, "steps": steps, "canary_s": canary, "online": online or None}
    job = {name: value for name, value in options.items() if value is not None}
    run = request_run(context.workspace, actor, why, context.user, job=job)
    ended = [r for r in run_pending(context.workspace, tell=_meters(as_json)) if r.name == run.name]
    answer(as_json, _run_json(ended[0]), _line(ended[0]))
    if ended[0].outcome in (REJECTED, FAILED):
        ctx.exit(1)


@click.group("run")
def run_group() -> None:
    """Runs of the retraining pipeline."""


@run_group.command("list")
@click.argument("actor", type=ActorName(), required=False)
@as_json
@click.pass_obj
def list_command(context: Context, actor: str | None, as_json: bool) -> None:
    """List the runs, oldest first: who asked, why, and what became of each."""
    matching_runs = runs(context.workspace.log, actor)
    lines = [_line(run) for run in matching_runs] or ["no runs yet"]
    answer(as_json, {"runs": [_run_json(run) for run in matching_runs]}, "\n".join(lines))


@run_group.command("show")
@click.argument("run")
@as_json
@click.pass_obj
def show_command(context: Context, run: str, as_json: bool) -> None:
    """Show one run."""
    matches = [candidate for candidate in runs(context.workspace.log) if candidate.name == run]
    if not matches:
        raise BadInput(f"there is no run '{run}'", then="list them: greenroom run list")
    run_json = _run_json(matches[0])
    lines = [f"{name:9} {value}" for name, value in run_json.items() if value not in ("", None, {})]
    answer(as_json, run_json, "\n".join(lines))


@run_group.command("work", cls=Heavy)
@click.option("--once", is_flag=True, help="Do what is asked for now, and end.")
@as_json
@click.pass_obj
def work_command(context: Context, once: bool, as_json: bool) -> None:
    """Attend to alerts and schedules, and do the runs; goes on with what a crash left."""
    need_extras()
    finished_runs: list[Run] = []
    while True:
        evaluate_triggers(context.workspace, context.user)
        ended = run_pending(context.workspace, tell=_meters(as_json))
        finished_runs += ended
        for run in ended if not as_json else ():
            click.echo(_line(run))
        if once or _left():
            break
    if as_json:
        answer(True, {"runs": [_run_json(run) for run in finished_runs]}, "")


def _left() -> bool:
    """Wait a little; tell whether whoever started this has gone, and with it the pipe to it."""
    if sys.stdin is None or not stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        time.sleep(_LOOK_S)
        return False
    ready, _, _ = select.select([sys.stdin], [], [], _LOOK_S)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


def _time(ns: int) -> str | None:
    if not ns:
        return None
    return datetime.datetime.fromtimestamp(ns / NS_PER_S, datetime.UTC).isoformat(
        timespec="seconds"
    )


def _run_json(run: Run) -> dict[str, Any]:
    fields = asdict(run)
    fields["run"] = fields.pop("name")
    fields["asked"], fields["ended"] = _time(fields.pop("asked_ns")), _time(fields.pop("ended_ns"))
    fields["outcome"] = run.outcome or "going on"
    fields["release"] = run.release or None
    fields["alert"] = None if run.alert < 0 else run.alert
    return fields


def _line(run: Run) -> str:
    ended = f"{run.outcome}: {run.reason}" if run.outcome else "goes on"
    if run.outcome == PROMOTED:
        ended = f"promoted {short(run.release)}"
    return f"{run.name}  {_time(run.asked_ns)}  {run.kind}: {run.why}  -> {ended}"


COMMANDS = (retrain_command, run_group)
