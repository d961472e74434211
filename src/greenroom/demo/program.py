"""What plays in `demo --loop`: a reference that the charts know, and a style that is new to them.

Without recordings both are made from the embedded clips by the transforms below, and the page says so;
with recordings they are real, and the labels say which style is the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from greenroom import embedded
from greenroom.capture.discovery import InputFiles
from greenroom.capture.formats.bvh import body_to_motion, write_bvh
from greenroom.capture.ingest import load_take, store_take
from greenroom.capture.labels import read_pattern
from greenroom.capture.readers import Recording, Refusal, read_recording
from greenroom.capture.sequence import concatenate
from greenroom.capture.skeleton.mapping import AUTOMATIC
from greenroom.capture.variations import Variation
from greenroom.clock import TICK_HZ
from greenroom.consent.records import read_rights
from greenroom.errors import BadInput
from greenroom.frames import Body
from greenroom.rotations import from_vector, multiply, normalise
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace

SETLIST = ("walk", "punch", "jump", "kick", "dance_b", "spin", "run")
"""What every number of the show is made of, in this order."""
STYLE = Variation(
    tempo=0.8,
    amplitude=0.75,
    posture={
        "spine": (30, 0, 0),
        "head": (-20, 0, 0),
        "leftUpperArm": (0, 0, -28),
        "rightUpperArm": (0, 0, 28),
    },
)
"""The new style: slow and small, bent forward, the arms away from the body."""
NOISE = 0.05
"""Degrees (rms about each axis): a sensor's, without which a joint at rest is exactly where it was."""
REFERENCE, BEFORE, AFTER = 120, 6, 8
"""Numbers that the charts know, that play before the style changes, and that play after it, repeated."""
LONGEST_S = 570.0
"""Of the show."""
CHANGE_S = 88.0
"""When the style changes, at the earliest."""
EVERY = 6
"""Of so many real takes one plays and is not part of the reference."""
MADE = "Simulated: style and light are made from the clips by stated transforms."
REAL = "Simulated: the light; the recordings are real."


@dataclass(frozen=True)
class Program:
    """What plays.

    Attributes:
        reference: the reference, by name, in the order in which a show would play it.
        takes: what plays, in order.
        starts_s: when the style changes, seconds.
        notice: what the page says of it.
        attribution: is captured, for the actor that learns.
    """

    reference: dict[str, Body]
    takes: list[str]
    starts_s: float
    notice: str
    attribution: Attribution


RECORDINGS_NEED = (
    "recordings are played with --loop, --new-style, --label-pattern, --participant and --rights"
)


@dataclass(frozen=True)
class ProgramRequest:
    """What is to play.

    Attributes:
        recordings: files, folders, archives; none for variations of the embedded clips.
        new_style: of the recordings, the style that is new.
        label_pattern: of their file names, with a field `{style}`.
        participant: the person in them.
        rights: a licence, or the path of a JSON record.
    """

    recordings: Sequence[Path] = ()
    new_style: str | None = None
    label_pattern: str | None = None
    participant: str = ""
    rights: str = ""

    def check(self) -> None:
        """Pass where recordings come with all that they need.

        Raises:
            BadInput: something is missing.
        """
        needs = (self.new_style, self.label_pattern, self.participant, self.rights)
        if self.recordings and not all(needs):
            raise BadInput(RECORDINGS_NEED)


def make_program(workspace: Workspace, request: ProgramRequest, by: str) -> Program:
    """Return the program of a request.

    Args:
        workspace: where what plays is kept.
        request: what is to play.
        by: name for the log.

    Raises:
        BadInput: something that recordings need is missing, or they lack the style or another one.
    """
    request.check()
    if not request.recordings or request.new_style is None or request.label_pattern is None:
        return made_program(workspace, by)
    rights = read_rights(request.rights, request.participant)
    attribution = Attribution(embedded.ACTOR, (request.participant,), (rights,))
    return recorded_program(
        workspace,
        request.recordings,
        pattern=request.label_pattern,
        new=request.new_style,
        attribution=attribution,
        by=by,
    )


