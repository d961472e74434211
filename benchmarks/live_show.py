"""Measure a whole live show as a user starts it: its first frame, latency, memory and late frames.

A body (VMC), a face (Live Link) and a voice (a sound file in real time) come in; a VMC viewer gets what
goes out. `--busy` keeps both cores at work meanwhile. A heartbeat process asks for nothing but to wake
every 33 ms: where it too was late, the machine stalled. Usage: python benchmarks/live_show.py [--busy]
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from greenroom import embedded
from greenroom.capture.formats.wav import write_wav
from greenroom.frames import BONES, HUMANOID, Frame
from greenroom.live.sinks.vmc import VmcTemplate, no_face
from greenroom.rotations import from_vector
from greenroom.store.workspace import Workspace

PERIOD_S = 1 / 30


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def send_body_and_face(body_port: int, face_port: int) -> None:
    """Send a swaying body and a blinking face 60 times a second, until killed."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    template = VmcTemplate(HUMANOID.offsets)
    turns = np.zeros((len(BONES), 3), dtype=np.float32)
    head = b"\x06" + struct.pack(">i", 4) + b"mira" + struct.pack(">i", 4) + b"face"
    start, frame = time.monotonic(), 0
    while True:
        frame += 1
        time.sleep(max(0.0, start + frame / 60 - time.monotonic()))
        turns[:, 2] = 0.1 * math.sin(frame / 20)
        root = HUMANOID.offsets[0].astype(np.float32)
        pose = Frame(frame, root, from_vector(turns).astype(np.float32), no_face())
        for data in template.fill(pose, time.monotonic()):
            sender.sendto(data, ("127.0.0.1", body_port))
        weights = struct.pack(">B61f", 61, *[0.5 + 0.4 * math.sin(frame / 10)] * 61)
        data = head + struct.pack(">ifii", frame, 0.0, 60, 1) + weights
        sender.sendto(data, ("127.0.0.1", face_port))


def work() -> None:
    """Keep one core busy, until killed."""
    while True:
        pass


def beat(late_s: object) -> None:
    """Wake every 33 ms as the engine does, and keep how late that was at worst, until killed."""
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    start, tick = time.monotonic(), 0
    while True:
        tick += 1
        time.sleep(max(0.0, start + tick * PERIOD_S - time.monotonic()))
        late = time.monotonic() - start - tick * PERIOD_S
        late_s.value = max(late_s.value, late)  # type: ignore[attr-defined]


def memory_of(pid: int) -> dict[str, float]:
    """Return megabytes by process of a show: what is its own, and its share of what is common."""
    out = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if pid not in (parent, int(folder.name)):
                continue
            words = (folder / "cmdline").read_bytes().split(b"\0")
            module = next((w for w in words if w.startswith(b"greenroom.live.")), b".supervisor")
            rollup = (folder / "smaps_rollup").read_text().splitlines()
            pss = sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
            out[module.decode().rpartition(".")[2]] = pss / 1024
    return out


def perform(home: Path, seconds: float, viewer: socket.socket) -> dict[str, object]:
    """Perform with three live inputs; return what `perform` printed, the first frame and memory."""
    body_port, face_port = free_port(), free_port()
    voice = 0.3 * np.sin(np.arange(round(24_000 * seconds)) / 20).astype(np.float32)
    (home / "voice.wav").write_bytes(write_wav(voice))
    sender = multiprocessing.Process(
        target=send_body_and_face, args=(body_port, face_port), daemon=True
    )
    sender.start()
    urls = [f"vmc://:{body_port}?use=body,root", f"livelink://:{face_port}"]
    inputs = [part for url in (*urls, f"wav:{home}/voice.wav") for part in ("--in", url)]
    out = f"vmc://127.0.0.1:{viewer.getsockname()[1]}"
    command = [sys.executable, "-m", "greenroom", "--home", str(home), "perform", "mira", *inputs]
    viewer.setblocking(False)
    with suppress(BlockingIOError):
        while viewer.recv(2048):
            pass
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, "--out", out, "--seconds", str(seconds), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    viewer.settimeout(60)
    viewer.recv(2048)  # what came of an earlier show was read before
    first_s = time.monotonic() - began
    time.sleep(seconds / 2)
    memory = memory_of(process.pid)
    result = json.loads(process.communicate()[0])
    sender.kill()
    return {"result": result, "first_s": first_s, "memory": memory}


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--busy", action="store_true", help="keep every core at work meanwhile")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        embedded.install(Workspace(home))
        late_s = multiprocessing.Value("d", 0.0)
        heartbeat = multiprocessing.Process(target=beat, args=(late_s,), daemon=True)
        heartbeat.start()
        workers = [
            multiprocessing.Process(target=work, daemon=True)
            for _ in range(os.cpu_count() or 1 if asked.busy else 0)
        ]
        for worker in workers:
            worker.start()
        viewer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        viewer.bind(("127.0.0.1", 0))
        print("| first frame, s | p50, ms | p99, ms | most, ms | late | missed | memory, MB |")
        print("|---|---|---|---|---|---|---|")
        firsts = []
        for _ in range(asked.runs):
            run = perform(home, asked.seconds, viewer)
            result, memory = run["result"], run["memory"]
            frame = result["frame_ms"]  # type: ignore[index]
            parts = ", ".join(f"{name} {size:.0f}" for name, size in sorted(memory.items()))  # type: ignore[attr-defined]
            total = sum(memory.values())  # type: ignore[attr-defined]
            firsts.append(run["first_s"])
            print(
                f"| {run['first_s']:.2f} | {frame['p50']:.2f} | {frame['p99']:.2f} "
                f"| {frame['max']:.1f} | {result['late']} | {result['missed']} "  # type: ignore[index]
                f"| {total:.0f} ({parts}) |",
                flush=True,
            )
        print(f"\nfirst frame, median: {statistics.median(firsts):.2f} s")  # type: ignore[type-var]
        print(f"heartbeat, at most late: {late_s.value * 1e3:.1f} ms")
        for process in (*workers, heartbeat):
            process.kill()


if __name__ == "__main__":
    main()
