"""Put a show together: the engine in its own process, the recorder and observers in this one.

The engine is started, told what to perform, and left alone. This side reads the ring, keeps the show,
and feeds whoever watches. If the engine dies, the show ends with an error.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from numpy.typing import NDArray

from greenroom.errors import GreenroomError
from greenroom.live.backends import OnnxBackend
from greenroom.live.recorder import Recorder, percentiles
from greenroom.live.ring import Ring, get_tensors, shared_folder
from greenroom.registry.release import Release
from greenroom.store.workspace import Workspace


class Observer(Protocol):
    """Watch a show from outside; never in its way. Called in the recording process."""

    def frame(self, row: NDArray[Any], outputs: dict[str, Any]) -> None:
        """See one frame: the ring's row, and the model's outputs by name."""


@dataclass(frozen=True)
class Order:
    """What to perform.

    Attributes:
        release: the release, loaded.
        takes: hashes of the takes that play, in order.
        ticks: for how long.
        cuts: (first, one past the last) ticks without capture.
        vmc: (host, port) pairs.
        seed: of the draws by which the performer goes on without capture.
        threads: of the model.
    """

    release: Release
    takes: Sequence[str]
    ticks: int
    cuts: Sequence[tuple[int, int]] = ()
    vmc: Sequence[tuple[str, int]] = ()
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Performed:
    """What a show came to; `json` is what `perform` prints."""

    show: str
    json: dict[str, Any]
    ledger: dict[str, dict[str, float]]


def perform(
    workspace: Workspace,
    order: Order,
    by: str,
    observers: Sequence[Observer] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Performed:
    """Perform a show to its end, or until interrupted; it is kept either way.

    Raises:
        GreenroomError: the engine could not start, or died.
    """
    release = order.release
    shape = release.role.shape
    ring = Ring(shared_folder() / f"greenroom-{uuid.uuid4().hex}", shape, create=True)
    engine = _start(workspace, order, ring)
    recorder = Recorder(workspace)
    at, interrupted = 0, False
    try:
        ready = _line(engine)
        while True:
            ended = engine.poll() is not None
            try:
                rows, at, lost = ring.read(at)
                recorder.lost += lost
                for row in rows:
                    recorder.take(row)
                    outputs = get_tensors(row["outputs"], shape.outputs())
                    for observer in observers:
                        observer.frame(row, outputs)
                progress(recorder.frames, order.ticks)
                if ended and not rows:
                    break
                time.sleep(0.005)
            except KeyboardInterrupt:
                interrupted = True
                assert engine.stdin is not None
                engine.stdin.close()
        if engine.returncode != 0 and not interrupted:
            raise GreenroomError(
                f"the engine stopped with status {engine.returncode} after {recorder.frames} frames",
                then="see its message above",
            )
        report = _line(engine)
    finally:
        engine.kill()
        engine.wait()
        for pipe in (engine.stdin, engine.stdout):
            if pipe is not None:
                pipe.close()
        ring.close()
    backend = OnnxBackend(release.graph, shape, order.threads)
    facts = {
        "actor": release.actor,
        "parents": {"release": release.name, "takes": sorted(set(order.takes))},
        "playlist": list(order.takes),
        "ticks": order.ticks,
        "cuts": [list(cut) for cut in order.cuts],
        "seed": order.seed,
        "fingerprint": backend.fingerprint(),
        "started_utc_ns": str(ready["utc_ns"]),
        "lost_datagrams": report["lost_datagrams"],
    }
    show = recorder.finish(facts, by)
    ledger = percentiles(recorder.stamps)
    return Performed(show, _summary(show, release.name, recorder, ledger), ledger)


def _summary(
    show: str, release: str, recorder: Recorder, ledger: dict[str, dict[str, float]]
) -> dict[str, Any]:
    rungs = {name: count for name, count in recorder.rungs.items() if count}
    out: dict[str, Any] = {
        "show": show,
        "release": release,
        "frames": recorder.frames,
        "late": int(recorder.late),
        "rungs": rungs,
    }
    for name, keys in (
        ("frame_ms", ("p50", "p99", "max")),
        ("overhead_ms", ("p50", "p99")),
        ("model_ms", ("p50", "p99")),
    ):
        out[name] = {key: ledger.get(name, {}).get(key) for key in keys}
    return out


def _start(workspace: Workspace, order: Order, ring: Ring) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
    engine = subprocess.Popen(
        [sys.executable, "-m", "greenroom.live.engine"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert engine.stdin is not None
    said = {
        "home": str(workspace.home),
        "release": order.release.name,
        "inputs": list(order.takes),
        "ticks": order.ticks,
        "cuts": [list(cut) for cut in order.cuts],
        "vmc": [list(pair) for pair in order.vmc],
        "seed": order.seed,
        "threads": order.threads,
        "ring": str(ring.path),
    }
    engine.stdin.write(msgspec.json.encode(said) + b"\n")
    engine.stdin.flush()
    return engine


def _line(engine: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert engine.stdout is not None
    line = engine.stdout.readline()
    if not line:
        raise GreenroomError("the engine could not start", then="see its message above")
    found: dict[str, Any] = msgspec.json.decode(line)
    return found
