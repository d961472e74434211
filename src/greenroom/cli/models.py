"""Commands on models: `train`, `track`, `validate`, `model_card`, `approve`, `promote`."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from greenroom.capture.discovery import InputFiles
from greenroom.capture.labels import read_pattern
from greenroom.capture.readers import Refusal
from greenroom.capture.skeleton.mapping import AUTOMATIC
from greenroom.cli.context import Context, Heavy, answer, as_json, meter, short
from greenroom.cli.experiments import table
from greenroom.cli.training_progress import TrainingProgress
from greenroom.contracts import ModelShape
from greenroom.errors import BadInput, MissingExtra
from greenroom.manifests import Model, ReleaseManifest, Search, Validation
from greenroom.registry.approval import approval_status, sign_approval
from greenroom.registry.card import model_card
from greenroom.registry.policy import approve_policy, missing_approvals
from greenroom.registry.promote import promote, rollback
from greenroom.registry.release import approve
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.objects import write_durably
from greenroom.store.workspace import Workspace
from greenroom.validation.comparison_clip import clip_for
from greenroom.validation.eval_model import TASKS
from greenroom.validation.eval_takes import EvalTake
from greenroom.validation.evaluator import EvalScope, validate
from greenroom.validation.gates import decide_gates
from greenroom.validation.ratings import keep_study, lines_of, read_ratings, summary
from greenroom.validation.report import validation_report as write_report
from greenroom.validation.search import best_of


@click.command("train", cls=Heavy)
@click.argument("dataset")
@click.option("--preset", default="mini", show_default=True, help="tokens, mini or small.")
@click.option("--steps", type=click.IntRange(1), help="Default: the preset's.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--processes", default=1, show_default=True, type=click.IntRange(1), help="That share a batch."
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="To train on; auto is CUDA where there is one.",
)
@click.option("--search", metavar="SEARCH", help="Train with its best recipe.")
@click.option("--start", metavar="MODEL", help="Begin with what this model has learned.")
@click.option(
    "--track",
    multiple=True,
    metavar="TRACKER",
    help="mlflow, mlflow:URL, wandb or tensorboard.",
)
@as_json
@click.pass_obj
def train_command(
    context: Context,
    dataset: str,
    preset: str,
    steps: int | None,
    seed: int,
    processes: int,
    device: str,
    search: str | None,
    start: str | None,
    track: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train a model on a dataset; needs `train`.

    Interrupted, it goes on from its last checkpoint when run again.
    """
    try:
        from greenroom.networks.presets import preset_of
        from greenroom.training.recipe import Recipe
        from greenroom.training.tracking import open_tracker
        from greenroom.training.train import TrainOptions, train
    except ModuleNotFoundError as error:
        raise MissingExtra("greenroom train", "train") from error
    name = context.workspace.resolve(dataset, "dataset")
    hyperparameters: dict[str, Any] = {"steps": steps, "seed": seed, "preset": preset}
    if search is not None:
        search_hash = context.workspace.resolve(search, "search")
        hyperparameters |= best_of(context.workspace.objects.read(search_hash, Search))
    preset_name = str(hyperparameters.pop("preset"))
    hyperparameters["steps"] = hyperparameters["steps"] or preset_of(preset_name).steps
    show = TrainingProgress(as_json)
    trackers = [open_tracker(text, context.workspace.home) for text in track]
    model = train(
        context.workspace,
        name,
        context.user,
        preset_name,
        recipe=Recipe(**hyperparameters),
        options=TrainOptions(
            progress=show.step,
            phase=show.phase,
            processes=processes,
            device=device,
            trackers=trackers,
            warn=lambda message: click.echo(f"greenroom: {message}", err=True),
            start="" if start is None else context.workspace.resolve(start, "model"),
        ),
    )
    answer(
        as_json,
        {"model": model},
        f"model {model}\nnext: greenroom validate {short(model)}",
    )


@click.command("track")
@click.option(
    "--to", required=True, metavar="TRACKER", help="mlflow, mlflow:URL, wandb, tensorboard."
)
@as_json
@click.pass_obj
def track_command(context: Context, to: str, as_json: bool) -> None:
    """Mirror runs to MLflow, W&B or TensorBoard.

    Only what the tracker has not got yet is sent.
    """
    from greenroom.training.tracking import export_permission, journals, mirror, open_tracker

    home = context.workspace.home
    tracker = open_tracker(to, home)
    may = export_permission(context.workspace)
    sent = {path.stem: mirror(path, tracker, may) for path in journals(home)}
    lines = [f"{run}  {count} events" for run, count in sent.items() if count]
    answer(as_json, {"sent": sent}, "\n".join(lines) or "nothing is waiting")


