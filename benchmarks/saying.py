"""Score the charts of what a model says, sureness and styles, on real takes; prints Markdown tables.

Usage: PYTHONPATH=src python benchmarks/saying.py HOME MODEL [--hours 9] [--new elderly]

HOME is a workspace with Bandai Namco's dataset 2 ingested by {content}_{style} labels and MODEL trained on
the split of runs/held.json, in which the new style is nobody's to learn. Each take that the model was not
trained on is performed once by the live performer; streams are takes one after another, in any order, or in
scenes of one to three minutes of one style. The reference is two takes of three.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from greenroom.capture.annotations import take_tiers, whole_label
from greenroom.capture.ingest import load_take
from greenroom.capture.packets import FIRST_OF_CLIP, encode_body
from greenroom.contracts import REFERENCE_TICKS, ModelShape, Packet, get_tensors
from greenroom.frames import Body
from greenroom.live.performer import Performer
from greenroom.live.ring import put_packets, slot_type
from greenroom.manifests import Dataset, Model, Take
from greenroom.metrics.motion import AHEAD
from greenroom.observers.drift_monitor import MonitoredChannel
from greenroom.observers.model_drift import confidence_channel, style_channel
from greenroom.observers.model_health import ModelHealth
from greenroom.registry.release import PerformerSpec
from greenroom.rotations import from_vector, multiply
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.workspace import Workspace

HOUR, TRIALS, LONGEST, SPOILED = 108_000, 20, 18_000, 0.5
Said = list[tuple[np.ndarray, dict[str, np.ndarray]]]


def jittered(body: Body, degrees: float, seed: int) -> Body:
    """Return a body whose joints tremble."""
    noise = np.random.default_rng(seed).normal(
        0, np.radians(degrees), (*body.rotations.shape[:2], 3)
    )
    turned = multiply(body.rotations, from_vector(noise.astype(np.float32)))
    return Body(body.skeleton, body.root, turned.astype(np.float32), body.validity)


def perform(role: PerformerSpec, backend: OnnxBackend, body: Body) -> Said:
    """Return rows and outputs of a take, performed from its first tick on."""
    performer, out = Performer(role, backend, 0), []
    for tick in range(len(body)):
        flags = FIRST_OF_CLIP if tick == 0 else 0
        data = encode_body(tick, body.root[tick], body.rotations[tick], body.validity[tick], flags)
        outcome = performer.step(tick, [Packet(0, data)], late=False)
        row = np.zeros((), slot_type(role.shape))
        row["asked"], row["inputs"][: len(outcome.inputs)] = 1, outcome.inputs
        put_packets(row, [Packet(0, data)])
        assert outcome.outputs is not None
        out.append((row, get_tensors(outcome.outputs.copy(), role.shape.outputs())))
    return out


def read(channel: MonitoredChannel, said: Said) -> np.ndarray:
    """Return what a channel reads of a take (T, C)."""
    return np.stack([np.asarray(channel.read(row, outputs)) for row, outputs in said])


def usual(shape: ModelShape, said: Said) -> np.ndarray:
    """Return a take's means of ten ticks, as a model carries them."""
    names = [name for name in ("confidence", "sigma", "style") if name in shape.outputs()]
    sight, rows = ModelHealth(shape), []
    for row, outputs in said:
        off = [sight.read(row, outputs).forecast_error] * (AHEAD in shape.horizons)
        rows.append(np.concatenate([*(outputs[n].ravel() for n in names), off]))
    rows = rows[shape.history + 1 :]
    count = len(rows) // REFERENCE_TICKS
    return np.nanmean(
        np.stack(rows[: count * REFERENCE_TICKS]).reshape(count, REFERENCE_TICKS, -1), axis=1
    )


def spoiled(graph: bytes, share: float) -> bytes:
    """Return a graph whose forecasts' weights are off by a share of their spread."""
    import onnx

    model, rng = onnx.load_from_string(graph), np.random.default_rng(0)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("trunk.ahead"):
            values = onnx.numpy_helper.to_array(tensor)
            noise = rng.normal(0, share * float(values.std()), values.shape)
            new = onnx.numpy_helper.from_array((values + noise).astype(values.dtype), tensor.name)
            tensor.CopyFrom(new)
    return model.SerializeToString()


def stream(takes: dict[str, list[np.ndarray]], order: str, rng: np.random.Generator):
    """Yield takes for ever: of any style, or in scenes of one style."""
    styles = sorted(takes)
    while True:
        style = styles[rng.integers(len(styles))]
        left = rng.integers(1800, 5400) if order == "scenes" else 1
        while left > 0:
            take = takes[style][rng.integers(len(takes[style]))]
            left -= len(take)
            yield take


