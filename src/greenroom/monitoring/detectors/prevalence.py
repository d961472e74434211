"""Tell, while a stream goes on, that a style which is rare has become frequent, and since when.

A wager against the baseline: a class's share x of a moment has a mean of b at most, so a capital that is
multiplied by 1 + c (x - b) does not grow (Ville 1939; Waudby-Smith and Ramdas 2024). It is begun anew
whenever it is below 1, as a CUSUM of its logarithm; then alarms come no oftener than their budget if
moments are independent (e-detectors: Shin, Ramdas and Rinaldo 2024). They are not, within a take: so the
limit is also at least what the actor's own takes reach, played in any order and in scenes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from greenroom.contracts import STYLE_TICKS, Alert
from greenroom.errors import BadInput
from greenroom.frames import Array, Doubles
from greenroom.monitoring import limits
from greenroom.monitoring.detectors.cusum import BLOCK, CusumBank

SPIKE = "spike of "
"""Before the class, the signal of an alert."""
UNKNOWN = "unknown"
"""The class of what no style explains."""
RARE = 0.2
"""Share above which a class is not rare, and is not watched."""
LEAST = 30
"""Takes below which nothing is watched yet."""
_OFTEN = 0.5  # share of a spike, for which the wager grows fastest
_FLOOR = 0.01  # least baseline: what was never seen may come now and then
_OVERLAP = BLOCK / STYLE_TICKS  # a style speaks of a second, so three blocks say the same thing
_STRETCH = 60  # blocks: takes are cut into stretches of 20 s at most


def with_unknown(probabilities: ArrayLike) -> Doubles:
    """Return probabilities (…, C + 1) with what no style explains as the last class.

    A model that knows nothing of a movement gives all C styles the same; that common part, C times the
    smallest probability, is nobody's.

    Args:
        probabilities: (…, C), of a model's `style`; NaN where it was not asked.

    >>> with_unknown([0.2, 0.2, 0.6]).round(2).tolist()
    [0.0, 0.0, 0.4, 0.6]
    """
    array = np.asarray(probabilities, dtype=np.float64)
    least = array.min(axis=-1, keepdims=True)
    return np.concatenate([array - least, array.shape[-1] * least], axis=-1)


class PrevalenceShift:
    """Watch the shares of rare classes, and keep a budget of false alarms over all of them.

    `fit` learns the baselines from takes in control, `update` takes a tick and returns nothing, `alerts`
    is read. A class is told once, and again when its share has come back, or after ten minutes. An
    alert's signal is "spike of CLASS" and its size the share of the ticks since it began.

    Args:
        classes: their names.
        hours: hours of show in which one false alarm is allowed, over all classes.
        seed: of the simulated shows that set the limits.

    >>> takes = [np.tile([1.0, 0.0], (150, 1))] * 58 + [np.tile([0.0, 1.0], (150, 1))] * 2
    >>> watch = PrevalenceShift(["calm", "angry"]).fit(takes)
    >>> for row in [*np.concatenate(takes[:20]), *np.tile([0.0, 1.0], (1500, 1))]:
    ...     watch.update(row)
    >>> [(alert.signal, alert.began, alert.tick) for alert in watch.alerts]
    [('spike of angry', 2987, 3410)]
    """

    def __init__(self, classes: Sequence[str], *, hours: float = 24.0, seed: int = 0) -> None:
        """Store the configuration."""
        self.classes, self.hours, self.seed = tuple(classes), hours, seed
        self.baseline = np.full(len(self.classes), np.nan)
        self._limit: Doubles | None = None
        self._alerts: list[Alert] = []

    @property
    def learning(self) -> bool:
        """Whether too few takes are known for any alarm."""
        return self._limit is None

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What was raised since the last reset, oldest first."""
        return tuple(self._alerts)

    def fit(self, takes: Sequence[Array]) -> PrevalenceShift:
        """Learn baselines and limits from takes in control, which the model was not trained on.

        Args:
            takes: (T, C) each, shares of the classes at each tick, in [0, 1]; a label is a row with
                a one, NaN is nothing said.

        Raises:
            BadInput: a take has other classes, or shares that are none.
        """
        arrays = [np.asarray(take, dtype=np.float64) for take in takes]
        width = len(self.classes)
        if any(take.ndim != 2 or take.shape[1] != width for take in arrays):
            raise BadInput(f"a take's shares are (T, {width})")
        blocks = [_blocks(take) for take in arrays if len(take) >= BLOCK]
        blocks = [part[np.isfinite(part).all(axis=1)] for part in blocks]
        blocks = [part for part in blocks if len(part)]
        if any(bool(((part < 0) | (part > 1)).any()) for part in blocks):
            raise BadInput("a share is a number in 0 to 1")
        self._limit = None
        if len(blocks) >= LEAST:
            all_blocks = np.concatenate(blocks)
            # The takes that are known are a sample: two standard errors, with whole takes as units.
            means = np.stack([part.mean(axis=0) for part in blocks])
            error = means.std(axis=0, ddof=1) / np.sqrt(len(means))
            self.baseline = np.maximum(all_blocks.mean(axis=0) + 2 * error, _FLOOR)
            self._limit = self._limits(blocks)
        self.reset()
        return self

    def _limits(self, takes: list[Doubles]) -> Doubles:
        """Return the evidence (C,) at which each class is told; infinite for those that aren't rare.

        Each is at least what its sum reaches with takes in any order, and in scenes of takes that are
        alike in all but this class: those of one style, in which it may be more frequent.
        """
        rare = self.baseline <= RARE
        hours = self.hours * max(1, int(rare.sum()))
        stretches = [
            take[start : start + _STRETCH]
            for take in takes
            for start in range(0, len(take), _STRETCH)
        ]
        means = np.stack([part.mean(axis=0) for part in stretches])
        evidence = [self._evidence(part) for part in stretches]
        rng = np.random.default_rng(self.seed)

        def reached(of: list[Doubles], scenes: list[NDArray[np.intp]] | None) -> Doubles:
            still = np.zeros(of[0].shape[1])
            highest = limits.hourly_maxima(of, limits.Spacing(BLOCK, 0, 0), scenes, still, rng=rng)
            return np.asarray(np.quantile(highest, max(0.0, 1 - 1 / hours), axis=0))

        out = np.maximum(
            reached(evidence, None), np.log(hours * limits.TICKS_AN_HOUR / STYLE_TICKS)
        )
        unknown = np.asarray(self.classes) == UNKNOWN
        for n in np.flatnonzero(rare):
            others = np.where(unknown | (np.arange(len(rare)) == n), -1.0, means)
            labels = others.argmax(axis=1).tolist()
            scenes = limits.neighbours(means, labels)
            out[n] = max(out[n], reached([part[:, [n]] for part in evidence], scenes)[0])
        return np.where(rare, out, np.inf)

    def _evidence(self, shares: Doubles) -> Doubles:
        """Return the logarithm (…, C) by which shares multiply the capital in a second."""
        b = self.baseline
        bet = np.maximum(_OFTEN - b, 0.0) / (b * (1 - b))
        out: Doubles = np.log1p(bet * (shares - b))
        return out

    def reset(self) -> None:
        """Forget the stream; keep the fit."""
        self._alerts = []
        self.tick = 0
        self._rows = np.full((BLOCK, len(self.classes)), np.nan)
        if self._limit is not None:
            self._watch = [
                CusumBank(np.asarray([limit]), STYLE_TICKS - BLOCK) for limit in self._limit
            ]

    def lasts(self, signal: str) -> bool:
        """Tell whether what an alert of this signal told has not come back to nought yet."""
        names = [SPIKE + name for name in self.classes]
        is_monitored = signal in names and self._limit is not None
        return is_monitored and not bool(self._watch[names.index(signal)].armed.all())

    def update(self, x: ArrayLike, *, excused: bool = False) -> None:
        """Take one tick (C,), NaN where nothing is said.

        Args:
            x: shares of the classes.
            excused: whether another style is what the script wants here; then it is no evidence.

        Raises:
            BadInput: the classes are others.
        """
        row = np.asarray(x, dtype=np.float64)
        if row.shape != (len(self.classes),):
            raise BadInput(f"a tick is ({len(self.classes)},), not {row.shape}")
        self._rows[self.tick % BLOCK] = np.nan if excused else row
        self.tick += 1
        if self.tick % BLOCK or self._limit is None:
            return
        block = _blocks(self._rows)[0]
        is_finite = np.isfinite(block).all()
        evidence = self._evidence(block) * _OVERLAP if is_finite else np.zeros(len(block))
        for n in np.flatnonzero(np.isfinite(self._limit)):
            watch = self._watch[n]
            if watch.add(evidence[n : n + 1], self.tick) and watch.fresh(self.tick):
                self._tell(int(n), watch)
            watch.rearm()

    def _tell(self, n: int, watch: CusumBank) -> None:
        best, low, high = watch.began(0, [0], self.tick)
        count = max(1, min((self.tick - high) // BLOCK, watch.blocks, len(watch.past)))
        slots = (watch.blocks - 1 - np.arange(count)) % len(watch.past)
        b = float(self.baseline[n])
        bet = (_OFTEN - b) / (b * (1 - b))
        shares = np.expm1(watch.past[slots, 0] / _OVERLAP) / bet + b
        style, share = self.classes[n], float(shares.mean())
        self._alerts.append(
            Alert(
                SPIKE + style,
                "new style",
                where=(style,),
                size=share,
                tick=self.tick,
                began=best,
                began_low=low,
                began_high=high,
            )
        )


def _blocks(take: Doubles) -> Doubles:
    """Return the means (N, C) of every ten ticks, NaN where one of them says nothing."""
    count = len(take) // BLOCK
    return np.asarray(take[: count * BLOCK].reshape(count, BLOCK, -1).mean(axis=1))
