"""Say before a show whether this machine can give it: go or no-go, and what to do about each no.

Every check measures something here and now and compares it with a limit. A check that cannot be made is
a no.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from greenroom.capture.receivers import LISTENING, open_receiver, try_receiver
from greenroom.capture.receivers.addresses import with_allowed
from greenroom.clock import NS_PER_S, PERIOD_NS, TICK_HZ, Pacer, WallClock
from greenroom.errors import GreenroomError
from greenroom.live.recorder import disk_for
from greenroom.live.ring import SLOTS, shared_folder, slot_type
from greenroom.live.show_notice import find_show
from greenroom.live.sinks import resolve_sink
from greenroom.plugins import host_port, scheme_of
from greenroom.registry.promote import live_release
from greenroom.registry.release import Release, load_release
from greenroom.services.show_session import PAGE_PORT, read_inputs
from greenroom.serving import DEFAULT_BACKEND, open_backend
from greenroom.serving.onnx_backend import self_test, warm_up
from greenroom.store.workspace import Workspace

LISTEN_S = 2.0
"""How long senders are listened for."""
PACED_TICKS = 60
LATE_MS, MODEL_MS = 5.0, 15.0
"""Of a tick's start and of the model: the 99th percentile that leaves time for the rest of a frame."""
DESCRIPTORS = 256
CLOCK_MS = 1.0
"""How far the clock of the day may run away from the steady one within half a second."""


class Check(msgspec.Struct, frozen=True):
    """One check.

    Attributes:
        name: of what.
        ok: whether a show can be given with it.
        value: what was measured, with its unit.
        limit: what it is compared with; "" where it only has to be there.
        then: what to do where it is not ok; "" where it is.
    """

    name: str
    ok: bool
    value: str
    limit: str = ""
    then: str = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """All checks, and whether the show may begin."""

    go: bool
    checks: list[Check]


@dataclass(frozen=True)
class DoctorRequest:
    """The show that is to be given.

    Attributes:
        actor: whose live release performs.
        inputs: URLs of live inputs.
        allow: networks that may send to live inputs which other machines reach.
        outputs: URLs of sinks and of the page.
        hours: for how long there must be disk.
        backend: URL of what runs the model.
        listen_s: how long senders are listened for, seconds.
    """

    actor: str
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    hours: float = 3.0
    backend: str = DEFAULT_BACKEND
    listen_s: float = LISTEN_S
    allow: Sequence[str] = ()


def examine(
    workspace: Workspace,
    request: DoctorRequest,
    progress: Callable[[str], None] = lambda name: None,
) -> Diagnosis:
    """Check this machine for a show.

    Args:
        workspace: the workspace.
        request: the show.
        progress: called with the name of each check before it is made.
    """
    checks: list[Check] = []
    release: Release | None = None

    def make(name: str, check: Callable[[], Check]) -> None:
        progress(name)
        try:
            checks.append(check())
        except (GreenroomError, OSError) as error:
            then = getattr(error, "then", None) or "see the message"
            checks.append(Check(name, False, getattr(error, "what", str(error)), then=then))

    def find_release() -> Check:
        nonlocal release
        release = load_release(workspace, live_release(workspace, request.actor))
        return Check("release", True, release.name[:12])

    make("release", find_release)
    if release is not None:
        loaded = release
        make("model", lambda: _model(loaded, request.backend))
        make("shared memory", lambda: _shared_memory(loaded))
        make("disk", lambda: _disk(workspace, loaded, request.hours))
    make("pace", _pace)
    make("priority", _priority)
    make("clock", _clock)
    make("descriptors", _descriptors)
    make("processors", _processors)
    for url in request.inputs:
        make(url, lambda url=url: _sender(workspace, request, url))  # type: ignore[misc]
    for url in request.outputs:
        make(url, lambda url=url: _output(url))  # type: ignore[misc]
    return Diagnosis(all(check.ok for check in checks), checks)


def _model(release: Release, url: str) -> Check:
    backend = open_backend(url, release.graph, release.role.shape)
    self_test(backend, release.golden)
    times_ms = []
    for _ in range(PACED_TICKS):
        start_ns = time.monotonic_ns()
        warm_up(backend, 1)
        times_ms.append((time.monotonic_ns() - start_ns) / 1e6)
    p99 = float(np.percentile(times_ms, 99))
    provider = backend.fingerprint().get("provider", "")
    return Check(
        "model",
        p99 <= MODEL_MS,
        f"{p99:.1f} ms p99 {provider}".strip(),
        f"{MODEL_MS:g} ms",
        then=""
        if p99 <= MODEL_MS
        else "stop other work on this machine, or perform a smaller preset",
    )


def _shared_memory(release: Release) -> Check:
    """Allocate what the rings of two shows need, so that it is there and not only promised."""
    needed = 2 * slot_type(release.role.shape).itemsize * SLOTS
    folder, limit = shared_folder(), f"{_mb(needed)} for two shows"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, needed)
            else:  # such as macOS: written, it is there too
                file.write(bytes(needed))
                file.flush()
    except OSError as error:
        then = f"make {folder} larger: mount -o remount,size=256M {folder}"
        value = f"{error.strerror or error}; {_mb(shutil.disk_usage(folder).free)} free"
        return Check("shared memory", False, value, limit, then=then)
    return Check("shared memory", True, f"{_mb(needed)} allocated", limit)


