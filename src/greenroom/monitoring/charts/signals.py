"""A chart for what is one number a tick: the voice, the face's tracker, and how sure the model is.

Each signal has two one-sided CUSUMs on the means of ten ticks. They take off what the most extreme take
of the reference is off by itself, so that an odd take that comes again adds up to nothing, and their
limits keep a stated budget of false alerts in whichever order the reference's takes are played.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from greenroom.contracts import CAUSES, Alert
from greenroom.errors import BadInput
from greenroom.features.speech import BANDS, CHANNELS
from greenroom.frames import Array, Doubles
from greenroom.monitoring import limits
from greenroom.monitoring.detectors.cusum import BLOCK, CusumBank

LEAST = 30
"""Stretches of ten seconds of reference below which a chart is learning."""
_SECONDS = BLOCK / 30
_INDEPENDENT = 300  # ticks of one stretch
_STRETCH = 60  # blocks: takes are cut into stretches of 20 s at most
_LEAST_SLACK = 0.75  # spreads of ten-tick means
_SLACK = 2.0  # spreads between stretches that are taken off beyond the most extreme one
_CLIP = 6.0  # spreads that count at most
_FEW = 50  # stretches: limits learned from so many are doubled


@dataclass(frozen=True)
class Signal:
    """One number a tick.

    Attributes:
        name: such as "f0".
        sensor: where it comes from, such as "voice", or a limb.
        least: the smallest spread that is taken for one, in its own unit.
        up: likely cause where it rises, one of `CAUSES`; empty where a rise is no news.
        down: the same where it falls.
        limit: the lowest at which it may be told, spreads times seconds.
    """

    name: str
    sensor: str
    least: float
    up: str = ""
    down: str = ""
    limit: float = 1.5


VOICE = (
    Signal("level", "voice", least=1.0, up="capture fault", down="capture fault"),
    Signal("noise floor", "voice", least=1.0, up="capture fault", down="capture fault"),
    Signal("silence", "voice", 0.05, "capture fault", limit=15.0),  # pauses may be digital
    Signal("clipping", "voice", 0.002, "capture fault"),
    Signal("f0", "voice", least=0.05, up="new person", down="new person"),
    Signal("voiced share", "voice", least=0.05, up="new sound", down="new sound"),
    *(
        Signal(f"{band} band", "voice", least=0.2, up="new sound", down="new sound")
        for band in ("lowest", "low", "high", "highest")
    ),
)
"""Signals of a voice. The four bands stand in for phonemes, which no take has yet."""
FACE = (
    Signal("visibility", "face", 0.02, down="capture fault"),
    Signal("clamped", "face", 0.02, "capture fault"),
    Signal("brightness", "face", least=0.02, up="capture fault", down="capture fault"),
)
"""Signals of a face's tracker."""
_MUTE_DB = -95.0
_FULL = 0.999


def voice_rows(features: Array, samples: Array) -> Doubles:
    """Return the signals (T, 10) of a voice, in the order of `VOICE`, NaN where one says nothing.

    `level` (dB) where there is voice; `noise floor` (dB), the mean power of the tick's four quietest
    bands, which noise fills up; `silence`, whether the line is dead (-95 dB); `clipping`, the share of
    samples at full scale; `f0` (ln Hz); `voiced share`; and the mean log-mel power of each quarter of
    the bands less that of all, where there is voice.

    Args:
        features: (T, 43), of `greenroom.features.speech`.
        samples: (T, 800), full scale ±1.

    Raises:
        BadInput: the shapes are others.
    """
    x, sound = np.asarray(features, dtype=np.float64), np.asarray(samples)
    if x.ndim != 2 or x.shape[1] != len(CHANNELS) or sound.shape[:1] != x.shape[:1]:
        raise BadInput(f"a voice is (T, {len(CHANNELS)}) and (T, 800), not {x.shape}")
    level, f0, voicing = x[:, BANDS], x[:, BANDS + 1], x[:, BANDS + 2]
    mute, voiced = level <= _MUTE_DB, voicing > 0
    quiet = np.partition(x[:, :BANDS], 3, axis=1)[:, :4].mean(axis=1)
    quarters = x[:, :BANDS].reshape(len(x), 4, -1).mean(axis=2)
    shape = quarters - quarters.mean(axis=1, keepdims=True)

    def where(keep: NDArray[np.bool_], values: Doubles) -> Doubles:
        return np.where(keep, values, np.nan)

    return np.stack(
        [
            where(voiced, level),
            where(~mute, quiet * 10 / np.log(10)),
            mute.astype(np.float64),
            (np.abs(sound) >= _FULL).mean(axis=1),
            where(voiced, f0),
            where(~mute, voiced.astype(np.float64)),
            *(where(voiced, shape[:, band]) for band in range(4)),
        ],
        axis=1,
    )


