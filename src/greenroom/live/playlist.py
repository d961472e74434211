"""Make one input of what `--in` names: takes played one after another, bodies beside voices.

A body that has a voice of its own is heard with that one, tick by tick; the takes of voice alone go on,
one after another, wherever a body has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from typing import NamedTuple

import numpy as np

from greenroom.capture.annotations import take_tiers
from greenroom.capture.ingest import load_take
from greenroom.capture.packets import (
    arkit_rows,
    body_packet,
    body_rows,
    encode_audio,
    encode_face,
    packets_due,
)
from greenroom.capture.sequence import Rounds
from greenroom.clock import TICK_HZ
from greenroom.contracts import PHONEMES, Packet
from greenroom.errors import BadInput
from greenroom.frames import ARKIT, BONE, LIMBS, SAMPLES_PER_TICK, Body, Floats
from greenroom.monitoring.script import ScriptScene, tiers_of
from greenroom.rotations import from_vector, multiply, normalise
from greenroom.store.workspace import Workspace

Stretches = Sequence[tuple[int, int, str]]
"""(first tick, one past the last, what is said)."""


class Voice(NamedTuple):
    """A sound (S,), with its take's phonemes and its face (T, 52), NaN where missing, if it has them."""

    samples: Floats
    phonemes: Stretches = ()
    face: Floats | None = None


class Scene(NamedTuple):
    """A body that plays, its name, and its own voice and face (T, 52) if it has them."""

    title: str
    body: Body
    voice: Voice | None = None
    face: Floats | None = None


@dataclass(frozen=True)
class Playlist:
    """What plays: one round of scenes, over and over, in memory that does not grow with the show.

    Attributes:
        scenes: the bodies in order, each with its own voice if it has one.
        voices: that go on, one after another, wherever a body has none.
        ticks: how long it lasts.
        clips: (first tick, name, whether it is a repeat) of each body.
        phonemes: of what is said in it, where the takes have a tier of them.
    """

    scenes: tuple[Scene, ...] = ()
    voices: tuple[Voice, ...] = ()
    ticks: int = 0
    clips: tuple[tuple[int, str, bool], ...] = ()
    phonemes: Stretches = ()

    @property
    def repeats(self) -> bool:
        """Whether the takes are too short, and play again."""
        return any(clip[2] for clip in self.clips)

    @property
    def apart(self) -> bool:
        """Whether a voice plays beside a body that it was not recorded with."""
        return bool(self.voices) and any(scene.voice is None for scene in self.scenes)

    @cached_property
    def _rounds(self) -> Rounds | None:
        return Rounds([scene.body for scene in self.scenes]) if self.scenes else None

    @cached_property
    def _soundtrack(self) -> _Soundtrack | None:
        if not self.voices and all(scene.voice is None for scene in self.scenes):
            return None
        return _Soundtrack(self.scenes, self.voices)

    def body(self, first: int = 0, last: int | None = None) -> Body | None:
        """Return the bodies from one tick to another, joined; None if there is none."""
        if self._rounds is None:
            return None
        return self._rounds.body(first, self.ticks if last is None else min(last, self.ticks))

    def sound(self, tick: int) -> Floats | None:
        """Return what is heard at a tick (800,); None if nothing speaks at all."""
        return None if self._soundtrack is None else self._soundtrack.tick(tick)

    @cached_property
    def _own_faces(self) -> Floats | None:
        """The faces of one round (T, 52); None where no scene has one."""
        if all(scene.face is None for scene in self.scenes):
            return None
        parts = []
        for scene in self.scenes:
            part = np.full((len(scene.body), len(ARKIT)), np.nan, dtype=np.float32)
            if scene.face is not None:
                part[: len(scene.face)] = scene.face[: len(part)]
            parts.append(part)
        return np.concatenate(parts)

    def face(self, tick: int) -> Floats | None:
        """Return the captured face at a tick (52,), NaN where missing; None if there is none.

        It is the body's own, else that of the voice that goes on.
        """
        weights = None
        if self._own_faces is not None:
            weights = self._own_faces[tick % len(self._own_faces)]
        if (weights is None or np.isnan(weights).all()) and self._soundtrack is not None:
            weights = self._soundtrack.face(tick)
        return None if weights is None or np.isnan(weights).all() else weights

    def player(
        self,
        cuts: Sequence[tuple[int, int]] = (),
        first: int = 0,
        dark: Sequence[tuple[int, Body]] = (),
    ) -> PlaylistPlayer:
        """Return a receiver that plays it.

        Args:
            cuts: (first tick, one past the last) in which body and face are lost.
            first: tick to begin at.
            dark: (first tick, body) of stretches that play in place of what is there.
        """
        return PlaylistPlayer(self, cuts, first, dark)


