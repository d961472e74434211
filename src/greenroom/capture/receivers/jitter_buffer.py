"""Play a live source's samples at its own pace: a jitter buffer with a fixed playout delay.

A sample is placed on our clock by its sender's time, or by its arrival where the sender gives none, and
is played out one delay later. Between two samples the pose is interpolated; after the newest one, that
one stands in for a moment.
"""

from __future__ import annotations

from bisect import insort_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache, partial
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from greenroom.capture.receivers.sender_clock import SenderClock
from greenroom.frames import Floats
from greenroom.rotations import slerp

HOLD_NS = 150_000_000
"""How long the last sample stands in for one that is late: senders are no metronomes."""
DEFAULT_BUFFER_MS = 10.0
"""With a tick's own wait of up to 33 ms, no sender's phase brings the median over 45 ms."""
MOST_BUFFER_MS = 200.0
_MOST_ENTRIES = 256
_DELAYS = 1800
_NEVER = -(1 << 62)


class Pose(NamedTuple):
    """A body: root (3,) metres, rotations (55, 4) unit xyzw, validity (55,); NaN where missing."""

    root: Floats
    rotations: Floats
    validity: Floats


class Absence(Enum):
    """What a source says that it does not see."""

    LOST = "lost"


LOST = Absence.LOST


@dataclass
class LiveFrame:
    """What a decoder read at one moment.

    Attributes:
        arrival_ns: when its last datagram arrived.
        sent_s: seconds of the sender's clock; None where it has none.
        body: computes the pose when it is needed; LOST where the source says that it tracks nobody;
            None where the frame says nothing of a body.
        face: weights (52,), NaN where missing; LOST and None likewise.
        is_reordered: whether a later frame came before.
    """

    arrival_ns: int
    sent_s: float | None = None
    body: Callable[[], Pose] | Absence | None = None
    face: Floats | Absence | None = None
    is_reordered: bool = False


@dataclass(frozen=True)
class LiveSample:
    """What is played at one tick.

    Attributes:
        root: position of the hips (3,), metres; NaN where missing.
        rotations: (55, 4), unit quaternions xyzw; NaN where missing.
        validity: (55,).
        weights: (52,), NaN where missing.
    """

    root: Floats | None = None
    rotations: Floats | None = None
    validity: Floats | None = None
    weights: Floats | None = None


Content = TypeVar("Content")


@dataclass
class _Entry(Generic[Content]):
    """Something at its place on our clock."""

    at_ns: int
    arrival_ns: int
    content: Callable[[], Content] | Absence


class _Track(Generic[Content]):
    """The entries of one kind, in their order, and what is played of them.

    Args:
        blend: interpolates between two contents.
    """

    def __init__(self, blend: Callable[[Content, Content, float], Content]) -> None:
        self.blend = blend
        self._entries: list[_Entry[Content]] = []

    def put(self, entry: _Entry[Content]) -> None:
        """Insert an entry; one from before what is played now is left out."""
        if self._entries and entry.at_ns < self._entries[0].at_ns:
            return
        insort_right(self._entries, entry, key=lambda each: each.at_ns)
        del self._entries[:-_MOST_ENTRIES]

    def play(self, due_ns: int, oldest_ns: int) -> tuple[Content | None, int | None]:
        """Return what is played at `due_ns`, and the arrival of the newest entry due.

        Args:
            due_ns: on our clock.
            oldest_ns: arrival before which an entry stands in no more.
        """
        entries = self._entries
        while entries and entries[0].arrival_ns < oldest_ns:
            del entries[0]
        while len(entries) > 1 and entries[1].at_ns <= due_ns:
            del entries[0]
        if not entries:
            return None, None
        left = entries[0]
        arrival_ns = left.arrival_ns if left.at_ns <= due_ns else None
        if isinstance(left.content, Absence):
            return None, arrival_ns
        before = left.content()
        if arrival_ns is None or len(entries) == 1:  # the first one stands in, or the last one
            return before, arrival_ns
        right = entries[1]
        length_ns = right.at_ns - left.at_ns
        if isinstance(right.content, Absence) or length_ns > HOLD_NS or left.at_ns == due_ns:
            return before, arrival_ns
        share = (due_ns - left.at_ns) / length_ns
        return self.blend(before, right.content(), share), arrival_ns


