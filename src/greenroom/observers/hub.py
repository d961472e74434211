"""Pass the show to every viewer, so that no viewer, however slow, can hold up the show.

Frames are worth having only while they are fresh, so a slow viewer loses the oldest. What is said
once (`hello`, `swap`, `alert`, `end`, `verdict`) is never lost, and is said again to whoever comes
later. Of the learning loop's `run` only the last word counts, and it outlives a show. The last two
minutes of frames are kept compressed, for whoever opens the page late.
"""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

QUEUE_FRAMES = 8
"""Frames that wait for one viewer, at most: a quarter of a second."""
KEPT_SWAPS = 64
"""Changes of release repeated to a viewer who comes later."""
KEPT_ALERTS = 64
"""Alerts repeated to a viewer who comes later."""
PATIENCE = 256
"""Messages that must not be lost, at most, before a viewer who takes none is sent away."""
BATCH_FRAMES = 60
"""Frames compressed together in the history."""
KEPT_BATCHES = 60
"""Batches of the history: two minutes."""


class Viewer:
    """One page's queue; made by :meth:`Hub.join` inside that page's event loop.

    Args:
        loop: the loop in which the page waits.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start with an empty queue."""
        self.lost = 0
        self.dismissed = False
        self._loop = loop
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._frames = 0
        self._closed = False
        self._lock = threading.Lock()
        self._wake = asyncio.Event()

    def offer(self, kind: str, message: bytes) -> None:
        """Queue a message from any thread; the oldest frame makes room for a new one."""
        with self._lock:
            if kind == "hello":  # what was said of the last show no longer matters
                self._keep(lambda waiting: waiting == "run")
                self._frames = 0
            elif kind == "run":
                self._keep(lambda waiting: waiting != "run")
            elif kind == "frame":
                self._frames += 1
                if self._frames > QUEUE_FRAMES:
                    self._drop_oldest_frame()
            self._waiting.append((kind, message))
            self._closed = self._closed or len(self._waiting) > PATIENCE
        self._ring()

    def close(self, dismissed: bool = False) -> None:
        """Let the page know that nothing more will come; `dismissed` if another hub may have more."""
        with self._lock:
            self._closed, self.dismissed = True, dismissed
        self._ring()

    async def take(self) -> bytes | None:
        """Return the next message, waiting for it; None when this viewer is closed."""
        while True:
            with self._lock:
                if self._closed:
                    return None
                if self._waiting:
                    kind, message = self._waiting.popleft()
                    self._frames -= kind == "frame"
                    return message
                self._wake.clear()
            await self._wake.wait()

    def _keep(self, wanted: Callable[[str], bool]) -> None:
        self._waiting = deque(item for item in self._waiting if wanted(item[0]))

    def _drop_oldest_frame(self) -> None:
        for i, (kind, _) in enumerate(self._waiting):
            if kind == "frame":
                del self._waiting[i]
                self._frames -= 1
                self.lost += 1
                return

    def _ring(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wake.set)
        except RuntimeError:  # the loop is gone, and with it whoever waited
            self._closed = True


class FrameHistory:
    r"""The frames of the last two minutes, each compressed once, when it comes.

    A batch is a zlib stream of messages, a line each.

    >>> history = FrameHistory()
    >>> history.push(b"1"), history.push(b"2")
    (None, None)
    >>> [zlib.decompress(batch) for batch in history.batches()]
    [b'1\n2\n']
    """

    def __init__(self) -> None:
        """Start empty."""
        self._batches: deque[bytes] = deque(maxlen=KEPT_BATCHES)
        self._begin()

    def _begin(self) -> None:
        self._stream = zlib.compressobj()
        self._parts: list[bytes] = []
        self._frames = 0

    def push(self, message: bytes) -> None:
        """Add a frame's message; takes some 30 microseconds."""
        self._parts.append(self._stream.compress(message + b"\n"))
        self._frames += 1
        if self._frames == BATCH_FRAMES:
            self._batches.append(b"".join((*self._parts, self._stream.flush())))
            self._begin()

    def batches(self) -> list[bytes]:
        """Return the batches, newest first; the newest may hold fewer frames than the others."""
        newest = [b"".join((*self._parts, self._stream.copy().flush()))] if self._frames else []
        return newest + list(reversed(self._batches))


