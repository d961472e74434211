"""Online updates on Bandai Namco dataset 2: how soon a spike is told, and what an update changes.

Usage: benchmarks/online.py HOME, a workspace with its takes ingested by {content}_{style} labels and models
trained on the split of runs/held.json, in which `elderly` is nobody's to learn. A copy is written to.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from greenroom.adaptation.graph_adapter import CENTRES, Adapter, Predictions, golden_outputs
from greenroom.adaptation.online_update import (
    UpdateRequest,
    online_update,
    online_update_subprocess,
)
from greenroom.adaptation.replay_reservoir import (
    Moments,
    Reservoir,
    concatenate_moments,
    take_moments,
)
from greenroom.capture.annotations import take_tiers, whole_label
from greenroom.contracts import ModelShape
from greenroom.features.pipeline import FeatureSpec
from greenroom.manifests import Dataset, Model, ModelBlobs, Take
from greenroom.monitoring.detectors.prevalence import UNKNOWN, PrevalenceShift, with_unknown
from greenroom.observers.model_health import TickHealth
from greenroom.retraining.guard import BACK, KEEP, Guard
from greenroom.store.workspace import Workspace

RARE, FEW, ROUNDS = "elderly", "youthful", 2000


class Bench:
    """A workspace's takes of dataset 2, and one model."""

    def __init__(self, workspace: Workspace, model: str) -> None:
        self.workspace, self.model = workspace, model
        self.manifest = workspace.objects.read(model, Model)
        self.spec = FeatureSpec.load(self.manifest.features)
        self.shape = ModelShape.load(self.manifest.shape)
        self.dataset = workspace.objects.read(self.manifest.parents.dataset, Dataset)
        self.takes: dict[str, tuple[str, str]] = {}  # style, content
        for row in workspace.catalog.find("take", actor=self.manifest.actor):
            tiers = take_tiers(workspace, row.object)
            style = whole_label(tiers, "style")
            if style and row.name.startswith("dataset-2"):
                self.takes[row.object] = style, whole_label(tiers, "content")

    def adapter(self, model: str) -> Adapter:
        graph = self.workspace.objects.read(model, Model).blobs.graph
        return Adapter(self.workspace.objects.get(graph), self.shape, self.spec.joints)

    def moments(self, takes: Any, every: int) -> Moments:
        return concatenate_moments(
            [take_moments(self.workspace, self.spec, take, every) for take in takes]
        )

    def reservoir(self, takes: Any) -> str:
        kept, day = Reservoir(), self.workspace.today()
        for take in takes:
            if "body" in self.workspace.objects.read(take, Take).media:
                kept.offer_take(self.workspace, take, day)
        return kept.save(self.workspace, self.manifest.actor, "bench")


def ratio(before: dict[str, float], after: dict[str, float]) -> str:
    """Return after / before of root mean squares over takes, with its interval over takes."""
    a, b = (np.asarray([found[t] for t in sorted(before)]) for found in (before, after))
    picks = np.random.default_rng(0).integers(0, len(a), (ROUNDS, len(a)))
    low, high = np.quantile(np.sqrt(b[picks].mean(1) / a[picks].mean(1)), (0.025, 0.975))
    return f"{np.sqrt(b.mean() / a.mean()):.3f} ({low:.3f} to {high:.3f})"


def squares(bench: Bench, heard: Predictions) -> dict[str, dict[str, float]]:
    """Return part → take → mean square."""
    takes = np.asarray(heard.takes)
    ahead = heard.ahead.reshape(len(takes), len(bench.shape.horizons), -1) ** 2
    out: dict[str, dict[str, float]] = {}
    for take in sorted(set(takes)):
        for n, ticks in enumerate(bench.shape.horizons):
            out.setdefault(f"forecast, {ticks} ticks", {})[take] = float(
                ahead[takes == take, n].mean()
            )
        off = [(gap[takes[at] == take] ** 2).ravel() for at, _, gap in heard.gaps]
        out.setdefault("limb lost", {})[take] = float(np.concatenate(off).mean())
    return out


