"""Perform an actor live, and replay a recorded show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from greenroom.capture.body_calibration import load_calibration
from greenroom.capture.receivers.datagrams import playout_delay_ms
from greenroom.clock import TICK_HZ
from greenroom.errors import BadInput
from greenroom.live.control import Act, record_control
from greenroom.live.inputs import open_inputs
from greenroom.live.journal import journals
from greenroom.live.playlist import Playlist, show_conditioning
from greenroom.live.recovery import Recovered, is_cut_off, recover_recordings
from greenroom.live.show import ShowHooks, ShowResult, perform
from greenroom.live.show_notice import find_show
from greenroom.live.sources import LostCapture
from greenroom.live.supervisor import ShowSpec
from greenroom.monitoring.script import ScriptScene, read_script
from greenroom.observers.page import welcome_message
from greenroom.registry.promote import live_release, previous_of
from greenroom.registry.release import Release, load_release
from greenroom.services.show_session import (
    ServePage,
    ShowSession,
    read_inputs,
    read_outputs,
    require_no_loop,
    warned,
)
from greenroom.serving import DEFAULT_BACKEND, open_backend
from greenroom.store.workspace import Workspace

AVATAR_PATH = "/avatar.vrm"
"""Where a show's page finds its avatar."""
AVATAR_BYTES = 256 << 20
FACE_ONLY = "When capture is lost, it stands at ease; the voice drives the face and plain gestures."
NOT_SPEECH = "When capture is lost, it stands at ease; a voice drives plain gestures."
NO_RIGHTS = (
    "Live input has no recorded rights: the show is recorded, and nothing is learned from it."
)
NOT_TOGETHER = "Speech and motion were not recorded together."
REPEATS = "The takes repeat; a repeat is marked."

Progress = Callable[[int, int], None]
PageOpener = Callable[[tuple[str, int] | None], ServePage | None]
"""Returns what serves the page at (host, port); None for no page."""


def show_notices(release: Release, playlist: Playlist) -> list[str]:
    """Return what viewers of a show should know about its model and its inputs."""
    notices = [FACE_ONLY if release.role.uses_speech else NOT_SPEECH]
    if playlist.apart:
        notices.append(NOT_TOGETHER)
    if playlist.repeats:
        notices.append(REPEATS)
    return notices


@dataclass(frozen=True)
class PerformRequest:
    """A live performance.

    Attributes:
        actor: whose live release performs.
        inputs: URLs of takes and receivers.
        outputs: URLs of sinks and of the page.
        seconds: length; None for that of the takes.
        seed: of the model's noise.
        backend: URL of what runs the model.
        watch: whether the capture is charted for drift.
        script: CSV file of scenes; None for none.
        lost: what the performer does when nothing is captured.
        avatar: VRM file that every viewer of the page sees; None for the mannequin.
        allow: networks that may send to live inputs which other machines reach.
    """

    actor: str
    inputs: Sequence[str]
    outputs: Sequence[str] = ()
    seconds: float | None = None
    seed: int = 0
    backend: str = DEFAULT_BACKEND
    watch: bool = True
    script: Path | None = None
    lost: LostCapture = "idle"
    avatar: Path | None = None
    allow: Sequence[str] = ()


def perform_actor(
    workspace: Workspace,
    request: PerformRequest,
    by: str,
    open_page: PageOpener,
    progress: Progress,
) -> ShowResult:
    """Perform live at 30 fps and record the show.

    Args:
        workspace: the workspace.
        request: the performance.
        by: name for the log.
        open_page: makes what serves the stage page.
        progress: called with (frames, total).

    Raises:
        BadInput: an input, output or the script cannot be used, or a live input has no end.
        Refused: a take's rights do not cover a performance.
    """
    script = request.script
    scenes = [] if script is None else read_script(script.read_bytes(), str(script))
    outputs = read_outputs(request.outputs)
    order, playlist = _plan(workspace, request, outputs.sinks, scenes)
    require_no_loop(order.receivers, order.sinks)
    release = order.release
    serve = open_page(outputs.page)
    session = ShowSession(
        workspace, release, playlist=playlist, ticks=order.ticks, serve=serve, by=by
    )
    if order.receivers:
        session.watch_live_sources()
    notices = show_notices(release, playlist) + ([NO_RIGHTS] if order.receivers else [])
    notices += _watch(session, workspace, order, scenes) if request.watch else []
    try:
        avatar = None
        if request.avatar is not None:
            avatar = AVATAR_PATH
            session.messages.name_avatar(request.avatar)
        delay_ms = playout_delay_ms(order.receivers)
        session.open(
            welcome_message(release, order.ticks, notices, [], avatar=avatar, jitter_ms=delay_ms)
        )
        return perform_in_session(workspace, order, session, by, progress=progress)
    finally:
        session.close()


