"""Commands on recordings: `ingest`, `take`, `dataset`."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import click

from greenroom.capture.annotations import take_tiers
from greenroom.capture.formats.bvh import body_to_motion, write_bvh
from greenroom.capture.formats.face_npy import write_face
from greenroom.capture.ingest import IngestOptions, IngestResult, ingest, load_take
from greenroom.capture.labels import Tiers, read_labels, read_pattern
from greenroom.capture.readers import Recording
from greenroom.cli.context import Context, Heavy, answer, as_json, counted, meter, short
from greenroom.cli.listing import listing, plain_words
from greenroom.consent.gate import refusal_reason, require_current, require_rights
from greenroom.consent.records import read_rights
from greenroom.datasets.build import build_dataset, read_heldout
from greenroom.errors import BadInput
from greenroom.manifests import Rights, Take, to_json
from greenroom.render.clips import ClipPanel, picture, side_by_side
from greenroom.services.listing import date_text
from greenroom.store.attribution import Attribution
from greenroom.store.objects import write_durably

_NAME = re.compile(r"\w[\w.-]{0,99}")
"""An actor is a part of a ref's name and of addresses."""
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("ingest", cls=Heavy)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--actor", required=True, help="The virtual performer.")
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
    if not _NAME.fullmatch(actor):
        raise BadInput(
            f"--actor '{actor}' is no name",
            then="give letters, digits, '-', '_', '.': --actor mira",
        )
    if bool(participant) != bool(rights):
        raise BadInput(
            "--participant and --rights belong together", then="give both, or neither: quarantine"
        )
    record = read_rights(rights, participant) if rights else None
    attribution = Attribution(actor)
    if record is not None:
        attribution = Attribution(actor, (participant,), (record,))
    options = IngestOptions(
        mapping.read_bytes() if mapping else None,
        read_labels(labels.read_bytes(), where=str(labels)) if labels else None,
        read_pattern(label_pattern) if label_pattern is not None else None,
    )
    day = context.begin().today()
    if record is not None:
        require_current(record, day)
    ingested = _ingest_with_progress(context, paths, attribution, options, quiet=as_json)
    refused = [{"path": r.path, "reason": r.reason} for r in ingested.refused]
    lines = _ingest_lines(ingested, actor, record, day)
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


def _ingest_lines(
    ingested: IngestResult, actor: str, record: Rights | None, day: datetime.date
) -> list[str]:
    """Return what was kept, under which rights, and what to do next."""
    lines = [f"{counted(ingested.takes, 'take')}, {len(ingested.refused)} refused"]
    lines += [f"  note: {note}" for note in ingested.notes]
    if not ingested.takes:
        return lines
    if record is None:
        return [*lines, "  quarantined: nobody said who is in them; nothing will use them"]
    if record.start and day < datetime.date.fromisoformat(record.start):
        lines.append(f"  note: nothing uses them before {record.start}: the consent starts then")
    return [*lines, f"next: greenroom dataset build NAME --actor {actor}"]


def _ingest_with_progress(
    context: Context,
    paths: Sequence[Path],
    attribution: Attribution,
    options: IngestOptions,
    quiet: bool,
) -> IngestResult:
    """Ingest, and show how many recordings were read; how many there are is known at the end."""
    show = meter("recordings", quiet)
    show(0, 0)
    result = ingest(
        context.workspace,
        paths,
        attribution,
        context.user,
        options=options,
        progress=lambda done: show(done, 0),
    )
    total = len(result.takes) + len(result.refused)
    show(total, total)
    return result


@click.group("take")
def take_group() -> None:
    """List, show and export takes."""


