"""What a show on stage has around it: where it goes, who watches, and the page."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec
from prometheus_client import CollectorRegistry

from greenroom.capture.receivers import LISTENING, RECEIVERS, resolve_receiver, try_receiver
from greenroom.capture.receivers.addresses import is_local, with_allowed
from greenroom.capture.receivers.vmc import PORT as VMC_INPUT
from greenroom.clock import NS_PER_S, TICK_HZ
from greenroom.consent.gate import refusal_reason, require_rights
from greenroom.contracts import Alert
from greenroom.errors import BadInput
from greenroom.live.playlist import Playlist
from greenroom.live.show import ShowResult
from greenroom.live.sinks import SINKS, resolve_sink
from greenroom.live.sources import RUNGS
from greenroom.monitoring.exporter import Metrics
from greenroom.monitoring.script import ScriptScene, excused
from greenroom.observers import installed_observers
from greenroom.observers.alert_router import AlertRouter
from greenroom.observers.capture_buffer import CaptureRecorder
from greenroom.observers.capture_loss import BODY, FACE, VOICE, CaptureLossMonitor
from greenroom.observers.drift_channels import load_training_reference
from greenroom.observers.drift_monitor import DriftMonitor
from greenroom.observers.hub import Hub
from greenroom.observers.message_file import MessageFile, ShowHead, message_path
from greenroom.observers.page import MetricsObserver, PageObserver
from greenroom.plugins import host_port, scheme_of
from greenroom.registry.release import Release
from greenroom.services.operator import print_addresses
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace

PAGE_PORT = 8030
LAST_WORD_S = 0.3
"""How long a page's server stays for viewers to hear the end."""
_END = ("show", "frames", "late", "rungs", "ticks", "missed")


@dataclass
class Outputs:
    """Where a show goes.

    Attributes:
        sinks: URLs that can be opened.
        page: host and port of the stage page.
    """

    sinks: list[str] = field(default_factory=list)
    page: tuple[str, int] | None = None


def read_outputs(urls: Sequence[str]) -> Outputs:
    """Return where `--out` URLs point.

    Raises:
        BadInput: an unknown scheme, no host, no port, or a sink that cannot be opened.
    """
    out = Outputs()
    for url in urls:
        if urls.count(url) > 1:
            raise BadInput(f"'--out {url}' is given twice", then="give it once")
        if scheme_of(url) == "ws":
            out.page = host_port(url, PAGE_PORT)
        elif scheme_of(url) in SINKS.names():
            out.sinks.append(resolve_sink(url))
        else:
            schemes = ", ".join(f"{name}://" for name in (*SINKS.names(), "ws"))
            raise BadInput(f"'{url}' is no output", then=f"known: {schemes} (as ws://HOST:PORT)")
    return out


class InputUrls(NamedTuple):
    """Where a show comes from.

    Attributes:
        takes: their hashes.
        receivers: URLs of live inputs.
        rank: how many of these were named before the first take: they win over it.
    """

    takes: list[str]
    receivers: list[str]
    rank: int


def read_inputs(workspace: Workspace, urls: Sequence[str], allow: Sequence[str] = ()) -> InputUrls:
    """Return the takes that `--in` URLs name, each allowed to be performed, and the live inputs.

    Args:
        workspace: where takes are.
        urls: of takes and live inputs.
        allow: networks that may send to live inputs which other machines reach.

    Raises:
        BadInput: another scheme, no such take, or a live input that cannot be opened.
        Refused: a take whose rights do not cover a performance.
    """
    takes: list[str] = []
    receivers: list[str] = []
    rank: int | None = None
    for url in urls:
        if not url.startswith("take:"):
            if scheme_of(url) not in RECEIVERS.names():
                others = "".join(f", {name}:" for name in RECEIVERS.names() if name != "take")
                raise BadInput(
                    f"'{url}' is no input",
                    then=f"known: take:HASH{others}; for takes see greenroom take list",
                )
            live = (
                with_allowed(url, allow) if scheme_of(url) in LISTENING else resolve_receiver(url)
            )
            if live in receivers:
                raise BadInput(f"'{url}' is given twice", then="give it once")
            try_receiver(live, workspace)
            receivers.append(live)
            continue
        name = workspace.resolve(url.removeprefix("take:"), "take")
        require_rights(workspace, name, "perform", workspace.today())
        takes.append(name)
        rank = len(receivers) if rank is None else rank
    if allow and not any("allow=" in url for url in receivers):
        raise BadInput(
            f"--allow {allow[0]}: no input is reached by other machines",
            then="name an address that they reach: vmc://0.0.0.0:39540",
        )
    return InputUrls(takes, receivers, len(receivers) if rank is None else rank)


