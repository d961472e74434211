"""Sound and motion that belong together by construction, and such that do not."""

from pathlib import Path

import numpy as np
import pytest

from greenroom.capture.discovery import open_recordings
from greenroom.capture.readers import Refusal
from greenroom.errors import BadInput
from greenroom.features.speech import SpeechExtractor
from greenroom.frames import SAMPLES_PER_TICK, Doubles
from greenroom.metrics.matching import Matcher, chance_of_match, match_tally
from greenroom.metrics.motion import aggregate


def takes(seed: int, number: int, ticks: int = 200) -> tuple[list[Doubles], list[Doubles]]:
    """A hidden loudness opens the mouth 2 ticks later; the rest is noise."""
    rng = np.random.default_rng(seed)
    sounds, motions = [], []
    for _ in range(number):
        hidden = np.convolve(rng.normal(size=ticks + 10), np.ones(8) / 3, "same")
        sound = np.outer(hidden[4:-6], [1, 0.5, 0, 0]) + 0.3 * rng.normal(size=(ticks, 4))
        motion = np.outer(hidden[2:-8], [0.2, 0, 0.1]) + 0.05 * rng.normal(size=(ticks, 3))
        sounds.append(sound)
        motions.append(motion)
    return sounds, motions


def test_the_right_sound_wins_and_noise_is_chance() -> None:
    matcher = Matcher(*takes(0, 6))
    sounds, motions = takes(1, 20, 90)
    noise = list(np.random.default_rng(2).normal(size=(20, 90, 3)))
    names = [f"take {i // 4}" for i in range(20)]
    found = match_tally(
        matcher, sounds, names, {"truth": motions, "model": noise, "hold": [0 * m for m in motions]}
    )
    rows = list(found.values())
    assert len(rows) == 5 and sum(t.weight for t in rows) == 20
    assert aggregate(rows, "truth") > 0.95
    assert aggregate(rows, "model") == pytest.approx(0.5, abs=0.2)
    assert aggregate(rows, "hold") == 0.5  # all scores tie


def test_a_score_is_the_tables_and_forgets_scale() -> None:
    matcher = Matcher(*takes(0, 6))
    sounds, motions = takes(1, 4, 90)
    table = matcher.scores(sounds, motions)
    assert table[1, 2] == pytest.approx(matcher.score(sounds[1], motions[2]))
    assert np.abs(table).max() <= 1
    assert matcher.score(sounds[0], 5 * motions[0] + 2) == pytest.approx(table[0, 0])
    assert np.diag(table).mean() > table[~np.eye(4, dtype=bool)].mean() + 0.1


def test_the_chance_is_a_count_of_wins_with_half_a_tie() -> None:
    scores = np.asarray([[3.0, 0, 1], [1, 2, 1], [3, 5, 1]])
    assert chance_of_match(scores).tolist() == [0.75, 0.5, 0.5]
    assert np.isnan(chance_of_match(np.ones((1, 1)))).all()


def test_what_cannot_be_compared_is_said() -> None:
    sounds, motions = takes(0, 2)
    matcher = Matcher(sounds, motions)
    with pytest.raises(BadInput, match="ticks"):
        matcher.score(sounds[0], motions[0][1:])
    with pytest.raises(BadInput, match="missing"):
        matcher.score(sounds[0], np.nan * motions[0])
    with pytest.raises(BadInput, match="one length"):
        matcher.scores([sounds[0], sounds[1][1:]], [motions[0], motions[1][1:]])
    with pytest.raises(BadInput, match="0 stretches"):
        Matcher([], [])
    with pytest.raises(BadInput, match="of 1 takes"):
        match_tally(matcher, sounds, ["a"], {})


@pytest.mark.slow
def test_real_faces_go_with_their_own_voice(shared_data: Path) -> None:
    """On sentences that were not fitted on: the right 2 s of sound win, unless time runs backwards."""
    pairs = []
    for recording in open_recordings(shared_data / "facegood_speech_face"):
        if isinstance(recording, Refusal) or recording.face is None or recording.audio is None:
            continue
        ticks = min(len(recording.face), len(recording.audio.samples) // SAMPLES_PER_TICK)
        sound = recording.audio.samples[: ticks * SAMPLES_PER_TICK].reshape(ticks, -1)
        heard = SpeechExtractor().run(np.ascontiguousarray(sound), np.ones(ticks, np.float32))[
            :, :41
        ]
        pairs.append((heard, recording.face.weights[:ticks].astype(np.float64)))
    assert len(pairs) == 5
    moving = np.concatenate([face for _, face in pairs]).std(axis=0) > 0.01
    *learn, (sound, face) = [(heard, face[:, moving]) for heard, face in pairs]
    matcher = Matcher([s for s, _ in learn], [f for _, f in learn])
    starts = range(0, len(sound) - 59, 60)
    said = {"truth": [face[t : t + 60] for t in starts]}
    said["reversed"] = [part[::-1] for part in said["truth"]]
    tally = match_tally(matcher, [sound[t : t + 60] for t in starts], ["t"] * len(starts), said)
    assert aggregate([tally["t"]], "truth") > 0.93
    assert aggregate([tally["t"]], "reversed") == pytest.approx(0.5, abs=0.15)
