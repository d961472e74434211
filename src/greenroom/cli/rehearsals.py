"""Commands that try a model before it goes on stage: `sandbox`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from greenroom.cli.context import Context, Heavy, answer, as_json, meter, short
from greenroom.errors import BadInput
from greenroom.manifests import PairFigure, Sandbox
from greenroom.rehearsal.report import comparison_report, verdict_sentence
from greenroom.rehearsal.sandbox import compare
from greenroom.store.objects import write_durably
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_model import TASKS


@click.command("sandbox", cls=Heavy)
@click.argument("challenger")
@click.argument("champion")
@click.option(
    "--on",
    multiple=True,
    metavar="SHOW_OR_TAKE",
    help="Recorded shows and takes; default the test takes of both.",
)
@click.option("--task", multiple=True, type=click.Choice(TASKS), help="Default all that both can.")
@click.option(
    "--unit",
    default="take",
    show_default=True,
    type=click.Choice(["take", "frame"]),
    help="What counts as a pair; frames are refused, with the reason.",
)
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write it as HTML.")
@as_json
@click.pass_obj
def sandbox_command(
    context: Context,
    challenger: str,
    champion: str,
    on: tuple[str, ...],
    task: tuple[str, ...],
    unit: str,
    report: Path | None,
    as_json: bool,
) -> None:
    """Compare two models on the same shows and takes."""
    workspace = context.workspace
    challenger_hash, champion_hash = (
        _any_of(workspace, n, ("release", "model")) for n in (challenger, champion)
    )
    inputs = [_any_of(workspace, name, ("show", "take")) for name in on]
    show = meter("comparing", as_json)
    sandbox = compare(
        workspace, challenger_hash, champion_hash, context.user, inputs, task, unit, show
    )
    manifest = workspace.objects.read(sandbox, Sandbox)
    if report is not None:
        write_durably(report, comparison_report(sandbox, manifest).encode())
    result = {"sandbox": sandbox, "figures": manifest.figures, "left_out": manifest.left_out}
    lines = [*_table(manifest.figures), *_left_out(manifest.left_out), f"sandbox {sandbox}"]
    answer(as_json, result, "\n".join(lines))


def _any_of(workspace: Workspace, text: str, kinds: Sequence[str]) -> str:
    """Return the hash of what is called so, of the first kind that has it."""
    errors: list[BadInput] = []
    for kind in kinds:
        try:
            return workspace.resolve(text, kind)
        except BadInput as error:
            errors.append(error)
    # Where one kind knows the name more than once, that is the better answer.
    ambiguities = [error for error in errors if not error.what.startswith("there is no ")]
    if ambiguities:
        raise ambiguities[0]
    what = f"there is no {' or '.join(kinds)} '{text}' in {workspace.home}"
    raise BadInput(what, then=errors[-1].then)


def _table(figures: Mapping[str, Mapping[str, PairFigure]]) -> list[str]:
    lines = [
        f"{'':22}{'challenger':>11}{'champion':>10}{'gain':>8}   95 % at every take   challenger is"
    ]
    for of, metrics in figures.items():
        for metric, row in metrics.items():
            low, high = row.ci
            lines.append(
                f"{of + '.' + metric:22}{row.challenger:11.3f}{row.champion:10.3f}"
                f"{row.gain:+8.3f}   {low:+.3f} … {high:+.3f}    "
                f"{verdict_sentence(row)}, {row.takes} pairs"
            )
    return lines


def _left_out(left_out: dict[str, str]) -> list[str]:
    return [f"left out {short(name)}: {why}" for name, why in left_out.items()]


COMMANDS = (sandbox_command,)
