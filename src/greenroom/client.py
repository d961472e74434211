"""A workspace for notebooks: takes as a table and as arrays, features, inference, a show's ledger.

from greenroom import Client

client = Client("studio")
client.takes()                      # a DataFrame
client.take("walk_01").rotations    # (T, 55, 4)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from greenroom import config
from greenroom.capture.annotations import take_tiers
from greenroom.capture.ingest import load_take
from greenroom.clock import TICK_HZ
from greenroom.consent.gate import refusal_reason
from greenroom.errors import BadInput
from greenroom.extras import require
from greenroom.features.pipeline import FeaturePipeline, FeatureSpec
from greenroom.frames import BONES, SAMPLES_PER_TICK, Floats
from greenroom.live.recorder import read_ledger
from greenroom.live.replay import opening_release
from greenroom.live.ring import STAMPS, rung_of
from greenroom.manifests import Show, Take
from greenroom.plugins import scheme_of
from greenroom.registry.promote import live_release
from greenroom.registry.release import Release, load_release
from greenroom.serving import DEFAULT_BACKEND, open_backend
from greenroom.store import open_store

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class TakeArrays:
    """A take as arrays; what it does not have is None.

    Attributes:
        take: its hash.
        root: position of the hips (T, 3), metres, +Y up; NaN where missing.
        rotations: of the humanoid's bones (T, 55, 4), unit quaternions xyzw, local to the parent.
        validity: of each bone (T, 55), 1 trusted, 0 missing.
        face: weights (T, B) in [0, 1]; NaN where missing.
        channels: B names of the face's weights.
        voice: samples (S,), 24 kHz mono.
        labels: tier → a value for the whole take, or (first tick, one past the last, value).
    """

    take: str
    root: Floats | None = None
    rotations: Floats | None = None
    validity: Floats | None = None
    face: Floats | None = None
    channels: tuple[str, ...] = ()
    voice: Floats | None = None
    labels: dict[str, Any] = field(default_factory=dict)


class LoadedRelease:
    """A verified release that runs its model's graph.

    Args:
        release: loaded and verified.
    """

    def __init__(self, release: Release) -> None:
        """Open the graph."""
        self.release = release
        self._backend = open_backend(DEFAULT_BACKEND, release.graph, release.role.shape)

    def infer(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        """Return the model's outputs by name.

        Args:
            inputs: float32 by name, each with a batch of one in front; see `ModelShape.inputs`.

        Raises:
            BadInput: an input is missing, or has another shape.
        """
        for name, row in self.release.role.shape.inputs().items():
            shape = (1, *row)
            if name not in inputs:
                raise BadInput(f"the input '{name}' {shape} is missing")
            input_shape = np.shape(inputs[name])
            if input_shape != shape:
                raise BadInput(f"the input '{name}' has the shape {input_shape}, not {shape}")
        return self._backend.run({n: np.asarray(v, np.float32) for n, v in inputs.items()})


class Client:
    """A workspace, opened for reading.

    Args:
        home: its folder or URL; None for ``GREENROOM_HOME``, else ``~/.greenroom``.
    """

    def __init__(self, home: str | Path | None = None) -> None:
        """Open it."""
        is_url = home is not None and scheme_of(str(home)) != ""
        self.workspace = open_store(str(home if is_url else config.home(home)))

    def takes(self, actor: str | None = None) -> DataFrame:
        """Return the takes as a table: take, name, actor, media, seconds, participants, usable.

        Args:
            actor: only of this actor; None for all.

        Raises:
            MissingExtra: pandas is not installed.
        """
        day = self.workspace.today()
        rows = []
        for row in self.workspace.catalog.find("take", actor=actor):
            manifest = self.workspace.objects.read(row.object, Take)
            attribution = self.workspace.attributions.of(row.object, row.actor)
            rows.append(
                {
                    "take": row.object,
                    "name": row.name,
                    "actor": row.actor,
                    "media": "+".join(manifest.formats),
                    "seconds": manifest.clock.ticks / TICK_HZ,
                    "participants": ", ".join(attribution.participants),
                    "usable": not refusal_reason(self.workspace, row.object, "train", day),
                    **{
                        f"tier:{tier}": labels
                        for tier, labels in take_tiers(self.workspace, row.object).items()
                        if isinstance(labels, str)
                    },
                }
            )
        return _frame(rows, ["take", "name", "actor", "media", "seconds", "participants", "usable"])

    def take(self, name: str) -> TakeArrays:
        """Return a take's arrays and labels.

        Args:
            name: its hash, six or more of its first digits, or its name.

        Raises:
            BadInput: there is no such take.
        """
        take = self.workspace.resolve(name, "take")
        recording = load_take(self.workspace, take)
        body, face, audio = recording.body, recording.face, recording.audio
        return TakeArrays(
            take,
            None if body is None else body.root,
            rotations=None if body is None else body.rotations,
            validity=None if body is None else body.validity,
            face=None if face is None else face.weights,
            channels=() if face is None else face.channels,
            voice=None if audio is None else audio.samples,
            labels=dict(take_tiers(self.workspace, take)),
        )

    def features(self, name: str, joints: tuple[str, ...] | None = None) -> dict[str, Floats]:
        """Return the features of a take, the same bits as live.

        Args:
            name: its hash, six or more of its first digits, or its name.
            joints: bone names, hips first; None for those that the take has in every tick.

        Returns:
            "state" (T, D), "velocity" (T, 6 J), "valid" (T, J); with a voice also "speech" (T, F).

        Raises:
            BadInput: the take has no body, or not these joints.
        """
        take = self.workspace.resolve(name, "take")
        recording = load_take(self.workspace, take)
        if recording.body is None:
            raise BadInput(
                f"take {take[:12]} has no body", then="features of a voice: take().voice"
            )
        body = recording.body
        if joints is None:
            present = np.all(body.validity > 0, axis=0).tolist()
            joints = tuple(name for name, captured in zip(BONES, present, strict=True) if captured)
        voice = None if recording.audio is None else recording.audio.samples
        sound = np.zeros((len(body), SAMPLES_PER_TICK), dtype=np.float32)
        if voice is not None:
            flat = sound.reshape(-1)
            flat[: len(voice)] = voice[: len(flat)]
        features = FeaturePipeline(FeatureSpec(joints), listen=voice is not None).run(
            body.root,
            body.rotations,
            validity=body.validity,
            audio=sound,
            speech_mask=np.ones(len(body), dtype=np.float32),
        )
        arrays = {"state": features.state, "velocity": features.velocity, "valid": features.valid}
        return arrays if voice is None else {**arrays, "speech": features.speech}

    def release(self, name: str) -> LoadedRelease:
        """Return a release, every byte verified, ready to infer.

        Args:
            name: its hash or six or more of its first digits, or an actor, for the one on stage.

        Raises:
            Refused: it is not approved.
        """
        try:
            release = live_release(self.workspace, name)
        except BadInput:
            release = self.workspace.resolve(name, "release")
        return LoadedRelease(load_release(self.workspace, release))

    def ledger(self, show: str) -> DataFrame:
        """Return a show's ledger, a row per frame.

        Args:
            show: its hash, or six or more of its first digits.

        Returns:
            Columns "tick", "rung", "late", and the stamps "due" to "emit", milliseconds after the show's
            start.

        Raises:
            MissingExtra: pandas is not installed.
        """
        name = self.workspace.resolve(show, "show")
        manifest = self.workspace.objects.read(name, Show)
        shape = opening_release(self.workspace, manifest).role.shape
        rows = [
            {
                "tick": int(row["tick"]),
                "rung": rung_of(row),
                "late": bool(row["late"]),
                **{stamp: float(row[stamp]) / 1e6 for stamp in STAMPS},
            }
            for row in read_ledger(self.workspace, manifest, shape)
        ]
        return _frame(rows, ["tick", "rung", "late", *STAMPS])


def _frame(rows: list[dict[str, Any]], columns: list[str]) -> DataFrame:
    pd = require("pandas", "notebook", "a table")
    extra = sorted({key for row in rows for key in row} - set(columns))
    return pd.DataFrame(rows, columns=[*columns, *extra])