class PlaylistPlayer:
    """Play a playlist in real time, as if it were captured now; made by :meth:`Playlist.player`."""

    def __init__(
        self,
        playlist: Playlist,
        cuts: Sequence[tuple[int, int]],
        first: int,
        dark: Sequence[tuple[int, Body]],
    ) -> None:
        """Packets are made when they are due."""
        self.playlist, self.cuts = playlist, tuple(cuts)
        self._dark = [(begin, body_rows(body)) for begin, body in dark]
        self._firsts = frozenset(clip[0] for clip in playlist.clips)
        self._next = first
        playlist.sound(0)  # laid out now: at the first tick there is no time for it
        playlist.body(0, 0)
        playlist.face(0)

    def poll(self, now_ns: int) -> list[Packet]:
        """Return the packets of every tick that is due."""
        out, self._next = packets_due(self._next, self.playlist.ticks, now_ns, self._packets)
        return out

    def close(self) -> None:
        """Nothing to let go of."""

    def _packets(self, tick: int) -> list[bytes]:
        out = []
        is_cut = any(a <= tick < b for a, b in self.cuts)
        body = None if is_cut else self.playlist.body(tick, tick + 1)
        if body is not None:
            row = body_rows(body)[0]
            for begin, rows in self._dark:
                if begin <= tick < begin + len(rows):
                    row = rows[tick - begin]
            out.append(body_packet(tick, row, tick in self._firsts))
        face = None if is_cut else self.playlist.face(tick)
        if face is not None:
            out.append(encode_face(tick, face))
        sound = self.playlist.sound(tick)
        if sound is not None:
            out.append(encode_audio(tick, sound))
        return out


class _Soundtrack:
    """What is heard along the rounds of scenes, a tick at a time: silence where nothing speaks."""

    def __init__(self, scenes: Sequence[Scene], voices: Sequence[Voice]) -> None:
        ticks = sum(len(scene.body) for scene in scenes)
        self._own = np.zeros((ticks, SAMPLES_PER_TICK), dtype=np.float32)
        is_open = np.zeros(ticks, dtype=np.int64)  # where the other voices go on
        offset = 0
        for scene in scenes:
            end = offset + len(scene.body)
            if scene.voice is None:
                is_open[offset:end] = bool(voices)
            else:
                flat = self._own[offset:end].reshape(-1)
                samples = scene.voice.samples[: len(flat)]
                flat[: len(samples)] = samples
            offset = end
        self._voices = tuple(voices)
        self._is_open = is_open
        self._before = np.concatenate([[0], np.cumsum(is_open)])
        self._others = np.concatenate([voice.samples for voice in voices]) if voices else None

    def _other(self, tick: int) -> int | None:
        """Return the sample at which the other voices are; None where they wait."""
        if self._others is None or not len(self._others):
            return None
        if not len(self._own):
            return tick * SAMPLES_PER_TICK
        rounds, at = divmod(tick, len(self._own))
        spoken = rounds * int(self._before[-1]) + int(self._before[at])
        return spoken * SAMPLES_PER_TICK if self._is_open[at] else None

    def tick(self, tick: int) -> Floats:
        """Return what is heard at a tick (800,)."""
        first = self._other(tick)
        if first is None or self._others is None:
            return np.asarray(self._own[tick % len(self._own)])
        return np.take(self._others, np.arange(first, first + SAMPLES_PER_TICK), mode="wrap")

    def face(self, tick: int) -> Floats | None:
        """Return the face of the other voice that is heard at a tick (52,); None where none is."""
        first = self._other(tick)
        if first is None or self._others is None:
            return None
        first %= len(self._others)
        for voice in self._voices:
            if first < len(voice.samples):
                at = first // SAMPLES_PER_TICK
                has_it = voice.face is not None and at < len(voice.face)
                return voice.face[at] if has_it and voice.face is not None else None
            first -= len(voice.samples)
        return None