def face_rows(weights: Array, validity: Array, brightness: Array | None = None) -> Doubles:
    """Return the signals (T, 3) of a face's tracker, in the order of `FACE`.

    `visibility`, the mean validity; `clamped`, the share of the weights that are there and at either end
    of their range; `brightness` as the source gives it, NaN where it does not.

    Args:
        weights: (T, B), in [0, 1], NaN where missing.
        validity: (T, B), in [0, 1].
        brightness: (T,), in [0, 1], or None.

    Raises:
        BadInput: the shapes differ.
    """
    w, trust = np.asarray(weights, dtype=np.float64), np.asarray(validity, dtype=np.float64)
    if w.shape != trust.shape or w.ndim != 2:
        raise BadInput(f"weights and their validity are (T, B), not {w.shape} and {trust.shape}")
    present = np.isfinite(w) & (trust > 0)
    ends = (present & ((w <= 0) | (w >= 1))).sum(axis=1)
    count = present.sum(axis=1)
    clamped = np.where(count > 0, ends / np.maximum(count, 1), np.nan)
    light = np.full(len(w), np.nan) if brightness is None else np.asarray(brightness, np.float64)
    return np.stack([trust.mean(axis=1), clamped, light], axis=1)


FORECAST = Signal("forecast miss", "body", 0.01, up="model")
"""How far off forecasts were that came due: see `greenroom.metrics.motion.forecast_error`."""


def prediction_signals(groups: Mapping[str, Sequence[int]]) -> tuple[Signal, ...]:
    """Return the signals of a model's outputs: all joints, then each group of them, by its name.

    Only less confidence and more sigma are news, and both speak of the model.
    """
    return tuple(
        signal
        for where in ("body", *groups)
        for signal in (
            Signal("confidence", where, 0.01, down="model"),
            Signal("sigma", where, 0.1, up="model"),
        )
    )


