"""Perform a recorded show again with another model: its packets, cuts and seed, and no clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.contracts import Backend
from greenroom.frames import BONE, BONES, PARENTS, Body, Floats, Frame, Skeleton
from greenroom.live.performer import Performer, TickResult
from greenroom.live.playlist import open_playlist
from greenroom.live.recorder import read_ledger
from greenroom.live.replay import opening_release
from greenroom.live.ring import get_packets
from greenroom.live.sources import HOLD
from greenroom.live.watchdog import ENGINE_LOST
from greenroom.manifests import Show
from greenroom.metrics.motion import SufficientStats
from greenroom.metrics.positions import foot_positions, foot_skate, jerk, joint_positions
from greenroom.registry.release import PerformerSpec
from greenroom.rotations import angle_between
from greenroom.store.workspace import Workspace

LOST = TICK_HZ
"""Ticks after which a lost capture is no longer compared with what the person really did: a second."""
_NAN = np.full((len(BONES), 4), np.nan, dtype=np.float32)


@dataclass(frozen=True)
class Rerun:
    """A show as one model performed it.

    Attributes:
        ticks: of each frame (T,).
        frames: what was emitted.
        rungs: of each frame.
        captured: rotations (T, 55, 4) as they were captured, NaN where missing.
        roots: of the capture (T, 3), metres, NaN where missing.
    """

    ticks: list[int]
    frames: list[Frame]
    rungs: list[str]
    captured: Floats
    roots: Floats


def rerun_show(workspace: Workspace, show: str, role: PerformerSpec, backend: Backend) -> Rerun:
    """Perform a show again, tick by tick, as the engine would have.

    What wall time decided is decided again: a tick that was late is late. While the engine was lost
    there is nothing but the way to rest, as for a late tick.

    Args:
        workspace: where it is.
        show: its hash.
        role: how the model is performed.
        backend: runs its graph.
    """
    manifest = workspace.objects.read(show, Show)
    recorded = opening_release(workspace, manifest).role.shape
    performer = Performer(
        role, backend, manifest.seed, conditioning=manifest.conditioning, lost=manifest.lost
    )
    done: list[TickResult] = []
    for row in read_ledger(workspace, manifest, recorded):
        late = bool(row["late"]) or row["reason"] == ENGINE_LOST.encode()
        tick, control = int(row["tick"]), int(row["control"])
        done.append(performer.step(tick, list(get_packets(row)), late, control=control))
    samples = [outcome.capture for outcome in done]
    turns = [_NAN if s is None else _nan_where_missing(s.rotations, s.validity) for s in samples]
    roots = [np.full(3, np.nan, np.float32) if s is None else s.root for s in samples]
    frames = [outcome.frame for outcome in done]
    return Rerun(
        [frame.tick for frame in frames],
        frames,
        rungs=[outcome.rung for outcome in done],
        captured=np.stack(turns).astype(np.float32),
        roots=np.stack(roots).astype(np.float32),
    )


def _nan_where_missing(rotations: Floats, validity: Floats) -> Floats:
    return np.where(validity[:, None] > 0, rotations, np.float32(np.nan))


def live_error_stats(
    workspace: Workspace, show: str, staged: Rerun, role: PerformerSpec, like: PerformerSpec
) -> dict[str, SufficientStats]:
    """Return metric → tally of one performance of a show; less is better in each.

    `hold`, the share of ticks at which there was nothing but the rest pose. `jerk` (m/s³) and `skate`
    (mm/s): how far the performance's figure is from that of the capture it was given, by the model's
    joints. `lost_deg`: degrees between the model's joints and what the take that played really did, in
    the first second of each lost capture.

    Args:
        workspace: where the show and its takes are.
        show: its hash.
        staged: of :func:`rerun_show`.
        role: of the model.
        like: on whose bones places are measured: the same for both models that are compared.
    """
    assert like.offsets is not None
    skeleton = Skeleton(BONES, PARENTS, like.offsets)
    count = len(staged.frames)
    out = {"hold": _tally(float(staged.rungs.count(HOLD)), float(count))}
    joints = np.asarray([BONE[name] for name in role.spec.joints])
    rotations = np.stack([frame.rotations for frame in staged.frames])
    validity = np.zeros(rotations.shape[:2], dtype=np.float32)
    validity[:, joints] = 1
    performance = Body(
        skeleton, np.stack([frame.root for frame in staged.frames]), rotations, validity
    )
    captured_validity = (
        validity * np.isfinite(staged.captured[..., 0]) * np.isfinite(staged.roots[:, :1])
    )
    captured = Body(skeleton, staged.roots, staged.captured, captured_validity.astype(np.float32))
    for name, performed in _life(performance).items():
        reference = _life(captured)[name]
        if np.isfinite(performed) and np.isfinite(reference):
            out[name] = _tally(abs(performed - reference), 1.0)
    lost = _lost(workspace, show, staged=staged, rotations=rotations, joints=joints)
    if lost is not None:
        out["lost_deg"] = lost
    return out


def _tally(total: float, weight: float) -> SufficientStats:
    return SufficientStats("mean", {"model": total}, weight)


def _life(body: Body) -> dict[str, float]:
    places = joint_positions(body)
    jerks = jerk(places) if len(body) > 3 else np.empty(0)
    finite = jerks[np.isfinite(jerks)]
    mean = float(finite.mean()) if len(finite) else float("nan")
    return {"jerk": mean, "skate": foot_skate(foot_positions(places))}


def _lost(
    workspace: Workspace, show: str, staged: Rerun, rotations: Floats, joints: np.ndarray
) -> SufficientStats | None:
    """Return the angles to the take that played, where its capture was lost; None where it never was."""
    manifest = workspace.objects.read(show, Show)
    if not manifest.playlist:
        return None
    body = open_playlist(workspace, manifest.playlist, manifest.ticks).body()
    ticks = np.asarray(staged.ticks)
    missing = ~np.isfinite(staged.captured[..., 0]).any(axis=1)
    ends = np.where(missing, -1, np.arange(len(ticks)))
    since = np.arange(len(ticks)) - np.maximum.accumulate(ends)
    mask = missing & (since <= LOST)
    if body is None or not (mask & (ticks < len(body))).any():
        return None
    mask &= ticks < len(body)
    truth = body.rotations[ticks[mask]][:, joints]
    valid = body.validity[ticks[mask]][:, joints] > 0
    # The hips' heading is the stage's own once nobody captures them: it is not compared.
    valid[:, joints == 0] = False
    angles = np.asarray(angle_between(rotations[mask][:, joints], np.nan_to_num(truth)))
    return _tally(float(angles[valid].sum()), float(valid.sum())) if valid.any() else None