@click.command("validate", cls=Heavy)
@click.argument("model")
@click.option(
    "--on",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Recordings; default its test split.",
)
@click.option("--task", multiple=True, type=click.Choice(TASKS), help="Default all it can.")
@click.option("--label-pattern", metavar="PATTERN", help="Styles in file names: 'x_{style}_{n}'.")
@click.option(
    "--ratings",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="CSV",
    help="What people said of it: clip, rater, condition, rating (1 to 5).",
)
@click.option(
    "--free-run",
    default=0,
    type=click.IntRange(0, 120),
    metavar="MINUTES",
    help="Let it go on with nothing captured for so long as well; 10 is a fair trial.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it as HTML.",
)
@as_json
@click.pass_obj
def validate_command(
    context: Context,
    model: str,
    on: tuple[Path, ...],
    task: tuple[str, ...],
    label_pattern: str | None,
    ratings: Path | None,
    free_run: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Judge a model on whole takes, beside baselines.

    The baselines are fitted on its own training takes.
    """
    workspace = context.workspace
    name = model_named(workspace, model)
    rating_rows = None if ratings is None else read_ratings(ratings.read_bytes(), str(ratings))
    manifest = workspace.objects.read(name, Model)
    graph = workspace.objects.get(manifest.blobs.graph)
    backend = OnnxBackend(graph, ModelShape.load(manifest.shape))
    validation = validate(
        workspace,
        name,
        backend,
        context.user,
        scope=EvalScope(_scenes(on, label_pattern) if on else None, task or None, free_run),
        progress=meter("judging", as_json),
    )
    validation_manifest = workspace.objects.read(validation, Validation)
    study = None if rating_rows is None else summary(rating_rows)
    if report is not None:
        clip = clip_for(workspace, name, backend)
        write_durably(
            report,
            write_report(validation, validation_manifest, clip=clip, study=study).encode(),
        )
    lines = table(validation_manifest.figures)
    result: dict[str, Any] = dict(validation_manifest.figures)
    if rating_rows is not None and study is not None:
        keep_study(workspace, validation, rating_rows, context.user)
        result, lines = {**result, "study": study}, [*lines, *lines_of(study)]
    lines.append(f"validation {validation}")
    if not on:
        lines.append(f"next: greenroom approve {short(name)} --by NAME")
    answer(as_json, result, "\n".join(lines))


def _scenes(paths: Sequence[Path], pattern: str | None) -> dict[str, EvalTake]:
    """Return recordings as scenes, by path; what cannot be read is told on stderr."""
    label_pattern = None if pattern is None else read_pattern(pattern)
    out = {}
    for recording in InputFiles(list(paths), AUTOMATIC):
        if isinstance(recording, Refusal):
            click.echo(f"left out {recording.path}: {recording.reason}", err=True)
            continue
        out[recording.path] = EvalTake.of(
            recording, label_pattern.of([recording.path]) if label_pattern else {}
        )
    return out


@click.command("approve")
@click.argument("name", metavar="MODEL|RELEASE|POLICY")
@click.option("--by", required=True, metavar="NAME", help="Who approves.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day on which it counts.")
@as_json
@click.pass_obj
def approve_command(
    context: Context, name: str, by: str, until: datetime.datetime | None, as_json: bool
) -> None:
    """Sign an approval of a model, release or policy.

    Approving a model makes a release of it.

    It takes a key: greenroom key new NAME.
    """
    workspace, end = context.workspace, None if until is None else until.date()
    policy = _policy_named(workspace, name)
    if policy is not None:
        in_force = approve_policy(workspace, policy, by)
        names, missing = missing_approvals(workspace, policy)
        text = "in force" if in_force else f"not in force yet: {missing} more must approve"
        result = {"policy": policy, "in_force": in_force, "approved_by": names, "missing": missing}
        answer(as_json, result, f"policy {short(policy)}, approved by {', '.join(names)}: {text}")
        return
    try:  # of an earlier approver: what was measured since would make another release
        release = workspace.resolve(name, "release")
    except BadInput:
        model = workspace.resolve(name, "model")
        release = approve(workspace, model, by, end, *decide_gates(workspace, model))
    else:
        decide_gates(workspace, workspace.objects.read(release, ReleaseManifest).parents.model)
        sign_approval(workspace, release, by, end)
    actor = workspace.objects.read(release, ReleaseManifest).actor
    counting, missing = approval_status(workspace, release)
    then = f"promote {actor} {short(release)}"
    if missing:
        then = f"approve {short(release)} --by NAME  ({missing} more must)"
    answer(
        as_json,
        {"release": release, "approvers": counting, "missing": missing},
        f"release {release}, approved by {by}\nnext: greenroom {then}",
    )


def model_named(workspace: Workspace, text: str) -> str:
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


def _policy_named(workspace: Workspace, name: str) -> str | None:
    try:
        return workspace.resolve(name, "policy")
    except BadInput:
        return None


@click.command("card")
@click.argument("release")
@as_json
@click.pass_obj
def card_command(context: Context, release: str, as_json: bool) -> None:
    """Print a release's card."""
    name = context.workspace.resolve(release, "release")
    manifest = context.workspace.objects.read(name, ReleaseManifest)
    blob = manifest.blobs.get("card")
    if blob is None:
        model = manifest.parents.model
        text = model_card(context.workspace, model, manifest.parents.validation, [])
    else:
        text = context.workspace.objects.get(blob).decode()
    answer(as_json, {"release": name, "card": text}, text.rstrip())


@click.command("promote")
@click.argument("actor")
@click.argument("release")
@as_json
@click.pass_obj
def promote_command(context: Context, actor: str, release: str, as_json: bool) -> None:
    """Put a release on stage for an actor."""
    name = context.workspace.resolve(release, "release")
    previous = promote(context.workspace, actor, name, context.user)
    result = {"actor": actor, "release": name, "previous": previous}
    headline = f"{actor} performs {short(name)}; before: {short(previous)}"
    answer(as_json, result, f"{headline}\nnext: greenroom perform {actor} --in take:TAKE")


@click.command("rollback")
@click.argument("actor")
@as_json
@click.pass_obj
def rollback_command(context: Context, actor: str, as_json: bool) -> None:
    """Put the release before the one on stage back.

    A running show follows at once.
    """
    back, left = rollback(context.workspace, actor, context.user)
    result = {"actor": actor, "release": back, "left": left}
    answer(as_json, result, f"{actor} performs {short(back)} again; {short(left)} left the stage")


COMMANDS = (
    train_command,
    track_command,
    validate_command,
    card_command,
    approve_command,
    promote_command,
    rollback_command,
)