class HubDirectory(Protocol):
    """Where a page's server finds the hub of the show that a viewer asks for."""

    @property
    def viewers(self) -> int:
        """How many pages are listening."""

    def hub_of(self, actor: str) -> Hub:
        """Return the hub of an actor's show; of the newest show where `actor` is empty."""


class Hub:
    """The one place where a show's messages come in and from which every page hears them.

    ``publish`` may be called from any thread, takes microseconds and waits for nobody.

    Args:
        tap: called with the type and each message before viewers get it; None for nobody.

    >>> hub = Hub()
    >>> hub.publish("hello", b'{"type": "hello"}')
    >>> hub.viewers
    0
    """

    def __init__(self, tap: Callable[[str, bytes], None] | None = None) -> None:
        """Start with nothing said and nobody listening."""
        self._tap = tap
        self._lock = threading.Lock()
        self._viewers: set[Viewer] = set()
        self._latest: dict[str, bytes] = {}
        self._swaps: deque[bytes] = deque(maxlen=KEPT_SWAPS)
        self._alerts: deque[bytes] = deque(maxlen=KEPT_ALERTS)
        self._run: bytes | None = None
        self._history = FrameHistory()

    @property
    def viewers(self) -> int:
        """How many pages are listening."""
        return len(self._viewers)

    def hub_of(self, actor: str) -> Hub:
        """Return itself: this process performs one show."""
        return self

    def latest(self, kind: str) -> bytes | None:
        """Return the last `hello`, `frame`, `end` or `verdict` of the show; None where there is none."""
        return self._latest.get(kind)

    def history(self) -> list[bytes]:
        """Return the frames of the last two minutes; see :meth:`FrameHistory.batches`."""
        with self._lock:
            return self._history.batches()

    def publish(self, kind: str, message: bytes) -> None:
        """Give every viewer a message, and keep what a later viewer must hear.

        Args:
            kind: the message's ``type``: hello, swap, frame, run, alert, end or verdict.
            message: the whole message, UTF-8 JSON.
        """
        if self._tap is not None:
            self._tap(kind, message)
        with self._lock:
            self._publish(kind, message)

    def begin(self, greeting: bytes, past: Sequence[tuple[str, bytes]]) -> None:
        """Open a show that others have seen for a while; viewers get its past as their history.

        Args:
            greeting: its `hello`.
            past: (type, message) of frames and swaps, oldest first.
        """
        frames = [message for kind, message in past if kind == "frame"]
        with self._lock:
            self._publish("hello", greeting)
            for kind, message in past:
                if kind != "frame":
                    self._publish(kind, message)
            for message in frames[:-1]:
                self._history.push(message)
            for message in frames[-1:]:
                self._publish("frame", message)

    def _publish(self, kind: str, message: bytes) -> None:
        if kind == "hello":
            self._latest.clear()
            self._history = FrameHistory()
            self._swaps.clear()
            self._alerts.clear()
        if kind == "swap":
            self._swaps.append(message)
        elif kind == "alert":
            self._alerts.append(message)
        elif kind == "run":
            self._run = message
        else:
            self._latest[kind] = message
        if kind == "frame":
            self._history.push(message)
        for viewer in self._viewers:
            viewer.offer(kind, message)

    def join(self) -> Viewer:
        """Return a new viewer who has already been told all that was said; call it in its loop."""
        viewer = Viewer(asyncio.get_running_loop())
        with self._lock:
            messages = {kind: [message] for kind, message in self._latest.items()}
            messages |= {"swap": list(self._swaps), "alert": list(self._alerts)}
            messages["run"] = [] if self._run is None else [self._run]
            for kind in ("hello", "swap", "frame", "alert", "end", "verdict", "run"):
                for message in messages.get(kind, ()):
                    viewer.offer(kind, message)
            self._viewers.add(viewer)
        return viewer

    def dismiss(self) -> None:
        """Let every viewer look for the hub that is now theirs."""
        with self._lock:
            for viewer in self._viewers:
                viewer.close(dismissed=True)

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer who went away."""
        with self._lock:
            self._viewers.discard(viewer)