def spikes(bench: Bench) -> None:
    """Print how soon the rare style is told by what no style explains, and false alarms."""
    rng = np.random.default_rng(0)
    adapter, trained = bench.adapter(bench.model), set(bench.dataset.splits["train"])
    shares: dict[str, Any] = {}
    for take, (_style, _) in bench.takes.items():
        if take not in trained:
            said = adapter.style_probabilities(
                bench.moments([take], 10),
                bench.workspace.objects.get(bench.manifest.blobs.graph),
            )
            if len(said):
                shares[take] = np.repeat(with_unknown(said), 10, axis=0)
    known = [t for t in shares if bench.takes[t][0] != RARE]
    rare = [t for t in shares if bench.takes[t][0] == RARE]
    rng.shuffle(known)
    fit, play = known[::2], known[1::2]
    watch = PrevalenceShift([*bench.manifest.styles, UNKNOWN]).fit([shares[t] for t in fit])
    print(f"takes: {len(fit)} to fit, {len(play)} to play, {len(rare)} of {RARE}")
    print("baselines", dict(zip(watch.classes, watch.baseline.round(3).tolist(), strict=True)))
    alarms, hours = 0, 12
    for _ in range(hours):
        watch.reset()
        while watch.tick < 108_000:
            for row in shares[play[rng.integers(len(play))]]:
                watch.update(row)
        alarms += len(watch.alerts)
    print(f"false alarms in {hours} h of known styles, any order: {alarms}")
    delays, offs = [], []
    for _ in range(100):
        watch.reset()
        while watch.tick < 9000:
            for row in shares[play[rng.integers(len(play))]]:
                watch.update(row)
        began = watch.tick
        while watch.tick < began + 5400 and not any(s.tick > began for s in watch.alerts):
            for row in shares[rare[rng.integers(len(rare))]]:
                watch.update(row)
        found = [s for s in watch.alerts if s.tick > began and s.where == (UNKNOWN,)]
        delays.append((found[0].tick - began) / 30 if found else np.inf)
        offs += [(s.began - began) / 30 for s in found[:1]]
    print(
        "told after s, median, p90, worst:", np.quantile(delays, (0.5, 0.9, 1.0), method="higher")
    )
    print("began, off by s, p10, median, p90:", np.quantile(offs, (0.1, 0.5, 0.9)).round(1))


