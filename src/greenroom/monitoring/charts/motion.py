"""The charts that watch a performer's joints: a fault chart within seconds, a drift chart for style.

Both are one-sided CUSUMs on evidence that comes every third of a second, with limits that keep a stated
budget of false alerts in whichever order the reference's own takes are played.

- *Faults*: joints that are missing or exactly held more often than the reference's own; groups of joints
  that jitter, or tremble in place (`texture`).
- *Drift*: seconds of movement whose pose and spread are like nothing in the reference (`novelty`), fast
  for a new style, slow for a small change of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from greenroom.contracts import Alert
from greenroom.errors import BadInput
from greenroom.frames import Array, Doubles
from greenroom.monitoring import reference
from greenroom.monitoring.detectors import novelty, texture
from greenroom.monitoring.detectors.cusum import BLOCK, MEMORY, TOGETHER, CusumBank

_HISTORY = 30
_SECONDS = BLOCK / 30
_CUT = 3.0  # times the usual change of step, in half of the joints at once: another take begins
_ALONE = 59  # ticks held throughout that count for one joint alone
_GLIMPSE = 3  # ticks: a joint that the reference never holds for longer is one that never holds
_REPEAT = (
    0.7  # of the usual distance: a window this near to one of the last five minutes is no news
)
_AFRESH = 8  # blocks whose windows a window is not compared with


class MotionChart:
    """Raise alerts on a stream of joint angles, and keep a budget of false ones.

    `fit` learns from takes in control, `update` takes a tick and returns nothing, `alerts` is read.
    It re-arms by itself: once what was out of control has been back for a while, or after ten
    minutes. While the reference holds too little, `learning` is true and nothing alarms.

    Convention: channels are rotation vectors in degrees, three to a joint, at 30 Hz, against a mean
    pose (see `angles`); heading left out, or each turn of the performer is news. Where channels are
    no multiple of three, each is a joint by itself.

    Args:
        limbs: indices of the joints of each limb; by default each joint with the one and the two that
            move most with it in the reference.
        hours: hours of show in which one false alert is allowed, over all joints and signals.
        seed: of the simulated shows that set the limits.

    >>> rng = np.random.default_rng(0)
    >>> def walk(ticks):
    ...     phase = 0.2 * np.arange(ticks)[:, None] + np.arange(6) + rng.uniform(0, 6)
    ...     return 20 * np.sin(phase) + rng.normal(0, 0.2, (ticks, 6))
    >>> chart = MotionChart().fit([walk(240) for _ in range(100)])
    >>> stream = walk(900)
    >>> stream[600:, :3] = np.nan
    >>> for x in stream:
    ...     chart.update(x)
    >>> (alert,) = chart.alerts
    >>> alert.signal, alert.joints, alert.began, alert.tick
    ('missing', (0,), 600, 610)
    """

    def __init__(
        self,
        limbs: Mapping[str, Sequence[int]] | None = None,
        *,
        hours: float = 24.0,
        seed: int = 0,
    ) -> None:
        """Store the configuration; the default one is what is measured in `docs/log/benchmarks.md`."""
        self.limbs, self.hours, self.seed = limbs, hours, seed
        self._reference: reference.ChartReference | None = None
        self._alerts: list[Alert] = []

    @property
    def ready(self) -> tuple[str, ...]:
        """Which charts may alarm: "gaps" (missing, held), "texture" (jitter, freeze), "drift"."""
        return () if self._reference is None else self._reference.ready

    @property
    def learning(self) -> bool:
        """Whether the reference holds too little for any alert."""
        return not self.ready

    def fit(
        self, reference_takes: Sequence[Array], context: Sequence[object] | None = None
    ) -> MotionChart:
        """Learn from takes in control, and set limits.

        Args:
            reference_takes: (T, C) each, degrees at 30 Hz, NaN where missing.
            context: the scene of each take, if known: a show plays takes of one scene in a row. By
                default like takes make a scene.

        Raises:
            BadInput: there are no takes, they differ in channels, or a limb has no such joint.
        """
        self._reference = reference.fit_reference(
            reference_takes, self.limbs, context=context, hours=self.hours, seed=self.seed
        )
        self.reset()
        return self

    # -- stream ------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget the stream and its alerts; keep the fit."""
        self._alerts = []
        self.tick = 0
        self._watch: dict[str, CusumBank] = {}
        if self._reference is None:
            return
        fitted = self._reference
        self._rows = np.full((_HISTORY + BLOCK, fitted.channels), np.nan)
        self._filled = _HISTORY
        self._steps = np.full((_HISTORY, fitted.joints), np.nan)
        self._changes = np.full((_HISTORY, fitted.joints), np.nan)
        self._typical = np.zeros(fitted.joints)
        self._since_cut = 0
        self._excused = False
        self._placed = 0
        self._fault_tick = -TOGETHER
        self._watch = {name: CusumBank(limit, 0) for name, (_, limit) in fitted.counts.items()}
        self._runs = {name: np.zeros(fitted.joints, dtype=np.intp) for name in fitted.counts}
        self._firm = fitted.longest_hold <= _GLIMPSE
        if fitted.models is not None:
            self._watch["texture"] = CusumBank(fitted.models.fault_limit, texture.LENGTH)
            self._watch["style"] = CusumBank(
                fitted.models.drift_limit, novelty.WINDOW, disarm_together=True
            )
            axes = fitted.models.novelty.exemplars.shape[1]
            self._places = np.zeros((MEMORY, axes), dtype=np.float32)
            self._squares = np.full(MEMORY, np.inf, dtype=np.float32)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What was raised since the last reset, oldest first."""
        return tuple(self._alerts)

    def lasts(self, signal: str) -> bool:
        """Tell whether what an alert of this signal told has not come back to nought yet."""
        watch = self._watch.get("texture" if signal in texture.KINDS else signal)
        return watch is not None and not bool(watch.armed.all())

    def update(self, x: ArrayLike, *, excused: bool = False) -> None:
        """Take one tick (C,), degrees, NaN where missing.

        Args:
            x: the tick.
            excused: whether a new style is what the script wants here; then it is no drift, and faults
                are alerts all the same.

        Raises:
            BadInput: there is no fit, or the channels are not the reference's.
        """
        fitted = self._reference
        if fitted is None:
            raise BadInput("a chart without a reference", then="fit the chart")
        row = np.asarray(x, dtype=np.float64)
        if row.shape != (fitted.channels,):
            raise BadInput(f"a tick is ({fitted.channels},), not {row.shape}")
        self._rows[self._filled] = row
        self._excused |= excused
        self._filled += 1
        self.tick += 1
        if self._filled == len(self._rows):
            if fitted.ready and fitted.models is not None:
                with np.errstate(all="ignore"):
                    self._block(fitted, fitted.models)
            self._excused = False
            self._rows[:_HISTORY] = self._rows[BLOCK:]
            self._filled = _HISTORY

    def _block(self, fitted: reference.ChartReference, models: reference.Models) -> None:
        """Look at ten new ticks."""
        rows = self._rows
        new = rows[_HISTORY:]
        new[~(np.abs(new) < reference.MOST_DEGREES)] = np.nan
        gaps = self._watch["missing"].busy or not np.isfinite(new).all()
        self._count(fitted, "missing", reference.missing(new, fitted.joints) if gaps else None)
        same = self._watch["held"].busy or bool((new == rows[_HISTORY - 1 : -1]).any())
        since = rows[_HISTORY - 1 :]
        self._count(fitted, "held", reference.exact_repeats(since, fitted.joints) if same else None)
        self._texture(fitted, models)
        if any(not watch.armed.all() for name, watch in self._watch.items() if name != "style"):
            self._fault_tick = self.tick  # it goes on: what looks new meanwhile is broken
        if self._excused:
            self._since_cut = 0  # no window reaches into what is excused
        if "drift" in fitted.ready and self._since_cut >= novelty.WINDOW:
            self._style(fitted, models)

    def _count(
        self, fitted: reference.ChartReference, name: str, ticks: NDArray[np.bool_] | None
    ) -> None:
        """Count missing or held ticks (T, J); None if there are none and there were none.

        Solvers clamp a knee or a toe, so a tick is held only if two joints are that never are in the
        reference, or if one is for two seconds.
        """
        watch = self._watch[name]
        slack = fitted.counts[name][0]
        if ticks is None:
            watch.pause(-slack, self.tick)
            self._runs[name][:] = 0
            return
        runs = self._runs[name] = np.where(ticks.all(axis=0), self._runs[name] + 1, 0)
        if name == "held" and np.count_nonzero(self._firm) > 1:
            together = np.count_nonzero(ticks & self._firm, axis=1) > 1
            ticks = ticks & together[:, None]
        counts = ticks.sum(axis=0)
        over = np.zeros(fitted.joints, dtype=np.bool_)
        if watch.add(counts - slack, self.tick):
            over = watch.values > watch.limit
        stuck = runs * BLOCK > np.maximum(_ALONE, 3 * fitted.longest_hold)
        if name == "held" and stuck.any():
            watch.values[stuck] = watch.most[stuck]
            over |= stuck
        if over.any() and watch.fresh(self.tick):
            worst = int(np.where(over, watch.values, -1.0).argmax())
            self._raise(name, over, float(ticks[:, over].mean(axis=0).max()), worst)
        watch.rearm()

    def _texture(self, fitted: reference.ChartReference, models: reference.Models) -> None:
        """Add the evidence of the last second's texture."""
        watch = self._watch["texture"]
        cube = self._rows.reshape(-1, fitted.joints, fitted.width)
        step, change = texture.changes(cube[_HISTORY - 2 :])
        self._find_cut(change / (self._typical + models.usual_change))
        for history, new in ((self._steps, step), (self._changes, change)):
            history[:-BLOCK] = history[BLOCK:]
            history[-BLOCK:] = new
        now = texture.texture(cube[BLOCK:], self._steps, self._changes)
        typical = np.exp(now[fitted.joints : 2 * fitted.joints])
        self._typical = np.where(np.isfinite(typical), typical, 0.0)
        evidence = models.faults.evidence(texture.extended(now))
        if "texture" not in fitted.ready:
            return
        if watch.add(evidence * _SECONDS, self.tick) and watch.fresh(self.tick):
            worst = int((watch.values / watch.limit).argmax())
            kind, group = divmod(worst, len(models.groups))
            over = np.zeros(fitted.joints, dtype=np.bool_)
            over[list(models.groups[group])] = True
            self._raise(texture.KINDS[kind], over, float(evidence[worst]), worst)
        watch.rearm()

    def _find_cut(self, jumps: Doubles) -> None:
        """Note where half of the joints jump at once: a window does not reach across a cut.

        Args:
            jumps: (T, J), changes of step over the usual ones.
        """
        half = jumps.shape[1] // 2
        cuts = np.flatnonzero(~(np.partition(jumps, half, axis=1)[:, half] <= _CUT))
        self._since_cut = BLOCK - int(cuts[-1]) if len(cuts) else self._since_cut + BLOCK

    def _style(self, fitted: reference.ChartReference, models: reference.Models) -> None:
        """Add the evidence of the last window's novelty."""
        window = self._rows[-novelty.WINDOW :, models.usable]
        mean = np.add.reduce(window) / len(window)
        square = np.add.reduce(window * window) / len(window) - mean * mean
        features = np.concatenate([mean, np.sqrt(np.maximum(square, 0.0))])
        if not np.isfinite(np.add.reduce(features)):
            return
        novelty_score = models.novelty.score(features)
        evidence = reference.drift_evidence(np.asarray(novelty_score.score)) * _SECONDS
        if novelty_score.score > reference.SLOW and self._is_revisit(novelty_score):
            evidence = np.minimum(evidence, 0.0)
        self._places[self._placed % MEMORY] = novelty_score.at
        self._squares[self._placed % MEMORY] = novelty_score.at @ novelty_score.at
        self._placed += 1
        watch = self._watch["style"]
        if watch.add(evidence, self.tick) and watch.fresh(self.tick):
            deviation = np.zeros(fitted.channels)
            parts = models.novelty.apart(features, novelty_score.nearest).reshape(2, -1)
            deviation[models.usable] = parts.sum(axis=0)
            each = deviation.reshape(fitted.joints, fitted.width).sum(axis=1)
            worst = int((watch.values / watch.limit).argmax())
            self._raise("style", each >= each.max() / 2, novelty_score.size, worst)
        watch.rearm()

    def _is_revisit(self, novelty_score: novelty.Scored) -> bool:
        """Return whether the stream itself was there before, so that it is no new evidence."""
        squares = (
            self._squares
            + float(novelty_score.at @ novelty_score.at)
            - 2 * (self._places @ novelty_score.at)
        )
        squares[(self._placed - 1 - np.arange(_AFRESH)) % MEMORY] = np.inf
        return bool((squares < (_REPEAT * novelty_score.typical) ** 2).any())

    def _raise(self, signal: str, over: NDArray[np.bool_], amplitude: float, worst: int) -> None:
        """Append an alert on the joints that are `over`, by the sum `worst`."""
        watch = self._watch["texture" if signal in texture.KINDS else signal]
        fault = signal != "style" or self.tick - self._fault_tick < TOGETHER
        if signal != "style":
            self._fault_tick = self.tick
        joints = tuple(int(joint) for joint in np.flatnonzero(over))
        names = tuple(
            name for name, members in (self.limbs or {}).items() if set(members) & set(joints)
        )
        also = range(len(watch.limit)) if signal == "style" else [worst]
        best, low, high = watch.began(worst, also, self.tick)
        cause = "capture fault" if fault else "new style"
        self._alerts.append(
            Alert(
                signal,
                cause,
                where=names,
                size=amplitude,
                tick=self.tick,
                began=best,
                began_low=low,
                began_high=high,
                joints=joints,
            )
        )
