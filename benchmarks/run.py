"""Measure against peers and floors in one run; prints a Markdown table. Usage: make bench."""

from __future__ import annotations

import gc
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from greenroom import embedded
from greenroom.capture import sample_data
from greenroom.capture.formats.bvh import body_to_motion, read_bvh, write_bvh
from greenroom.capture.readers import read_recording
from greenroom.clock import WallClock, tick_ns
from greenroom.config import cache
from greenroom.contracts import Packet
from greenroom.features.speech import PADDED, log_mel, power
from greenroom.frames import ARKIT, BONES, HUMANOID, Frame
from greenroom.live.engine import Engine
from greenroom.live.performer import Performer
from greenroom.live.playlist import Playlist, open_playlist
from greenroom.live.ring import STAMPS, Ring, shared_folder
from greenroom.live.sinks.vmc import VmcSink, VmcTemplate, unity_name
from greenroom.registry.release import load_release
from greenroom.serving.onnx_backend import OnnxBackend, warm_up
from greenroom.store.objects import Objects
from greenroom.store.workspace import Workspace


def timed(action: Callable[[], object], runs: int) -> float:
    """Return the median milliseconds of a call."""
    action()
    out = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        action()
        out.append((time.perf_counter_ns() - start) / 1e6)
    return statistics.median(out)


class Listed:
    """Packets of a playlist, one tick a poll, whatever the time."""

    def __init__(self, playlist: Playlist) -> None:
        self.player, self.tick = playlist.player(), 0

    def poll(self, now_ns: int) -> list[Packet]:
        packets = [Packet(now_ns, data) for data in self.player._packets(self.tick)]
        self.tick += 1
        return packets

    def close(self) -> None:
        pass


def frame(workspace: Workspace, ticks: int = 900, rounds: int = 3) -> list[str]:
    """Frames at 30 Hz, the same inputs through a bare session.run right after each.

    Idle, beside a busy neighbour, and without sleep in between.
    """
    rows = []
    for state in ("idle", "one core busy", "back to back"):
        command = [sys.executable, "-c", "while True: pass"]
        busy = subprocess.Popen(command) if state == "one core busy" else None
        parts = [one_show(workspace, ticks, paced=state != "back to back") for _ in range(rounds)]
        if busy is not None:
            busy.kill()
            busy.wait()
        whole, model, bare, features, post = np.concatenate(parts, axis=1) / 1e6
        work = whole - model
        names = {
            "everything but the model": work,
            "of it, features": features,
            "of it, ladder": post,
            "the model's own session.run, interleaved": bare,
            "whole": whole,
        }
        rows += [f"| frame, {state} | {name}, ms | {spread(v)} |" for name, v in names.items()]
        each = [np.median(p[0] - p[1]) / np.median(p[2]) for p in parts]
        words = ", ".join(f"{ratio:.2f}" for ratio in each)
        rows.append(
            f"| frame, {state} | everything but the model ÷ session.run, medians | {words} |"
        )
    return rows


def one_show(workspace: Workspace, ticks: int, paced: bool) -> np.ndarray:
    """Return (whole, model, bare, features, ladder) nanoseconds of each frame, shape (5, ticks)."""
    release = load_release(workspace, embedded.install(workspace))
    clips = embedded.ingest_clips(workspace, "bench")
    names = [*embedded.TEST, "three_plus_five"]
    playlist = open_playlist(workspace, [clips[n] for n in names], ticks)
    backend = OnnxBackend(release.graph, release.role.shape)
    warm_up(backend)
    ring = Ring(shared_folder() / "greenroom-bench", release.role.shape, create=True)
    sink = VmcSink("127.0.0.1", 39539)
    engine = Engine(
        Performer(release.role, backend, 0), Listed(playlist), [sink], ring, WallClock()
    )
    gc.freeze()
    gc.disable()
    engine.start_ns = time.monotonic_ns()
    out = np.zeros((5, ticks))
    for tick in range(ticks):
        if paced:
            due = engine.start_ns + tick_ns(tick)
            engine.rehearse(tick, due)
            engine.clock.sleep_until(due)
        engine.tick(tick, late=False)
        stamps = {name: int(engine.row[name]) for name in STAMPS}
        start = time.perf_counter_ns()
        backend.run(engine.performer.inputs.tensors)
        bare = time.perf_counter_ns() - start
        model = stamps["inference"] - stamps["features"]
        features = stamps["features"] - stamps["arrival"]
        post = stamps["post"] - stamps["inference"]
        out[:, tick] = stamps["emit"] - stamps["arrival"], model, bare, features, post
    gc.enable()
    ring.close()
    sink.close()
    return out


