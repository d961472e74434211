"""What plays: a body with the voice that was recorded with it, other voices where it has none."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.capture.formats.wav import write_wav
from greenroom.capture.ingest import store_take
from greenroom.capture.labels import Tiers
from greenroom.capture.packets import AUDIO_BYTES, is_body, newest
from greenroom.capture.readers import Recording, join_media, read_recording
from greenroom.capture.receivers.selection import root_of
from greenroom.capture.sequence import concatenate
from greenroom.capture.skeleton.mapping import Mapping
from greenroom.clock import tick_ns
from greenroom.errors import BadInput
from greenroom.frames import ARKIT, BONES, HUMANOID, SAMPLES_PER_TICK, Body, Floats
from greenroom.live.playlist import Playlist, Scene, Voice, open_playlist, show_conditioning
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
        if playlist.sound(0) is None:
            return None, list(playlist.clips)
        levels = np.stack([playlist.sound(tick) for tick in range(playlist.ticks)])
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


def made(length: int, voice: int, level: float) -> Scene:
    """A body of so many ticks that are told apart, with a voice of so many, or none."""
    rotations = np.tile(np.float32([0, 0, 0, 1]), (length, len(BONES), 1))
    root = (level + np.arange(length, dtype=np.float32) / 100)[:, None] * np.float32([1, 0, 0])
    body = Body(HUMANOID, root, rotations, np.ones((length, len(BONES)), dtype=np.float32))
    samples = np.full(voice * SAMPLES_PER_TICK, level, dtype=np.float32)
    return Scene("", body, Voice(samples) if voice else None)


lengths = st.integers(1, 4)


@given(
    st.lists(st.tuples(lengths, st.integers(0, 5)), min_size=1, max_size=4),
    st.lists(st.integers(1, 5), max_size=3),
    st.integers(1, 40),
)
def test_a_tick_is_heard_and_seen_as_if_all_rounds_were_joined(
    bodies: list[tuple[int, int]], voices: list[int], ticks: int
) -> None:
    scenes = [made(length, voice, 1.0 + k) for k, (length, voice) in enumerate(bodies)]
    others = [made(1, voice, 0.1 * (k + 1)).voice for k, voice in enumerate(voices)]
    playlist = Playlist(tuple(scenes), tuple(v for v in others if v), ticks=ticks)
    levels = [0.1 * (k + 1) for k, voice in enumerate(voices) for _ in range(voice)]
    heard: list[float] = []
    while len(heard) < ticks:
        for k, (length, voice) in enumerate(bodies):
            if voice:
                heard += [1.0 + k if tick < voice else 0.0 for tick in range(length)]
            else:
                spoken = sum(1 for each in heard if 0 < each < 1)
                heard += [
                    (levels[(spoken + i) % len(levels)] if levels else 0) for i in range(length)
                ]
    body, joined = playlist.body(), concatenate([scene.body for scene in scenes * 40])
    assert body is not None
    assert np.allclose(body.root, joined.root[:ticks], atol=1e-5)
    if not voices and not any(voice for _, voice in bodies):
        assert playlist.sound(0) is None
    else:
        got = [float(playlist.sound(tick)[0]) for tick in range(ticks)]  # type: ignore[index]
        assert got == pytest.approx(heard[:ticks])
    packets = [p for tick in range(ticks) for p in playlist.player(first=tick).poll(tick_ns(tick))]
    roots = [root_of(packet.data) for packet in packets if is_body(packet.data)]
    assert np.allclose(np.stack(roots), body.root)  # type: ignore[arg-type]


def test_a_week_takes_no_more_memory_than_a_minute() -> None:
    week = 7 * 24 * 3600 * 30
    scene = made(900, 900, 1.0)
    tracemalloc.start()
    playlist = Playlist((scene,), (), ticks=week)
    [_, sound] = playlist.player(first=week - 1).poll(tick_ns(week))
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(sound.data) == AUDIO_BYTES and used < 16 << 20


def test_the_face_of_a_take_plays_with_its_body_or_its_voice() -> None:
    def face(ticks: int, level: float) -> Floats:
        return np.full((ticks, len(ARKIT)), level, dtype=np.float32)

    own = made(4, 4, 1.0)._replace(face=face(3, 0.5))  # the face was lost at the fourth tick
    silent = made(3, 0, 2.0)
    talk = Voice(np.full(2 * SAMPLES_PER_TICK, 0.3, dtype=np.float32), (), face(2, 0.25))
    playlist = Playlist((own, silent), (talk,), ticks=14)
    seen = [playlist.face(tick) for tick in range(14)]
    once = [0.5, 0.5, 0.5, None, 0.25, 0.25, 0.25]
    assert [None if row is None else float(row[0]) for row in seen] == 2 * once
    [packets, cut] = [
        newest(playlist.player(cuts=cuts).poll(tick_ns(2))) for cuts in ([], [(0, 3)])
    ]
    assert packets.face is not None and packets.face.weights[0] == np.float32(0.5)
    assert cut.face is None and cut.sound is not None


def test_a_recorded_face_of_arkits_names_plays_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.float32([[0.25], [0.5]]))
    mapping = Mapping(channels=("jawOpen",))
    face = read_recording((tmp_path / "f.npy").read_bytes(), "f.npy", mapping)
    workspace = Workspace(tmp_path / "home")
    take = store_take(workspace, face, Attribution("a"), "test")
    playlist = open_playlist(workspace, [take], None)
    assert playlist.ticks == 2
    jaw = ARKIT.index("jawOpen")
    assert [float(playlist.face(tick)[jaw]) for tick in range(2)] == [0.25, 0.5]  # type: ignore[index]