def halves(bench: Bench, style: str, by_content: bool) -> tuple[list[str], list[str]]:
    """Return a style's takes in two halves: at random, or by what they show."""
    takes = sorted(t for t, (s, _) in bench.takes.items() if s == style)
    if by_content:
        contents = sorted({bench.takes[t][1] for t in takes})
        first = set(contents[::2])
        return [t for t in takes if bench.takes[t][1] in first], [
            t for t in takes if bench.takes[t][1] not in first
        ]
    np.random.default_rng(0).shuffle(takes)
    return takes[: len(takes) // 2], takes[len(takes) // 2 :]


def updates(bench: Bench, replay: str, by_content: bool) -> None:
    """Print what an update from half of a style's takes changes."""
    new, held = halves(bench, RARE, by_content)
    start = time.monotonic()
    made = online_update_subprocess(
        bench.workspace.home, UpdateRequest(bench.model, new, replay), "bench"
    )
    took = time.monotonic() - start
    said = bench.workspace.objects.read_any(made).update
    print(
        f"{len(new)} takes, {took:.0f} s; {said.norms}; rise {said.replay_loss}, gain {said.gain}"
    )
    train = set(bench.dataset.splits["train"])
    old = [t for t, (s, _) in sorted(bench.takes.items()) if s != RARE]
    groups = {
        f"other takes of {RARE}": held,
        "known styles, trained on": [t for t in old if t in train][::3],
        "known styles, never seen": [t for t in old if t not in train][::2],
    }
    both = [bench.adapter(model) for model in (bench.model, made)]
    for group, takes in groups.items():
        moments = bench.moments(takes, 15)
        before, after = (squares(bench, adapter.predict(moments, 9)) for adapter in both)
        for part in before:
            print(f"| {group} | {part} | {ratio(before[part], after[part])} |")


def style_centre(bench: Bench, replay_takes: list[str]) -> None:
    """Print what an update does for a style that the model knows from two takes of one content."""
    import torch

    from greenroom.networks.style import StyleHead
    from greenroom.training.style_fit import Discriminants

    first = min(c for s, c in bench.takes.values() if s == FEW)
    train = [t for t in replay_takes if t in bench.takes]
    few = [t for t in train if bench.takes[t] == (FEW, first)][:2]
    learn = [t for t in train if bench.takes[t][0] != FEW] + few
    adapter, kinds = bench.adapter(bench.model), bench.manifest.styles
    moments = bench.moments(learn, 5)
    mean, std = adapter.weights["core.mean"], adapter.weights["core.std"]
    rows = torch.from_numpy((moments.states[:, :30] - mean) / std)
    contents = sorted({c for _, c in bench.takes.values()})
    found = Discriminants.fit(
        StyleHead.seen(rows).double().numpy(),
        np.asarray([kinds.index(s) for s in moments.styles]),
        np.asarray([contents.index(bench.takes[t][1]) for t in moments.takes]),
    )
    graph = adapter.apply_delta(
        {f"style.{n}": getattr(found, n) for n in ("mean", "std", "axes")}
        | {CENTRES: found.centres}
    )
    objects = bench.workspace.objects
    blobs = ModelBlobs(
        graph=objects.put(graph), golden=objects.put(golden_outputs(graph, adapter.shape))
    )
    begun = bench.workspace.publish(structs.replace(bench.manifest, blobs=blobs), by="bench")
    rest = [t for t in train if bench.takes[t][0] == FEW and t not in few]
    other = [t for t, (s, _) in bench.takes.items() if s not in (FEW, RARE) and t not in set(train)]
    new, held = rest[::2], rest[1::2]
    made = online_update(
        bench.workspace, UpdateRequest(begun, new, bench.reservoir(learn)), "bench"
    )
    print(bench.workspace.objects.read_any(made).update)
    for name, takes in {
        f"{FEW}, other takes": held,
        "other styles, never seen": other[::2],
    }.items():
        judged = bench.moments(takes, 15)
        truth = np.asarray([kinds.index(s) for s in judged.styles])
        hits = [
            (
                adapter.style_probabilities(
                    judged, objects.get(objects.read_any(m).blobs.graph)
                ).argmax(1)
                == truth
            )
            for m in (begun, made)
        ]
        of = np.asarray(judged.takes)
        means = np.asarray([[hit[of == t].mean() for t in sorted(set(of))] for hit in hits])
        picks = np.random.default_rng(0).integers(0, means.shape[1], (ROUNDS, means.shape[1]))
        cuts = np.quantile(means[:, picks].mean(2), (0.025, 0.975), axis=1).T.round(3)
        print(f"| {name} | {means[0].mean():.3f} {cuts[0]} | {means[1].mean():.3f} {cuts[1]} |")


def guards() -> None:
    """Print how often a guard sends back what is no worse, and how soon what is."""
    rng = np.random.default_rng(0)

    def stream(mean: float, ticks: int) -> Any:
        slow = np.convolve(rng.normal(0, 0.1, ticks + 299), np.ones(300) / 300**0.5, "valid")
        return np.clip(mean - np.abs(slow) + rng.normal(0, 0.01, ticks), 0, 1)

    for drop in (0.0, 0.05, 0.1, 0.3):
        said, after = [], []
        for _ in range(100):
            guard = Guard(ticks=3600)
            for c in stream(0.95, 5400):
                guard.update(TickHealth(float(c), True))
            guard.swap()
            for c in stream(0.95 - drop, 3600):
                guard.update(TickHealth(float(c), True))
            said.append(guard.verdict.say)
            after.append(guard.verdict.tick / 30)
        print(
            f"confidence {drop} lower: back {said.count(BACK)}, keep {said.count(KEEP)} of 100,"
            f" after {np.median(after):.0f} s"
        )


def main() -> None:
    """Print it all."""
    home = Path(tempfile.mkdtemp(prefix="online-")) / "home"
    shutil.copytree(sys.argv[1], home)
    workspace = Workspace(home)
    models = [r.object for r in workspace.catalog.find("model")]
    wanted = sys.argv[2:] or models[-1:]
    for n, prefix in enumerate(wanted):
        bench = Bench(workspace, workspace.resolve(prefix, "model"))
        print("##", bench.model[:12])
        train = sorted(bench.dataset.splits["train"])
        if n == 0:
            guards()
            spikes(bench)
            style_centre(bench, train)
        replay = bench.reservoir(train)
        for by_content in (False, True):
            print("halves by content" if by_content else "halves at random")
            updates(bench, replay, by_content)
    shutil.rmtree(home.parent)


main()
