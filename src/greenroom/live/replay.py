"""Perform a recorded show again and compare every bit; give it to post-production.

Two judgements a frame. Features: the raw packets, with what the performer had done until then, make the
same input tensors. Model: the recorded input tensors make the same outputs, and the ladder the same
frame. A frame is exact if both hold and the chained digest is the recorded one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from greenroom.contracts import flat_width, get_tensors
from greenroom.frames import Body, Floats, Frame
from greenroom.live.engine import FOLLOWED
from greenroom.live.loaded_model import LoadedModel
from greenroom.live.performance import read_performance
from greenroom.live.performer import Performer
from greenroom.live.recorder import chain, read_ledger
from greenroom.live.ring import frame_of, get_packets
from greenroom.live.watchdog import ENGINE_LOST, Standby
from greenroom.manifests import Show
from greenroom.registry.release import Release, load_release
from greenroom.serving.onnx_backend import OnnxBackend, replay_class
from greenroom.store.workspace import Workspace

_PAST = 4 * FOLLOWED
"""Rows that an engine may have followed: those there when it was called, and its lead."""


@dataclass(frozen=True)
class ReplayVerdict:
    """What a replay found.

    Attributes:
        frames: of the show.
        exact: how many were the same in every bit, features and model both.
        features: how many had the same input tensors.
        model: how many had the same outputs and frame.
        first_difference: {"frame", "tick", "what", "why"}, or None.
        missed: ticks of the show without a frame.
        kind: EXACT, PORTABLE or TOLERANT: what may be promised on this machine.
    """

    frames: int
    exact: int
    features: int
    model: int
    first_difference: dict[str, Any] | None
    kind: str
    missed: int = 0

    def json(self) -> dict[str, Any]:
        """Return it as people read it."""
        return {
            "ticks": self.frames + self.missed,
            "frames": self.frames,
            "missed": self.missed,
            "exact": self.exact,
            "first_difference": self.first_difference,
            "class": self.kind,
            "features": self.features,
            "model": self.model,
        }


def verify(
    workspace: Workspace,
    show: str,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ReplayVerdict:
    """Perform a show again from its packets and decisions.

    Args:
        workspace: where it is.
        show: its hash.
        threads: of the model; the bits are the same.
        progress: called with (frames done, frames).

    Raises:
        CorruptObject: an object that the show needs was changed.
    """
    manifest = workspace.objects.read(show, Show)
    cast = ShowReleases(workspace, manifest, threads)
    shape = cast.part(0).role.shape
    frames = features = model = exact = 0
    first: dict[str, Any] | None = None
    digest = b""
    again = Replayer(cast.part, manifest)
    for row in read_ledger(workspace, manifest, shape):
        frame, wrong_in, wrong_out = again.step(row)
        digest = chain(digest, frame)
        features += not wrong_in
        model += not wrong_out
        exact += not wrong_in and not wrong_out
        if first is None and (wrong_in or wrong_out):
            first = _difference(frames, int(row["tick"]), wrong_in, wrong_out)
        frames += 1
        progress(frames, manifest.frames)
    if first is None and digest.hex() != manifest.digest:
        first = {"frame": None, "tick": None, "what": "digest", "why": "the chained digest differs"}
        exact = 0
    if first is None and manifest.lost_to_recorder:
        why = "frames were lost to the recorder"
        first = {"frame": None, "tick": None, "what": "recording", "why": why}
    kind = cast.replay_class(manifest)
    return ReplayVerdict(
        frames,
        exact,
        features=features,
        model=model,
        first_difference=first,
        kind=kind,
        missed=manifest.missed,
    )


def opening_release(workspace: Workspace, show: Show) -> Release:
    """Return the release that opened a show, verified; nobody has to approve of it today."""
    return load_release(workspace, show.parents.releases[0], past=True)


class ShowReleases:
    """The releases of a show, each loaded when it is first asked for: not all that came performed.

    Args:
        workspace: where they are.
        show: the manifest.
        threads: of the models.
    """

    def __init__(self, workspace: Workspace, show: Show, threads: int = 1) -> None:
        """Load nothing yet."""
        self.workspace, self.threads = workspace, threads
        self.names: list[str] = show.parents.releases
        self.operations: set[str] = set()
        self._parts: dict[int, LoadedModel] = {}

    def part(self, index: int) -> LoadedModel:
        """Return the release that a row counts so.

        Raises:
            CorruptObject: a byte of it changed.
        """
        if index not in self._parts:
            release = load_release(self.workspace, self.names[index], past=True)
            backend = OnnxBackend(release.graph, release.role.shape, self.threads)
            self._parts[index] = LoadedModel(release.role, backend)
            self.operations |= set(release.model.operations)
        return self._parts[index]

    def replay_class(self, show: Show) -> str:
        """Return what may be promised on this machine of a replay of its show."""
        return replay_class(show.fingerprint, self.part(0).backend.fingerprint(), self.operations)


class Replayer:
    """Perform a show's rows again, with as many engines and watchdogs as it had.

    Args:
        part: returns the show's release of a number.
        show: its manifest.
    """

    def __init__(self, part: Callable[[int], LoadedModel], show: Show) -> None:
        """Begin before the first row."""
        self.part, self.show = part, show
        self.performer: Performer | None = None
        self.standby: Standby | None = None
        self.emitted: list[Frame] = []
        self._past: deque[NDArray[Any]] = deque(maxlen=_PAST)

    def step(self, row: NDArray[Any]) -> tuple[Frame, list[str], list[str]]:
        """Return the frame, and the names of the inputs and outputs that differ from the row's."""
        wrong_in, wrong_out = [], []
        if row["reason"] == ENGINE_LOST.encode():
            if self.standby is None or row["begun"]:
                self.standby = Standby(self.part(0).role, self.emitted)
            frame = self.standby.step(int(row["tick"]))
        else:
            performer = self._engine(row)
            shape = performer.role.shape
            inputs = row["inputs"][: flat_width(shape.inputs())]
            outcome = performer.step(
                int(row["tick"]),
                list(get_packets(row)),
                bool(row["late"]),
                inputs,
                control=int(row["control"]),
                unanswered=not (row["late"] or row["asked"]),
            )
            frame = outcome.frame
            wrong_in = _differing(outcome.inputs, inputs, shape.inputs())
            if (outcome.outputs is not None) != bool(row["asked"]):
                wrong_out.append("whether the model was asked")
            elif outcome.outputs is not None:
                recorded_outputs = row["outputs"][: len(outcome.outputs)]
                wrong_out = _differing(outcome.outputs, recorded_outputs, shape.outputs())
        recorded = frame_of(row)
        for part in ("root", "rotations", "face"):
            if getattr(frame, part).tobytes() != getattr(recorded, part).tobytes():
                wrong_out.append(part)
        self.emitted = [*self.emitted[-1:], recorded]
        self._past.append(row)
        return frame, wrong_in, wrong_out

    def _engine(self, row: NDArray[Any]) -> Performer:
        """Return who performed a row: somebody new, who followed the rows before, where one began."""
        if self.performer is None or row["followed"] >= 0:
            part, previous = self.part(int(row["release"])), int(row["previous"])
            self.standby = None
            behind = self.part(previous) if previous >= 0 else None
            self.performer = Performer(
                part.role,
                part.backend,
                self.show.seed,
                previous=behind,
                conditioning=self.show.conditioning,
                lost=self.show.lost,
            )
            for past in list(self._past)[len(self._past) - max(0, int(row["followed"])) :]:
                self.performer.step(
                    int(past["tick"]),
                    list(get_packets(past)),
                    late=False,
                    control=int(past["control"]),
                )
            if self.emitted:
                self.performer.resume(self.emitted)
        return self.performer


def _differing(expected: Floats, actual: Floats, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Return the names of the tensors that are not the same in every bit."""
    if expected.tobytes() == actual.tobytes():
        return []
    actual_tensors = get_tensors(actual, shapes)
    return [
        n
        for n, v in get_tensors(expected, shapes).items()
        if v.tobytes() != actual_tensors[n].tobytes()
    ]


def _difference(frame: int, tick: int, inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    why = "the model or the ladder gave something else for the same tensors"
    if inputs:
        why = "the features made from the raw packets differ"
    return {"frame": frame, "tick": tick, "what": ", ".join(inputs or outputs), "why": why}


def performed_motion(workspace: Workspace, show: str) -> Body:
    """Return what a show performed, on the release's skeleton, from its first tick to its last.

    At a tick that nobody performed (an engine was lost) the frame before stands on.
    """
    return read_performance(workspace, show).body
