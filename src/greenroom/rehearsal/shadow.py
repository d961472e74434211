"""Let a challenger perform what the champion performs, without being seen, and say how it went.

The rows are those of a show that is on, just behind its frames, or of the last one that was kept. The
challenger gets the same packets through the same performer; nothing that it says goes anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.clock import PERIOD_NS, TICK_HZ
from greenroom.contracts import Backend, get_tensors
from greenroom.errors import BadInput
from greenroom.features.pose import PoseDecoder
from greenroom.frames import BONE, Floats
from greenroom.live.performer import Performer
from greenroom.live.recorder import read_ledger
from greenroom.live.replay import opening_release
from greenroom.live.ring import Ring, get_packets
from greenroom.live.show_notice import find_show
from greenroom.manifests import Show
from greenroom.registry.release import PerformerSpec
from greenroom.rotations import angle_between
from greenroom.store.workspace import Workspace

BUDGET_MS = 15.0
"""Of the 99th percentile of the model's processor time: half of a frame's time."""
WARM_TICKS = 45
"""Ticks that are followed and not judged, so that the model has a past."""
_PATIENCE_S = 5.0

Row = NDArray[Any]


@dataclass(frozen=True)
class ShadowResult:
    """How a challenger did unseen.

    Attributes:
        ticks: that were judged.
        live: whether the show was on.
        broken: ticks at which its model said no number.
        model_ms: 99th percentile of the model's processor time.
        apart_deg: mean angle between its joints and what was emitted.
        confidence: mean.
    """

    ticks: int
    live: bool
    broken: int
    model_ms: float
    apart_deg: float
    confidence: float

    def json(self) -> dict[str, Any]:
        """Return it as people read it."""
        return asdict(self)

    def objection(self) -> str:
        """Return why it may not go on stage; "" where it may."""
        if self.broken:
            return f"its model said no number at {self.broken} of {self.ticks} ticks"
        if self.model_ms > BUDGET_MS:
            return f"its model takes {self.model_ms:.1f} ms, more than {BUDGET_MS:g}"
        return ""


def rows_behind(workspace: Workspace, actor: str, ticks: int) -> tuple[Iterator[Row], bool]:
    """Return rows to follow, and whether they are of a show that is on.

    Args:
        workspace: where the shows are.
        actor: whose.
        ticks: how many rows at most.

    Raises:
        BadInput: no show is on and none was kept.
    """
    on = find_show(workspace.home, actor)
    if on is not None:
        return islice(follow_ring(on.ring), ticks), True
    shows = [row.object for row in workspace.catalog.find("show", actor=actor)]
    if not shows:
        raise BadInput(f"{actor} has performed no show to follow", then="perform one first")
    manifest = workspace.objects.read(shows[-1], Show)
    shape = opening_release(workspace, manifest).role.shape
    return islice(read_ledger(workspace, manifest, shape), ticks), False


def follow_ring(ring: Ring) -> Iterator[Row]:
    """Yield the rows of a show as they come; it ends where none comes for some seconds."""
    position = max(0, ring.end() - WARM_TICKS)
    last = time.monotonic()
    while time.monotonic() < last + _PATIENCE_S:
        rows, position, _ = ring.read(position)
        if rows:
            last = time.monotonic()
        yield from rows
        time.sleep(PERIOD_NS / 1e9)


def shadow(rows: Iterator[Row], live: bool, role: PerformerSpec, backend: Backend) -> ShadowResult:
    """Perform rows with a challenger; nobody sees it.

    Args:
        rows: of a show, in order.
        live: whether it is on.
        role: of the challenger.
        backend: runs its model.

    Raises:
        BadInput: there are too few rows.
    """
    timed = _Timed(backend)
    performer = Performer(role, timed, 0)
    joints = [BONE[name] for name in role.spec.joints]
    figures_by_tick: list[tuple[float, float, bool]] = []
    for n, row in enumerate(rows):
        outcome = performer.step(int(row["tick"]), list(get_packets(row)), late=False)
        if n < WARM_TICKS or outcome.outputs is None:
            continue
        outputs = get_tensors(outcome.outputs, role.shape.outputs())
        rotations = PoseDecoder().upright(outputs["pose"][0], len(joints))
        angle = angle_between(rotations[1:], row["rotations"][joints][1:]).mean()
        finite = bool(np.isfinite(outcome.outputs).all())
        figures_by_tick.append((float(angle), float(outputs["confidence"].mean()), finite))
    if len(figures_by_tick) < TICK_HZ:
        raise BadInput(f"{len(figures_by_tick)} ticks are too few to judge a challenger by")
    angle_deg, confidence, finite_share = np.nanmean(
        np.asarray(figures_by_tick, dtype=np.float64), axis=0
    )
    model_ms = float(np.percentile(timed.took_ns[WARM_TICKS:], 99)) / 1e6
    broken = len(figures_by_tick) - round(float(finite_share) * len(figures_by_tick))
    figures = [round(float(figure), 4) for figure in (model_ms, angle_deg, confidence)]
    return ShadowResult(len(figures_by_tick), live, broken, *figures)


class _Timed:
    """A backend whose runs are timed, in processor time: a shadow yields to all that plays."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.took_ns = backend, list[int]()

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        start_ns = time.thread_time_ns()
        outputs = self.backend.run(inputs)
        self.took_ns.append(time.thread_time_ns() - start_ns)
        return outputs

    def fingerprint(self) -> dict[str, str]:
        return self.backend.fingerprint()
