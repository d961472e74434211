"""Chart what the model says of a captured body: how sure it is, how true it comes, which style it sees.

Compared with what the release's model says of takes that it never learned from. Where capture is lost
or was cut within the model's own history there is nothing to compare: those are the capture's affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.contracts import REFERENCE_TICKS, flat_width, get_tensors
from greenroom.frames import BONE, Doubles, Floats
from greenroom.live.ring import samples_of
from greenroom.metrics.motion import AHEAD
from greenroom.monitoring.angles import limbs
from greenroom.monitoring.charts.signals import (
    FORECAST,
    SignalChart,
    prediction_rows,
    prediction_signals,
)
from greenroom.monitoring.detectors.prevalence import UNKNOWN, PrevalenceShift, with_unknown
from greenroom.observers.drift_monitor import MonitoredChannel
from greenroom.observers.model_health import ModelHealth
from greenroom.registry.release import PerformerSpec, Release
from greenroom.store.workspace import Workspace


def reference_rows(workspace: Workspace, release: Release) -> list[Floats]:
    """Return what the release's model says of takes in control, (N, 2 J + C + 1) each.

    Means of `REFERENCE_TICKS` ticks: confidence of each joint, sigma in degrees, styles, and where
    the model
    forecasts, how far off that was. There are none for an older model.
    """
    blob = release.model.blobs.reference
    if not blob:
        return []
    shape = release.role.shape
    rows = np.frombuffer(workspace.objects.get(blob), "<f4")
    rows = rows.reshape(-1, 2 * shape.joints + shape.styles + (AHEAD in shape.horizons))
    ends = np.cumsum(release.model.reference.blocks)
    return [take for take in np.split(rows, ends[:-1]) if len(take)]


class _Steady:
    """For how many ticks each driven joint has been captured without a gap or a cut."""

    def __init__(self, role: PerformerSpec) -> None:
        self.index = [BONE[name] for name in role.spec.joints]
        self.ticks = np.zeros(len(self.index), dtype=np.intp)
        self.enough = role.shape.history

    def see(self, row: NDArray[Any]) -> NDArray[np.bool_]:
        """Return (J,): whose whole history in the model is captured."""
        sample = samples_of(row).body
        if sample is None or sample.first_of_clip:
            self.ticks[:] = 0
        if sample is not None:
            self.ticks = np.where(sample.validity[self.index] >= 1, self.ticks + 1, 0)
        return self.ticks > self.enough


def confidence_channel(role: PerformerSpec, takes: Sequence[Floats]) -> MonitoredChannel:
    """Return the channel of confidence and sigma, of the body and each limb, and of what came true.

    Args:
        role: of the release.
        takes: of :func:`reference_rows`.
    """
    groups, joints, steady = limbs(role.spec.joints), role.shape.joints, _Steady(role)

    forecasts, sight = AHEAD in role.shape.horizons, ModelHealth(role.shape)
    signals = prediction_signals(groups) + (FORECAST,) * forecasts

    def is_conditioned(row: NDArray[Any]) -> bool:
        """The reference was measured without labels."""
        sizes = role.shape.inputs()
        if not (role.shape.phonemes or role.shape.context):
            return False
        inputs = get_tensors(np.asarray(row["inputs"][: flat_width(sizes)]), sizes)
        return any(bool(inputs[name].any()) for name in ("phonemes", "context") if name in inputs)

    def rows(take: Floats) -> Doubles:
        both = take[:, :joints], take[:, joints : 2 * joints]
        values: Doubles = prediction_rows(*both, groups)
        columns = np.concatenate([values, take[:, take.shape[1] - forecasts :]], axis=1)
        return np.repeat(columns, REFERENCE_TICKS, axis=0)

    def read(row: NDArray[Any], outputs: Mapping[str, Floats]) -> Doubles:
        trusted = steady.see(row)
        # Of each frame, or what comes due is another's.
        forecast_error = sight.read(row, outputs).forecast_error
        if not row["asked"] or is_conditioned(row):
            return np.full(len(signals), np.nan)
        confidence = np.where(trusted, outputs["confidence"].ravel(), np.nan)
        sigma = np.where(trusted, outputs["sigma"].ravel(), np.nan)
        now: Doubles = prediction_rows(confidence[None], sigma[None], groups)[0]
        return np.append(now, forecast_error if trusted.all() else np.nan) if forecasts else now

    chart = SignalChart(signals).fit([rows(take) for take in takes])
    return MonitoredChannel(chart, read, words=True)


def style_channel(
    role: PerformerSpec, names: Sequence[str], takes: Sequence[Floats]
) -> MonitoredChannel:
    """Return the channel of the styles that the model sees, of which rare ones may become frequent.

    Args:
        role: of the release.
        names: of its styles.
        takes: of :func:`reference_rows`.
    """
    steady, first = _Steady(role), 2 * role.shape.joints

    def shares(take: Floats) -> Doubles:
        return np.repeat(with_unknown(take[:, first : first + len(names)]), REFERENCE_TICKS, axis=0)

    def read(row: NDArray[Any], outputs: Mapping[str, Floats]) -> Doubles:
        if not steady.see(row).all() or not row["asked"]:
            return np.full(len(names) + 1, np.nan)
        return with_unknown(outputs["style"].ravel())

    chart = PrevalenceShift([*names, UNKNOWN]).fit([shares(take) for take in takes])
    return MonitoredChannel(chart, read, words=True)
