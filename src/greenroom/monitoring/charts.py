"""The charts that watch a performer's joints: a fault chart within seconds, a drift chart for style.

Both are one-sided CUSUMs on evidence that comes every third of a second, with limits that keep a stated
budget of false alerts in whichever order the reference's own takes are played.

- *Faults*: joints that are missing or exactly held more often than the reference's own; groups of
joints
  that jitter, or tremble in place (`texture`).
- *Drift*: seconds of movement whose pose and spread are like nothing in the reference (`novelty`),
fast for a
  new style, slow for a small change of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from greenroom.errors import BadInput
from greenroom.frames import Array, Doubles
from greenroom.monitoring import limits, novelty, texture
from greenroom.monitoring.sums import BLOCK, MEMORY, TOGETHER, Sums

LEAST = {"fault": 30, "drift": 150}
"""Independent stretches of reference below which a chart is learning."""
_HISTORY = 30
_SECONDS = BLOCK / 30
_STRETCH = 600  # ticks: takes are cut into stretches of 20 s at most
_INDEPENDENT = 300  # ticks of one take that count as one more stretch
_CUT = 3.0  # times the usual change of step, in half of the joints at once: another take begins
_SLACK = 0.5  # missing or held ticks a block that count as none, beyond twice the reference's
_LEAST = {"missing": 6.0, "held": 3.0}  # ticks beyond the reference's own, for several joints
_ALONE = 90.0  # held ticks that count for one joint alone
_FAST, _SLOW = 3.0, 0.75  # standard scores that the drift chart's two sums take off
_CLIP = 6.0
_BANDWIDTH = 1.06
_FEW = 50  # stretches: the drift limits learned from so many are doubled
_LEAST_DRIFT = 1.5  # standard scores times seconds
_LEAST_FAULT = 0.5  # evidence times seconds: a fault is not cried sooner
_REPEAT = (
    0.7  # of the usual distance: a window this near to one of the last five minutes is no news
)
_AFRESH = 8  # blocks whose windows a window is not compared with


@dataclass(frozen=True)
class Alert:
    """A signal out of control.

    Attributes:
        signal: "missing", "held" (exact repeats), "freeze" (trembling in place), "jitter" or "style".
        cause: the likely class, "capture fault" or "new style".
        joints: indices of the joints that stand out.
        limbs: names of the limbs that they are of, if limbs were named.
        size: missing and held: the share of the last ten ticks; jitter and freeze: 1 is a typical
            one, of 2° and of 0.1°; style: how many times as far from the reference as usual.
        tick: when it was raised.
        began: the tick at which what is seen most likely began.
        began_low: start of the confidence set of that.
        began_high: its end.
    """

    signal: str
    cause: str
    joints: tuple[int, ...]
    limbs: tuple[str, ...]
    size: float
    tick: int
    began: int
    began_low: int
    began_high: int


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
    >>> [(alert.signal, alert.joints, alert.began, alert.tick) for alert in chart.alerts]
    [('missing', (0,), 600, 610)]
    """

    def __init__(
        self,
        limbs: Mapping[str, Sequence[int]] | None = None,
        *,
        hours: float = 24.0,
        seed: int = 0,
    ) -> None:
        """Store the configuration; the default one is what is measured in `docs/benchmarks.md`."""
        self.limbs, self.hours, self.seed = limbs, hours, seed
        self.effective = 0.0
        self.ready: tuple[str, ...] = ()
        self.channels = 0
        self._alerts: list[Alert] = []

    @property
    def learning(self) -> bool:
        """Whether the reference holds too little for any alert; `ready` says which charts may alarm."""
        return not self.ready

    # -- fit ---------------------------------------------------------------------------------------

    def fit(
        self, reference_takes: Sequence[Array], context: Sequence[object] | None = None
    ) -> MotionChart:
        """Learn from takes in control, and set limits.

        Args:
            reference_takes: (T, C) each, degrees at 30 Hz, NaN where missing.
            context: the scene of each take, if known: a show plays takes of one scene in a row. By
                default like takes make a scene.

        Raises:
            BadInput: there are no takes, they differ in channels, or a limb names a joint that is not
            there.
        """
        takes = [np.asarray(take, dtype=np.float64) for take in reference_takes]
        if not takes or any(take.ndim != 2 for take in takes):
            raise BadInput(
                "a reference is one take (T, C) at least", then="record takes in control"
            )
        if len({take.shape[1] for take in takes}) != 1 or not takes[0].shape[1]:
            raise BadInput("takes of one reference have the same channels")
        if context is not None and len(context) != len(takes):
            raise BadInput(f"{len(context)} scenes for {len(takes)} takes")
        self.channels = takes[0].shape[1]
        self.width = 3 if self.channels % 3 == 0 else 1
        self.joints = self.channels // self.width
        for name, members in (self.limbs or {}).items():
            if not members or not all(0 <= joint < self.joints for joint in members):
                raise BadInput(f"limb {name!r} has joints 0 to {self.joints - 1}, not {members}")
        pieces, scene = [], []
        for i, take in enumerate(takes):
            for start in range(0, max(len(take) - _STRETCH // 4, 1), _STRETCH):
                end = start + _STRETCH
                pieces.append(take[start : end if end + _STRETCH // 4 < len(take) else None])
                scene.append(i)
        self._learn(takes, pieces, np.asarray(scene), context)
        self.reset()
        return self

    def _learn(
        self,
        takes: list[Doubles],
        pieces: list[Doubles],
        owner: NDArray[np.intp],
        context: Sequence[object] | None,
    ) -> None:
        """Fit both charts and their limits."""
        rng = np.random.default_rng(self.seed)
        self._counts = {name: self._count_limit(takes, name) for name in _LEAST}
        features, stretch, times = self._windows(pieces, owner)
        lengths = np.bincount(stretch, minlength=len(pieces)) * BLOCK
        self.effective = float(
            np.where(lengths > 0, np.maximum(1.0, lengths / _INDEPENDENT), 0).sum()
        )
        self.ready = tuple(name for name, least in LEAST.items() if self.effective >= least)
        if self.learning:
            return
        cubes = [piece.reshape(len(piece), self.joints, self.width) for piece in pieces]
        steps, changes = zip(
            *(texture.changes(cube) for cube in cubes if len(cube) > 2), strict=True
        )
        self._usual_change = np.nanmedian(np.concatenate(changes), axis=0) + 0.01
        self.groups = self._groups(np.concatenate(steps))
        taught = texture.lessons(cubes, rng)
        self._faults = texture.learn(taught, self.groups, np.ones(len(pieces), dtype=np.bool_))
        self._novelty = novelty.Novelty(features, stretch, times)
        places = np.full((len(pieces), self._novelty.places.shape[1]), np.nan)
        for i in np.unique(stretch):
            places[i] = self._novelty.places[stretch == i].mean(axis=0)
        labels = None if context is None else [context[i] for i in owner]
        scenes = limits.neighbours(places, labels)
        drift = [
            self._drift_evidence(self._novelty.scores[stretch == i]) for i in range(len(pieces))
        ]
        fault = texture.left_out(taught, self.groups, owner)
        few = _FEW / self.effective
        drift_limit = self._limit(
            drift, novelty.WINDOW // BLOCK, scenes, MEMORY, family=False, rng=rng
        )
        fault_limit = self._limit(fault, 4, scenes, 0, family=True, rng=rng)
        self._drift_limit = np.maximum(drift_limit * (1 + few), _LEAST_DRIFT)
        self._fault_limit = np.maximum(fault_limit * (1 + 8 * few**2), _LEAST_FAULT)

    def _windows(
        self, pieces: list[Doubles], owner: NDArray[np.intp]
    ) -> tuple[Doubles, NDArray[np.intp], NDArray[np.intp]]:
        """Return the reference's windows, which stretch each is of, and when it was."""
        self._usable = np.isfinite(np.concatenate(pieces)).mean(axis=0) > 0.5
        features, stretch, times = [], [], []
        offset = 0
        for i, piece in enumerate(pieces):
            ends = np.arange(novelty.WINDOW, len(piece) + 1, novelty.STEP)
            found = novelty.window_features(piece[:, self._usable], ends)
            whole = np.isfinite(found).all(axis=1)
            if i and owner[i] != owner[i - 1]:
                offset += 1_000_000
            features.append(found[whole])
            times.append(offset + ends[whole])
            stretch.append(np.full(int(whole.sum()), i))
            offset += len(piece)
        return np.concatenate(features), np.concatenate(stretch), np.concatenate(times)

    def _groups(self, speeds: Doubles) -> list[tuple[int, ...]]:
        """Return the groups of joints that fail together: limbs, or who moves with whom; and all."""
        everyone = tuple(range(self.joints))
        if self.limbs is not None:
            return [*(tuple(members) for members in self.limbs.values()), everyone]
        logs = np.log(np.where(np.isfinite(speeds), speeds, 0.0) + 0.01)
        with np.errstate(invalid="ignore"):
            together = np.nan_to_num(np.atleast_2d(np.corrcoef(logs.T)), nan=-1.0)
        np.fill_diagonal(together, 2.0)
        nearest = np.argsort(-together, axis=1, kind="stable")
        found = {tuple(sorted(map(int, row[:size]))) for row in nearest for size in (2, 3)}
        return [*sorted(found), everyone]

    def _limit(
        self,
        evidence: list[Doubles],
        gap: int,
        scenes: list[NDArray[np.intp]],
        memory: int,
        *,
        family: bool,
        rng: np.random.Generator,
    ) -> Doubles:
        """Return limits (G,) that one of `hours` passes, in any order of takes and in scenes."""
        means = np.stack([part.mean(axis=0) for part in evidence if len(part)])
        jolt = _BANDWIDTH * means.std(axis=0) * len(means) ** -0.2  # Silverman's bandwidth
        chance = 1 - 1 / (3 * self.hours)  # fast drift, slow drift and faults share the budget
        found = []
        for order in (None, scenes):
            highest = limits.hourly_maxima(evidence, BLOCK, gap, order, jolt, memory, rng)
            if family:
                highest = np.repeat(highest.max(axis=1, keepdims=True), highest.shape[1], axis=1)
            found.append(np.quantile(highest, chance, axis=0))
        out: Doubles = np.maximum(*found)
        return out

    def _drift_evidence(self, scores: Doubles) -> Doubles:
        clipped = np.minimum(scores, _CLIP)
        return np.stack([clipped - _FAST, clipped - _SLOW], axis=-1)

    def _count_limit(self, takes: list[Doubles], name: str) -> tuple[Doubles, Doubles]:
        """Return (slack a block, limit) of joints' counts, twice and thrice the reference's."""
        ticks = [self._missing(x) if name == "missing" else self._held(x) for x in takes]
        total = sum(len(part) for part in ticks)
        share = np.sum([part.sum(axis=0) for part in ticks], axis=0) / max(total, 1)
        slack: Doubles = _SLACK + 2 * BLOCK * share
        highest = np.zeros(self.joints)
        for part in ticks:
            values = np.zeros(self.joints)
            for start in range(0, len(part), BLOCK):
                count = part[start : start + BLOCK].sum(axis=0)
                values = np.maximum(0.0, values + count - slack)
                highest = np.maximum(highest, values)
        return slack, _LEAST[name] + 3 * highest

    def _missing(self, x: Doubles) -> NDArray[np.bool_]:
        """Return (T, J): whether a channel of a joint is missing."""
        there = np.isfinite(x).reshape(len(x), self.joints, self.width)
        out: NDArray[np.bool_] = ~np.logical_and.reduce(there, axis=2)
        return out

    def _held(self, x: Doubles) -> NDArray[np.bool_]:
        """Return (T - 1, J): whether a joint is exactly where it was."""
        same = (x[1:] == x[:-1]).reshape(len(x) - 1, self.joints, self.width)
        out: NDArray[np.bool_] = np.logical_and.reduce(same, axis=2)
        return out

    # -- stream ------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget the stream and its alerts; keep the fit."""
        self._alerts = []
        self.tick = 0
        self._rows = np.full((_HISTORY + BLOCK, self.channels), np.nan)
        self._filled = _HISTORY
        self._steps = np.full((_HISTORY, self.joints), np.nan)
        self._changes = np.full((_HISTORY, self.joints), np.nan)
        self._texture_now = np.full(3 * self.joints, np.nan)
        self._since_cut = 0
        self._placed = 0
        self._fault_tick = -TOGETHER
        if not self.learning:
            self._watch = {name: Sums(limit, 0) for name, (_, limit) in self._counts.items()}
            self._watch["texture"] = Sums(self._fault_limit, texture.LENGTH)
            self._watch["style"] = Sums(self._drift_limit, novelty.WINDOW)
            self._places = np.full((MEMORY, self._novelty.kept.shape[1]), np.inf, dtype=np.float32)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What was raised since the last reset, oldest first."""
        return tuple(self._alerts)

    def update(self, x: ArrayLike) -> None:
        """Take one tick (C,), degrees, NaN where missing.

        Raises:
            BadInput: there is no fit, or the channels are not the reference's.
        """
        row = np.asarray(x, dtype=np.float64)
        if row.shape != (self.channels,) or not self.channels:
            raise BadInput(
                f"a tick is ({self.channels},), not {row.shape}",
                then="fit the chart, or pass a row",
            )
        self._rows[self._filled] = row
        self._filled += 1
        self.tick += 1
        if self._filled == len(self._rows):
            if not self.learning:
                with np.errstate(all="ignore"):
                    self._block()
            self._rows[:_HISTORY] = self._rows[BLOCK:]
            self._filled = _HISTORY

    def _block(self) -> None:
        """Look at ten new ticks."""
        rows = self._rows
        rows[_HISTORY:][~(np.abs(rows[_HISTORY:]) < 1e6)] = np.nan
        new = rows[_HISTORY:]
        missing = self._watch["missing"].busy or not np.isfinite(new).all()
        self._count("missing", self._missing(new) if missing else None)
        before = rows[_HISTORY - 1 : -1]
        held = self._watch["held"].busy or bool((new == before).any())
        self._count("held", self._held(rows[_HISTORY - 1 :]) if held else None)
        self._texture(rows)
        self._style(rows)

    def _count(self, name: str, ticks: NDArray[np.bool_] | None) -> None:
        """Count missing or held ticks (T, J); None if there are none and there were none."""
        watch = self._watch[name]
        if ticks is None:
            watch.pause(-self._counts[name][0])
            return
        counts = ticks.sum(axis=0)
        if watch.add(counts - self._counts[name][0]):
            over = watch.values > watch.limit
            alone = watch.values > watch.limit + _ALONE
            enough = name == "missing" or np.count_nonzero(over) > 1 or bool(alone.any())
            if enough and watch.fresh(self.tick):
                self._raise(name, over, float(counts[over].max()) / BLOCK, watch)
        watch.rearm()

    def _texture(self, rows: Doubles) -> None:
        watch = self._watch["texture"]
        cube = rows.reshape(-1, self.joints, self.width)
        step, change = texture.changes(cube[_HISTORY - 2 :])
        self._find_cut(change)
        for kept, new in ((self._steps, step), (self._changes, change)):
            kept[:-BLOCK] = kept[BLOCK:]
            kept[-BLOCK:] = new
        self._texture_now = texture.texture(cube[BLOCK:], self._steps, self._changes)
        evidence = self._faults.evidence(texture.extended(self._texture_now))
        if watch.add(evidence * _SECONDS) and watch.fresh(self.tick):
            worst = int((watch.values / watch.limit).argmax())
            kind, group = divmod(worst, len(self.groups))
            over = np.zeros(self.joints, dtype=np.bool_)
            over[list(self.groups[group])] = True
            self._raise(texture.KINDS[kind], over, float(evidence[worst]), watch, worst)
        watch.rearm()

    def _find_cut(self, changes: Doubles) -> None:
        """Note where half of the joints jump at once: a window does not reach across a cut."""
        usual = np.exp(self._texture_now[self.joints : 2 * self.joints])
        usual = np.where(np.isfinite(usual), usual, 0.0) + self._usual_change
        jump = np.partition(changes / usual, self.joints // 2, axis=1)[:, self.joints // 2]
        cuts = np.flatnonzero(~(jump <= _CUT))
        self._since_cut = BLOCK - int(cuts[-1]) if len(cuts) else self._since_cut + BLOCK

    def _style(self, rows: Doubles) -> None:
        if self._since_cut < novelty.WINDOW or "drift" not in self.ready:
            return
        window = rows[-novelty.WINDOW :, self._usable]
        mean = np.add.reduce(window) / len(window)
        square = np.add.reduce(window * window) / len(window) - mean * mean
        features = np.concatenate([mean, np.sqrt(np.maximum(square, 0.0))])
        if not np.isfinite(np.add.reduce(features)):
            return
        found = self._novelty.score(features)
        evidence = self._drift_evidence(np.asarray(found.score)) * _SECONDS
        if found.score > _SLOW and self._seen(found):
            evidence = np.minimum(evidence, 0.0)
        self._places[self._placed % MEMORY] = found.at
        self._placed += 1
        watch = self._watch["style"]
        if watch.add(evidence) and watch.fresh(self.tick):
            apart = np.zeros(self.channels)
            apart[self._usable] = (
                self._novelty.apart(features, found.nearest).reshape(2, -1).sum(axis=0)
            )
            each = apart.reshape(self.joints, self.width).sum(axis=1)
            worst = int((watch.values / watch.limit).argmax())
            self._raise("style", each >= each.max() / 2, found.size, watch, worst)
        watch.rearm()

    def _seen(self, found: novelty.Scored) -> bool:
        """Return whether the stream itself was there before, so that it is no new evidence."""
        newest = (self._placed - 1 - np.arange(min(self._placed, MEMORY))) % MEMORY
        apart = self._places[np.sort(newest[_AFRESH:])] - found.at
        near = (_REPEAT * found.usual) ** 2
        return bool((np.einsum("nk,nk->n", apart, apart) < near).any())

    def _raise(
        self,
        signal: str,
        over: NDArray[np.bool_],
        size: float,
        watch: Sums,
        which: int | None = None,
    ) -> None:
        """Append an alert."""
        if which is None:
            which = int(np.where(over, watch.values, -1.0).argmax())
        fault = signal != "style" or self.tick - self._fault_tick < TOGETHER
        if signal != "style":
            self._fault_tick = self.tick
        joints = tuple(int(joint) for joint in np.flatnonzero(over))
        names = tuple(
            name for name, members in (self.limbs or {}).items() if set(members) & set(joints)
        )
        also = range(len(watch.limit)) if signal == "style" else [which]
        best, low, high = watch.began(which, also, self.tick)
        cause = "capture fault" if fault else "new style"
        self._alerts.append(Alert(signal, cause, joints, names, size, self.tick, best, low, high))
