"""Watch a show with the charts: from each frame to their channels, from their alerts to whoever acts.

What is charted is the capture, not what was made of it. Nothing here is in the show's way: it sees
frames after they were sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from greenroom.capture.packets import newest
from greenroom.capture.takes import load, media_of
from greenroom.contracts import Alert
from greenroom.features.speech import Hearing
from greenroom.frames import BONE, SAMPLES_PER_TICK, Body, Doubles, Floats
from greenroom.live.ring import get_packets
from greenroom.monitoring.angles import JOINTS, limbs, mean_pose, rotation_vectors
from greenroom.monitoring.charts import MotionChart
from greenroom.monitoring.signals import VOICE, SignalChart, voice_rows
from greenroom.registry.release import Release
from greenroom.store.workspace import Workspace

_EVERY = 10
"""Ticks from one look at what has ended to the next."""


class Chart(Protocol):
    """What takes a tick and raises alerts."""

    @property
    def learning(self) -> bool:
        """Whether the reference holds too little for any alert."""

    @property
    def alerts(self) -> Sequence[Alert]:
        """What was raised since the last reset, oldest first."""

    def update(self, x: ArrayLike, *, excused: bool = False) -> None:
        """Take one tick."""

    def lasts(self, signal: str) -> bool:
        """Tell whether what was alerted goes on."""


@dataclass(frozen=True)
class Channel:
    """A chart, and what it is fed.

    Attributes:
        chart: fitted.
        read: makes a tick of a frame's row and the model's outputs.
    """

    chart: Chart
    read: Callable[[NDArray[Any], Mapping[str, Floats]], ArrayLike]


def motion(bodies: Mapping[str, Body], scenes: Mapping[str, str] | None = None) -> Channel:
    """Return the channel of the captured joints, with a chart fitted on takes in control.

    Args:
        bodies: by take, in the order in which a show would play them.
        scenes: what each take shows, if that is known.
    """
    shares = [(body.validity > 0).mean(axis=0) for body in bodies.values()]
    there = np.mean(shares, axis=0) if shares else np.zeros(len(BONE))
    # What the reference never had is no loss where it is missing.
    joints = tuple(joint for joint in JOINTS if there[BONE[joint]] > 0.5)
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
    hearing, one = Hearing(), np.ones(1, dtype=np.float32)
    nothing = np.full(len(VOICE), np.nan)

    def read(row: NDArray[Any], outputs: Mapping[str, Floats]) -> Doubles:
        _, sound = newest(get_packets(row))
        if sound is None:
            return nothing
        (now,) = voice_rows(hearing.run(sound[None], one), sound[None])
        return np.asarray(now)

    return Channel(chart, read)


@dataclass(frozen=True)
class Reference:
    """What a release was trained on, as far as it is here.

    Attributes:
        bodies: by take.
        scenes: what takes show, where their tiers `scene` or `content` say it.
        sounds: samples by take.
    """

    bodies: dict[str, Body]
    scenes: dict[str, str]
    sounds: dict[str, Floats]

    def channels(self) -> list[Channel]:
        """Return what can be charted against it."""
        out = [motion(self.bodies, self.scenes or None)] if self.bodies else []
        return out + ([voice(self.sounds)] if self.sounds else [])


def reference_of(workspace: Workspace, release: Release) -> Reference:
    """Return what a release was trained on.

    A release that came with the package brings the names of its takes, and not the takes.
    """
    dataset = workspace.objects.manifest(release.model["parents"]["dataset"], "dataset")
    found = Reference({}, {}, {})
    for take in dataset["splits"]["train"]:
        manifest = workspace.objects.manifest(take, "take")
        media = [name for name in media_of(manifest) if name in ("body", "audio")]
        here = [name for name in media if manifest["blobs"][name] in workspace.objects]
        if not here:
            continue
        recording = load(workspace, take, here)
        if recording.body is not None:
            found.bodies[take] = recording.body
            tiers = manifest.get("tiers", {})
            named = (tiers.get(tier) for tier in ("scene", "content"))
            scene = next((name for name in named if isinstance(name, str)), None)
            found.scenes.update({} if scene is None else {take: scene})
        if recording.audio is not None:
            found.sounds[take] = recording.audio.samples
    return found


def _valid(body: Body) -> Doubles:
    return np.where(body.validity[..., None] > 0, body.rotations, np.nan)


class Watch:
    """Observe a show with charts; one alert of a signal at a time, told when it begins and ends.

    Args:
        channels: what is charted.
        tell: called with an alert and whether it begins (else it has ended).
        excused: tells whether a new style is wanted at a tick; see `MotionChart.update`.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        tell: Callable[[Alert, bool], None],
        excused: Callable[[int], bool] = lambda tick: False,
    ) -> None:
        """Begin before the first frame."""
        self.tell, self.excused = tell, excused
        self._take(channels)
        self._new: Sequence[Channel] | None = None
        self.active: dict[str, tuple[Alert, Chart]] = {}

    def _take(self, channels: Sequence[Channel]) -> None:
        self.channels, self._seen, self._frames = channels, [0] * len(channels), 0

    def renew(self, make: Callable[[], Sequence[Channel]]) -> None:
        """Go on with other channels, once a thread has made them: the reference has changed."""

        def work() -> None:
            self._new = make()

        threading.Thread(target=work, daemon=True).start()

    def frame(self, row: NDArray[Any], outputs: dict[str, Any]) -> None:
        """See one frame."""
        tick = int(row["tick"])
        if self._new is not None:
            self._end(tick, all_of_them=True)
            self._take(self._new)
            self._new = None
        for i, (channel, seen) in enumerate(zip(self.channels, self._seen, strict=True)):
            channel.chart.update(channel.read(row, outputs), excused=self.excused(tick))
            raised = channel.chart.alerts[seen:]
            self._seen[i] += len(raised)
            for alert in raised:
                self._begin(alert, channel.chart, tick - self._frames)
        self._frames += 1
        if self._frames % _EVERY == 0:
            self._end(tick)

    def _begin(self, alert: Alert, chart: Chart, shift: int) -> None:
        """Tell of an alert, in the show's ticks: a chart counts those that it was given."""
        ticks = (alert.tick, alert.began, alert.began_low, alert.began_high)
        names = ("tick", "began", "began_low", "began_high")
        moved = {name: max(0, at + shift) for name, at in zip(names, ticks, strict=True)}
        alert = replace(alert, **moved)  # type: ignore[arg-type]  # ticks are whole numbers
        self.active[alert.signal] = (alert, chart)
        self.tell(alert, True)

    def _end(self, tick: int, all_of_them: bool = False) -> None:
        for signal, (alert, chart) in list(self.active.items()):
            if all_of_them or not chart.lasts(signal):
                del self.active[signal]
                self.tell(replace(alert, tick=tick), False)
