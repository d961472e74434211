"""`greenroom calibrate`: fit a live body to an actor by a T-pose."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from greenroom.cli.context import ActorName, Context, FiniteRange, answer, as_json
from greenroom.services.calibrate import CalibrateRequest, calibrate_input, forget_input


@click.command("calibrate")
@click.argument("actor", type=ActorName())
@click.option("--in", "url", required=True, metavar="URL", help="The live body: vmc://:39540.")
@click.option(
    "--allow",
    multiple=True,
    metavar="NETWORK",
    help="Who may send to it, as perform is to have it; repeatable.",
)
@click.option(
    "--seconds",
    default=3.0,
    show_default=True,
    type=FiniteRange(0.5, 60),
    help="How long the T-pose is held.",
)
@click.option("--forget", is_flag=True, help="Remove the calibration of this input instead.")
@as_json
@click.pass_obj
def calibrate_command(
    context: Context, /, actor: str, url: str, as_json: bool, forget: bool, **asked: Any
) -> None:
    """Fit a live body to an actor by a T-pose of three seconds.

    Stand on the floor, upright, arms stretched out to the sides, palms down. Bones that rest in other
    axes, the facing, the floor and the size are corrected in every later show with this input.
    """
    if forget:
        path = forget_input(context.workspace, actor, url)
        result = {"actor": actor, "url": url, "file": str(path), "forgotten": True}
        answer(as_json, result, f"forgotten: {path}")
        return
    request = CalibrateRequest(actor, url, **asked)
    with _progress(as_json) as show:
        done = calibrate_input(context.workspace, request, show)
    facts = done.json
    text = (
        f"{facts['bones']} bones; the person faces {facts['facing_deg']:.0f}°, "
        f"the floor is at {facts['floor_m']:.2f} m, {actor} is {facts['hip_ratio']:.2f} times as tall\n"
        f"kept in {facts['file']}\n"
        f"next: greenroom perform {actor} --in '{url}' --seconds 60"
    )
    answer(as_json, facts, text)


@contextmanager
def _progress(as_json: bool) -> Iterator[Callable[[str, str], None]]:
    """Yield what shows how it goes: on a terminal in one line, elsewhere a line a stage."""
    is_terminal = sys.stderr.isatty()
    stages: list[str] = []

    def show(stage: str, facts: str) -> None:
        if as_json:
            return
        if is_terminal:
            click.echo(f"\r\x1b[K{facts}", err=True, nl=False)
        elif stages[-1:] != [stage]:
            stages.append(stage)
            click.echo(facts, err=True)

    try:
        yield show
    finally:
        if is_terminal and not as_json:
            click.echo("\r\x1b[K", err=True, nl=False)


COMMANDS = (calibrate_command,)