class JitterBuffer:
    """Hold frames until they are due.

    The played time never goes back. Memory is bounded, and equal calls give equal samples.

    Args:
        delay_ns: from a frame's place on our clock to its playout, 0 … 200 ms.

    Attributes:
        late: frames that came after they were due.
        clock: the sender's.
    """

    def __init__(self, delay_ns: int) -> None:
        """Begin empty."""
        self.delay_ns = delay_ns
        self.late = 0
        self.clock = SenderClock()
        self._bodies, self._faces = _Track(blend_poses), _Track(blend_weights)
        self._newest_ns = self._played_ns = _NEVER
        self._shown_ns: int | None = None
        self._delays_ns: deque[int] = deque(maxlen=_DELAYS)

    @property
    def delay_ms(self) -> float | None:
        """Median from a frame's arrival to its playout, of the last minute; None before the first."""
        return float(np.median(self._delays_ns)) / 1e6 if self._delays_ns else None

    def put(self, frame: LiveFrame) -> None:
        """Take a frame; one that comes after it was due is counted, and shown if it is the newest."""
        at_ns = self._place(frame)
        self.late += at_ns < self._played_ns
        if frame.body is not None:
            body = frame.body if isinstance(frame.body, Absence) else cache(frame.body)
            self._bodies.put(_Entry(at_ns, frame.arrival_ns, body))
        if frame.face is not None:
            face = frame.face if isinstance(frame.face, Absence) else partial(_given, frame.face)
            self._faces.put(_Entry(at_ns, frame.arrival_ns, face))

    def _place(self, frame: LiveFrame) -> int:
        """Return where a frame lies on our clock: in order, unless it was overtaken on its way."""
        at_ns = frame.arrival_ns
        if frame.is_reordered:
            if frame.sent_s is not None and self.clock.is_known:
                at_ns = min(at_ns, self.clock.local_ns(frame.sent_s))
            return at_ns
        if frame.sent_s is not None:
            at_ns = self.clock.observe(frame.arrival_ns, frame.sent_s)
        self._newest_ns = max(self._newest_ns, at_ns)
        return self._newest_ns

    def sample(self, now_ns: int) -> LiveSample:
        """Return what is played at `now_ns`.

        Args:
            now_ns: of our clock; not earlier than the one before.
        """
        due_ns = self._played_ns = max(self._played_ns, now_ns - self.delay_ns)
        oldest_ns = now_ns - HOLD_NS - self.delay_ns
        pose, body_ns = self._bodies.play(due_ns, oldest_ns)
        weights, face_ns = self._faces.play(due_ns, oldest_ns)
        shown_ns = body_ns if face_ns is None else max(face_ns, body_ns or face_ns)
        if shown_ns is not None and shown_ns != self._shown_ns:
            self._delays_ns.append(now_ns - shown_ns)
        self._shown_ns = shown_ns
        root, rotations, validity = (None, None, None) if pose is None else pose
        return LiveSample(root, rotations, validity, weights)


def _given(weights: Floats) -> Floats:
    return weights


def blend_poses(before: Pose, after: Pose, share: float) -> Pose:
    """Return the pose between two: rotations by slerp, the root linearly.

    A bone or a root that only one of them has is that one's in its half of the time.

    Args:
        before: the earlier one.
        after: the later one.
        share: of the way from `before` to `after`, in [0, 1].
    """
    nearest = before if share < 0.5 else after
    both = (before.validity > 0) & (after.validity > 0)
    rotations, validity = nearest.rotations.copy(), nearest.validity.copy()
    part = np.asarray(share, dtype=np.float32)
    rotations[both] = slerp(before.rotations[both], after.rotations[both], part)
    validity[both] = np.minimum(before.validity, after.validity)[both]
    root = before.root + (after.root - before.root) * part
    return Pose(root if np.isfinite(root).all() else nearest.root, rotations, validity)


def blend_weights(before: Floats, after: Floats, share: float) -> Floats:
    """Return the face between two, (52,): linearly where both have a weight, else the nearer one's."""
    blended = before + (after - before) * np.float32(share)
    return np.where(np.isfinite(blended), blended, before if share < 0.5 else after)