def alerts(channel: MonitoredChannel, before, after, start: int, end: int) -> tuple[list, int]:
    """Return the alerts of a stream that changes at the first cut from `start` on, and that tick."""
    chart, ticks, changed = channel.chart, 0, 0
    chart.reset()
    while ticks < end:
        changed = changed or (ticks if ticks >= start else 0)
        for row in next(after if changed else before):
            chart.update(row)
            ticks += 1
    return list(chart.alerts), changed


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("model")
    parser.add_argument("--hours", type=int, default=9)
    parser.add_argument("--new", default="elderly")
    said = parser.parse_args()
    workspace = Workspace(said.home)
    manifest = workspace.objects.read(workspace.resolve(said.model, "model"), Model)
    dataset = workspace.objects.read(manifest.parents.dataset, Dataset)
    role = PerformerSpec.of(workspace, manifest)
    graph = workspace.objects.get(manifest.blobs.graph)
    backend = OnnxBackend(graph, role.shape)
    trained, takes = set(dataset.splits["train"]), defaultdict(dict)
    for found in workspace.catalog.find("take", actor=manifest.actor):
        take = workspace.objects.read(found.object, Take)
        style = whole_label(take_tiers(workspace, found.object), "style")
        known = style and found.name.startswith("dataset-2") and "body" in take.media
        if (
            known
            and found.object not in trained
            and (style in manifest.styles or style == said.new)
        ):
            body = load_take(workspace, found.object, ("body",)).body
            takes[style][found.object] = body
    bodies = {style: list(some.values()) for style, some in takes.items()}
    fit = [
        b
        for style, some in bodies.items()
        if style != said.new
        for n, b in enumerate(some)
        if n % 3 < 2
    ]
    performed = {
        style: [perform(role, backend, b) for b in (some if style == said.new else some[2::3])]
        for style, some in bodies.items()
    }
    reference = [usual(role.shape, perform(role, backend, b)) for b in fit]
    shaken = [
        perform(role, backend, jittered(b, 2.0, n))
        for style, some in bodies.items()
        if style != said.new
        for n, b in enumerate(some[2::3])
    ]
    worse = OnnxBackend(spoiled(graph, SPOILED), role.shape)
    off = [
        perform(role, worse, b)
        for style, some in bodies.items()
        if style != said.new
        for b in some[2::3]
    ]
    makers = {"sureness": lambda: confidence_channel(role, reference)}
    makers["styles"] = lambda: style_channel(role, manifest.styles, reference)
    print("reference", len(fit), "takes; streams", {s: len(p) for s, p in performed.items()})
    print(
        "| chart | order | false alerts an hour | change | told after s, median / p90 | missed | named |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, make in makers.items():
        channel = make()
        print(f"{name}: learning: {channel.chart.learning}")
        rows = {style: [read(channel, p) for p in some] for style, some in performed.items()}
        new = {said.new: rows.pop(said.new)}
        changes = {f"new style, {said.new}": new}
        changes["jitter of 2°"] = {"": [read(channel, p) for p in shaken]}
        changes[f"forecasts' weights off by {SPOILED:.0%}"] = {"": [read(channel, p) for p in off]}
        for order in ("any", "scenes"):
            rng = np.random.default_rng(1)
            count, kinds = 0, Counter()
            for _ in range(said.hours):
                raised, _ = alerts(channel, stream(rows, order, rng), None, HOUR * 2, HOUR)
                count += len(raised)
                kinds.update(a.signal for a in raised)
            rate = f"{count / said.hours:.2f} {dict(kinds)}"
            for change, other in changes.items():
                delays, named, early = [], Counter(), 0
                for _ in range(TRIALS):
                    usually, changed = stream(rows, order, rng), stream(other, "any", rng)
                    raised, at = alerts(channel, usually, changed, 3600, 3600 + LONGEST)
                    late = [a for a in raised if a.tick > at]
                    early += len(raised) - len(late)
                    delays.append((late[0].tick - at) / 30 if late else np.inf)
                    named.update(f"{a.signal} {'/'.join(a.where)}" for a in late[:1])
                half, most = np.quantile(delays, (0.5, 0.9), method="higher")
                missed = int(np.isinf(delays).sum())
                common = ", ".join(f"{n} {c}" for n, c in named.most_common(3))
                print(
                    f"| {name} | {order} | {rate} | {change} | {half:.1f} / {most:.1f} | {missed} of "
                    f"{TRIALS} | {common} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
