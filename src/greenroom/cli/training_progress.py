"""Progress of a training, from its first second to its end: on a terminal, in a log, or of a job."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from greenroom.cli.context import meter
from greenroom.config import JOB_FOLDER
from greenroom.services.jobs import Progress

LINE_S = 5.0
"""Seconds between two lines of progress where standard error is no terminal."""


class TrainingProgress:
    """Show steps, and what is done before the first and after the last.

    Args:
        quiet: whether to print nothing, because the answer is JSON.
    """

    def __init__(self, quiet: bool) -> None:
        """Choose between a terminal's line, plain lines, and a job's file."""
        job = os.environ.get(JOB_FOLDER)
        self._job = None if job is None else Path(job)
        self._quiet = quiet and job is None
        self._plain = job is None and not quiet and not sys.stderr.isatty()
        self._meter = meter("training", quiet)
        self._printed_s = float("-inf")
        self._first: tuple[int, float] | None = None

    def phase(self, text: str) -> None:
        """Say what begins."""
        if self._job is not None:
            Progress(text, 0, 0).write(self._job)
        elif not self._quiet:
            click.echo(text, err=True)

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        """Show that a step is done."""
        self._meter(step, steps)
        now = time.monotonic()
        self._first = self._first or (step, now)
        if not self._plain or (now - self._printed_s < LINE_S and step < steps):
            return
        first, began_s = self._first
        done = step - first
        left = f", {(now - began_s) / done * (steps - step):.0f} s left" if done else ""
        loss = f", loss {figures['loss']:.3g}" if "loss" in figures else ""
        click.echo(f"training: step {step} of {steps}{loss}{left}", err=True)
        self._printed_s = now
