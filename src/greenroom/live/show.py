"""Put a show together: engine and watchdog in their own processes, recorder and observers in this one.

The engine is started, told what to perform, and left alone. This side reads the ring, keeps the show,
and feeds whoever watches. If the engine dies, the watchdog leads the performer back to rest until a new
engine, started here, takes over.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from greenroom.clock import TICK_HZ, tick_at
from greenroom.contracts import Observer, get_tensors
from greenroom.errors import GreenroomError
from greenroom.live.backends import OnnxBackend
from greenroom.live.lines import Lines, say
from greenroom.live.recorder import Recorder, percentiles
from greenroom.live.ring import Ring, shared_folder
from greenroom.live.sinks import resolve
from greenroom.registry.release import Release
from greenroom.store.workspace import Workspace

LEAD_NS = 50_000_000
"""Between the engine's being ready and tick 0."""
START_S = 120.0
"""In which an engine has to be ready."""
LEAD_TICKS = 5
"""Between a new engine's being ready and its first tick."""
GRACE_S = 5
"""How long an engine may take to end when the show is over."""


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
    warn: Callable[[str], None] = lambda what: None,
) -> Performed:
    """Perform a show to its end, or until interrupted; it is kept either way.

    Args:
        workspace: where everything is.
        order: what to perform.
        by: whose show it is, for the log.
        observers: who else sees each frame.
        progress: called with (frames, ticks of the whole show).
        warn: called with one line when an engine was lost and when a new one takes over.

    Raises:
        BadInput: a sink's host has no address.
        GreenroomError: the engine could not start, or the show could not be kept.
    """
    release = order.release
    shape = release.role.shape
    vmc = [resolve(host, port) for host, port in order.vmc]
    ring = Ring(shared_folder() / f"greenroom-{os.getpid()}-{uuid.uuid4().hex}", shape, create=True)
    recorder = Recorder(workspace, warn)
    watching = list(observers)
    at = 0
    cast = Cast(workspace, order, vmc, ring, warn)
    try:
        with interruptible() as interrupted:
            cast.start()
            interrupted.armed = True
            while True:
                if interrupted.yes:
                    cast.stop()
                done = cast.check()
                rows, at, lost = ring.read(at)
                recorder.lost += lost
                for row in rows:
                    recorder.take(row)
                    _show(watching, row, get_tensors(row["outputs"], shape.outputs()), warn)
                progress(recorder.frames, order.ticks)
                if done and not rows:
                    break
                time.sleep(0.005)
    finally:
        cast.close()
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
        "started_utc_ns": str(cast.utc_ns),
        "engines": cast.firsts,
        "lost_datagrams": cast.lost_datagrams,
    }
    show = recorder.finish(facts, by)
    ledger = percentiles(recorder.stamps)
    return Performed(show, _summary(show, release.name, recorder, ledger), ledger)


@dataclass
class Interrupted:
    """Whether somebody asked for the end; until `armed`, asking is an exception at once."""

    armed: bool = False
    yes: bool = False


@contextmanager
def interruptible() -> Iterator[Interrupted]:
    """Let an interrupt or a termination end a show between two frames, never within one."""
    state = Interrupted()

    def ask(*_: object) -> None:
        state.yes = True
        if not state.armed:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield state
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(
    observers: list[Observer], row: Any, outputs: dict[str, Any], warn: Callable[[str], None]
) -> None:
    """Let each observer see a frame; one that fails is left out from then on, the show goes on."""
    for observer in list(observers):
        try:
            observer.frame(row, outputs)
        except Exception as error:  # an observer is anybody's code
            observers.remove(observer)
            warn(f"{type(observer).__name__} sees no more frames: {error!r}")


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


