"""What every command shares: the workspace, who is asking, and how an answer is printed."""

from __future__ import annotations

import getpass
import json
import math
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Collection, Sized
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from greenroom.config import JOB_FOLDER
from greenroom.errors import BadInput
from greenroom.platform import run_in_background

if TYPE_CHECKING:
    from greenroom.store.workspace import Workspace

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, nothing else."
)


class Context:
    """What a command works on.

    Args:
        home: the workspace's folder.
    """

    def __init__(self, home: Path) -> None:
        """Open nothing yet."""
        if home.exists() and not home.is_dir():
            raise BadInput(f"the workspace {home} is a file", then="give a folder: --home DIR")
        self.home = home

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace, opened when it is first asked for.

        Raises:
            BadInput: there is none; only `begin` makes one.
        """
        if not self.home.exists():
            raise BadInput(
                f"there is no workspace in {self.home}",
                then="check --home DIR and GREENROOM_HOME, or begin one: greenroom demo",
            )
        return self.begin()

    def begin(self) -> Workspace:
        """Return the workspace; its folder is made when something is first kept."""
        from greenroom.store import open_store

        opened = open_store(str(self.home))
        self.__dict__["workspace"] = opened  # from now on it is there
        return opened

    @property
    def user(self) -> str:
        """Who is asking, for the log."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return "unknown"


@dataclass(frozen=True)
class TrainingChoice:
    """How the models of a command are trained.

    Attributes:
        preset: their size.
        steps: optimiser steps of each.
        seed: of the trainings.
    """

    preset: str
    steps: int
    seed: int


def training_options(steps: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options `--preset`, `--steps` and `--seed`, as one `training`.

    Args:
        steps: the default.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(*args: Any, preset: str, steps: int, seed: int, **rest: Any) -> Any:
            return command(*args, training=TrainingChoice(preset, steps, seed), **rest)

        count = click.IntRange(1)
        for option in (
            click.option("--seed", default=0, show_default=True),
            click.option(
                "--steps", default=steps, show_default=True, type=count, help="Each model."
            ),
            click.option("--preset", default="mini", show_default=True),
        ):
            call = option(call)
        return call

    return decorate


class FiniteRange(click.FloatRange):
    """A number in a range; what is no number is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


class ActorName(click.ParamType[str]):
    """The name of an actor, checked before anything is looked up by it."""

    name = "actor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name.

        Raises:
            BadInput: it cannot be one.
        """
        from greenroom.store.attribution import require_actor_name

        return require_actor_name(value)


class Heavy(click.Command):
    """A command that may take long while a show is on: it stands back behind it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Stand back, and do it."""
        run_in_background()
        return super().invoke(ctx)


def _struct_json(value: Any) -> Any:
    """Return a manifest, or a part of one, as JSON holds it."""
    from greenroom.manifests import to_json

    return to_json(value)


def add_home(text: str, folder: str | None, commands: Collection[str]) -> str:
    """Return a text in which each command works when typed: with the `--home` that was given.

    Args:
        text: an answer, or an error's line.
        folder: what was given as `--home`; None where nothing was.
        commands: names of the commands.

    >>> add_home("no takes yet; run: greenroom take list", "my home", ["take"])
    "no takes yet; run: greenroom --home 'my home' take list"
    """
    if not folder:
        return text
    names = "|".join(map(re.escape, commands))
    command = rf"(?<=[\w:;,(] )greenroom(?= (?:{names})(?![\w-]))|(?<=: )greenroom$"
    option = f"greenroom --home {shlex.quote(folder)}"
    return re.sub(command, lambda _: option, text, flags=re.MULTILINE)


def with_home(text: str) -> str:
    """Return a text with the `--home` of the running command in each command that it names."""
    ctx = click.get_current_context(silent=True)
    if ctx is None or not isinstance(root := ctx.find_root().command, click.Group):
        return text
    return add_home(text, ctx.find_root().params.get("folder"), root.list_commands(ctx))


def answer(as_json: bool, result: dict[str, Any], text: str) -> None:
    """Print the answer: one object, or words, with commands that work when typed."""
    text = text if as_json else with_home(text)
    words = json.dumps(result, ensure_ascii=False, default=_struct_json) if as_json else text
    # A file's name may hold bytes that are no UTF-8; what is printed is.
    click.echo(words.encode("utf-8", "replace").decode())


def counted(things: Sized, noun: str) -> str:
    """Return how many there are, in words.

    >>> counted([1], "take"), counted([], "take")
    ('1 take', '0 takes')
    """
    return f"{len(things)} {noun}" + ("" if len(things) == 1 else "s")


def short(name: str | None) -> str:
    """Return a hash as people read it."""
    return name[:12] if name else "none"


REDRAW_S = 0.1
"""Seconds between two drawings of a progress line, at least."""


def meter(label: str, quiet: bool) -> Callable[[int, int], None]:
    """Return a progress line for `(done, total)`: on a terminal's stderr, or into a job's folder.

    Args:
        label: what is done.
        quiet: whether to draw nothing on a terminal.

    Returns:
        A function of how much is done and of how much; a total of 0 is not known yet. It ends
        where both are equal and above 0.
    """
    job = os.environ.get(JOB_FOLDER)
    if job is not None:
        return _file_progress(label, Path(job))
    if quiet or not sys.stderr.isatty():
        return lambda done, total: None
    return _TerminalProgress(label)


class _TerminalProgress:
    """A progress line of rich on standard error, redrawn ten times a second at most."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._line = Progress(
            TextColumn("{task.description}"),
            *columns,
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self._task = self._line.add_task(label, total=None)
        self._drawn_s = 0.0

    def __call__(self, done: int, total: int) -> None:
        ends = 0 < total <= done
        now = time.monotonic()
        if not ends and now - self._drawn_s < REDRAW_S:
            return
        if not self._line.live.is_started:
            self._line.start()
        self._line.update(self._task, completed=done, total=total or None)
        self._line.refresh()
        self._drawn_s = now
        if ends:
            self._line.stop()


def _file_progress(label: str, folder: Path) -> Callable[[int, int], None]:
    """Return a progress that is written down once a second, and at the end."""
    from greenroom.services.jobs import Progress

    last = 0.0

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 1 or done >= total:
            Progress(label, done, total).write(folder)
            last = time.monotonic()

    return show
