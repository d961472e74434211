"""Make one input of what `--in` names: takes played one after another, bodies beside voices.

A body that has a voice of its own is heard with that one, tick by tick; the takes of voice alone go on,
one after another, wherever a body has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

import numpy as np

from greenroom.capture.annotations import take_tiers
from greenroom.capture.ingest import load_take
from greenroom.capture.packets import TakePlayer
from greenroom.capture.sequence import concatenate
from greenroom.clock import TICK_HZ
from greenroom.contracts import PHONEMES
from greenroom.errors import BadInput
from greenroom.frames import BONE, LIMBS, SAMPLES_PER_TICK, Body, Floats
from greenroom.monitoring.script import ScriptScene, tiers_of
from greenroom.rotations import from_vector, multiply, normalise
from greenroom.store.workspace import Workspace

Stretches = Sequence[tuple[int, int, str]]
"""(first tick, one past the last, what is said)."""


@dataclass(frozen=True)
class Playlist:
    """What plays.

    Attributes:
        body: the bodies, joined; None if there is none.
        audio: each body's own voice, and the other voices one after another where it has none.
        clips: (first tick, name, whether it is a repeat) of each body.
        repeats: whether the takes were too short and play again.
        apart: whether a voice plays beside a body that it was not recorded with.
        phonemes: of what is said in it, where the takes have a tier of them.
    """

    body: Body | None
    audio: Floats | None
    clips: tuple[tuple[int, str, bool], ...]
    repeats: bool
    apart: bool = False
    phonemes: Stretches = ()

    @property
    def ticks(self) -> int:
        """How long it lasts."""
        if self.body is not None:
            return len(self.body)
        return 0 if self.audio is None else -(-len(self.audio) // SAMPLES_PER_TICK)

    def player(self, cuts: Sequence[tuple[int, int]] = (), first: int = 0) -> TakePlayer:
        """Return a receiver that plays it from tick `first` on."""
        return TakePlayer(
            self.body, self.audio, firsts=[clip[0] for clip in self.clips], cuts=cuts, first=first
        )


def open_playlist(workspace: Workspace, takes: Sequence[str], ticks: int | None) -> Playlist:
    """Return the takes as one input.

    Args:
        workspace: where they are.
        takes: their hashes, in order.
        ticks: for how long; they repeat until then, or end early. None: each plays once.

    Raises:
        BadInput: no take can play.
    """
    bodies: list[_Scene] = []
    voices: list[_Voice] = []
    for name in takes:
        recording = load_take(workspace, name)
        voice = None
        if recording.audio is not None:
            spans = take_tiers(workspace, name).get(PHONEMES, ())
            voice = _Voice(recording.audio.samples, () if isinstance(spans, str) else spans)
        if recording.body is not None:
            bodies.append(_Scene(workspace.attributions.name(name), recording.body, voice))
        elif voice is not None:
            voices.append(voice)
    if not bodies and not voices:
        raise BadInput("there is nothing to play", then="give --in take:HASH")
    if not bodies:
        sound = _looped(voices, 0, ticks)
        phonemes = _looped_phonemes(voices, 0, -(-len(sound) // SAMPLES_PER_TICK))
        return Playlist(None, sound, (), False, phonemes=phonemes)
    scenes = _scenes(bodies, ticks)
    body, clips = _bodies(scenes, len(bodies), ticks)
    apart = bool(voices) and any(scene.voice is None for scene in scenes)
    repeats = any(clip[2] for clip in clips)
    audio, phonemes = _sound(scenes, voices, len(body))
    return Playlist(body, audio, clips=clips, repeats=repeats, apart=apart, phonemes=phonemes)


def show_conditioning(playlist: Playlist, script: Sequence[ScriptScene]) -> dict[str, Stretches]:
    """Return what models that know words are told of a show: what is said, and what its script says."""
    out: dict[str, Stretches] = dict(tiers_of(list(script)))
    if playlist.phonemes:
        out[PHONEMES] = playlist.phonemes
    return out


def degrade_capture(body: Body | None, first: int, last: int, seed: int) -> None:
    """Let the light fail on a body, in place: joints jitter, limbs are lost, nothing is trusted whole.

    A simulation, for rehearsals of what to do then: 4° of jitter in every joint (rms), the right arm
    lost in every other second, and 0.4 of visibility.

    Args:
        body: what plays; None does nothing.
        first: the first tick.
        last: one past the last.
        seed: of the jitter.
    """
    if body is None:
        return
    part = slice(first, min(last, len(body)))
    random = np.random.default_rng([seed, first])
    turns = body.rotations[part]
    shake = np.deg2rad(4) / np.sqrt(3) * random.standard_normal((*turns.shape[:2], 3))
    shaken = multiply(from_vector(shake.astype(np.float32)), turns).astype(np.float32)
    body.rotations[part] = normalise(shaken)
    body.validity[part] *= np.float32(0.4)
    arm = [BONE[name] for name in LIMBS["right arm"]]
    seconds = np.arange(part.start, part.start + len(turns)) // TICK_HZ
    for tick in np.flatnonzero(seconds % 2 == 0):
        body.validity[part.start + tick, arm] = 0


class _Voice(NamedTuple):
    """A sound (S,), and the phonemes in it where its take has them."""

    samples: Floats
    phonemes: Stretches


class _Scene(NamedTuple):
    """A body that plays, its name, and its own voice if it has one."""

    title: str
    body: Body
    voice: _Voice | None


def _scenes(bodies: Sequence[_Scene], ticks: int | None) -> list[_Scene]:
    """Return what plays in order, again from the start until `ticks` are covered."""
    if ticks is None:
        return list(bodies)
    out, offset = [], 0
    for scene in cycle(bodies):
        if offset >= ticks:
            break
        out.append(scene)
        offset += len(scene.body)
    return out


def _bodies(
    scenes: Sequence[_Scene], once: int, ticks: int | None
) -> tuple[Body, tuple[tuple[int, str, bool], ...]]:
    clips, offset = [], 0
    for k, scene in enumerate(scenes):
        clips.append((offset, scene.title, k >= once))
        offset += len(scene.body)
    joined = concatenate([scene.body for scene in scenes])
    if ticks is not None:
        joined = Body(
            joined.skeleton, joined.root[:ticks], joined.rotations[:ticks], joined.validity[:ticks]
        )
    return joined, tuple(clips)


def _sound(
    scenes: Sequence[_Scene], voices: Sequence[_Voice], ticks: int
) -> tuple[Floats | None, Stretches]:
    """Return what is heard along the scenes, silence where nothing speaks, and its phonemes.

    The sound is None if nothing speaks at all.
    """
    if not voices and all(scene.voice is None for scene in scenes):
        return None, ()
    out_phonemes: list[tuple[int, int, str]] = []
    out = np.zeros(ticks * SAMPLES_PER_TICK, dtype=np.float32)
    sample_offset, voice_offset = 0, 0
    for scene in scenes:
        segment = out[sample_offset : sample_offset + len(scene.body) * SAMPLES_PER_TICK]
        first, length = sample_offset // SAMPLES_PER_TICK, len(segment) // SAMPLES_PER_TICK
        phonemes: Stretches = ()
        if scene.voice is not None:
            scene_samples = scene.voice.samples[: len(segment)]
            segment[: len(scene_samples)] = scene_samples
            phonemes = _cut(scene.voice.phonemes, 0, length)
        elif voices:
            segment[:] = _looped(voices, voice_offset, length)
            phonemes = _looped_phonemes(voices, voice_offset // SAMPLES_PER_TICK, length)
            voice_offset += len(segment)
        out_phonemes += [(first + a, first + b, symbol) for a, b, symbol in phonemes]
        sample_offset += len(segment)
    return out, tuple(out_phonemes)


def _looped_phonemes(voices: Sequence[_Voice], first: int, ticks: int) -> Stretches:
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


def _looped(voices: Sequence[_Voice], first: int, ticks: int | None) -> Floats:
    """Return voices one after another from sample `first` on, over and over for `ticks` ticks."""
    once = np.concatenate([voice.samples for voice in voices])
    if ticks is None:
        return once
    return np.take(once, np.arange(first, first + ticks * SAMPLES_PER_TICK), mode="wrap")