def open_playlist(workspace: Workspace, takes: Sequence[str], ticks: int | None) -> Playlist:
    """Return the takes as one input.

    Args:
        workspace: where they are.
        takes: their hashes, in order.
        ticks: for how long; they repeat until then, or end early. None: each plays once.

    Raises:
        BadInput: no take can play.
    """
    scenes: list[Scene] = []
    voices: list[Voice] = []
    for name in takes:
        recording = load_take(workspace, name)
        voice, face = None, arkit_rows(recording.face)
        if recording.audio is not None:
            spans = take_tiers(workspace, name).get(PHONEMES, ())
            spans = () if isinstance(spans, str) else spans
            voice = Voice(recording.audio.samples, spans, face)
        elif face is not None and recording.body is None:  # it says nothing
            silence = np.zeros(len(face) * SAMPLES_PER_TICK, dtype=np.float32)
            voice = Voice(silence, (), face)
        if recording.body is not None:
            title = workspace.attributions.name(name)
            scenes.append(Scene(title, recording.body, voice, face))
        elif voice is not None:
            voices.append(voice)
    if not scenes and not voices:
        raise BadInput("there is nothing to play", then="give --in take:HASH")
    if ticks is None:
        samples = sum(len(voice.samples) for voice in voices)
        ticks = sum(len(s.body) for s in scenes) if scenes else -(-samples // SAMPLES_PER_TICK)
    clips = _clips(scenes, ticks)
    phonemes = _phonemes(scenes, voices, clips, ticks)
    return Playlist(tuple(scenes), tuple(voices), ticks=ticks, clips=clips, phonemes=phonemes)


def show_conditioning(playlist: Playlist, script: Sequence[ScriptScene]) -> dict[str, Stretches]:
    """Return what models that know words are told of a show: what is said, and what its script says."""
    out: dict[str, Stretches] = dict(tiers_of(list(script)))
    if playlist.phonemes:
        out[PHONEMES] = playlist.phonemes
    return out


def degrade_capture(body: Body, first: int, seed: int) -> None:
    """Let the light fail on a body, in place: joints jitter, limbs are lost, nothing is trusted whole.

    A simulation, for rehearsals of what to do then: 4° of jitter in every joint (rms), the right arm
    lost in every other second, and 0.4 of visibility.

    Args:
        body: of the stretch in which it fails.
        first: the stretch's first tick.
        seed: of the jitter.
    """
    random = np.random.default_rng([seed, first])
    shake = np.deg2rad(4) / np.sqrt(3) * random.standard_normal((*body.rotations.shape[:2], 3))
    shaken = multiply(from_vector(shake.astype(np.float32)), body.rotations).astype(np.float32)
    body.rotations[:] = normalise(shaken)
    body.validity[:] *= np.float32(0.4)
    arm = [BONE[name] for name in LIMBS["right arm"]]
    seconds = np.arange(first, first + len(body)) // TICK_HZ
    for tick in np.flatnonzero(seconds % 2 == 0):
        body.validity[tick, arm] = 0


def _clips(scenes: Sequence[Scene], ticks: int) -> tuple[tuple[int, str, bool], ...]:
    """Return what plays in order, again from the start until `ticks` are covered."""
    out, offset = [], 0
    for k, scene in enumerate(cycle(scenes)):
        if offset >= ticks:
            break
        out.append((offset, scene.title, k >= len(scenes)))
        offset += len(scene.body)
    return tuple(out)


def _phonemes(
    scenes: Sequence[Scene],
    voices: Sequence[Voice],
    clips: Sequence[tuple[int, str, bool]],
    ticks: int,
) -> Stretches:
    """Return what is said along the clips: in a body's own voice, else in the others, which go on."""
    if not scenes:
        return _looped_phonemes(voices, 0, ticks)
    out: list[tuple[int, int, str]] = []
    spoken = 0  # ticks of the other voices so far
    for k, (first, _, _) in enumerate(clips):
        scene = scenes[k % len(scenes)]
        length = min(len(scene.body), ticks - first)
        if scene.voice is not None:
            phonemes = _cut(scene.voice.phonemes, 0, length)
        else:
            phonemes = _looped_phonemes(voices, spoken, length)
            spoken += length
        out += [(first + a, first + b, symbol) for a, b, symbol in phonemes]
    return tuple(out)


def _looped_phonemes(voices: Sequence[Voice], first: int, ticks: int) -> Stretches:
    """Return the phonemes of looped voices from tick `first` on, to the nearest tick."""
    out: list[tuple[int, int, str]] = []
    total = sum(len(voice.samples) for voice in voices) / SAMPLES_PER_TICK
    if not total or not any(voice.phonemes for voice in voices):
        return ()
    offset = first // total * total
    while offset < first + ticks:
        for voice in voices:
            shifted = [
                (round(offset + a), round(offset + b), symbol) for a, b, symbol in voice.phonemes
            ]
            out += _cut(shifted, first, ticks)
            offset += len(voice.samples) / SAMPLES_PER_TICK
    return tuple(out)


def _cut(stretches: Stretches, first: int, ticks: int) -> Stretches:
    """Return the parts of stretches that lie in so many ticks from `first` on, counted from there."""
    clipped = [(max(0, a - first), min(b - first, ticks), value) for a, b, value in stretches]
    return tuple(stretch for stretch in clipped if stretch[0] < stretch[1])
