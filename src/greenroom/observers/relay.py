"""Relay the shows that other processes of this machine perform, so that one server shows them all.

Frames are read from the ring of a show, where they pass anyway, and nothing is written there: a relay
that is slow, or dies, is nothing to the show. What else a page is told comes from the show's messages.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from greenroom.contracts import get_tensors
from greenroom.errors import GreenroomError
from greenroom.live.ring import SLOTS
from greenroom.live.show_notice import ShowView, find_show
from greenroom.observers.hub import Hub
from greenroom.observers.message_file import (
    MessageReader,
    ShowHead,
    actors_with_messages,
    message_path,
)
from greenroom.observers.page import PageObserver, swap_message
from greenroom.platform import is_alive
from greenroom.registry.release import Release, load_release
from greenroom.store.workspace import Workspace

POLL_S, IDLE_POLL_S = 0.015, 0.25
"""How often frames are looked for while a show is on, and shows while none is."""
CLOSE_ROWS = 3
"""Rows behind the show's newest, at most, when viewers are greeted."""
SILENT_S = 30.0
"""Without a frame for this long, and without a ring, a show is over."""
MARGIN = 90
"""Rows of a full ring that are left to the writer: three seconds."""


class ShowHubs:
    """A hub for each actor; viewers who name none follow the show that started last."""

    def __init__(self) -> None:
        """Nobody is on stage."""
        self._hubs: dict[str, Hub] = {}
        self._none = Hub()
        self._newest = self._none

    @property
    def viewers(self) -> int:
        """How many pages are listening."""
        return self._none.viewers + sum(hub.viewers for hub in list(self._hubs.values()))

    def hub_of(self, actor: str) -> Hub:
        """Return the hub of an actor's show; of the newest show where `actor` is empty."""
        return self._hubs.get(actor, self._none) if actor else self._newest

    def begin(self, actor: str, greeting: bytes, past: list[tuple[str, bytes]]) -> Hub:
        """Open an actor's show, with what has passed of it; who follows the newest goes there."""
        hub = self._hubs.setdefault(actor, Hub())
        hub.begin(greeting, past)
        before, self._newest = self._newest, hub
        for left in {before, self._none} - {hub}:
            left.dismiss()
        return hub


