"""Score the drift charts' default on streams of real motion; prints Markdown tables.

Usage: PYTHONPATH=src python benchmarks/drift.py [--quick] [--dataset 2] [--new STYLE …] [--orders …]

Streams are takes one after another: shuffled, or in scenes of one to three minutes of one style and
content ("scenes") or of one style ("styles").
The reference is some takes of each style and content, the stream is others, and a new style is in neither.
Every figure is of one frozen configuration, the constructor's default. The recordings are read from
$GREENROOM_SHARED_DATA (default ../shared/data); see their licences.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from greenroom.capture.archive import members
from greenroom.capture.readers import read_recording
from greenroom.monitoring.angles import mean_pose, rotation_vectors
from greenroom.monitoring.charts.motion import MotionChart

HOUR = 108_000
LIMBS = {
    "left arm": (0, 1, 2),
    "right arm": (3, 4, 5),
    "left leg": (6, 7, 8, 9),
    "right leg": (10, 11, 12, 13),
}
"""Joints of a limb, in the order of `angles.JOINTS`; the charts are not told."""
Take = np.ndarray
Takes = dict[str, Take]


def read(dataset: int) -> Takes:
    """Return {name: (T, 60) degrees against the mean pose of all} of a Bandai Namco dataset."""
    folder = Path(os.environ.get("GREENROOM_SHARED_DATA", "../shared/data"))
    path = folder / f"bandai_namco_motion_{dataset}" / "bvh.zip"
    rotations = {}
    for name, data in members(path, lambda name: name.endswith(".bvh")):
        body = read_recording(data, name).body
        assert body is not None
        rotations[Path(name).stem] = body.rotations
    mean = mean_pose(rotations.values())
    return {name: rotation_vectors(q, mean).astype(np.float64) for name, q in rotations.items()}


def group(name: str) -> tuple[str, str]:
    """Return (content, style) of a take's name."""
    _, content, style, _ = name.split("_")
    return content, style


@dataclass
class Split:
    """Takes of one experiment.

    Attributes:
        reference: what the charts are fitted on.
        usual: other takes of the same styles, by (content, style).
        new: takes of the style that is in neither, by (content, style).
    """

    reference: list[Take] = field(default_factory=list)
    usual: dict[tuple[str, str], list[Take]] = field(default_factory=lambda: defaultdict(list))
    new: dict[tuple[str, str], list[Take]] = field(default_factory=lambda: defaultdict(list))


def split(takes: Takes, new: str, seed: int, share: float = 0.6) -> Split:
    """Return a split by take; each content and style in the stream is in the reference if it can be."""
    rng = np.random.default_rng(seed)
    by_group: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in sorted(takes):
        by_group[group(name)].append(name)
    out = Split()
    for key, names in by_group.items():
        if key[1] == new:
            out.new[key] += [takes[name] for name in names]
            continue
        for i, name in enumerate(rng.permutation(names)):
            place = (i + rng.random()) / len(names)
            if place < share:
                out.reference.append(takes[name])
            else:
                out.usual[key].append(takes[name])
    return out


def played(
    pool: Mapping[tuple[str, str], list[Take]], order: str, rng: np.random.Generator
) -> Iterator[Take]:
    """Yield takes for ever: shuffled, or in scenes of a content and style, or of a style."""
    if order == "styles":
        merged: dict[tuple[str, str], list[Take]] = defaultdict(list)
        for (_, style), takes in pool.items():
            merged["", style] += takes
        pool = merged
    keys = list(pool)
    flat = [take for key in keys for take in pool[key]]
    while True:
        if order == "shuffled":
            yield flat[rng.integers(len(flat))]
            continue
        scene = pool[keys[rng.integers(len(keys))]]
        left = rng.uniform(1800, 5400)
        while left > 0:
            take = scene[rng.integers(len(scene))]
            left -= len(take)
            yield take


def stream(source: Iterator[Take], ticks: int) -> Take:
    """Return `ticks` of what is played (T, 60)."""
    parts: list[Take] = []
    while sum(map(len, parts)) < ticks:
        parts.append(next(source))
    return np.concatenate(parts)[:ticks]


def mixed(
    a: Iterator[Take], b: Iterator[Take], share: Callable[[int], float], rng
) -> Iterator[Take]:  # type: ignore[no-untyped-def]
    """Yield takes of b with a chance that may change with the ticks so far, else of a."""
    ticks = 0
    while True:
        take = next(b if rng.random() < share(ticks) else a)
        ticks += len(take)
        yield take