def number(clips: dict[str, Body], random: np.random.Generator, style: Variation | None) -> Body:
    """Return the setlist as it is performed once: never twice the same."""
    out = []
    for name in SETLIST:
        varied = Variation(
            mirror=bool(random.integers(2)),
            tempo=float(random.uniform(0.88, 1.12)),
            amplitude=float(random.uniform(0.88, 1.08)),
        ).of(clips[name])
        out.append(varied if style is None else style.of(varied))
    body = concatenate(out)
    noise = np.deg2rad(NOISE) * random.standard_normal((*body.rotations.shape[:2], 3))
    shaken = normalise(multiply(from_vector(noise.astype(np.float32)), body.rotations))
    return Body(body.skeleton, body.root, shaken.astype(np.float32), body.validity)


def made_program(workspace: Workspace, by: str) -> Program:
    """Return a program made from the embedded clips."""
    names = embedded.ingest_clips(workspace, by)
    clips = {name: load_body(workspace, names[f"humanoid3d_{name}"]) for name in SETLIST}
    random = np.random.default_rng(0)
    reference = {f"number {n}": number(clips, random, None) for n in range(REFERENCE)}
    rights = read_rights("Zlib", "deepmimic")
    attribution = Attribution("stream", ("deepmimic",), (rights,))
    out: list[list[str]] = [[], []]
    ticks = 0
    for n in range(BEFORE + AFTER):
        style = None if n < BEFORE else STYLE
        body = number(clips, random, style)
        ticks += len(body) if style is None else 0
        data = write_bvh(body_to_motion(body))
        recording = read_recording(data, f"number-{n:02d}{'-style' if style else ''}.bvh")
        out[style is not None].append(store_take(workspace, recording, attribution, by))
    repeats = int(LONGEST_S / 14) // AFTER + 1
    attribution = Attribution(embedded.ACTOR, ("deepmimic",), (rights,))
    return Program(
        reference,
        out[0] + out[1] * repeats,
        starts_s=ticks / TICK_HZ,
        notice=MADE,
        attribution=attribution,
    )


def _by_style(
    paths: Sequence[Path], pattern: str, new: str
) -> tuple[list[tuple[str, Recording]], list[tuple[str, Recording]]]:
    """Return the bodies under paths by file name: of other styles, and of the new one."""
    label_pattern = read_pattern(pattern)
    styles: dict[bool, list[tuple[str, Recording]]] = {True: [], False: []}
    for recording in InputFiles(list(paths), AUTOMATIC):
        if isinstance(recording, Refusal) or recording.body is None:
            continue
        style = label_pattern.of([recording.path]).get("style")
        if isinstance(style, str):
            styles[style == new].append((recording.path, recording))
    return sorted(styles[False]), sorted(styles[True])


def recorded_program(
    workspace: Workspace,
    paths: Sequence[Path],
    pattern: str,
    new: str,
    attribution: Attribution,
    by: str,
) -> Program:
    """Return a program of recordings: every style but one is the reference, that one is new.

    Args:
        workspace: where what plays is kept.
        paths: files, folders, archives.
        pattern: of file names, with a field `{style}`.
        new: the style that is new.
        attribution: is in them, for the actor that learns.
        by: who keeps them.

    Raises:
        BadInput: no take is of the new style, or none of another.
    """
    reference_takes, new_takes = _by_style(paths, pattern, new)
    if not reference_takes or not new_takes:
        raise BadInput(
            f"{len(new_takes)} takes are of the style '{new}', {len(reference_takes)} of others",
            then="see --label-pattern and --new-style",
        )
    random = np.random.default_rng(0)
    playing = [
        reference_takes[i]
        for i in random.permutation(len(reference_takes))[: len(reference_takes) // EVERY]
    ]
    left_out = {path for path, _ in playing}
    stream = replace(attribution, actor="stream")
    takes: list[str] = []
    ticks = 0
    for _, recording in playing:
        assert recording.body is not None
        if ticks < CHANGE_S * TICK_HZ:
            takes.append(store_take(workspace, recording, stream, by))
            ticks += len(recording.body)
    order = [new_takes[i] for i in random.permutation(len(new_takes))]
    after = [store_take(workspace, recording, stream, by) for _, recording in order]
    duration_s = sum(len(r.body) for _, r in order if r.body is not None) / TICK_HZ
    repeats = int(LONGEST_S / duration_s) + 1
    bodies = {
        path: r.body for path, r in reference_takes if path not in left_out and r.body is not None
    }
    starts_s, playlist = ticks / TICK_HZ, takes + after * repeats
    return Program(bodies, playlist, starts_s, REAL, attribution=attribution)


def load_body(workspace: Workspace, take: str) -> Body:
    """Return the body of a take that has one."""
    body = load_take(workspace, take, ("body",)).body
    assert body is not None
    return body
