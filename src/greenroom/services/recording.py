"""Record live inputs as a take, and report what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.capture.ingest import duration_ticks, load_take
from greenroom.capture.quality import check_audio, check_body, longest_run
from greenroom.capture.readers import Recording
from greenroom.clock import TICK_HZ
from greenroom.consent.gate import require_current
from greenroom.errors import BadInput
from greenroom.frames import SAMPLES_PER_TICK, Floats
from greenroom.live.record import RecordHooks, TakeSpec, record_take
from greenroom.services.show_session import read_inputs
from greenroom.services.takes import IngestRequest
from greenroom.store.workspace import Workspace


@dataclass(frozen=True)
class RecordRequest:
    """A take to record.

    Attributes:
        actor: the virtual performer.
        inputs: URLs of live inputs.
        name: of the take; "" for the time of its start.
        participant: the person who is captured; "" for quarantine.
        rights: a licence, or the path of a JSON record; "" for quarantine.
        seconds: length; None until it is ended.
        allow: networks that may send to inputs which other machines reach.
    """

    actor: str
    inputs: Sequence[str]
    name: str = ""
    participant: str = ""
    rights: str = ""
    seconds: float | None = None
    allow: Sequence[str] = ()


@dataclass(frozen=True)
class RecordedTake:
    """A recorded take.

    Attributes:
        json: what `record --json` prints.
        notes: what a person may want to look at, a sentence each.
    """

    json: dict[str, Any]
    notes: list[str]


def record_live(
    workspace: Workspace, request: RecordRequest, by: str, hooks: RecordHooks
) -> RecordedTake:
    """Record live inputs as a take.

    Args:
        workspace: the workspace.
        request: what to record.
        by: name for the log.
        hooks: called while it runs.

    Raises:
        BadInput: an input cannot be used, nothing arrived, or the rights are not usable.
        Refused: a consent's time is over.
    """
    whose = IngestRequest(
        (), request.actor, participant=request.participant, rights=request.rights
    ).attribution()
    for record in whose.rights:
        require_current(record, workspace.today())
    for url in request.inputs:
        if url.startswith("take:"):
            raise BadInput(
                f"'{url}' is recorded already", then="give live inputs, such as vmc://:39540"
            )
    inputs = read_inputs(workspace, request.inputs, request.allow)
    started = workspace.log.clock.utc_ns() // 1_000_000_000
    name = request.name or np.datetime64(started, "s").item().strftime("live-%Y%m%d-%H%M%S")
    ticks = None if request.seconds is None else max(1, round(request.seconds * TICK_HZ))
    spec = TakeSpec(replace(whose, name=name), inputs.receivers, ticks)
    result = record_take(workspace, spec, by, hooks)
    recording = load_take(workspace, result.take)
    media, notes = describe_recording(recording)
    if not request.rights:
        notes.append("quarantined: nobody said who is captured; nothing will use it")
    length = duration_ticks(recording)
    out = {"take": result.take, "actor": request.actor, "name": name, "ticks": length}
    seconds = round(length / TICK_HZ, 3)
    return RecordedTake({**out, "seconds": seconds, **media, "receivers": result.receivers}, notes)


def describe_recording(recording: Recording) -> tuple[dict[str, Any], list[str]]:
    """Return how much of each medium is there, as JSON, and what is to be looked at.

    Args:
        recording: of at least one tick.
    """
    media: dict[str, Any] = {"body": None, "face": None, "voice": None}
    notes: list[str] = []
    if recording.body is not None:
        media["body"] = _coverage((recording.body.validity > 0).any(axis=1))
        notes += [f.sentence for f in check_body(recording.body) if not f.ok]
    if recording.face is not None:
        media["face"] = _coverage(np.isfinite(recording.face.weights).any(axis=1))
    if recording.audio is not None:
        samples = recording.audio.samples
        media["voice"] = _coverage(_ticks_with_sound(samples)) | {"peak_db": _peak_db(samples)}
        notes += [f.sentence for f in check_audio(samples) if not f.ok]
    notes += [
        f"the {medium} was missing for {facts['longest_gap_s']:g} s at once"
        for medium, facts in media.items()
        if medium != "voice" and facts and facts["longest_gap_s"] >= 1
    ]
    return media, notes


def _coverage(present: NDArray[np.bool_] | np.bool_) -> dict[str, Any]:
    """Return the share of ticks at which something is there, and the longest stretch without."""
    gap_s = round(longest_run(~np.atleast_1d(present)) / TICK_HZ, 3)
    share = round(float(present.mean()), 4)
    return {"ticks": int(present.sum()), "share": share, "longest_gap_s": gap_s}


def _ticks_with_sound(samples: Floats) -> NDArray[np.bool_]:
    full_ticks = samples[: len(samples) // SAMPLES_PER_TICK * SAMPLES_PER_TICK]
    present: NDArray[np.bool_] = (full_ticks.reshape(-1, SAMPLES_PER_TICK) != 0).any(axis=1)
    return present


def _peak_db(samples: Floats) -> float | None:
    """Return the loudest sample in dB of full scale; None for silence."""
    peak = float(np.abs(samples).max(initial=0))
    return round(20 * float(np.log10(peak)), 1) if peak > 0 else None
