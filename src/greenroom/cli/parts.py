"""Commands on a model's parts: `part list`, `part style`, `part rig`, `part face`."""

from __future__ import annotations

from pathlib import Path

import click

from greenroom.adaptation.face_refit import adapt_face
from greenroom.adaptation.style_refit import refit_style_head
from greenroom.cli.context import Context, Heavy, answer, as_json, short
from greenroom.manifests import Model, ModelPart
from greenroom.registry.rigs import set_rig_mapping


@click.group("part")
def part_group() -> None:
    """Fit, list and exchange parts of a model.

    Each part has a hash, and is fitted, judged and released by itself.
    """


@part_group.command("list")
@click.argument("model")
@as_json
@click.pass_obj
def list_command(context: Context, model: str, as_json: bool) -> None:
    """List the parts of a model."""
    manifest = context.workspace.objects.read(context.workspace.resolve(model, "model"), Model)
    parts = manifest.parts
    lines = [f"{kind:6} {name}" for kind, name in sorted(parts.items())]
    answer(as_json, {"parts": parts}, "\n".join(lines) or "it names no parts")


@part_group.command("style", cls=Heavy)
@click.argument("model")
@click.argument("dataset")
@as_json
@click.pass_obj
def style_command(context: Context, model: str, dataset: str, as_json: bool) -> None:
    """Fit the style classifier on a dataset; make the model that has it."""
    workspace = context.workspace
    base_model = workspace.resolve(model, "model")
    dataset_hash = workspace.resolve(dataset, "dataset")
    _report(
        context,
        refit_style_head(workspace, base_model, dataset_hash, context.user),
        "style",
        as_json,
    )


@part_group.command("rig")
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json
@click.pass_obj
def rig_command(context: Context, model: str, file: Path, as_json: bool) -> None:
    """Say what a face's channels drive of ARKit's 52; make the model that has this rig."""
    workspace = context.workspace
    base_model = workspace.resolve(model, "model")
    adapted_model = set_rig_mapping(
        workspace, base_model, data=file.read_bytes(), where=str(file), by=context.user
    )
    _report(context, adapted_model, "rig", as_json)


@part_group.command("face")
@click.argument("model")
@click.argument("take")
@as_json
@click.pass_obj
def face_command(context: Context, model: str, take: str, as_json: bool) -> None:
    """Fit a face to the person in the first half minute of a take; make the model that has it."""
    workspace = context.workspace
    base_model, take_hash = workspace.resolve(model, "model"), workspace.resolve(take, "take")
    adapted_model = adapt_face(workspace, base_model, take_hash, context.user)
    _report(context, adapted_model, "face", as_json)


def _report(context: Context, model: str, part: str, as_json: bool) -> None:
    """Say which part and model came of it, with the part's figures, and what comes next."""
    objects = context.workspace.objects
    name = objects.read(model, Model).parts[part]
    result: dict[str, object] = {"model": model, "part": name}
    lines = [
        f"part {name}",
        f"model {model}",
        f"next: greenroom validate {short(model)} --task {part}",
    ]
    if part == "rig":
        lines[-1] = f"next: greenroom approve {short(model)} --by NAME"
    if part == "face":
        figures = result["figures"] = objects.read(name, ModelPart).figures
        lines = [*(f"{figure} {value}" for figure, value in figures.items()), *lines]
    answer(as_json, result, "\n".join(lines))


COMMANDS = (part_group,)
