"""`greenroom record`: a take from live inputs, with a level meter and a picture of what arrives."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

import click
import numpy as np

from greenroom.capture.packets import NewestSamples
from greenroom.cli.context import ActorName, Context, FiniteRange, answer, as_json
from greenroom.clock import TICK_HZ
from greenroom.frames import ARKIT, BONES
from greenroom.live.record import LONGEST_S, RecordHooks, Reports
from greenroom.live.show import interruptible
from greenroom.render.terminal import braille_pose, level_bar
from greenroom.services.recording import RecordedTake, RecordRequest, record_live
from greenroom.services.show_session import warned

_DRAWN = 6
"""Ticks from one picture on the terminal to the next: five a second."""


@click.command("record")
@click.argument("actor", type=ActorName())
@click.option(
    "--in",
    "inputs",
    multiple=True,
    required=True,
    metavar="URL",
    help="A live input as for perform; repeatable, the first one wins.",
)
@click.option("--participant", default="", help="The person who is captured, or a pseudonym.")
@click.option("--rights", default="", metavar="FILE|LICENCE", help="A JSON record, or a licence.")
@click.option("--name", default="", help="Of the take; else the time of its start.")
@click.option(
    "--seconds",
    type=FiniteRange(min=0.1, max=LONGEST_S),
    help="How long; else until Ctrl-C, an hour at most.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="NETWORK",
    help="Who may send to an input at an address of the network; repeatable.",
)
@as_json
@click.pass_obj
def record_command(context: Context, /, actor: str, as_json: bool, **asked: Any) -> None:
    """Record live inputs as a take, until Ctrl-C or for an hour.

    Body, face and voice are kept on one clock, with their gaps. Each second is on the disk at once:
    after a crash, `greenroom show recover` keeps all but the last one.
    """
    workspace = context.begin()
    screen = None if as_json or not sys.stderr.isatty() else _Screen(actor)
    with interruptible() as interrupted, screen or nullcontext():

        def arrived(tick: int, samples: NewestSamples, reports: Reports) -> None:
            interrupted.arm()
            if screen is not None:
                screen.show(tick, samples, reports)

        hooks = RecordHooks(arrived, warn=warned, enough=lambda: interrupted.yes)
        recorded = record_live(workspace, RecordRequest(actor, **asked), context.user, hooks)
    answer(as_json, {**recorded.json, "notes": recorded.notes}, "\n".join(_lines(recorded)))


def _lines(recorded: RecordedTake) -> list[str]:
    facts = recorded.json
    lines = [f"take {facts['take']}", f"  {facts['name']}, {facts['seconds']:.2f} s"]
    for medium in ("body", "face", "voice"):
        found = facts[medium]
        if found is not None:
            gap = f", longest gap {found['longest_gap_s']:.2f} s" if found["share"] < 1 else ""
            peak = f", peak {found['peak_db']:g} dB" if found.get("peak_db") is not None else ""
            lines.append(f"  {medium:6}{found['share']:7.1%} of its ticks{gap}{peak}")
    lines += [f"  note: {note}" for note in recorded.notes]
    return [*lines, f"see it: greenroom take export {facts['take'][:12]} take.webp"]


class _Screen:
    """What arrives, redrawn five times a second on standard error."""

    def __init__(self, actor: str) -> None:
        from rich.console import Console
        from rich.live import Live

        self.actor = actor
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
        self._peak_db = self._level_db = float("-inf")
        self._heard: dict[str, int] = {}

    def __enter__(self) -> _Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, tick: int, samples: NewestSamples, reports: Reports) -> None:
        """Take what arrived at a tick, and draw every few."""
        if samples.sound is not None:
            self._level_db = _db(float(np.sqrt(np.mean(np.square(samples.sound)))))
            self._peak_db = max(self._peak_db, _db(float(np.abs(samples.sound).max())))
            self._heard["voice"] = tick
        if samples.body is not None:
            self._heard["body"] = tick
        if samples.face is not None:
            self._heard["face"] = tick
        if tick % _DRAWN == 0:
            self._draw(tick, samples, reports)

    def _draw(self, tick: int, samples: NewestSamples, reports: Reports) -> None:
        from rich.columns import Columns
        from rich.text import Text

        minutes, seconds = divmod(tick // TICK_HZ, 60)
        lines = [
            f"● REC  {self.actor}  {minutes:02}:{seconds:02}   Ctrl-C ends it, and keeps it",
            "",
        ]
        body, face = samples.body, samples.face
        bones = 0 if body is None else int((body.validity > 0).sum())
        weights = 0 if face is None else int(np.isfinite(face.weights).sum())
        lines.append(f"body   {self._state('body', tick, f'{bones} of {len(BONES)} bones')}")
        lines.append(f"face   {self._state('face', tick, f'{weights} of {len(ARKIT)} weights')}")
        bar = f"{level_bar(self._level_db)} {self._level_db:5.0f} dB, peak {self._peak_db:.0f}"
        lines += [f"voice  {self._state('voice', tick, bar)}", ""]
        for each in reports():
            lost = f", {each['lost']:,} lost" if each["lost"] else ""
            lines.append(f"{each['url']}: {each['received']:,} received{lost}")
        drawn = "" if body is None else braille_pose(body.rotations, body.validity)
        self._live.update(Columns([Text(drawn), Text("\n".join(lines))]), refresh=True)

    def _state(self, kind: str, tick: int, text: str) -> str:
        if kind not in self._heard:
            return "nothing yet"
        ago_s = (tick - self._heard[kind]) / TICK_HZ
        return text if ago_s < 0.5 else f"LOST for {ago_s:.0f} s"


def _db(amplitude: float) -> float:
    """Return an amplitude in dB of full scale."""
    return 20 * float(np.log10(amplitude)) if amplitude > 0 else float("-inf")


COMMANDS = (record_command,)