def spread(values: np.ndarray) -> str:
    """Return the distribution in words."""
    cuts = np.percentile(values, [1, 10, 50, 90, 99, 99.9])
    return "p1 {:.3f}, p10 {:.3f}, p50 {:.3f}, p90 {:.3f}, p99 {:.3f}, p99.9 {:.3f}, max {:.3f}".format(
        *cuts, values.max()
    )


def bvh() -> list[str]:
    """Frames a second, from bytes to a validated humanoid, against bvhio's parse."""
    import bvhio

    clip = sample_data.clips(cache())[0]
    body = read_recording(clip.data, clip.path).body
    assert body is not None
    many = np.arange(3000) % len(body)
    long = type(body)(body.skeleton, body.root[many], body.rotations[many], body.validity[many])
    data = write_bvh(body_to_motion(long))
    path = Path(tempfile.mkdtemp()) / "long.bvh"
    path.write_bytes(data)
    ours = timed(lambda: read_recording(data, "long.bvh"), 5)
    parse = timed(lambda: read_bvh(data, where="long.bvh"), 5)
    theirs = timed(lambda: bvhio.readAsBvh(str(path)), 3)
    return [
        f"| BVH, 3,000 frames, 55 joints | to a validated take ÷ bvhio's parse | {theirs / ours:.2f} × as fast |",
        f"| BVH | parse ÷ bvhio's parse | {theirs / parse:.2f} × as fast |",
    ]


def vmc() -> list[str]:
    """A frame of 55 bones and 52 weights against python-osc."""
    from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
    from pythonosc.osc_message_builder import OscMessageBuilder

    template = VmcTemplate(HUMANOID.offsets)
    rotations = np.tile(np.asarray([0, 0, 0, 1], dtype=np.float32), (55, 1))
    shown = Frame(0, np.zeros(3, np.float32), rotations, np.zeros(52, np.float32))

    def builder() -> bytes:
        bundle = OscBundleBuilder(IMMEDIATELY)
        for bone in BONES:
            message = OscMessageBuilder("/VMC/Ext/Bone/Pos")
            message.add_arg(unity_name(bone))
            for value in (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0):
                message.add_arg(value)
            bundle.add_content(message.build())
        for name in ARKIT:
            message = OscMessageBuilder("/VMC/Ext/Blend/Val")
            message.add_arg(name)
            message.add_arg(0.0)
            bundle.add_content(message.build())
        return bundle.build().dgram

    ours, theirs = timed(lambda: template.fill(shown, 0.0), 300), timed(builder, 100)
    return [f"| VMC frame | template ÷ python-osc | {theirs / ours:.0f} × as fast |"]


def mel() -> list[str]:
    """Log-mel against librosa: speed, and the largest difference."""
    import librosa

    sound = np.random.default_rng(0).normal(0, 0.1, 24_000 * 30)
    padded = np.concatenate([np.zeros(224), sound])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::800].copy()

    def theirs() -> np.ndarray:
        power = librosa.feature.melspectrogram(
            y=np.pad(padded, 256),  # it puts the window in the middle of the longer transform
            sr=24_000,
            n_fft=PADDED,
            win_length=1024,
            hop_length=800,
            n_mels=40,
            center=False,
        )
        return np.log(np.maximum(power, 1e-10)).T

    apart = float(np.abs(log_mel(power(windows)) - theirs()).max())
    ratio = timed(theirs, 5) / timed(lambda: log_mel(power(windows)), 5)
    return [
        f"| log-mel, 30 s | ours ÷ librosa | {ratio:.1f} × as fast, largest difference {apart:.1e} |"
    ]


def hashing() -> list[str]:
    """Putting an object against bare SHA-256 and a plain write."""
    data = np.random.default_rng(0).bytes(32 << 20)
    objects = Objects(Path(tempfile.mkdtemp()))
    name = objects.put(data)
    bare = timed(lambda: hashlib.sha256(data).hexdigest(), 5)
    read = timed(lambda: objects.get(name), 5)
    return [f"| verified read of 32 MiB | ÷ bare SHA-256 | {read / bare:.2f} × the time |"]


def main() -> None:
    """Run everything and print the table."""
    print("| what | figure | measured |\n|---|---|---|")
    workspace = Workspace(Path(tempfile.mkdtemp()))
    for row in [*frame(workspace), *bvh(), *vmc(), *mel(), *hashing()]:
        print(row, flush=True)


if __name__ == "__main__":
    main()
