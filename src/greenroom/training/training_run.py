"""The record of one training run: its folder, journal, trackers and previews."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from greenroom import __version__
from greenroom.manifests import Dataset
from greenroom.store.objects import canonical, digest
from greenroom.store.workspace import Workspace
from greenroom.training.preview import Preview
from greenroom.training.recipe import Progress
from greenroom.training.tracking import Journal, Mirrors, Tracker, export_permission

REPORT_S = 30.0
"""Seconds between reports to trackers during a run."""


class TrainingRun:
    """A run that is going on; the same settings resume the same run.

    Args:
        workspace: where it is recorded.
        settings: all that decides the model, as JSON; the run's folder is named by their hash.
        trackers: that mirror the journal.
        warn: called with one line where a tracker cannot be reached.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: Mapping[str, Any],
        trackers: Sequence[Tracker],
        warn: Callable[[str], None],
    ) -> None:
        """Open the journal."""
        self.workspace, self.trackers, self.warn = workspace, trackers, warn
        self.checkpoints = workspace.home / "runs" / digest(canonical(settings))[:16]
        path = workspace.home / "tracking" / f"{self.checkpoints.name}.jsonl"
        self.journal = Journal(path)
        self._mirrors = self._open_mirrors()
        self._reported_s = time.monotonic()

    @property
    def previews(self) -> Path:
        """Folder of the clips."""
        return self.journal.path.with_suffix(".clips")

    def _open_mirrors(self) -> Mirrors:
        return Mirrors(
            self.journal.path, self.trackers, self.warn, export_permission(self.workspace)
        )

    def begin(self, tags: dict[str, str], parameters: dict[str, Any]) -> None:
        """Record tags and parameters, and report them."""
        self.journal.begin(tags, parameters)
        self._mirrors.send_new()
        self._reported_s = time.monotonic()

    def recorder(self, preview: Preview | None, progress: Progress) -> Progress:
        """Return a function that records a step, and calls `progress` after that.

        Args:
            preview: whose clips are recorded.
            progress: called after each step.
        """

        def record(step: int, steps: int, values: dict[str, float]) -> None:
            self.journal.figures(step, values)
            if preview is not None and preview.path(step).exists():
                self.journal.clip(step, preview.path(step), preview.takes)
            if time.monotonic() - self._reported_s > REPORT_S:
                self._mirrors.send_new()
                self._reported_s = time.monotonic()
            progress(step, steps, values)

        return record

    def finish(self, model: str, figures: Mapping[str, float]) -> None:
        """Record the model and its figures, report them, and remove the checkpoints."""
        metrics = {key: round(value, 6) for key, value in sorted(figures.items())}
        tags = {"model": model, "performance_metrics": msgspec.json.encode(metrics).decode()}
        self.journal.end(tags, metrics)
        self.journal.close()
        self._open_mirrors().send_new()
        shutil.rmtree(self.checkpoints, ignore_errors=True)


def run_tags(dataset: Dataset, settings: Mapping[str, Any], feature_spec: str) -> dict[str, str]:
    """Return the tags of a run.

    Args:
        dataset: its manifest.
        settings: of the run.
        feature_spec: hash of the feature specification.
    """
    splits = {split: len(takes) for split, takes in dataset.splits.items()}
    threads = torch.get_num_threads()
    return {
        "actor_id": dataset.actor,
        "dataset_split": ", ".join(f"{split} {count}" for split, count in sorted(splits.items())),
        "framework_version": f"greenroom {__version__}, torch {torch.__version__}",
        "hyperparameters": msgspec.json.encode(settings["recipe"]).decode(),
        "dataset": str(settings["dataset"]),
        "feature_spec": feature_spec,
        "recipe_version": str(settings["recipe_version"]),
        "seed": str(settings["recipe"]["seed"]),
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads",
    }