class _Collected(Hub):
    """A hub without viewers that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, bytes]] = []

    def publish(self, kind: str, message: bytes) -> None:
        self.messages.append((kind, message))


class ActorRelay:
    """Relays the shows of one actor, one after the other.

    Args:
        workspace: of this relay's thread.
        actor: who performs.
        hubs: of the viewers.
    """

    def __init__(self, workspace: Workspace, actor: str, hubs: ShowHubs) -> None:
        """No show is known yet."""
        self.workspace, self.actor, self.hubs = workspace, actor, hubs
        self.avatar: Path | None = None
        self.on = False
        self._messages = MessageReader(message_path(workspace.home, actor))
        self._head: ShowHead | None = None
        self._view: ShowView | None = None
        self._releases: dict[int, Release] = {}
        self._hub = Hub()
        self._observer = PageObserver(self._hub, ())
        self._at = self._shown = 0
        self._heard_s = 0.0  # when the last row came, or the show began

    def step(self) -> None:
        """Pass on what is new."""
        alive = self._is_alive()  # asked first: its last words are read after them
        batch = self._messages.read()
        if batch.head is not None:
            self._pass_frames()  # the end of the last show
            if batch.lines:
                self._begin(batch.head, batch.lines[0])
        elif self._head is None:
            return
        self._pass_frames()
        for line in batch.lines[1:] if batch.head is not None else batch.lines:
            kind = str(msgspec.json.decode(line).get("type"))
            self._hub.publish(kind, line)
            self.on = self.on and kind != "end"
        if self.on and batch.head is None and not alive:
            self._cut_off()

    def _begin(self, head: ShowHead, line: bytes) -> None:
        """Greet viewers of a new show, and give them what has passed of it."""
        self._head, self._view, self.on, self._at = head, None, True, 0
        self._releases, self._heard_s = {}, time.monotonic()
        self.avatar = None if head.avatar is None else Path(head.avatar)
        greeting = msgspec.json.decode(line)
        if self.avatar is not None:
            greeting["avatar"] = f"{greeting['avatar']}?actor={self.actor}"
        collected = _Collected()
        self._observer = PageObserver(collected, head.clips)
        self._shown = 0  # the greeting names the release that opens the show
        self._look()
        self._hub = collected
        while self._pass_frames() > CLOSE_ROWS:  # more have come while these were encoded
            pass
        past = collected.messages
        self._hub = self._observer.hub = self.hubs.begin(
            self.actor, msgspec.json.encode(greeting), past
        )

    def _look(self) -> None:
        """Open the show's ring, at the oldest row that is not about to be overwritten."""
        self._view = find_show(self.workspace.home, self.actor)
        if self._view is not None:
            self._at = max(self._at, self._view.ring.end() - SLOTS + MARGIN)

    def _pass_frames(self) -> int:
        """Pass on the rows that are there; return how many they were."""
        if self._head is None or not self.on:
            return 0
        if self._view is None:
            self._look()
            if self._view is None:
                return 0
        rows, self._at, _ = self._view.ring.read(self._at)
        if rows:
            self._heard_s = time.monotonic()
        for row in rows:
            release = self._release(int(row["release"]))
            if release is None:
                continue
            if int(row["release"]) != self._shown:
                self._shown = int(row["release"])
                self._hub.publish("swap", swap_message(release, int(row["tick"])))
            self._observer.frame(row, get_tensors(row["outputs"], release.role.shape.outputs()))
        return len(rows)

    def _release(self, index: int) -> Release | None:
        """Return one of the show's releases; None where it cannot be read."""
        if index not in self._releases:
            self._view = find_show(self.workspace.home, self.actor) or self._view
            assert self._view is not None
            try:
                name = self._view.releases[index]
                self._releases[index] = load_release(self.workspace, name)
            except (GreenroomError, IndexError):
                return None
        return self._releases[index]

    def _is_alive(self) -> bool:
        if self._head is None or not is_alive(self._head.pid):
            return False
        # After a restart, another process may have the number of one that was killed.
        silent = time.monotonic() - self._heard_s > SILENT_S
        return not silent or find_show(self.workspace.home, self.actor) is not None

    def _cut_off(self) -> None:
        """Tell viewers that a show ended without saying so."""
        self.on = False
        seen = self._observer
        message: dict[str, Any] = {
            "type": "end",
            "show": None,
            "frames": seen.frames,
            "late": seen.late,
            "ticks": seen.frames + seen.missed,
            "missed": seen.missed,
            "rungs": dict(seen.rungs),
            "checking": False,
        }
        self._hub.publish("end", msgspec.json.encode(message))


class ShowRelay:
    """A thread that relays every show of a workspace's actors until it is stopped.

    Args:
        home: of the workspace.
        warn: told what went wrong with an actor's show.
    """

    def __init__(self, home: Path, warn: Callable[[str], None] = lambda what: None) -> None:
        """Start nothing yet."""
        self.home, self.warn = home, warn
        self.hubs = ShowHubs()
        self._relays: dict[str, ActorRelay] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="greenroom-relay", daemon=True)

    @property
    def is_on(self) -> bool:
        """Whether any show is on."""
        return any(relay.on for relay in list(self._relays.values()))

    def avatar(self, actor: str) -> Path | None:
        """Return the avatar's file of an actor's show; None where it has none."""
        relay = self._relays.get(actor)
        return None if relay is None else relay.avatar

    def __enter__(self) -> ShowRelay:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and wait until it has."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        workspace = Workspace(self.home)
        warned = ""
        while True:
            for actor in actors_with_messages(self.home):
                if actor not in self._relays:
                    self._relays[actor] = ActorRelay(workspace, actor, self.hubs)
            for actor, relay in self._relays.items():
                try:
                    relay.step()
                except Exception as error:  # the other shows go on, and this one is tried again
                    what = f"{actor}'s show cannot be relayed: {error!r}"
                    if what != warned:
                        self.warn(what)
                    warned = what
            if self._stop.wait(POLL_S if self.is_on else IDLE_POLL_S):
                return
