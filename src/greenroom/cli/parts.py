"""Commands on a model's parts: `part list`, `part style`, `part rig`."""

from __future__ import annotations

from pathlib import Path

import click

from greenroom.cli.context import Context, Heavy, answer, as_json, short
from greenroom.registry.rigs import exchange_rig
from greenroom.retraining.exchange import exchange_style


@click.group("part")
def part_group() -> None:
    """Parts of a model, each with a hash: fitted, judged and released by themselves."""


@part_group.command("list")
@click.argument("model")
@as_json
@click.pass_obj
def list_command(context: Context, model: str, as_json: bool) -> None:
    """List the parts of a model."""
    manifest = context.workspace.objects.manifest(context.workspace.resolve(model, "model"))
    parts = manifest.get("parts", {})
    lines = [f"{kind:6} {name}" for kind, name in sorted(parts.items())]
    answer(as_json, {"parts": parts}, "\n".join(lines) or "it names no parts")


@part_group.command("style", cls=Heavy)
@click.argument("model")
@click.argument("dataset")
@as_json
@click.pass_obj
def style_command(context: Context, model: str, dataset: str, as_json: bool) -> None:
    """Fit the part that tells styles apart on a dataset; make the model that has it."""
    workspace = context.workspace
    start = workspace.resolve(model, "model")
    found = workspace.resolve(dataset, "dataset")
    _tell(context, exchange_style(workspace, start, found, context.user), "style", as_json)


@part_group.command("rig")
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json
@click.pass_obj
def rig_command(context: Context, model: str, file: Path, as_json: bool) -> None:
    """Say what a face's channels drive of ARKit's 52; make the model that has this rig."""
    workspace = context.workspace
    start = workspace.resolve(model, "model")
    made = exchange_rig(workspace, start, file.read_bytes(), str(file), context.user)
    _tell(context, made, "rig", as_json)


def _tell(context: Context, model: str, part: str, as_json: bool) -> None:
    name = context.workspace.objects.manifest(model, "model")["parts"][part]
    then = f"greenroom validate {short(model)} --task style" if part == "style" else ""
    then = then or f"greenroom approve {short(model)} --by NAME"
    answer(as_json, {"model": model, "part": name}, f"part {name}\nmodel {model}\nnext: {then}")


COMMANDS = (part_group,)