@take_group.command("list")
@click.option("--actor", default=None)
@as_json
@click.pass_obj
def take_list(context: Context, actor: str | None, as_json: bool) -> None:
    """List takes in the order in which they came."""
    rows: list[dict[str, Any]] = []
    workspace = context.workspace
    day = workspace.today()
    for row in workspace.catalog.find("take", actor=actor):
        manifest = workspace.objects.read(row.object, Take)
        attribution = workspace.attributions.of(row.object, row.actor)
        state = refusal_reason(workspace, row.object, "train", day)
        rows.append(
            {
                "take": row.object,
                "date": date_text(row.at_ns),
                "name": row.name,
                "actor": row.actor,
                "medium": "+".join(manifest.formats),
                "seconds": round(manifest.clock.ticks / 30, 2),
                "participants": list(attribution.participants),
                "usable": not state,
                "reason": state,
                "tiers": take_tiers(workspace, row.object),
            }
        )
    text = "\n".join(
        f"{short(r['take'])}  {r['medium']:10}  {r['seconds']:8.2f} s  {r['date']}  {r['actor']:12}"
        f"  {r['name']}"
        + (f"  {_tiers_text(r['tiers'])}" if r["tiers"] else "")
        + ("" if r["usable"] else f"  ({r['reason']})")
        for r in rows
    )
    answer(as_json, {"takes": rows}, text or "no takes yet; run: greenroom ingest PATH --actor A")


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
    name = context.workspace.resolve(take, "take")
    workspace = context.workspace
    manifest = to_json(workspace.objects.read(name, Take))
    attribution = workspace.attributions.of(name).entry(name)
    tiers = take_tiers(workspace, name)
    facts = load_take(workspace, name).facts
    fields = {**attribution, **manifest, **({"tiers": tiers} if tiers else {}), **facts}
    text = "\n".join(f"{key:24} {plain_words(value)}" for key, value in fields.items())
    result = {"take": name, "attribution": attribution, "manifest": manifest, "facts": facts}
    answer(as_json, {**result, "tiers": tiers}, text)


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
    name = context.workspace.resolve(take, "take")
    manifest = context.workspace.objects.read(name, Take)
    require_rights(context.workspace, name, "export", context.workspace.today())
    media = list(manifest.formats)
    ending = file.suffix.lower()
    medium = media[0] if len(media) == 1 else _ENDINGS.get(ending, "")
    if ending in _DRAWN and "body" not in media:
        raise BadInput(
            f"this take has no body to draw in '{file.name}'", then="end it with .csv or .wav"
        )
    if medium not in media:
        raise BadInput(
            f"this take has {' and '.join(media)}; '{file.name}' does not say which to write",
            then="end the name with .bvh or .webp for a body, .csv for a face, .wav for a voice",
        )
    recording = load_take(context.workspace, name, (medium,))
    data = _drawn(recording, ending) if ending in _DRAWN else _written(recording, humanoid)
    write_durably(file, data)
    answer(as_json, {"take": name, "file": str(file), "bytes": len(data)}, f"wrote {file}")


_DRAWN = (".png", ".webp", ".gif")
_ENDINGS = {
    **dict.fromkeys((".bvh", *_DRAWN), "body"),
    ".csv": "face",
    **dict.fromkeys((".wav", ".flac", ".ogg"), "audio"),
}


def _drawn(recording: Recording, ending: str) -> bytes:
    """Return a picture of the middle pose, or a clip of the first 30 s."""
    body = recording.body
    assert body is not None
    if ending == ".png":
        return picture(body, len(body) // 2)
    name = PurePath(recording.path).stem
    return side_by_side([ClipPanel(body, name)], (360, 400), ending[1:], most=900)


def _written(recording: Recording, humanoid: bool) -> bytes:
    if recording.motion is not None and recording.body is not None:
        return write_bvh(body_to_motion(recording.body) if humanoid else recording.motion)
    if recording.face is not None:
        return write_face(recording.face)
    return recording.originals["audio"].data


@click.group("dataset")
def dataset_group() -> None:
    """Freeze takes into datasets; list and show them."""


@dataset_group.command("build", cls=Heavy)
@click.argument("name")
@click.option("--actor", required=True)
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
