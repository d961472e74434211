"""The demo: a show of the published clips by the embedded release, and its replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from greenroom import embedded
from greenroom.capture import sample_data
from greenroom.clock import TICK_HZ
from greenroom.config import cache
from greenroom.errors import CheckFailed
from greenroom.live.playlist import open_playlist
from greenroom.live.show import ShowResult
from greenroom.live.supervisor import ShowSpec
from greenroom.observers.page import welcome_message
from greenroom.registry.release import Release, load_release
from greenroom.services.show_results import replay_in_new_process, require_no_missed_tick
from greenroom.services.show_session import ShowSession
from greenroom.services.shows import Progress, perform_in_session, show_notices
from greenroom.store.workspace import Workspace

LINGER_S = 2.0
"""How long the page stays after a successful replay."""


@dataclass(frozen=True)
class DemoHooks:
    """Functions that a demo calls.

    Attributes:
        progress: with (frames, total).
        open_page: for what serves the stage page; None for no page.
        notify: with a line before something that takes long.
        starts: with the release and the notices for viewers, just before the show.
        finish: with the result, while the page still stands; it goes when this returns.
    """

    progress: Progress
    open_page: Callable[[], Any]
    notify: Callable[[str], None]
    starts: Callable[[Release, list[str]], None] = lambda release, notices: None
    finish: Callable[[DemoResult], None] = lambda result: None


@dataclass(frozen=True)
class DemoResult:
    """A show and the verdict of its replay in a process of its own."""

    show_result: ShowResult
    replay: dict[str, Any]

    @property
    def is_exact(self) -> bool:
        """Whether every frame was replayed bit for bit."""
        return bool(self.replay["exact"] == self.show_result.json["frames"])

    def check(self) -> None:
        """Pass where the replay is exact.

        Raises:
            CheckFailed: a frame differs, or a tick was missed.
        """
        if not self.is_exact:
            raise CheckFailed(f"the replay differs: {self.replay['first_difference']}")
        require_no_missed_tick(self.show_result.json)


def ensure_sample_clips(notify: Callable[[str], None]) -> None:
    """Download the published clips where they are not there yet.

    Args:
        notify: called with a line before the download.
    """
    if not sample_data.fetched(cache()):
        notify("fetching the published clips, once (about 110 MB)")
        sample_data.fetch(cache())


def perform_demo(workspace: Workspace, seconds: float, by: str, hooks: DemoHooks) -> DemoResult:
    """Perform the published clips with the capture cut in the middle, and replay the show.

    Args:
        workspace: the workspace.
        seconds: length of the show.
        by: name for the log.
        hooks: functions that are called meanwhile.
    """
    ensure_sample_clips(hooks.notify)
    release = load_release(workspace, embedded.install(workspace))
    clips = embedded.ingest_clips(workspace, by)
    voices = [clips[clip] for clip in clips if not clip.startswith("humanoid3d_")]
    takes = [clips[name] for name in embedded.TEST] + voices
    ticks = round(seconds * TICK_HZ)
    playlist = open_playlist(workspace, takes, ticks)
    order = ShowSpec(release, takes, ticks, cuts=[(4 * ticks // 9, 5 * ticks // 9)])
    session = ShowSession(
        workspace, release, playlist=playlist, ticks=ticks, serve=hooks.open_page()
    )
    session.replays = True
    linger_s = 0.0
    try:
        notices = show_notices(release, playlist)
        credits = [wheel.credit for wheel in sample_data.WHEELS]
        session.open(welcome_message(release, ticks, notices, credits))
        hooks.starts(release, notices)
        show_result = perform_in_session(workspace, order, session, by, progress=hooks.progress)
        result = DemoResult(show_result, replay_in_new_process(workspace.home, show_result.show))
        session.publish("verdict", result.replay)
        linger_s = LINGER_S if result.is_exact else 0.0
        hooks.finish(result)
        return result
    finally:
        session.close(linger_s)
