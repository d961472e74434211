"""Manifests of what is performed and remembered: shows, surveys, replay reservoirs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from greenroom.manifests.base import Count, Hash, Manifest, Name, OptionalHash, Part, Ticks, UtcNs


class ReplayParents(Part, frozen=True, kw_only=True):
    """The takes that a reservoir remembers."""

    takes: list[Hash]


class ReplayReservoir(Manifest, tag="replay_reservoir", frozen=True, kw_only=True):
    """Places of moments in takes, by which an update is held to what was learned before.

    Attributes:
        actor: the actor.
        seed: of the sample.
        size: most moments of a class.
        counts: class → moments that were offered.
        moments: class → (take, tick).
        parents: the takes.
    """

    actor: Name
    seed: int
    size: Count
    counts: dict[str, Count]
    moments: dict[str, list[tuple[Hash, Ticks]]]
    parents: ReplayParents


class Swap(Part, frozen=True, kw_only=True):
    """A change of release in a show: its first tick, and the release."""

    tick: Ticks
    release: Hash


class ShowParents(Part, frozen=True, kw_only=True):
    """Releases that performed, in the order of their first request, and takes that played."""

    releases: list[Hash]
    takes: list[Hash] = []


class ShowBlobs(Part, frozen=True, kw_only=True):
    """Segments of about a second of frames, compressed."""

    segments: list[Hash]


class Show(Manifest, tag="show", frozen=True, kw_only=True):
    """One live performance: what came in, what was decided, what went out.

    Attributes:
        actor: who performed.
        playlist: hashes of the takes that played, in order.
        ticks: for how long it was meant to last.
        cuts: (first, one past the last) ticks without capture.
        seed: of the noise by which a model chooses how to go on.
        lost: what the performer does when nothing is captured.
        fingerprint: runtime, version and instruction set that decide the bits.
        started_utc_ns: when.
        engines: first tick of each engine.
        swaps: changes of release.
        frames: how many were emitted.
        late: how many of them late.
        missed: ticks without a frame.
        lost_to_recorder: frames that the recorder did not get.
        lost_datagrams: datagrams that no socket took.
        rungs: frames by rung of the fallback ladder.
        digest: chained hash of every frame.
        blobs: the recorded segments.
        conditioning: tier → stretches of ticks with their value.
        receivers: URLs of live inputs, of which nobody's rights are recorded.
        recovered: whether its processes were killed, and it is what was recorded until then.
        parents: releases and takes.
    """

    actor: Name
    playlist: list[Hash]
    ticks: Ticks
    cuts: list[tuple[Ticks, Ticks]]
    seed: int
    fingerprint: dict[str, str]
    started_utc_ns: UtcNs
    engines: list[Ticks]
    swaps: list[Swap]
    frames: Count
    late: Count
    missed: Count
    lost_to_recorder: Count
    rungs: dict[str, Count]
    digest: str
    blobs: ShowBlobs
    parents: ShowParents
    lost_datagrams: Count = 0
    lost: Literal["idle", "free", "hold"] = "idle"
    conditioning: dict[str, list[tuple[Ticks, Ticks, str]]] = {}
    receivers: list[str] = []
    recovered: bool = False


class SurveyParents(Part, frozen=True, kw_only=True):
    """The release that people rated, and the show; "" where no show is named."""

    release: Hash
    show: OptionalHash = ""


class Survey(Manifest, tag="survey", frozen=True, kw_only=True):
    """What people answered after a show: scores from 1 to 5, without their names.

    Attributes:
        actor: the actor that it is for.
        scores: of each respondent, from 1 to 5.
        parents: what it was made from.
    """

    actor: Name
    scores: list[Annotated[int, Meta(ge=1, le=5)]]
    parents: SurveyParents
