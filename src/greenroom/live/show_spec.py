"""What a show is to be, and what its engines report of their inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from greenroom.features.conditioning import Conditioning
from greenroom.live.sources import LostCapture
from greenroom.registry.release import Release
from greenroom.serving import DEFAULT_BACKEND


@dataclass(frozen=True)
class ShowSpec:
    """What to perform.

    Attributes:
        release: the release that opens the show, loaded.
        takes: hashes of the takes that play, in order.
        ticks: for how long.
        cuts: (first, one past the last) ticks without capture.
        dark: (first, one past the last) ticks in which the light fails: see `degrade_capture`.
        receivers: URLs of live inputs beside the takes.
        sinks: URLs of the outputs.
        seed: of the draws by which the performer goes on without capture.
        backend: URL of what runs the model.
        previous: the release that was on stage before it: its rung, and where a rollback goes.
        conditioning: what models that know words are told of its ticks: `show_conditioning`.
        lost: what the performer does when nothing is captured.
        rank: how many of the receivers win over the takes, where both give the same.
    """

    release: Release
    takes: Sequence[str]
    ticks: int
    cuts: Sequence[tuple[int, int]] = ()
    dark: Sequence[tuple[int, int]] = ()
    receivers: Sequence[str] = ()
    sinks: Sequence[str] = ()
    seed: int = 0
    backend: str = DEFAULT_BACKEND
    previous: Release | None = None
    conditioning: Conditioning = field(default_factory=dict)
    lost: LostCapture = "idle"
    rank: int = 0

    @property
    def inputs(self) -> list[str]:
        """URLs of takes and live inputs, those that win first."""
        takes = [f"take:{take}" for take in self.takes]
        return [*self.receivers[: self.rank], *takes, *self.receivers[self.rank :]]


_OF_THE_LAST = ("delay_ms", "skew_ppm")


class LinkReports:
    """What became of the live inputs and of the outputs of a show, over all of its engines."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._receivers: dict[str, dict[str, Any]] = {}
        self._sinks: dict[int, list[dict[str, Any]]] = {}

    def add(self, engine: int, report: dict[str, Any]) -> None:
        """Take the report of an engine that leaves the stage.

        Args:
            engine: its process; what it reports of sinks is since that began.
            report: see `greenroom.live.engine`.
        """
        self._sinks[engine] = report["sinks"]
        for link in report["receivers"]:
            total = self._receivers.get(link["url"])
            if total is None:
                self._receivers[link["url"]] = dict(link)
            else:
                _sum_counts(total, link)
                total.update({name: link[name] for name in _OF_THE_LAST if name in link})

    @property
    def receivers(self) -> list[dict[str, Any]]:
        """Each live input's counts; its times are of the last engine."""
        return list(self._receivers.values())

    @property
    def sinks(self) -> list[dict[str, Any]]:
        """How much each sink sent, and failed to."""
        out: dict[str, dict[str, Any]] = {}
        for links in self._sinks.values():
            for link in links:
                if link["url"] in out:
                    _sum_counts(out[link["url"]], link)
                else:
                    out[link["url"]] = dict(link)
        return list(out.values())

    @property
    def lost_datagrams(self) -> int:
        """Frames or datagrams that no sink could send."""
        return sum(link["failed"] for link in self.sinks)


def _sum_counts(total: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, int) and not isinstance(value, bool):
            total[name] = total.get(name, 0) + value
