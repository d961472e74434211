"""Commands on recordings: `ingest`, `take`, `dataset`."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import click

from greenroom.capture.bvh import body_to_motion, write_bvh
from greenroom.capture.takes import Who, ingest, load
from greenroom.cli.context import Context, answer, as_json, short
from greenroom.consent.gate import refusal
from greenroom.consent.records import read_rights
from greenroom.datasets.build import build
from greenroom.errors import BadInput
from greenroom.store.objects import write_durably

_NAME = re.compile(r"\w[\w.-]{0,99}")
"""An actor is a part of a ref's name and of addresses."""


@click.command("ingest")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--actor", required=True, help="The virtual performer.")
@click.option("--participant", default="", help="The person in the recording, or a pseudonym.")
@click.option("--rights", default="", metavar="FILE|LICENCE", help="A JSON record, or a licence.")
@click.option(
    "--mapping", type=click.Path(path_type=Path, exists=True), help="Joint names, unit, up."
)
@as_json
@click.pass_context
def ingest_command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    actor: str,
    participant: str,
    rights: str,
    mapping: Path | None,
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
    who = Who(actor, participant, record)
    said = mapping.read_bytes() if mapping else None
    found = ingest(context.workspace, paths, who, context.user, said)
    refused = [{"path": r.path, "reason": r.reason} for r in found.refused]
    lines = [f"{len(found.takes)} takes, {len(refused)} refused"]
    lines += [f"  refused {r['path']}: {r['reason']}" for r in refused]
    if record is None and found.takes:
        lines.append("  quarantined: nobody said who is in them; nothing will use them")
    answer(as_json, {"takes": found.takes, "refused": refused}, "\n".join(lines))
    if not found.takes:
        ctx.exit(2)


@click.group("take")
def take_group() -> None:
    """List, show and export takes."""


@take_group.command("list")
@click.option("--actor", default=None)
@as_json
@click.pass_obj
def take_list(context: Context, actor: str | None, as_json: bool) -> None:
    """List takes in the order in which they came."""
    rows = []
    today = datetime.date.today()
    for row in context.workspace.catalog.find("take", actor=actor):
        manifest = context.workspace.objects.manifest(row.object, "take")
        state = refusal(manifest, "train", today)
        rows.append(
            {
                "take": row.object,
                "name": manifest["name"],
                "actor": row.actor,
                "medium": manifest["medium"],
                "seconds": round(manifest["ticks"] / 30, 2),
                "participant": manifest["participant"],
                "usable": not state,
                "reason": state,
            }
        )
    text = "\n".join(
        f"{short(r['take'])}  {r['medium']:5}  {r['seconds']:8.2f} s  {r['name']}"
        + ("" if r["usable"] else f"  ({r['reason']})")
        for r in rows
    )
    answer(as_json, {"takes": rows}, text or "no takes yet; run: greenroom ingest PATH --actor A")


@take_group.command("show")
@click.argument("take")
@as_json
@click.pass_obj
def take_show(context: Context, take: str, as_json: bool) -> None:
    """Show a take: its manifest, and what its reader says of it."""
    name = context.workspace.resolve(take, "take")
    manifest = context.workspace.objects.manifest(name, "take")
    facts = load(context.workspace, name).facts
    text = "\n".join(f"{key:24} {value}" for key, value in {**manifest, **facts}.items())
    answer(as_json, {"take": name, "manifest": manifest, "facts": facts}, text)


@take_group.command("export")
@click.argument("take")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--humanoid", is_flag=True, help="The derived humanoid, not the source's skeleton.")
@as_json
@click.pass_obj
def take_export(context: Context, take: str, file: Path, humanoid: bool, as_json: bool) -> None:
    """Write a body take as BVH, or a voice as its original bytes."""
    name = context.workspace.resolve(take, "take")
    recording = load(context.workspace, name)
    data = recording.original
    if recording.motion is not None and recording.body is not None:
        data = write_bvh(body_to_motion(recording.body) if humanoid else recording.motion)
    write_durably(file, data)
    answer(as_json, {"take": name, "file": str(file), "bytes": len(data)}, f"wrote {file}")


@click.group("dataset")
def dataset_group() -> None:
    """Freeze takes into datasets."""


@dataset_group.command("build")
@click.argument("name")
@click.option("--actor", required=True)
@as_json
@click.pass_obj
def dataset_build(context: Context, name: str, actor: str, as_json: bool) -> None:
    """Freeze every allowed body take of an actor, split 80/10/10 by take."""
    built = build(context.workspace, name, actor, context.user, datetime.date.today())
    result = {"dataset": built.dataset, "takes": built.takes, "left_out": built.left_out}
    text = (
        f"dataset {short(built.dataset)}: {len(built.takes)} takes, {len(built.left_out)} left out"
    )
    answer(as_json, result, text)


COMMANDS = (ingest_command, take_group, dataset_group)
