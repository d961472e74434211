"""What a call of a model server adds to bare ONNX Runtime: both asked in turn, in one run.

    python benchmarks/model_server.py [--calls 2000] [--pause 0]

The server is `greenroom serve-model` in a process of its own, on this machine. `--pause` sleeps so many
seconds between two calls, as a show does.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from greenroom import embedded
from greenroom.contracts import golden_clip
from greenroom.errors import ModelUnavailable
from greenroom.registry.release import Release, load_release
from greenroom.serving import DEFAULT_BACKEND, open_backend
from greenroom.serving.onnx_backend import warm_up
from greenroom.store.workspace import Workspace


def main() -> None:
    """Start the server and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--pause", type=float, default=0.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as probe:
        workspace = Workspace(Path(folder))
        release = load_release(workspace, embedded.install(workspace))
        port = probe.getsockname()[1]
        probe.close()
        command = [sys.executable, "-m", "greenroom", "--home", folder, "serve-model", "mira"]
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert server.stdout is not None and server.stdout.readline()
        try:
            measure(release, port, asked.calls, asked.pause)
        finally:
            server.terminate()
            server.communicate()


def measure(release: Release, port: int, calls: int, pause_s: float) -> None:
    """Ask both in turn, and print how long each took."""
    urls = {"bare": DEFAULT_BACKEND, "oip": f"oip://127.0.0.1:{port}/mira"}
    backends = {n: open_backend(u, release.graph, release.role.shape) for n, u in urls.items()}
    took_ms: dict[str, list[float]] = {name: [] for name in urls}
    clip = golden_clip(release.role.shape)
    unanswered = 0
    for backend in backends.values():
        warm_up(backend)
    for call in range(calls):
        for name, backend in backends.items():
            time.sleep(pause_s)
            start_ns = time.perf_counter_ns()
            try:
                backend.run(clip[call % len(clip)])
            except ModelUnavailable:
                unanswered += 1
                continue
            took_ms[name].append((time.perf_counter_ns() - start_ns) / 1e6)
    for name, times in took_ms.items():
        p50, p99, most = np.percentile(times, [50, 99, 100])
        print(f"{name}: p50 {p50:.2f} ms, p99 {p99:.2f}, most {most:.2f}, {len(times)} calls")
    print(f"added at the median: {np.median(took_ms['oip']) - np.median(took_ms['bare']):.2f} ms")
    print(f"without an answer within 20 ms, or while it connected again: {unanswered}")


if __name__ == "__main__":
    main()