def require_no_loop(receivers: Sequence[str], sinks: Sequence[str]) -> None:
    """Pass where no output of a show is an input of the same show.

    Args:
        receivers: URLs of live inputs.
        sinks: URLs of outputs.

    Raises:
        BadInput: what a sink sends would be received again.
    """
    listening = {
        urlsplit(url).port or VMC_INPUT: url for url in receivers if scheme_of(url) == "vmc"
    }
    for sink in sinks:
        parts = urlsplit(sink)
        if parts.scheme == "vmc" and parts.port in listening and is_local(parts.hostname or ""):
            raise BadInput(
                f"the show would receive what it sends: --out {sink} is --in {listening[parts.port]}",
                then="send to the avatar program's port, 39539 as a rule",
            )


class PageServer(Protocol):
    """A server of the stage page that runs in a thread."""

    @property
    def url(self) -> str:
        """Where the page is."""

    def stop(self) -> None:
        """End it, and wait until it has ended."""


ServePage = Callable[[Hub, CollectorRegistry], PageServer]
"""Starts the page's server for a show; see `greenroom.stage.server.serve_page`."""


class ShowSession:
    """What runs beside a show: the page, metrics, drift charts, and the buffer of what is captured.

    Args:
        workspace: the workspace.
        release: the release that opens the show.
        playlist: what plays.
        ticks: the show's length.
        serve: starts the page's server; None for a show without a page.
        by: who records alerts in the log.
    """

    def __init__(
        self,
        workspace: Workspace,
        release: Release,
        playlist: Playlist,
        ticks: int,
        serve: ServePage | None = None,
        by: str = "greenroom",
    ) -> None:
        """Start the page's server."""
        self.handle: PageServer | None = None
        self.messages = MessageFile(
            message_path(workspace.home, release.actor),
            ShowHead(uuid.uuid4().hex, os.getpid(), tuple(playlist.clips)),
        )
        self.hub = Hub(self.messages)
        registry = CollectorRegistry()
        self.observers: list[Any] = installed_observers()
        self.metrics: Metrics | None = None
        self._counting: MetricsObserver | None = None
        self.charts: DriftMonitor | None = None
        self.capture_recorder: CaptureRecorder | None = None
        self._new: set[str] = set()  # signals of a new style that go on
        self.home, self.by = workspace.home, by
        self.replays = False
        """Whether whoever performs replays the show right after it."""
        self._ends_s = workspace.log.clock.utc_ns() / NS_PER_S + ticks / TICK_HZ
        if serve is not None:
            self.handle = serve(self.hub, registry)
            self.metrics = Metrics(registry, RUNGS)
            self._counting = MetricsObserver(self.metrics, release.role.shape)
            self.observers += [PageObserver(self.hub, playlist.clips), self._counting]
        self.alert_router = AlertRouter(
            workspace,
            self.hub,
            metrics=self.metrics,
            show=self.messages.head.show,
            by=by,
            warn=warned,
        )
        self._capture_loss = CaptureLossMonitor(self.alert_router.alert)
        self.observers.append(self._capture_loss)

    def staged(self, release: Release, tick: int) -> None:
        """A release comes on stage; what it was trained on is what the charts know from then on."""
        first = self.alert_router.release is None
        self.messages.begin()  # the stage is ours: pages of other processes follow from here
        self.alert_router.staged(release, tick)
        if self.charts is not None and not first:
            workspace = Workspace(self.home)  # a log is read by one thread
            self.charts.renew(lambda: load_training_reference(workspace, release).channels())
        if self.metrics is not None and self._counting is not None:
            self._counting.staged(release.role.shape)
            base = release.manifest.reference.confidence_mean
            self.metrics.on_stage(
                release.actor, release.name, confidence_base=base, ends_s=self._ends_s
            )

    def watch_live_sources(self) -> None:
        """Raise an alert where a live face or voice is lost too; takes may have gaps."""
        for signal in (FACE, VOICE):
            self._capture_loss.watch(signal)

    def watch(self, workspace: Workspace, release: Release, script: list[ScriptScene]) -> list[str]:
        """Chart the capture against what the release was trained on; return what is to be said of it."""
        reference = load_training_reference(workspace, release)
        channels = reference.channels()
        unseen = [] if reference.bodies or reference.sounds else [NOT_WATCHED]
        if not channels:
            return unseen
        wanted = excused(script, set(reference.scenes.values()))
        self.charts = DriftMonitor(channels, self._alert, wanted)
        self.observers.append(self.charts)
        learning = all(each.chart.learning for each in channels)
        if not learning:  # the charts raise the same alert, and say where
            self._capture_loss.ignore(BODY)
        return unseen + ([STILL_LEARNING] if learning else [])

    def keep(self, workspace: Workspace, release: Release, takes: Sequence[str], by: str) -> None:
        """Keep what is captured while something new is seen, if all that plays is one person's."""
        attributions = [workspace.attributions.of(take) for take in takes]
        people = [(each.participants, each.rights) for each in attributions]
        alike = bool(people) and all(each == people[0] for each in people)
        day = workspace.today()
        if alike and not any(refusal_reason(workspace, take, "train", day) for take in takes):
            who = Attribution(release.actor, *people[0])
            name = f"captured-{self.alert_router.show[:8]}"
            self.capture_recorder = CaptureRecorder(
                workspace, who, skeleton=release.skeleton, name=name, by=by
            )
            self.observers.append(self.capture_recorder)

    def _alert(self, alert: Alert, begins: bool) -> None:
        self.alert_router.alert(alert, begins)
        if alert.cause != "new style":
            return
        (self._new.add if begins else self._new.discard)(alert.signal)
        if self.capture_recorder is not None:
            if begins:
                self.capture_recorder.begin(alert.began)
            elif not self._new:
                self.capture_recorder.end()

    def open(self, greeting: bytes) -> None:
        """Greet viewers; where to look stands on stderr."""
        hello = {**msgspec.json.decode(greeting), "show": self.messages.head.show}
        self.hub.publish("hello", msgspec.json.encode(hello))
        if self.handle is not None:
            print_addresses(self.home, self.handle.url)

    def publish(self, kind: str, message: dict[str, Any]) -> None:
        """Send viewers a message of one kind: "end" or "verdict"."""
        self.hub.publish(kind, msgspec.json.encode({"type": kind, **message}))

    def publish_end(self, result: ShowResult) -> None:
        """Send viewers what the show came to."""
        facts = {key: result.json[key] for key in _END}
        self.publish("end", {**facts, "checking": self.replays})

    def close(self, linger_s: float = 0.0) -> None:
        """Stop the server after viewers had a moment."""
        self.messages.close()
        if self.handle is not None:
            time.sleep(max(linger_s, LAST_WORD_S if self.hub.viewers else 0.0))
            self.handle.stop()


def warned(what: str) -> None:
    """Tell on stderr what went wrong while the show goes on."""
    print(f"\n{what}", file=sys.stderr, flush=True)


NOT_WATCHED = "The capture is not watched for drift: what the release was trained on is not here."
STILL_LEARNING = "The charts are learning: the reference is too small for any alert."