def prediction_rows(
    confidence: Array, sigma: Array, groups: Mapping[str, Sequence[int]]
) -> Doubles:
    """Return the signals (T, 2 + 2 G) of :func:`prediction_signals`.

    Args:
        confidence: (T, J), in [0, 1], of the model's outputs.
        sigma: (T, J), degrees.
        groups: joints by the name of their group, indices below J.
    """
    both = np.asarray(confidence, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
    every: list[Sequence[int]] = [range(both[0].shape[1]), *groups.values()]
    return np.stack([x[:, list(joints)].mean(axis=1) for joints in every for x in both], axis=1)


@dataclass(frozen=True)
class _Fitted:
    """What the reference taught: centre and spread (C,), slack and limits (2 C,), how many stretches."""

    centre: Doubles
    spread: Doubles
    slack: Doubles
    limit: Doubles
    effective: float


class SignalChart:
    """Raise alerts on signals, and keep a budget of false ones.

    `fit` learns from takes in control, `update` takes a tick and returns nothing, `alerts` is read. It
    re-arms once a signal has been back for a while, or after ten minutes. While the reference holds too
    little, `learning` is true and nothing alarms.

    Args:
        signals: what each channel is.
        hours: hours of show in which one false alert is allowed, over all signals.
        seed: of the simulated shows that set the limits.

    >>> rng = np.random.default_rng(0)
    >>> takes = [rng.normal(rng.normal(0, 0.3), 1, (300, 1)) for _ in range(60)]
    >>> chart = SignalChart([Signal("level", "voice", 0.1, "capture fault", "capture fault")]).fit(takes)
    >>> for x in [*takes[0], *(takes[1] + 3)]:
    ...     chart.update(x)
    >>> [(alert.signal, alert.cause, alert.where, alert.began) for alert in chart.alerts]
    [('level', 'capture fault', ('voice',), 300)]
    """

    def __init__(self, signals: Sequence[Signal], *, hours: float = 24.0, seed: int = 0) -> None:
        """Store the configuration."""
        self.signals, self.hours, self.seed = tuple(signals), hours, seed
        self._fitted: _Fitted | None = None
        self._alerts: list[Alert] = []

    @property
    def learning(self) -> bool:
        """Whether the reference holds too little for any alert."""
        return self._fitted is None or self._fitted.effective < LEAST

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What was raised since the last reset, oldest first."""
        return tuple(self._alerts)

    def fit(self, reference_takes: Sequence[Array]) -> SignalChart:
        """Learn from takes in control, and set limits.

        Args:
            reference_takes: (T, C) each, at 30 Hz, NaN where a signal says nothing.

        Raises:
            BadInput: there are no takes, they have other channels, or a signal's cause is none.
        """
        causes = {cause for signal in self.signals for cause in (signal.up, signal.down) if cause}
        if causes - set(CAUSES):
            raise BadInput(f"a cause is one of {', '.join(CAUSES)}, not {sorted(causes)}")
        arrays = [np.asarray(take, dtype=np.float64) for take in reference_takes]
        width = len(self.signals)
        if not arrays or any(take.ndim != 2 or take.shape[1] != width for take in arrays):
            raise BadInput(f"a reference is one take (T, {width}) at least")
        self._fitted = self._learned([_blocks(take) for take in arrays if len(take) >= BLOCK])
        self.reset()
        return self

    def _learned(self, takes: list[Doubles]) -> _Fitted:
        """Return what takes of blocks (N, C) teach."""
        least = np.asarray([signal.least for signal in self.signals])
        # By how long they last: a voice's level or pitch in half a second says little of the speaker.
        effective = sum(len(take) for take in takes) * BLOCK / _INDEPENDENT
        if effective < LEAST:
            nought = np.zeros(2 * len(least))
            return _Fitted(least, least, slack=nought, limit=nought, effective=effective)
        every = np.concatenate(takes)
        count = np.maximum(np.isfinite(every).sum(axis=0), 1)
        centre = np.nansum(every, axis=0) / count
        spread = np.maximum(np.sqrt(np.nansum((every - centre) ** 2, axis=0) / count), least)
        scores = [
            (take[start : start + _STRETCH] - centre) / spread
            for take in takes
            for start in range(0, len(take), _STRETCH)
        ]
        places = np.stack([_mean(part) for part in scores])
        both = np.concatenate([places, -places], axis=1)
        stretch_std = np.tile(places.std(axis=0), 2)  # from stretch to stretch
        slack = np.maximum(_SLACK * stretch_std, _LEAST_SLACK) + np.maximum(0.0, both.max(axis=0))
        evidence = [_evidence(part, slack) for part in scores]
        # A third of the budget is what one sum of the bootstrap gets: here each of all gets its part.
        hours = self.hours * len(slack) / 3
        rng = np.random.default_rng(self.seed)
        shows = limits.Bootstrap(hours, limits.neighbours(places, None), rng)
        limit = shows.limit(evidence, 0, 0, family=False) * (1 + _FEW / effective)
        lowest = np.tile([signal.limit for signal in self.signals], 2)
        return _Fitted(
            centre, spread, slack=slack, limit=np.maximum(limit, lowest), effective=effective
        )

    def reset(self) -> None:
        """Forget the stream and its alerts; keep the fit."""
        self._alerts = []
        self.tick = 0
        self._rows = np.full((BLOCK, len(self.signals)), np.nan)
        if self._fitted is not None:
            pairs = self._fitted.limit.reshape(2, -1).T
            self._watch = [CusumBank(pair, 0, disarm_together=True) for pair in pairs]

    def lasts(self, signal: str) -> bool:
        """Tell whether what an alert of this signal told has not come back to nought yet."""
        names = [channel_signal.name for channel_signal in self.signals]
        return signal in names and not bool(self._watch[names.index(signal)].armed.all())

    def update(self, x: ArrayLike, *, excused: bool = False) -> None:
        """Take one tick (C,), NaN where a signal says nothing.

        Args:
            x: the tick.
            excused: whether a new style of movement is wanted here; no voice or face is excused by it.

        Raises:
            BadInput: there is no fit, or the channels are others.
        """
        if self._fitted is None:
            raise BadInput("a chart without a reference", then="fit the chart")
        row = np.asarray(x, dtype=np.float64)
        if row.shape != (len(self.signals),):
            raise BadInput(f"a tick is ({len(self.signals)},), not {row.shape}")
        self._rows[self.tick % BLOCK] = row
        self.tick += 1
        if self.tick % BLOCK == 0 and not self.learning:
            fitted = self._fitted
            scores = (_blocks(self._rows) - fitted.centre) / fitted.spread
            evidence = _evidence(scores, fitted.slack)[0].reshape(2, -1) * _SECONDS
            for n, signal in enumerate(self.signals):
                self._block(n, signal, evidence[:, n], fitted)

    def _block(self, n: int, signal: Signal, evidence: Doubles, fitted: _Fitted) -> None:
        watch = self._watch[n]
        relevant = evidence.copy()
        relevant[[not signal.up, not signal.down]] = 0.0  # what is no news adds up to nothing
        if watch.add(relevant, self.tick) and watch.fresh(self.tick):
            side = int((watch.values / watch.limit).argmax())
            best, low, high = watch.began(side, [side], self.tick)
            blocks = max(1, (self.tick - best) // BLOCK)
            block_indices = (watch.blocks - 1 - np.arange(min(blocks, watch.blocks))) % len(
                watch.past
            )
            deviation = float(watch.past[block_indices, side].mean()) / _SECONDS
            deviation += float(fitted.slack.reshape(2, -1)[side, n])
            amplitude = (1 - 2 * side) * deviation * float(fitted.spread[n])
            cause = signal.down if side else signal.up
            self._alerts.append(
                Alert(
                    signal.name,
                    cause,
                    where=(signal.sensor,),
                    size=amplitude,
                    tick=self.tick,
                    began=best,
                    began_low=low,
                    began_high=high,
                )
            )
        watch.rearm()


def _blocks(take: Doubles) -> Doubles:
    """Return the means (N, C) of every ten ticks, of what is there; NaN where nothing is."""
    count = len(take) // BLOCK
    parts = take[: count * BLOCK].reshape(count, BLOCK, -1)
    finite = np.isfinite(parts)
    total = np.where(finite, parts, 0.0).sum(axis=1)
    counts = finite.sum(axis=1)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def _mean(scores: Doubles) -> Doubles:
    """Return the mean (C,) of blocks (N, C), of what is there; 0 where nothing is."""
    out: Doubles = np.nansum(scores, axis=0) / np.maximum(np.isfinite(scores).sum(axis=0), 1)
    return out


def _evidence(scores: Doubles, slack: Doubles) -> Doubles:
    """Return evidence (N, 2 C) of standard scores (N, C): that they are up, then that they are down."""
    both = np.concatenate([scores, -scores], axis=-1) - slack
    return np.where(np.isfinite(both), np.clip(both, -_CLIP, _CLIP), 0.0)