# -- changes: each takes a usual stream and returns it changed ----------------------------------------


def one_limb(rng: np.random.Generator) -> np.ndarray:
    """Return the channels of a limb drawn at random."""
    joints = list(LIMBS.values())[rng.integers(len(LIMBS))]
    return (3 * np.asarray(joints)[:, None] + np.arange(3)).ravel()


def dropped(x: Take, rng: np.random.Generator) -> Take:
    """Lose a limb."""
    x[:, one_limb(rng)] = np.nan
    return x


def frozen(x: Take, rng: np.random.Generator) -> Take:
    """Hold a limb exactly where it was."""
    limb = one_limb(rng)
    x[:, limb] = x[0, limb]
    return x


def missing(x: Take, rng: np.random.Generator) -> Take:
    """Lose one frame in five."""
    x[rng.random(len(x)) < 0.2] = np.nan
    return x


def held(x: Take, rng: np.random.Generator) -> Take:
    """Repeat the frame before one time in five."""
    for tick in np.flatnonzero(rng.random(len(x)) < 0.2):
        x[tick] = x[max(tick - 1, 0)]
    return x


def trembling(x: Take, rng: np.random.Generator) -> Take:
    """Hold a limb with 0.1° of noise."""
    limb = one_limb(rng)
    x[:, limb] = x[0, limb] + rng.normal(0, 0.1, (len(x), len(limb)))
    return x


def jitter_all(x: Take, rng: np.random.Generator) -> Take:
    """Add 2° of noise to all joints."""
    return x + rng.normal(0, 2, x.shape)


def jitter_limb(x: Take, rng: np.random.Generator) -> Take:
    """Add 2° of noise to a limb."""
    limb = one_limb(rng)
    x[:, limb] += rng.normal(0, 2, (len(x), len(limb)))
    return x


def gain(x: Take, rng: np.random.Generator) -> Take:
    """Make all angles smaller."""
    return 0.7 * x


def flickering(fault: Callable[[Take, np.random.Generator], Take]) -> Callable[..., Take]:
    """Return a change that is there one second in ten."""

    def change(x: Take, rng: np.random.Generator) -> Take:
        limb_rng = int(rng.integers(1 << 30))
        for start in range(int(rng.integers(300)), len(x), 300):
            x[start : start + 30] = fault(x[start : start + 30], np.random.default_rng(limb_rng))
        return x

    return change


FAULTS: dict[str, tuple[Callable[..., Take], str]] = {
    "limb dropped": (dropped, "p90 ≤ 3"),
    "limb frozen": (frozen, "p90 ≤ 3"),
    "20 % of frames missing": (missing, "p90 ≤ 3"),
    "20 % of frames held": (held, "p90 ≤ 3"),
    "freeze of a limb with 0.1° noise": (trembling, "p90 ≤ 15"),
    "jitter of 2°, all joints": (jitter_all, "p90 ≤ 5"),
    "jitter of 2°, one limb": (jitter_limb, "p90 ≤ 8"),
    "gain 0.7": (gain, "p90 ≤ 120"),
    "flicker 1 s in 10: limb missing": (flickering(dropped), "p90 ≤ 120"),
    "flicker 1 s in 10: limb frozen": (flickering(frozen), "p90 ≤ 120"),
    "flicker 1 s in 10: limb jitters 2°": (flickering(jitter_limb), "p90 ≤ 120"),
    "flicker 1 s in 10: all jitter 2°": (flickering(jitter_all), "p90 ≤ 120"),
}
STYLES: dict[str, tuple[Callable[[int], float], str]] = {
    "new style, all takes": (lambda ticks: 1.0, "median ≤ 8, p90 ≤ 20"),
    "new style, 30 % of takes": (lambda ticks: 0.3, "median ≤ 40, p90 ≤ 90"),
    "new style, 10 % of takes": (lambda ticks: 0.1, "median ≤ 240, ≤ 15 % missed"),
    "style ramp over 10 min": (lambda ticks: min(1.0, ticks / 18_000), "p90 ≤ 250"),
}
HORIZON = 18_000
LEAD = 1_800


