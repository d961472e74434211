"""What every command shares: the workspace, who is asking, and how an answer is printed."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
        """The workspace, opened when it is first asked for."""
        from greenroom.store import open_store

        return open_store(str(self.home))

    @property
    def user(self) -> str:
        """Who is asking, for the log."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return "unknown"


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


def answer(as_json: bool, result: dict[str, Any], text: str) -> None:
    """Print the answer: one object, or words."""
    words = json.dumps(result, ensure_ascii=False, default=_struct_json) if as_json else text
    # A file's name may hold bytes that are no UTF-8; what is printed is.
    click.echo(words.encode("utf-8", "replace").decode())


def short(name: str | None) -> str:
    """Return a hash as people read it."""
    return name[:12] if name else "none"


JOB = "GREENROOM_JOB"
"""Where a detached command says how far it is: its job's folder."""


def meter(label: str, quiet: bool) -> Callable[[int, int], None]:
    """Return a progress line for `(done, total)`: on a terminal's stderr, or into a job's folder."""
    job = os.environ.get(JOB)
    if job is not None:
        return _file_progress(label, Path(job))
    if quiet or not sys.stderr.isatty():
        return lambda done, total: None

    def show(done: int, total: int) -> None:
        width = 30 * done // max(total, 1)
        end = "\n" if done >= total else ""
        bar = f"\r{label} [{'█' * width}{'·' * (30 - width)}] {done:,}/{total:,}"
        click.echo(bar + end, nl=False, err=True)

    return show


def _file_progress(label: str, folder: Path) -> Callable[[int, int], None]:
    """Return a progress that is written down once a second, and at the end."""
    last = 0.0

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 1 or done >= total:
            note = {"label": label, "done": done, "total": total}
            with suppress(OSError):  # a note that cannot be written is no reason to end a run
                (folder / "progress.new").write_bytes(json.dumps(note).encode())
                os.replace(folder / "progress.new", folder / "progress")
            last = time.monotonic()

    return show
