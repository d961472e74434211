"""`greenroom show export`: a show for post-production."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from greenroom.cli.context import Context, Heavy, answer, as_json, meter
from greenroom.services.show_export import (
    DEFAULT_KINDS,
    ExportRequest,
    export_show,
    parse_kinds,
    parse_tick,
)


@click.command("export", cls=Heavy)
@click.argument("show")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--from", "first", metavar="T", help="First tick, or HH:MM:SS[.mmm] from the show's start."
)
@click.option("--to", "last", metavar="T", help="Where it ends: one past the last tick, or a time.")
@click.option(
    "--as",
    "kinds",
    default=DEFAULT_KINDS,
    show_default=True,
    metavar="KINDS",
    help="Of bvh, vrma, glb, csv, wav, png and mp4, with commas; mp4 needs `video`.",
)
@click.option(
    "--humanoid", is_flag=True, help="The humanoid of 55 bones; every show is one already."
)
@click.option("--participant", default="", help="Who was heard live, or a pseudonym.")
@click.option(
    "--rights", default="", metavar="FILE|LICENCE", help="What that person allows, as at ingest."
)
@as_json
@click.pass_obj
def export_command(
    context: Context,
    /,
    show: str,
    folder: Path,
    kinds: str,
    humanoid: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Write a show, or a stretch of it, for post-production.

    One file a kind, all of the same ticks, with SMPTE timecode of 30 frames a second, non-drop. All are
    written, or none. A show with live inputs needs the rights of who was heard.
    """
    for end in ("first", "last"):
        asked[end] = None if asked[end] is None else parse_tick(asked[end])
    exported = export_show(
        context.workspace,
        show,
        folder,
        ExportRequest(parse_kinds(kinds), **asked),
        progress=meter("drawing", as_json),
    )
    lines = [f"{file.kind:5}{file.frames:>8,} frames  {file.path}" for file in exported]
    answer(as_json, {"files": [file.json() for file in exported]}, "\n".join(lines))
