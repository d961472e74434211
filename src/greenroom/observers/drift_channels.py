"""From what a release learned from to charts, and from a frame to what they are fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenroom.capture.annotations import dataset_tiers
from greenroom.capture.ingest import load_take
from greenroom.contracts import Detector
from greenroom.features.speech import SpeechExtractor
from greenroom.frames import BONE, SAMPLES_PER_TICK, Body, Doubles, Floats
from greenroom.live.ring import samples_of
from greenroom.manifests import Dataset, Take
from greenroom.monitoring.angles import JOINTS, limbs, mean_pose, rotation_vectors
from greenroom.monitoring.charts.motion import MotionChart
from greenroom.monitoring.charts.signals import VOICE, SignalChart, voice_rows
from greenroom.monitoring.detectors import installed_detectors
from greenroom.observers.drift_monitor import MonitoredChannel
from greenroom.observers.model_drift import confidence_channel, reference_rows, style_channel
from greenroom.registry.release import PerformerSpec, Release
from greenroom.store.workspace import Workspace


def motion_channels(
    bodies: Mapping[str, Body], scenes: Mapping[str, str] | None = None
) -> list[MonitoredChannel]:
    """Return channels of the captured joints: our chart and the detectors of plug-ins, fitted.

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
    by_limb = limbs(joints)
    chart = MotionChart(by_limb).fit(takes, context)
    charts: list[Detector] = [chart]
    charts += [detector.fit(takes) for detector in installed_detectors(by_limb)]
    nothing = np.full(3 * len(joints), np.nan, dtype=np.float32)

    def read(row: NDArray[Any], outputs: Mapping[str, Floats]) -> Floats:
        sample = samples_of(row).body
        if sample is None:
            return nothing
        rotations = np.where(sample.validity[:, None] > 0, sample.rotations, np.nan)
        return rotation_vectors(rotations, mean, joints)

    return [MonitoredChannel(each, read) for each in charts]


def voice_channel(sounds: Mapping[str, Floats]) -> MonitoredChannel:
    """Return the channel of what is heard, with a chart fitted on takes in control.

    Args:
        sounds: samples (S,) by take, 24 kHz mono.
    """

    def rows(sound: Floats) -> Doubles:
        ticks = len(sound) // SAMPLES_PER_TICK
        cut = sound[: ticks * SAMPLES_PER_TICK].reshape(ticks, SAMPLES_PER_TICK)
        return voice_rows(SpeechExtractor().run(cut, np.ones(ticks, dtype=np.float32)), cut)

    chart = SignalChart(VOICE).fit([rows(sound) for sound in sounds.values()])
    hearing, validity = SpeechExtractor(), np.ones(1, dtype=np.float32)
    nothing = np.full(len(VOICE), np.nan)

    def read(row: NDArray[Any], outputs: Mapping[str, Floats]) -> Doubles:
        sound = samples_of(row).sound
        if sound is None:
            return nothing
        (now,) = voice_rows(hearing.run(sound[None], validity), sound[None])
        return np.asarray(now)

    return MonitoredChannel(chart, read, "voice")


@dataclass(frozen=True)
class TrainingReference:
    """What a release was trained on, as far as it is here.

    Attributes:
        bodies: by take.
        scenes: what takes show, where their tiers `scene` or `content` say it.
        sounds: samples by take.
        role: of the release.
        styles: that its model tells apart.
        predictions: what the model says of takes that it did not learn from: of `reference_rows`.
    """

    bodies: dict[str, Body]
    scenes: dict[str, str]
    sounds: dict[str, Floats]
    role: PerformerSpec
    styles: Sequence[str]
    predictions: Sequence[Floats]

    def channels(self) -> list[MonitoredChannel]:
        """Return what can be charted against it."""
        out = motion_channels(self.bodies, self.scenes or None) if self.bodies else []
        out += [voice_channel(self.sounds)] if self.sounds else []
        if self.predictions:
            out.append(confidence_channel(self.role, self.predictions))
            out += [style_channel(self.role, self.styles, self.predictions)] if self.styles else []
        return out


def load_training_reference(workspace: Workspace, release: Release) -> TrainingReference:
    """Return what a release was trained on.

    A release that came with the package brings the names of its takes, and not the takes.
    """
    dataset = workspace.objects.read(release.model.parents.dataset, Dataset)
    styles = release.model.styles
    reference = TrainingReference(
        {},
        {},
        sounds={},
        role=release.role,
        styles=styles,
        predictions=reference_rows(workspace, release),
    )
    tiers_by_take = dataset_tiers(workspace, dataset)
    for take in dataset.splits["train"]:
        manifest = workspace.objects.read(take, Take)
        media = [name for name in manifest.media if name in ("body", "audio")]
        available = [name for name in media if manifest.media[name].blob in workspace.objects]
        if not available:
            continue
        recording = load_take(workspace, take, available)
        if recording.body is not None:
            reference.bodies[take] = recording.body
            tiers = tiers_by_take.get(take, {})
            scene_labels = (tiers.get(tier) for tier in ("scene", "content"))
            scene = next((name for name in scene_labels if isinstance(name, str)), None)
            reference.scenes.update({} if scene is None else {take: scene})
        if recording.audio is not None:
            reference.sounds[take] = recording.audio.samples
    return reference


def _valid(body: Body) -> Doubles:
    return np.where(body.validity[..., None] > 0, body.rotations, np.nan)
