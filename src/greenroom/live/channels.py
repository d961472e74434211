"""From what a release learned from to charts, and from a frame to what they are fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.capture.packets import newest
from greenroom.capture.takes import load, media_of
from greenroom.features.speech import Hearing
from greenroom.frames import BONE, SAMPLES_PER_TICK, Body, Doubles, Floats
from greenroom.live.ring import get_packets
from greenroom.live.saying import seen_styles, sureness, usual_of
from greenroom.live.watching import Channel
from greenroom.monitoring.angles import JOINTS, limbs, mean_pose, rotation_vectors
from greenroom.monitoring.charts import MotionChart
from greenroom.monitoring.signals import VOICE, SignalChart, voice_rows
from greenroom.registry.release import Release, Role
from greenroom.store.workspace import Workspace


def motion(bodies: Mapping[str, Body], scenes: Mapping[str, str] | None = None) -> Channel:
    """Return the channel of the captured joints, with a chart fitted on takes in control.

    Args:
        bodies: by take, in the order in which a show would play them.
        scenes: what each take shows, if that is known.
    """
    shares = [(body.validity > 0).mean(axis=0) for body in bodies.values()]
    availability = np.mean(shares, axis=0) if shares else np.zeros(len(BONE))
    # What the reference never had is no loss where it is missing.
    joints = tuple(joint for joint in JOINTS if availability[BONE[joint]] > 0.5)
    mean = mean_pose((body.rotations for body in bodies.values()), joints)
    takes = [rotation_vectors(_valid(body), mean, joints) for body in bodies.values()]
    context = None if scenes is None else [scenes.get(take, take) for take in bodies]
    chart = MotionChart(limbs(joints)).fit(takes, context)
    nothing = np.full(3 * len(joints), np.nan, dtype=np.float32)

    def read(row: NDArray[Any], outputs: Mapping[str, Floats]) -> Floats:
        sample, _ = newest(get_packets(row))
        if sample is None:
            return nothing
        rotations = np.where(sample.validity[:, None] > 0, sample.rotations, np.nan)
        return rotation_vectors(rotations, mean, joints)

    return Channel(chart, read)


def voice(sounds: Mapping[str, Floats]) -> Channel:
    """Return the channel of what is heard, with a chart fitted on takes in control.

    Args:
        sounds: samples (S,) by take, 24 kHz mono.
    """

    def rows(sound: Floats) -> Doubles:
        ticks = len(sound) // SAMPLES_PER_TICK
        cut = sound[: ticks * SAMPLES_PER_TICK].reshape(ticks, SAMPLES_PER_TICK)
        return voice_rows(Hearing().run(cut, np.ones(ticks, dtype=np.float32)), cut)

    chart = SignalChart(VOICE).fit([rows(sound) for sound in sounds.values()])
    hearing, validity = Hearing(), np.ones(1, dtype=np.float32)
    nothing = np.full(len(VOICE), np.nan)

    def read(row: NDArray[Any], outputs: Mapping[str, Floats]) -> Doubles:
        _, sound = newest(get_packets(row))
        if sound is None:
            return nothing
        (now,) = voice_rows(hearing.run(sound[None], validity), sound[None])
        return np.asarray(now)

    return Channel(chart, read, "voice")


@dataclass(frozen=True)
class Reference:
    """What a release was trained on, as far as it is here.

    Attributes:
        bodies: by take.
        scenes: what takes show, where their tiers `scene` or `content` say it.
        sounds: samples by take.
        role: of the release.
        styles: that its model tells apart.
        predictions: what the model says of takes that it did not learn from: of `usual_of`.
    """

    bodies: dict[str, Body]
    scenes: dict[str, str]
    sounds: dict[str, Floats]
    role: Role
    styles: Sequence[str]
    predictions: Sequence[Floats]

    def channels(self) -> list[Channel]:
        """Return what can be charted against it."""
        out = [motion(self.bodies, self.scenes or None)] if self.bodies else []
        out += [voice(self.sounds)] if self.sounds else []
        if self.predictions:
            out.append(sureness(self.role, self.predictions))
            out += [seen_styles(self.role, self.styles, self.predictions)] if self.styles else []
        return out


def reference_of(workspace: Workspace, release: Release) -> Reference:
    """Return what a release was trained on.

    A release that came with the package brings the names of its takes, and not the takes.
    """
    dataset = workspace.objects.manifest(release.model["parents"]["dataset"], "dataset")
    styles = release.model.get("styles", ())
    reference = Reference({}, {}, {}, release.role, styles, usual_of(workspace, release))
    for take in dataset["splits"]["train"]:
        manifest = workspace.objects.manifest(take, "take")
        media = [name for name in media_of(manifest) if name in ("body", "audio")]
        available = [name for name in media if manifest["blobs"][name] in workspace.objects]
        if not available:
            continue
        recording = load(workspace, take, available)
        if recording.body is not None:
            reference.bodies[take] = recording.body
            tiers = manifest.get("tiers", {})
            scene_labels = (tiers.get(tier) for tier in ("scene", "content"))
            scene = next((name for name in scene_labels if isinstance(name, str)), None)
            reference.scenes.update({} if scene is None else {take: scene})
        if recording.audio is not None:
            reference.sounds[take] = recording.audio.samples
    return reference


def _valid(body: Body) -> Doubles:
    return np.where(body.validity[..., None] > 0, body.rotations, np.nan)
