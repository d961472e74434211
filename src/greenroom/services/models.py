"""Train, judge and approve models; find a model by its own name or by a release of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from greenroom.capture.discovery import InputFiles
from greenroom.capture.labels import read_pattern
from greenroom.capture.readers import Refusal
from greenroom.capture.skeleton.mapping import AUTOMATIC
from greenroom.errors import BadInput
from greenroom.extras import require
from greenroom.manifests import Figure, Model, ReleaseManifest, Search, Validation
from greenroom.registry.approval import approval_status, sign_approval
from greenroom.registry.card import model_card
from greenroom.registry.policy import approve_policy, missing_approvals
from greenroom.registry.release import approve
from greenroom.serving.onnx_backend import open_model
from greenroom.store.objects import write_durably
from greenroom.store.workspace import Workspace
from greenroom.validation.comparison_clip import clip_for
from greenroom.validation.eval_takes import EvalTake
from greenroom.validation.evaluator import EvalScope, validate
from greenroom.validation.gates import decide_gates
from greenroom.validation.ratings import keep_study, read_ratings, summary
from greenroom.validation.report import validation_report
from greenroom.validation.search import best_of

Progress = Callable[[int, int], None]
Warn = Callable[[str], None]


def find_model(workspace: Workspace, text: str) -> str:
    """Return the hash of a model that is given by itself or by a release of it.

    Raises:
        BadInput: there is no such model and no such release.
    """
    try:
        return workspace.resolve(text, "model")
    except BadInput as error:
        try:
            release = workspace.resolve(text, "release")
        except BadInput:
            raise error from None
    return workspace.objects.read(release, ReleaseManifest).parents.model


@dataclass(frozen=True)
class TrainRequest:
    """A training.

    Attributes:
        dataset: hash of the dataset, or the beginning of it.
        preset: the network's size.
        steps: of the optimiser; None for the preset's.
        seed: of the training.
        processes: that share a batch.
        device: "auto", "cpu" or "cuda".
        search: hash of a search whose best recipe is used; None for the preset's recipe.
        start: hash of the model whose weights are loaded first; None for a new network.
        trackers: names or URLs of experiment trackers.
    """

    dataset: str
    preset: str = "mini"
    steps: int | None = None
    seed: int = 0
    processes: int = 1
    device: str = "auto"
    search: str | None = None
    start: str | None = None
    trackers: Sequence[str] = ()


class TrainingHooks(NamedTuple):
    """What is called while a model is trained.

    Attributes:
        progress: with (steps done, total, figures of the step).
        phase: with a line about what begins.
        warn: with what goes wrong while the training continues.
    """

    progress: Callable[[int, int, dict[str, float]], None]
    phase: Callable[[str], None]
    warn: Warn


def train_model(workspace: Workspace, request: TrainRequest, by: str, hooks: TrainingHooks) -> str:
    """Train a model, and return its hash.

    Args:
        workspace: the workspace.
        request: the training.
        by: name for the log.
        hooks: what is called meanwhile.

    Raises:
        MissingExtra: the extra `train` is not installed.
        BadInput: the dataset, search, start or a tracker cannot be used.
    """
    require("lightning", "train", "greenroom train")
    from greenroom.networks.presets import preset_of
    from greenroom.training.recipe import Recipe
    from greenroom.training.tracking import open_tracker
    from greenroom.training.train import TrainOptions, train

    dataset = workspace.resolve(request.dataset, "dataset")
    settings: dict[str, Any] = {
        "steps": request.steps,
        "seed": request.seed,
        "preset": request.preset,
    }
    if request.search is not None:
        search = workspace.resolve(request.search, "search")
        settings |= best_of(workspace.objects.read(search, Search))
    preset = str(settings.pop("preset"))
    settings["steps"] = settings["steps"] or preset_of(preset).steps
    options = TrainOptions(
        progress=hooks.progress,
        phase=hooks.phase,
        processes=request.processes,
        device=request.device,
        trackers=[open_tracker(text, workspace.home) for text in request.trackers],
        warn=hooks.warn,
        start="" if request.start is None else workspace.resolve(request.start, "model"),
    )
    return train(workspace, dataset, by, preset, recipe=Recipe(**settings), options=options)


def mirror_runs(workspace: Workspace, tracker_url: str) -> dict[str, int]:
    """Send a tracker what it does not have yet of each training; return run → number of events.

    Args:
        workspace: the workspace.
        tracker_url: name or URL of the tracker.
    """
    from greenroom.training.tracking import export_permission, journals, mirror, open_tracker

    tracker = open_tracker(tracker_url, workspace.home)
    may_export = export_permission(workspace)
    return {path.stem: mirror(path, tracker, may_export) for path in journals(workspace.home)}


@dataclass(frozen=True)
class EvalRequest:
    """A validation of a model.

    Attributes:
        model: hash of the model, or of a release of it.
        recordings: files, folders, archives; none for the model's test split.
        tasks: what is judged; none for all that the model can do.
        label_pattern: of the recordings' file names, such as "x_{style}_{n}".
        ratings: CSV file of ratings by people.
        free_run_minutes: of free running.
        report: HTML file to write.
    """

    model: str
    recordings: Sequence[Path] = ()
    tasks: Sequence[str] = ()
    label_pattern: str | None = None
    ratings: Path | None = None
    free_run_minutes: int = 0
    report: Path | None = None


@dataclass(frozen=True)
class EvalResult:
    """A validation.

    Attributes:
        model: hash of the model.
        validation: hash of its validation.
        figures: by task and metric.
        study: summary of the ratings by people; None without ratings.
    """

    model: str
    validation: str
    figures: Mapping[str, Mapping[str, Figure]]
    study: dict[str, Any] | None


def validate_model(
    workspace: Workspace, request: EvalRequest, by: str, progress: Progress, warn: Warn
) -> EvalResult:
    """Judge a model on whole takes, and write the report where one is asked for.

    Args:
        workspace: the workspace.
        request: what is judged.
        by: name for the log.
        progress: called with (done, total).
        warn: called with a line per recording that cannot be read.

    Raises:
        BadInput: there is no such model, or the ratings cannot be read.
    """
    name = find_model(workspace, request.model)
    path = request.ratings
    rows = None if path is None else read_ratings(path.read_bytes(), str(path))
    backend = open_model(workspace, workspace.objects.read(name, Model))
    takes = None
    if request.recordings:
        takes = _read_eval_takes(request.recordings, request.label_pattern, warn)
    scope = EvalScope(takes, tuple(request.tasks) or None, request.free_run_minutes)
    validation = validate(workspace, name, backend, by, scope=scope, progress=progress)
    manifest = workspace.objects.read(validation, Validation)
    study = None if rows is None else summary(rows)
    if request.report is not None:
        clip = clip_for(workspace, name, backend)
        html = validation_report(validation, manifest, clip=clip, study=study)
        write_durably(request.report, html.encode())
    if rows is not None:
        keep_study(workspace, validation, rows, by)
    return EvalResult(name, validation, manifest.figures, study)


def _read_eval_takes(paths: Sequence[Path], pattern: str | None, warn: Warn) -> dict[str, EvalTake]:
    """Return recordings by path, to be judged on."""
    label_pattern = None if pattern is None else read_pattern(pattern)
    out = {}
    for recording in InputFiles(list(paths), AUTOMATIC):
        if isinstance(recording, Refusal):
            warn(f"left out {recording.path}: {recording.reason}")
            continue
        labels = label_pattern.of([recording.path]) if label_pattern else {}
        out[recording.path] = EvalTake.of(recording, labels)
    return out


class PolicyApproval(msgspec.Struct, frozen=True):
    """A policy after an approval of it.

    Attributes:
        policy: its hash.
        in_force: whether it counts now.
        approved_by: names of those who approved it.
        missing: number of approvals that it needs still.
    """

    policy: str
    in_force: bool
    approved_by: list[str]
    missing: int


class ReleaseApproval(msgspec.Struct, frozen=True):
    """A release after an approval of it.

    Attributes:
        release: its hash.
        actor: whose it is.
        approvers: names whose approval counts.
        missing: number of approvals that it needs still.
    """

    release: str
    actor: str
    approvers: list[str]
    missing: int


def approve_object(
    workspace: Workspace, name: str, by: str, until: datetime.date | None = None
) -> PolicyApproval | ReleaseApproval:
    """Sign an approval of a policy, a release or a model; a model becomes a release.

    Args:
        workspace: the workspace.
        name: hash of one of them, or the beginning of it.
        by: name of the key that signs.
        until: last day on which the approval counts; None for no end.

    Raises:
        BadInput: there is no such object, or no such key.
        Refused: a gate is not passed.
    """
    try:
        policy = workspace.resolve(name, "policy")
    except BadInput:
        return _approve_release(workspace, name, by, until)
    in_force = approve_policy(workspace, policy, by)
    names, missing = missing_approvals(workspace, policy)
    return PolicyApproval(policy, in_force, list(names), missing)


def _approve_release(
    workspace: Workspace, name: str, by: str, until: datetime.date | None
) -> ReleaseApproval:
    try:  # of an earlier approver: what was measured since would make another release
        release = workspace.resolve(name, "release")
    except BadInput:
        model = workspace.resolve(name, "model")
        release = approve(workspace, model, by, until, *decide_gates(workspace, model))
    else:
        decide_gates(workspace, workspace.objects.read(release, ReleaseManifest).parents.model)
        sign_approval(workspace, release, by, until)
    actor = workspace.objects.read(release, ReleaseManifest).actor
    approvers, missing = approval_status(workspace, release)
    return ReleaseApproval(release, actor, list(approvers), missing)


def release_card(workspace: Workspace, release: str) -> str:
    """Return the card of a release, as Markdown.

    Args:
        workspace: the workspace.
        release: its hash.
    """
    manifest = workspace.objects.read(release, ReleaseManifest)
    blob = manifest.blobs.get("card")
    if blob is None:
        return model_card(workspace, manifest.parents.model, manifest.parents.validation, [])
    return workspace.objects.get(blob).decode()
