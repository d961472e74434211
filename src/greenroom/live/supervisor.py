"""Supervise the processes of a show: active, incoming and standby engine, and the watchdog.

A release comes on stage in a process of its own. It loads, verifies and tests itself there, follows the
show, and takes over at a tick that both know. The one before stays loaded as the standby.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from greenroom.clock import TICK_HZ, tick_at
from greenroom.errors import BadInput, GreenroomError
from greenroom.live.control import NOTHING, controlled
from greenroom.live.ipc import MessageStream, send
from greenroom.live.processes import end_process, start_process
from greenroom.live.ring import Ring, shape_fits
from greenroom.live.show_spec import LinkReports
from greenroom.live.show_spec import ShowSpec as ShowSpec
from greenroom.registry.release import Release
from greenroom.serving import fallback_backend
from greenroom.store.workspace import Workspace

LEAD_NS = 50_000_000
"""Between the engine's being ready and tick 0."""
START_S = 120.0
"""In which an engine has to be ready."""
LEAD_TICKS = 12
"""Between a new engine's being called and its first tick, if it did not say how long it needs."""
GRACE_S = 5
"""Seconds that an engine may take to end."""


@dataclass
class _Engine:
    """An engine's process.

    Attributes:
        process: itself.
        lines: what it says.
        release: which of the show's releases it performs.
        previous: which stands behind it; -1 for none.
        asked_s: when it was started, monotonic.
        lead: ticks that it needs between being called and performing; 0 until it is ready.
    """

    process: subprocess.Popen[bytes]
    lines: MessageStream
    release: int
    previous: int = -1
    asked_s: float = field(default_factory=time.monotonic)
    lead: int = 0