def _disk(workspace: Workspace, release: Release, hours: float) -> Check:
    needed = disk_for(release.role.shape, round(TICK_HZ * 3600 * hours))
    free = shutil.disk_usage(workspace.home).free
    ok = free >= needed
    then = "" if ok else "free some disk, or perform with --home on a larger one"
    return Check("disk", ok, f"{_mb(free)} free", f"{_mb(needed)} for {hours:g} h", then=then)


def _mb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


@contextmanager
def _real_time() -> Iterator[bool]:
    """Run this process at the engine's priority for a moment; yield whether that is allowed."""
    if not hasattr(os, "sched_setscheduler"):
        yield False
        return
    before, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, before, parameters)


def _pace() -> Check:
    """Wake at ticks as the engine does, at its priority, and see how late."""
    clock = WallClock()
    with _real_time():
        pacer = Pacer(clock, clock.now_ns() + PERIOD_NS)
        late_ms = [pacer.wait(tick) / 1e6 for tick in range(PACED_TICKS)]
    p99 = float(np.percentile(late_ms, 99))
    ok = p99 <= LATE_MS
    then = "" if ok else "stop other work on this machine; allow real-time priority"
    return Check("pace", ok, f"{p99:.2f} ms late p99", f"{LATE_MS:g} ms", then=then)


def _priority() -> Check:
    """Ask for real-time scheduling, and let it go again."""
    if not hasattr(os, "sched_setscheduler"):
        return Check("priority", True, "this system has no real-time scheduling to ask for")
    with _real_time() as is_allowed:
        value = f"real-time scheduling is {'' if is_allowed else 'not '}allowed"
    then = "allow it: sudo setcap cap_sys_nice=ep on Python, or 'rtprio 10' in limits.conf"
    return Check("priority", is_allowed, value, "SCHED_FIFO", then="" if is_allowed else then)


def _clock() -> Check:
    """Compare the clock of the day with the steady one over half a second."""
    start = time.time_ns() - time.monotonic_ns()
    time.sleep(0.5)
    drift_ms = abs(time.time_ns() - time.monotonic_ns() - start) / 1e6
    ok = drift_ms <= CLOCK_MS
    then = "" if ok else "somebody sets this machine's clock: let chrony or ntpd slew it"
    return Check("clock", ok, f"{drift_ms:.3f} ms off", f"{CLOCK_MS:g} ms", then=then)


def _descriptors() -> Check:
    try:
        import resource
    except ModuleNotFoundError:
        return Check("descriptors", True, "this system has no such limit")
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    ok = soft == resource.RLIM_INFINITY or soft >= DESCRIPTORS
    return Check(
        "descriptors",
        ok,
        "no limit" if soft == resource.RLIM_INFINITY else str(soft),
        str(DESCRIPTORS),
        then="" if ok else "raise it: ulimit -n 1024",
    )


def _processors() -> Check:
    count = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    ok = count >= 2
    then = "" if ok else "give this machine a second processor: engine and page need one each"
    return Check("processors", ok, f"{count}, GPU {_gpu()}", "2", then=then)


def _gpu() -> str:
    import onnxruntime

    names = [
        name.removesuffix("ExecutionProvider")
        for name in onnxruntime.get_available_providers()
        if not name.startswith(("CPU", "Azure"))
    ]
    return ", ".join(names) or "none"


def _sender(workspace: Workspace, request: DoctorRequest, url: str) -> Check:
    """Listen for a moment: an open port is not enough, somebody has to send. A take has to be allowed.

    A show that is on is left alone: what is heard here, it would not hear.
    """
    if find_show(workspace.home, request.actor) is not None:
        then = "ask again after its end; what it hears is on its page"
        return Check(url, False, f"not tried: a show of {request.actor} is on", then=then)
    if url.startswith("take:"):
        [take], _, _ = read_inputs(workspace, [url])
        return Check(url, True, f"may be performed: {workspace.attributions.name(take)}")
    if scheme_of(url) in LISTENING:
        url = with_allowed(url, request.allow)
    try_receiver(url, workspace)
    receiver = open_receiver(url, workspace)
    start_ns, polls, answered = time.monotonic_ns(), 0, 0
    try:
        while (elapsed := time.monotonic_ns() - start_ns) < request.listen_s * NS_PER_S:
            answered += bool(receiver.poll(elapsed))
            polls += 1
            time.sleep(1 / TICK_HZ)
    finally:
        receiver.close()
    then = "" if answered else f"start the sender, and check that it sends to this address: {url}"
    return Check(url, answered > 0, f"heard in {answered} of {polls} polls", "1 poll", then=then)


def _output(url: str) -> Check:
    """Open an output for a moment; of the page only its port, which the show will want."""
    if not url.startswith("ws://"):
        return Check(url, True, resolve_sink(url))
    host, port = host_port(url, PAGE_PORT)
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            then = "stop the other program, or choose another port"
            return Check(url, False, error.strerror or str(error), then=then)
    return Check(url, True, "the port is free")


def lines_of(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield a diagnosis line by line, as people read it."""
    width = max((len(check.name) for check in diagnosis.checks), default=0)
    for check in diagnosis.checks:
        limit = f" (limit {check.limit})" if check.limit else ""
        yield f"{'ok' if check.ok else 'NO':3} {check.name:{width}}  {check.value}{limit}"
        if check.then:
            yield f"    {'':{width}}  → {check.then}"
    yield "GO" if diagnosis.go else "NO-GO: mend what is marked NO"


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis as scripts read it."""
    return {
        "go": diagnosis.go,
        "checks": [msgspec.structs.asdict(check) for check in diagnosis.checks],
    }