class Peer:
    """What the charts are measured beside: fitted on the same takes, it alarms by itself.

    It looks at a batch mean a second: how far all channels are from their mean, in standard deviations.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def fit(self, takes: list[Take]) -> Peer:
        """Learn each channel's mean and spread."""
        every = np.concatenate(takes)
        self.mean, self.sd = every.mean(axis=0), every.std(axis=0)
        self.reset()
        return self

    def reset(self) -> None:
        """Begin anew."""
        self.alerts: list[SimpleNamespace] = []
        self.tick, self.out, self.batch = 0, False, []
        if self.kind in ("ADWIN", "PageHinkley"):
            from river import drift

            self.detector = getattr(drift, self.kind)()

    def update(self, x: np.ndarray) -> None:
        """Take a tick."""
        self.tick += 1
        if self.kind == "dummy":
            alarm = self.tick % 1_800 == 0
        else:
            z = np.abs((x - self.mean) / self.sd)
            if self.kind == "raw 3σ":
                out = bool((z > 3).any())
                alarm, self.out = out and not self.out, out
            else:
                self.batch.append(float(np.nanmean(z)) if np.isfinite(z).any() else 0.0)
                alarm = False
                if len(self.batch) == 30:
                    self.detector.update(float(np.mean(self.batch)))
                    self.batch = []
                    alarm = bool(self.detector.drift_detected)
        if alarm:
            self.alerts.append(
                SimpleNamespace(
                    tick=self.tick, signal=self.kind, cause="", began_low=0, began_high=0
                )
            )


def peers() -> list[str]:
    """Return the peers that can run here."""
    found = ["dummy", "raw 3σ"]
    if importlib.util.find_spec("river"):
        return [*found, "ADWIN", "PageHinkley"]
    print("ADWIN and PageHinkley left out: river is not installed", file=sys.stderr)
    return found


def alerts_of(chart, x: Take, since: int = 0) -> list:  # type: ignore[no-untyped-def,type-arg]
    """Return what a chart that starts anew raises on a stream; stop at the first after `since`, if set."""
    chart.reset()
    for i, row in enumerate(x):
        chart.update(row)
        if since and i % 30 == 29 and chart.alerts and chart.alerts[-1].tick > since:
            break
    return list(chart.alerts)


def trial(chart, parts: Split, name: str, order: str, rng: np.random.Generator):  # type: ignore[no-untyped-def]
    """Return (seconds to the first alert after a change or inf, it, alerts before) of one trial."""
    lead = LEAD + int(rng.integers(LEAD))
    source = played(parts.usual, order, rng)
    before = stream(source, lead)
    if name in STYLES:
        source = mixed(source, played(parts.new, order, rng), STYLES[name][0], rng)
    after = stream(source, HORIZON)
    if name in FAULTS:
        after = FAULTS[name][0](after.copy(), rng)
    found = alerts_of(chart, np.concatenate([before, after]), since=lead)
    late = [alert for alert in found if alert.tick > lead]
    early = len(found) - len(late)
    if not late:
        return np.inf, None, early
    covered = late[0].began_low <= lead <= late[0].began_high
    return (late[0].tick - lead) / 30, (late[0], covered), early


def words(delays: np.ndarray) -> str:
    """Return a row's figures."""

    def say(q: float) -> str:
        v = float(np.quantile(delays, q, method="higher"))
        return f"{v:.1f}" if np.isfinite(v) else "missed"

    return f"{say(0.5)} | {say(0.9)} | {np.mean(np.isinf(delays)):.0%}"


Fitted = dict[str, tuple[MotionChart | Peer, Split]]


def contract(who: str, charts: Fitted, hours: float, orders: list[str]) -> None:
    """Print false alerts on usual streams, and null trials."""
    for order in orders:
        total, raised, null, nulls = 0.0, 0, 0, 0
        kinds: dict[str, int] = defaultdict(int)
        for i, (chart, parts) in enumerate(charts.values()):
            rng = np.random.default_rng(100 + i)
            x = stream(played(parts.usual, order, rng), int(hours * HOUR))
            found = alerts_of(chart, x)
            total, raised = total + len(x) / HOUR, raised + len(found)
            for alert in found:
                kinds[alert.signal] += 1
            ticks = np.asarray([alert.tick for alert in found])
            for start in range(0, len(x) - HORIZON + 1, HORIZON):
                nulls += 1
                null += bool(((ticks > start) & (ticks <= start + HORIZON)).any())
        said = f" ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})" if raised else ""
        print(
            f"| {who} | {order} | {total:.1f} | {raised}{said} | {raised / total:.2f} | {null / max(nulls, 1):.1%} |",
            flush=True,
        )