class Cast:
    """The processes of a show: one engine at a time, and the watchdog.

    Args:
        workspace: where everything is.
        order: what to perform.
        vmc: its VMC sinks, as (address, port).
        ring: through which frames pass.
        warn: told what went wrong.

    Attributes:
        firsts: the first tick of each engine.
        lost_datagrams: of the engines that ended well.
    """

    def __init__(
        self,
        workspace: Workspace,
        order: Order,
        vmc: Sequence[tuple[str, int]],
        ring: Ring,
        warn: Callable[[str], None],
    ) -> None:
        """Start both; they load and wait."""
        self.order, self.warn = order, warn
        self.firsts: list[int] = []
        self.lost_datagrams = 0
        self.start_ns = self.utc_ns = 0
        self._end_s: float | None = None
        self._said = {
            "home": str(workspace.home),
            "release": order.release.name,
            "inputs": list(order.takes),
            "ticks": order.ticks,
            "cuts": [list(cut) for cut in order.cuts],
            "vmc": [list(pair) for pair in vmc],
            "seed": order.seed,
            "threads": order.threads,
            "ring": str(ring.path),
        }
        self._watchdog, _ = self._process("watchdog")
        self._engine, self._lines = self._process("engine")

    def _process(self, module: str) -> tuple[subprocess.Popen[bytes], Lines]:
        process = subprocess.Popen(
            [sys.executable, "-m", f"greenroom.live.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # an interrupt from the keyboard is this side's to handle
        )
        say(process.stdin, self._said)
        assert process.stdout is not None
        return process, Lines(process.stdout.fileno())

    def start(self) -> None:
        """Wait until the engine is ready, and begin.

        Raises:
            GreenroomError: it could not start.
        """
        try:
            self._lines.wait(START_S)
        except GreenroomError as error:
            status = self._engine.poll()
            what = error.what if status is None else f"it ended with status {status}"
            raise GreenroomError(
                f"the engine could not start: {what}", then="check the release: greenroom fsck"
            ) from None
        self.start_ns, self.utc_ns = time.monotonic_ns() + LEAD_NS, time.time_ns() + LEAD_NS
        self._send_on(0)

    def _send_on(self, first: int) -> None:
        self.firsts.append(first)
        for process in (self._watchdog, self._engine):
            say(process.stdin, self._go(first))

    def _go(self, first: int) -> dict[str, int]:
        return {"start_ns": self.start_ns, "first": first, "engine": self._engine.pid}

    def check(self) -> bool:
        """Replace a lost engine or watchdog; tell whether the show is over."""
        for line in self._lines.read():
            if "ready" in line:
                first = tick_at(time.monotonic_ns() - self.start_ns) + LEAD_TICKS
                self._send_on(first)
                self.warn(f"a new engine takes over at tick {first}")
            else:
                self.lost_datagrams += line["lost_datagrams"]
        status = self._engine.poll()
        tick = tick_at(time.monotonic_ns() - self.start_ns)
        over = tick >= self.order.ticks or self._end_s is not None
        if status is None:
            # Nobody else ends an engine that hangs when the watchdog has gone home.
            if tick >= self.order.ticks + GRACE_S * TICK_HZ:
                return True
            if self._end_s is not None:
                return time.monotonic() > self._end_s + GRACE_S
            if not over and self._watchdog.poll():
                self._replace_watchdog()
            return False
        if status == 0 or over:
            return True
        self.warn(f"the engine ended with status {status}; starting another")
        self._close(self._engine)
        self._engine, self._lines = self._process("engine")
        return False

    def _replace_watchdog(self) -> None:
        self.warn(f"the watchdog ended with status {self._watchdog.poll()}; starting another")
        self._close(self._watchdog)
        self._watchdog, _ = self._process("watchdog")
        say(self._watchdog.stdin, self._go(self.firsts[-1]))

    def stop(self) -> None:
        """End the show before its time."""
        if self._end_s is not None:
            return
        self._end_s = time.monotonic()
        for process in (self._watchdog, self._engine):
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()

    def close(self) -> None:
        """Let nothing run on."""
        for process in (self._watchdog, self._engine):
            self._close(process)

    @staticmethod
    def _close(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
