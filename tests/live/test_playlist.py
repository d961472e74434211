"""What plays: a body with the voice that was recorded with it, other voices where it has none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import store_take
from greenroom.capture.labels import Tiers
from greenroom.capture.readers import Recording, join_media, read_recording
from greenroom.capture.skeleton.mapping import Mapping
from greenroom.errors import BadInput
from greenroom.frames import SAMPLES_PER_TICK, Floats
from greenroom.live.playlist import open_playlist, show_conditioning
from greenroom.monitoring.script import ScriptScene
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace


@pytest.fixture
def play(tmp_path: Path, person: Callable[..., bytes]) -> Callable[..., tuple[Floats | None, list]]:
    """Play takes told as (ticks of the body, ticks of the voice, the voice's level)."""
    workspace = Workspace(tmp_path)

    def take(body: int, voice: int, level: float) -> str:
        parts: list[Recording] = []
        if body:
            parts.append(read_recording(person(frames=body, seed=round(level * 10)), "w.bvh"))
        if voice:
            samples = np.full(voice * SAMPLES_PER_TICK, level, dtype=np.float32)
            parts.append(read_recording(write_wav(samples), "w.wav"))
        return store_take(workspace, join_media(parts), Attribution("a"), "test")

    def play(takes: list[tuple[int, int, float]], ticks: int | None = None):
        playlist = open_playlist(workspace, [take(*one) for one in takes], ticks)
        if playlist.audio is None:
            return None, list(playlist.clips)
        levels = playlist.audio.reshape(-1, SAMPLES_PER_TICK)
        assert (levels == levels[:, :1]).all()
        return levels[:, 0].round(1).tolist(), list(playlist.clips)

    return play


def test_a_take_plays_its_own_voice_with_its_body(play) -> None:
    heard, clips = play([(4, 3, 0.1), (3, 5, 0.2)])
    assert heard == pytest.approx([0.1] * 3 + [0.0] + [0.2] * 3)  # padded, then cut, to the body
    assert [clip[0] for clip in clips] == [0, 4]
    heard, clips = play([(4, 3, 0.1), (3, 5, 0.2)], ticks=9)
    assert heard == pytest.approx([0.1] * 3 + [0.0] + [0.2] * 3 + [0.1] * 2)
    assert [(clip[0], clip[2]) for clip in clips] == [(0, False), (4, False), (7, True)]


def test_other_voices_go_on_where_a_body_has_none(play) -> None:
    heard, _ = play([(3, 0, 0), (2, 2, 0.5), (3, 0, 0.1), (0, 2, 0.1), (0, 2, 0.2)])
    assert heard == pytest.approx([0.1, 0.1, 0.2] + [0.5] * 2 + [0.2, 0.1, 0.1])


def test_bodies_alone_and_voices_alone_play_as_before(play) -> None:
    assert play([(3, 0, 0)])[0] is None
    assert play([(0, 2, 0.1), (0, 1, 0.2)])[0] == pytest.approx([0.1, 0.1, 0.2])
    assert play([(0, 2, 0.1), (0, 1, 0.2)], 4)[0] == pytest.approx([0.1, 0.1, 0.2, 0.1])
    assert play([(0, 2, 0.1), (5, 0, 0)])[0] == pytest.approx([0.1] * 5)


def test_a_face_alone_is_nothing_to_play(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.zeros((3, 1)))
    face = read_recording((tmp_path / "f.npy").read_bytes(), "f.npy", Mapping(channels=("jaw",)))
    workspace = Workspace(tmp_path / "home")
    with pytest.raises(BadInput, match="nothing to play"):
        open_playlist(workspace, [store_take(workspace, face, Attribution("a"), "test")], None)


def test_phonemes_are_told_when_they_are_heard(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    workspace, takes = Workspace(tmp_path), []
    for seed, (body, voice, said) in enumerate(
        [
            (4, 6, [(1, 3, "A"), (3, 6, "B")]),  # cut to its body
            (3, 0, []),
            (5, 0, []),
            (0, 2, [(0, 2, "C")]),
            (0, 3, [(1, 2, "D")]),
        ]
    ):
        parts = [read_recording(person(frames=body, seed=seed), "w.bvh")] if body else []
        if voice:
            samples = np.full(voice * SAMPLES_PER_TICK, 0.1 + 0.1 * seed, dtype=np.float32)
            parts.append(read_recording(write_wav(samples), "w.wav"))
        tiers: Tiers = {"phonemes": said} if said else {}
        takes.append(
            store_take(workspace, join_media(parts), Attribution("a"), "test", tiers=tiers)
        )
    script = [ScriptScene(0, 6, "walk"), ScriptScene(6, 99, "dance", (("emotion", "happy"),))]
    told = show_conditioning(open_playlist(workspace, takes, 14), script)
    own = [(1, 3, "A"), (3, 4, "B")]
    others = [(4, 6, "C"), (7, 8, "D"), (9, 11, "C")]  # over both bodies without a voice, and on
    assert list(told["phonemes"]) == [*own, *others, (13, 14, "A")]
    assert told["scene"] == [(0, 6, "walk"), (6, 99, "dance")]
    assert told["emotion"] == [(6, 99, "happy")]
    alone = open_playlist(workspace, takes[3:], 9).phonemes
    assert list(alone) == [(0, 2, "C"), (3, 4, "D"), (5, 7, "C"), (8, 9, "D")]
    assert show_conditioning(open_playlist(workspace, takes[1:2], 9), []) == {}