def delays(
    who: str, charts: Fitted, names: list[str], trials: int, orders: list[str], seed: int
) -> None:
    """Print how long each change takes to be seen."""
    for name in names:
        for order in orders:
            out, right, covered = [], [], []
            for i in range(trials):
                key = list(charts)[i % len(charts)]
                rng = np.random.default_rng([seed, i])
                delay, found, _ = trial(*charts[key], name, order, rng)
                out.append(delay)
                if found is not None:
                    is_style = name in STYLES or name == "gain 0.7"
                    right.append((found[0].cause == "new style") == is_style)
                    covered.append(found[1])
            target = (STYLES | FAULTS)[name][1]
            said = f"{np.mean(right or [0]):.0%} | {np.mean(covered or [0]):.0%}"
            if who != "charts":
                said = "– | –"
            print(
                f"| {who} | {name} | {order} | {words(np.asarray(out))} | {said} | {target} |",
                flush=True,
            )


def cost(chart: MotionChart, x: Take) -> None:
    """Print what a tick costs."""
    chart.reset()
    took = np.empty(len(x))
    start = time.process_time()
    for row in x:
        chart.update(row)
    mean = (time.process_time() - start) / len(x) * 1e6
    for i, row in enumerate(x):
        begun = time.perf_counter_ns()
        chart.update(row)
        took[i] = (time.perf_counter_ns() - begun) / 1e3
    middle, most = np.percentile(took, [50, 99])
    print(
        f"\nCost, {x.shape[1]} channels: mean {mean:.1f} µs a frame of a core, p50 {middle:.1f}, p99 {most:.0f}"
    )


def main() -> None:
    """Fit on splits of a dataset and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="an hour, six trials")
    parser.add_argument("--dataset", type=int, default=2, choices=(1, 2))
    parser.add_argument("--new", nargs="+", default=None, help="styles that are new, in turn")
    parser.add_argument("--splits", type=int, default=3, help="splits for each new style")
    parser.add_argument("--first", type=int, default=0, help="seed of the first split")
    parser.add_argument("--share", type=float, default=0.6, help="of takes that are reference")
    parser.add_argument(
        "--hours", type=float, default=9.0, help="of each order, all splits together"
    )
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--orders", nargs="+", default=["shuffled", "scenes", "styles"])
    parser.add_argument("--only", nargs="+", default=[], help="parts of the changes' names")
    parser.add_argument("--skip", nargs="+", default=[], help="contract, delays or peers")
    options = parser.parse_args()
    takes = read(options.dataset)
    styles = options.new or sorted({group(name)[1] for name in takes})[:1]
    splits = {
        f"{style} {seed}": split(takes, style, seed, options.share)
        for style in styles
        for seed in range(options.first, options.first + options.splits)
    }
    charts: Fitted = {}
    for key, parts in splits.items():
        start = time.perf_counter()
        chart = MotionChart().fit(parts.reference)
        took = time.perf_counter() - start
        minutes = sum(map(len, parts.reference)) / 1800
        ready = " and ".join(chart.ready) or "nothing"
        print(
            f"new {key}: {len(parts.reference)} takes, {minutes:.1f} minutes of reference, {ready} ready, fitted in {took:.1f} s",
            file=sys.stderr,
        )
        charts[key] = (chart, parts)
    beside = [] if "peers" in options.skip else peers()
    others = {
        kind: {key: (Peer(kind).fit(parts.reference), parts) for key, parts in splits.items()}
        for kind in beside
    }
    hours = (1.0 if options.quick else options.hours) / len(charts)
    if "contract" not in options.skip:
        print(
            "| who | in control | stream-hours | false alerts | an hour | null trials of 10 min that alarm |"
        )
        print("|---|---|---|---|---|---|")
        for who, fitted in {"charts": charts, **others}.items():
            contract(who, fitted, hours, options.orders)
    names = [*FAULTS, *STYLES]
    if options.only:
        names = [name for name in names if any(part in name for part in options.only)]
    if "delays" not in options.skip:
        print(
            "\n| who | change | order | median, s | p90, s | missed | right cause | onset in its set | target, s |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        trials = 6 if options.quick else options.trials
        delays("charts", charts, names, trials, options.orders, options.first)
        for who, fitted in others.items():
            some = [name for name in names if name in ("limb frozen", "new style, all takes")]
            delays(who, fitted, some, trials, options.orders, options.first)
    chart, parts = next(iter(charts.values()))
    cost(chart, stream(played(parts.usual, "shuffled", np.random.default_rng(0)), 18_000))


if __name__ == "__main__":
    main()