def control_show(workspace: Workspace, actor: str, act: Act, by: str) -> None:
    """Hold, resume, cut or restore an actor's running show.

    Args:
        workspace: the workspace.
        actor: who performs.
        act: what to do.
        by: name for the log.

    Raises:
        BadInput: no show of this actor is on.
    """
    if find_show(workspace.home, actor) is None:
        raise BadInput(
            f"no show of '{actor}' is on",
            then=f"start one: greenroom perform {actor} --in take:TAKE; past ones: greenroom show list",
        )
    record_control(workspace, actor, act, by)


def recover_cut_off(workspace: Workspace) -> tuple[list[Recovered], list[str]]:
    """Finish shows and takes whose processes are gone; return them, and what went wrong."""
    faults: list[str] = []
    return recover_recordings(workspace, faults.append), faults


def cut_off_shows(workspace: Workspace) -> int:
    """Return how many shows and takes were cut off, and are not finished yet."""
    return sum(is_cut_off(journal) for journal in journals(workspace.home))


def read_avatar(path: Path) -> bytes:
    """Return the bytes of a VRM file.

    Raises:
        BadInput: it is no binary glTF, or too large for a page.
    """
    data = path.read_bytes()
    if data[:4] != b"glTF":
        raise BadInput("this is no VRM file", where=str(path), then="export the avatar as VRM")
    if len(data) > AVATAR_BYTES:
        raise BadInput(
            f"{len(data) >> 20} MB; at most {AVATAR_BYTES >> 20}",
            where=str(path),
            then="export it with smaller textures",
        )
    return data


def _plan(
    workspace: Workspace, request: PerformRequest, sinks: list[str], scenes: list[ScriptScene]
) -> tuple[ShowSpec, Playlist]:
    """Return the show that a request describes, and its playlist."""
    takes, receivers, rank = read_inputs(workspace, request.inputs, request.allow)
    _say_calibrated(workspace, request.actor, receivers)
    if receivers and not request.seconds:
        raise BadInput(f"'{receivers[0]}' has no end", then="say how long: --seconds 60")
    release = load_release(workspace, live_release(workspace, request.actor))
    open_backend(request.backend, release.graph, release.role.shape)  # before anything is started
    ticks = round(request.seconds * TICK_HZ) if request.seconds else None
    urls = [*(f"take:{take}" for take in takes), *receivers]
    playlist = open_inputs(workspace, urls, ticks).playlist
    order = ShowSpec(
        release,
        takes,
        ticks or playlist.ticks,
        receivers=receivers,
        rank=rank,
        sinks=sinks,
        seed=request.seed,
        lost=request.lost,
        backend=request.backend,
        previous=previous_of(workspace, request.actor),
        conditioning=show_conditioning(playlist, scenes),
    )
    return order, playlist


def _say_calibrated(workspace: Workspace, actor: str, receivers: Sequence[str]) -> None:
    """Say on stderr which live inputs are corrected by a calibration.

    Raises:
        BadInput: a calibration is damaged.
    """
    for url in receivers:
        calibration = load_calibration(workspace, actor, url)
        if calibration is not None:
            day = workspace.day_of(calibration.made_utc_ns)
            forget = f"greenroom calibrate {actor} --in {calibration.url} --forget"
            warned(f"{url}: calibrated on {day}; without it: {forget}")


def _watch(
    session: ShowSession, workspace: Workspace, order: ShowSpec, scenes: list[ScriptScene]
) -> list[str]:
    """Chart the capture, and keep what is new where rights allow; return notices for viewers."""
    notices = session.watch(workspace, order.release, scenes)
    if not order.receivers:
        session.keep(workspace, order.release, order.takes, session.by)
    return notices


def perform_in_session(
    workspace: Workspace, order: ShowSpec, session: ShowSession, by: str, progress: Progress
) -> ShowResult:
    """Perform a show, and publish its result on the page.

    Args:
        workspace: the workspace.
        order: the show.
        session: what runs beside it.
        by: name for the log.
        progress: called with (frames, total).
    """
    hooks = ShowHooks(progress=progress, warn=warned, staged=session.staged)
    result = perform(workspace, order, by=by, observers=session.observers, hooks=hooks)
    session.publish_end(result)
    return result