class EngineSupervisor:
    """The processes of a show.

    Args:
        workspace: where everything is.
        order: what to perform.
        sinks: URLs of its outputs, with addresses in place of names.
        ring: through which frames pass.
        warn: told what went wrong.

    Attributes:
        releases: the show's, in the order in which they were first asked for.
        firsts: the first tick of each engine.
        swaps: (first tick, which release) of each change of release.
        links: what became of the live inputs and of the outputs, as engines reported it.
        fingerprint: of the backend of the engine that opened the show: what decides the bits.
    """

    def __init__(
        self,
        workspace: Workspace,
        order: ShowSpec,
        sinks: Sequence[str],
        ring: Ring,
        warn: Callable[[str], None],
    ) -> None:
        """Start both; they load and wait."""
        self.order, self.warn = order, warn
        self.releases = [order.release]
        shape, previous = order.release.role.shape, order.previous
        if previous is not None and shape_fits(shape, previous.role.shape):
            self.releases.append(previous)
        self.firsts: list[int] = []
        self.swaps: list[tuple[int, int]] = []
        self.links = LinkReports()
        self.fingerprint: dict[str, str] = {}
        self.start_ns = self.utc_ns = 0
        self._end_s: float | None = None
        self._dismissed: set[str] = set()
        self.control = NOTHING
        # A file, for a pipe holds no hour of phonemes and nobody may wait for one to be read.
        self._conditioning_path = ring.path.with_suffix(".conditioning")
        self._conditioning_path.write_bytes(msgspec.json.encode(dict(order.conditioning)))
        self._engine_order = {
            "store": str(workspace.home),
            "inputs": order.inputs,
            "ticks": order.ticks,
            "cuts": [list(cut) for cut in order.cuts],
            "dark": [list(stretch) for stretch in order.dark],
            "sinks": list(sinks),
            "seed": order.seed,
            "lost": order.lost,
            "conditioning": str(self._conditioning_path),
            "ring": str(ring.path),
            "room": order.release.role.shape.manifest(),
        }
        self._watchdog = self._start_watchdog()
        self._active: _Engine | None = self._engine(0, 1 if len(self.releases) > 1 else -1)
        self._incoming: _Engine | None = None
        self._standby: _Engine | None = None
        self._last_active = self._active  # whoever performs or performed last

    def _engine(self, release: int, previous: int) -> _Engine:
        if previous >= 0 and self.releases[previous].name in self._dismissed:
            previous = -1
        behind = None if previous < 0 else self.releases[previous].name
        # A model server has the model that opened the show; others run on this machine.
        backend = self.order.backend if release == 0 else fallback_backend(self.order.backend)
        own = {"release": self.releases[release].name, "previous": behind, "backend": backend}
        return _Engine(*start_process("engine", {**self._engine_order, **own}), release, previous)

    def _start_watchdog(self) -> subprocess.Popen[bytes]:
        release = {"release": self.order.release.name}
        return start_process("watchdog", {**self._engine_order, **release})[0]

    def _engines(self) -> list[_Engine]:
        return [e for e in (self._active, self._incoming, self._standby) if e is not None]

    @property
    def performing(self) -> Release:
        """The release that performs."""
        return self.releases[self._last_active.release]

    def start(self) -> None:
        """Wait until the engine is ready, and begin.

        Raises:
            GreenroomError: it could not start.
        """
        engine = self._last_active
        try:
            self._hear(engine, engine.lines.wait(START_S))
        except GreenroomError as error:
            status = engine.process.poll()
            what = error.what if status is None else f"it ended with status {status}"
            raise GreenroomError(
                f"the engine could not start: {what}", then="check the release: greenroom fsck"
            ) from None
        if len(self.releases) > 1:
            self._standby = self._engine(1, -1)  # loads while the show has begun
        self.start_ns, self.utc_ns = time.monotonic_ns() + LEAD_NS, time.time_ns() + LEAD_NS
        self._call(engine, 0)

    def _hear(self, engine: _Engine, line: dict[str, Any]) -> None:
        if "ready" in line:
            engine.lead = line.get("lead", LEAD_TICKS)
            if not self.fingerprint and not line.get("real_time", True):
                self.warn("real-time priority is not allowed here: other work can make frames late")
            self.fingerprint = self.fingerprint or line.get("fingerprint", {})
        else:
            self.links.add(engine.process.pid, line)

    def _call(self, engine: _Engine, first: int) -> None:
        """Let an engine perform from a tick on."""
        self.firsts.append(first)
        for process in (self._watchdog, engine.process):
            send(process.stdin, self._go(engine, first))

    def _go(self, engine: _Engine, first: int) -> dict[str, int]:
        return {
            "start_ns": self.start_ns,
            "first": first,
            "engine": engine.process.pid,
            "release": engine.release,
            "previous": engine.previous,
            "control": self.control,
        }

    def order_control(self, act: str) -> None:
        """Hold, resume, cut or restore: from the next tick on, and in every engine that follows."""
        self.control = controlled(self.control, act)
        for engine in (self._active, self._incoming, self._standby):
            if engine is not None and engine.process.poll() is None:
                send(engine.process.stdin, {"control": self.control})

    @property
    def _tick(self) -> int:
        return tick_at(max(0, time.monotonic_ns() - self.start_ns))

    def swap(self, release: Release) -> None:
        """Bring a release on stage, unless it is there or comes already.

        Raises:
            BadInput: its model does not fit into this show.
        """
        if not shape_fits(self.order.release.role.shape, release.role.shape):
            raise BadInput(
                f"release {release.name[:12]} is much larger than the one that opened the show",
                then="it can perform from the next show on",
            )
        names = [candidate.name for candidate in self.releases]
        if release.name not in names:
            self.releases.append(release)
            names.append(release.name)
        index = names.index(release.name)
        if self._incoming is not None:
            if self._incoming.release == index:
                return
            self._drop(self._incoming)
            self._incoming = None
        if self._active is not None and self._active.release == index:
            return
        if self._standby is not None and self._standby.release == index:
            self._incoming, self._standby = self._standby, None
        else:
            self._incoming = self._engine(index, self._last_active.release)

    def dismiss(self, name: str) -> bool:
        """Let a release that may not perform any more come back no more; tell if it performs now."""
        self._dismissed.add(name)
        incoming = self._incoming
        if incoming is not None and self._is_dismissed(incoming):
            names = [candidate.name for candidate in self.releases]
            others = [i for i, each in enumerate(names) if each not in self._dismissed]
            if self._active is not None or others:  # else nobody would perform at all
                self._drop(incoming)
                self._incoming = None
            if self._active is None and others:
                self._incoming = self._engine(others[-1], -1)
        return self.performing.name == name

    def _is_dismissed(self, engine: _Engine) -> bool:
        return self.releases[engine.release].name in self._dismissed

    def check(self) -> bool:
        """Replace a lost engine or watchdog, let who is ready take over; tell whether it is over."""
        for engine in self._engines():
            for line in engine.lines.read():
                self._hear(engine, line)
        tick = self._tick
        if self._standby is not None and (
            self._standby.process.poll() is not None
            # Who leaves performs until the other begins.
            or (self._is_dismissed(self._standby) and tick >= self.firsts[-1])
        ):
            self._drop(self._standby)  # nobody to go back to at once; an engine is started then
            self._standby = None
        over = tick >= self.order.ticks or self._end_s is not None
        # One hand-over after the other: each is told to two engines and the watchdog.
        if not over and tick >= self.firsts[-1]:
            self._promote_incoming(tick)
        if self._active is None:
            return over
        status = self._active.process.poll()
        if status is None:
            # Nobody else ends an engine that hangs when the watchdog has gone home.
            if tick >= self.order.ticks + GRACE_S * TICK_HZ:
                return True
            if self._end_s is not None:
                return time.monotonic() > self._end_s + GRACE_S
            if not over and self._watchdog.poll() is not None:
                self._replace_watchdog()
            return False
        if status == 0 or over:
            return True
        self._lost(status)
        return False

    def _promote_incoming(self, tick: int) -> None:
        """Let the engine that comes take over as soon as it is ready; give up one that cannot."""
        incoming = self._incoming
        if incoming is None:
            return
        name = self.releases[incoming.release].name[:12]
        status = incoming.process.poll()
        late = not incoming.lead and time.monotonic() > incoming.asked_s + START_S
        if status is not None or late:
            cause = "was not ready in time" if status is None else f"ended with status {status}"
            self.warn(f"release {name} {cause} before it took over; the show goes on without it")
            self._drop(incoming)
            self._incoming = None
            # One that had been ready may have been lost while it waited; it is tried once more.
            if incoming.lead > 0:
                self._incoming = self._engine(incoming.release, self._last_active.release)
            elif self._active is None:
                self._incoming = self._engine(self._last_active.release, self._last_active.previous)
        elif incoming.lead and tick + incoming.lead < self.order.ticks:
            self._relieve(incoming, tick + incoming.lead)
            self.warn(f"release {name} takes over at tick {self.firsts[-1]}")

    def _relieve(self, incoming: _Engine, first: int) -> None:
        """Let an engine take over from whoever performs, who waits from then on."""
        if self._active is not None:
            send(self._active.process.stdin, {"until": first})
        self._call(incoming, first)
        if incoming.release != self._last_active.release:
            self.swaps.append((first, incoming.release))
        if self._active is not None:
            if self._standby is not None:
                self._drop(self._standby)
            self._standby = self._active
        self._active = self._last_active = incoming
        self._incoming = None

    def _lost(self, status: int) -> None:
        """Bring in who waits, else a new engine, for one that was lost."""
        assert self._active is not None
        self._drop(self._active)
        self._active = None
        if self._standby is not None and self._is_dismissed(self._standby):
            self._drop(self._standby)
            self._standby = None
        if self._incoming is not None:
            self.warn(f"the engine ended with status {status}; another comes already")
        elif self._standby is not None:
            self.warn(f"the engine ended with status {status}; the release before it goes on")
            self._incoming, self._standby = self._standby, None
        else:
            self.warn(f"the engine ended with status {status}; starting another")
            self._incoming = self._engine(self._last_active.release, self._last_active.previous)

    def _replace_watchdog(self) -> None:
        self.warn(f"the watchdog ended with status {self._watchdog.poll()}; starting another")
        end_process(self._watchdog)
        self._watchdog = self._start_watchdog()
        send(self._watchdog.stdin, self._go(self._last_active, self.firsts[-1]))

    def stop(self) -> None:
        """End the show before its time."""
        if self._end_s is not None:
            return
        self._end_s = time.monotonic()
        send(self._watchdog.stdin, {"end": True})  # else it eases to rest, as after a crash
        for process in (self._watchdog, *(engine.process for engine in self._engines())):
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()

    def _drop(self, engine: _Engine) -> None:
        for line in engine.lines.read():  # it may have reported and ended since
            self._hear(engine, line)
        end_process(engine.process)

    def close(self) -> None:
        """Let nothing run on."""
        end_process(self._watchdog)
        for engine in self._engines():
            self._drop(engine)
        self._conditioning_path.unlink(missing_ok=True)
