"""Commands on recordings: `ingest`, `take`, `dataset`."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path

import click
import msgspec

from greenroom.capture.ingest import IngestResult
from greenroom.capture.labels import Tiers
from greenroom.cli.context import ActorName, Context, Heavy, answer, as_json, counted, meter, short
from greenroom.cli.listing import listing, plain_words
from greenroom.datasets.build import build_dataset, read_heldout
from greenroom.services.takes import (
    IngestRequest,
    describe_take,
    export_take,
    ingest_recordings,
    list_takes,
)

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("ingest", cls=Heavy)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--actor", required=True, type=ActorName(), metavar="ACTOR", help="The virtual performer."
)
@click.option("--participant", default="", help="The person in the recording, or a pseudonym.")
@click.option("--rights", default="", metavar="FILE|LICENCE", help="A JSON record, or a licence.")
@click.option("--mapping", type=_FILE, help="Joint names, unit, up; a face's rate and channels.")
@click.option("--labels", type=_FILE, help="CSV or JSON: take, start, end, a column a tier.")
@click.option("--label-pattern", metavar="PATTERN", help="Tiers in file names: 'x_{style}_{n}'.")
@as_json
@click.pass_context
def ingest_command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    actor: str,
    participant: str,
    rights: str,
    mapping: Path | None,
    labels: Path | None,
    label_pattern: str | None,
    as_json: bool,
) -> None:
    """Keep recordings (files, folders, archives) as takes."""
    context: Context = ctx.obj
    request = IngestRequest(
        paths,
        actor,
        participant=participant,
        rights=rights,
        mapping=mapping,
        labels=labels,
        label_pattern=label_pattern,
    )
    ingested = ingest_recordings(
        context.begin(), request, context.user, progress=meter("recordings", as_json)
    )
    refused = [{"path": r.path, "reason": r.reason} for r in ingested.refused]
    lines = _ingest_lines(ingested, request, context.workspace.today())
    lines[1:1] = [f"  refused {r['path']}: {r['reason']}" for r in refused]
    answer(as_json, {"takes": ingested.takes, "refused": refused}, "\n".join(lines))
    if not ingested.takes:
        first = f"; the first: {refused[0]['reason']}" if refused else ""
        click.echo(
            f"greenroom: nothing was taken: {len(refused)} refused{first}"
            + ("" if refused else "; give files that hold a recording"),
            err=True,
        )
        ctx.exit(2)


def _ingest_lines(ingested: IngestResult, request: IngestRequest, day: datetime.date) -> list[str]:
    """Return what was kept, under which rights, and what to do next."""
    lines = [f"{counted(ingested.takes, 'take')}, {len(ingested.refused)} refused"]
    lines += [f"  note: {note}" for note in ingested.notes]
    if not ingested.takes:
        return lines
    if not request.rights:
        return [*lines, "  quarantined: nobody said who is in them; nothing will use them"]
    for record in request.attribution().rights:
        if record.start and day < datetime.date.fromisoformat(record.start):
            starts = f"nothing uses them before {record.start}: the consent starts then"
            lines.append(f"  note: {starts}")
    return [*lines, f"next: greenroom dataset build NAME --actor {request.actor}"]


@click.group("take")
def take_group() -> None:
    """List, show and export takes."""


@take_group.command("list")
@click.option("--actor", default=None)
@as_json
@click.pass_obj
def take_list(context: Context, actor: str | None, as_json: bool) -> None:
    """List takes in the order in which they came."""
    rows = list_takes(context.workspace, actor)
    text = "\n".join(
        f"{short(row.take)}  {row.medium:10}  {row.seconds:8.2f} s  {row.date}  {row.actor:12}"
        f"  {row.name}"
        + (f"  {_tiers_text(row.tiers)}" if row.tiers else "")
        + ("" if row.usable else f"  ({row.reason})")
        for row in rows
    )
    answer(
        as_json,
        {"takes": [msgspec.to_builtins(row) for row in rows]},
        text or "no takes yet; run: greenroom ingest PATH --actor A",
    )


def _tiers_text(tiers: Tiers) -> str:
    """Return tiers as people read them: values, and how many stretches there are of others."""
    return " ".join(
        f"{tier}={labels}" if isinstance(labels, str) else f"{tier}[{len(labels)}]"
        for tier, labels in sorted(tiers.items())
    )


@take_group.command("show")
@click.argument("take")
@as_json
@click.pass_obj
def take_show(context: Context, take: str, as_json: bool) -> None:
    """Show a take: its manifest, and what its reader says of it."""
    description = describe_take(context.workspace, take)
    tiers = {"tiers": description.tiers} if description.tiers else {}
    fields = {**description.attribution, **description.manifest, **tiers, **description.facts}
    text = "\n".join(f"{key:24} {plain_words(value)}" for key, value in fields.items())
    answer(as_json, msgspec.structs.asdict(description), text)


@take_group.command("export", cls=Heavy)
@click.argument("take")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--humanoid", is_flag=True, help="The derived humanoid, not the source's skeleton.")
@as_json
@click.pass_obj
def take_export(context: Context, take: str, file: Path, humanoid: bool, as_json: bool) -> None:
    """Write a body as BVH or as a picture, a face as CSV, a voice as its original bytes.

    Of a take with several media the file's ending says which. A body's middle pose is drawn to .png, its
    first 30 s to .webp or .gif.
    """
    written = export_take(context.workspace, take, file, humanoid)
    answer(as_json, msgspec.structs.asdict(written), f"wrote {file}")


@click.group("dataset")
def dataset_group() -> None:
    """Freeze takes into datasets; list and show them."""


@dataset_group.command("build", cls=Heavy)
@click.argument("name")
@click.option("--actor", required=True, type=ActorName(), metavar="ACTOR")
@click.option(
    "--held",
    "heldout",
    type=_FILE,
    help="JSON: patterns of names held out; else 80/10/10 by hash.",
)
@as_json
@click.pass_obj
def dataset_build(
    context: Context, name: str, actor: str, heldout: Path | None, as_json: bool
) -> None:
    """Freeze every allowed take of an actor with a body, or with a face and its voice."""
    heldout_patterns = read_heldout(heldout.read_bytes(), where=str(heldout)) if heldout else None
    built = build_dataset(
        context.workspace,
        name,
        actor=actor,
        by=context.user,
        day=context.workspace.today(),
        heldout=heldout_patterns,
    )
    result = {"dataset": built.dataset, "takes": built.takes, "left_out": built.left_out}
    text = (
        f"dataset {short(built.dataset)}: {counted(built.takes, 'take')}, "
        f"{len(built.left_out)} left out"
    )
    why = Counter(omission["reason"] for omission in built.left_out)
    lines = [text, *(f"  {count}: {reason}" for reason, count in why.most_common())]
    answer(as_json, result, "\n".join([*lines, f"next: greenroom train {short(built.dataset)}"]))


listing(dataset_group, "dataset")
COMMANDS = (ingest_command, take_group, dataset_group)
