"""What the shipped release promises, measured on clips that it was not trained on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from greenroom import config, embedded
from greenroom.capture.readers import read_recording
from greenroom.capture.sample_data import Clip
from greenroom.capture.sequence import mirror_body
from greenroom.contracts import Packet
from greenroom.frames import BONE, Body
from greenroom.live.performer import Performer
from greenroom.live.playlist import open_playlist
from greenroom.registry.release import Release, load_release
from greenroom.rotations import angle_between
from greenroom.serving.onnx_backend import PORTABLE_OPERATIONS, OnnxBackend
from greenroom.store.workspace import Workspace

CUT = (300, 600)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def release(home: Workspace) -> Release:
    return load_release(home, embedded.install(home))


def test_it_is_small_sound_and_portable(home: Workspace, release: Release) -> None:
    size = sum(f.stat().st_size for f in embedded.FOLDER.rglob("*") if f.is_file())
    assert size <= 5 * 1024 * 1024
    assert release.model.parameters <= 1_200_000
    assert set(release.model.operations) <= PORTABLE_OPERATIONS
    assert {rights.licence for rights in release.model.rights} == {"Zlib"}
    assert embedded.install(home) == release.name
    assert home.fsck().bad == []


def test_on_held_out_clips_it_beats_holding_and_is_no_worse_than_its_core(
    release: Release,
) -> None:
    figures = release.model.figures
    assert figures["test_takes"] == len(embedded.TEST)
    assert figures["test_limb_model_degrees"] < figures["test_limb_hold_degrees"]
    assert figures["test_limb_model_degrees"] <= figures["test_limb_core_degrees"]


def test_the_card_tells_the_manifest_s_figures(release: Release) -> None:
    card = (Path(__file__).parents[2] / "docs" / "reference" / "card.md").read_text()
    for name in ("test_limb_model_degrees", "test_limb_core_degrees", "test_limb_hold_degrees"):
        assert f"{release.model.figures[name]:.2f}" in card, name
    assert release.name in card


def _show(release: Release, home: Workspace, seed: int, published: list[Clip]) -> np.ndarray:
    """Return rotations (T, J, 4) of a show whose capture is cut for ten seconds: the model alone."""
    clips = embedded.ingest_clips(home, "test")
    playlist = open_playlist(home, [clips[name] for name in embedded.TEST], CUT[1])
    player = playlist.player([CUT])
    backend = OnnxBackend(release.graph, release.role.shape)
    performer = Performer(release.role, backend, seed, lost="free")
    frames = []
    for tick in range(CUT[1]):
        packets = [Packet(0, data) for data in player._packets(tick)]
        # A voice, so that the ladder stays on `speech`: silence is a sound too.
        packets.append(Packet(0, _silence(tick)))
        frames.append(performer.step(tick, packets, late=False).frame.rotations)
    return np.stack(frames)[:, performer.index]


def _silence(tick: int) -> bytes:
    from greenroom.capture.packets import encode_audio

    return encode_audio(tick, np.zeros(800, dtype=np.float32))


def _speeds(rotations: np.ndarray) -> np.ndarray:
    return angle_between(rotations[1:], rotations[:-1]) * 30


def _clip_bodies(published: list[Clip], names: tuple[str, ...] | None) -> list[Body]:
    bodies = []
    for clip in published:
        if clip.kind == "body" and (names is None or clip.name in names):
            body = read_recording(clip.data, clip.path).body
            assert body is not None
            bodies.append(body)
    return bodies


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_capture_it_keeps_moving_and_plays_no_clip(
    release: Release, home: Workspace, published: list[Clip], seed: int
) -> None:
    index = [BONE[name] for name in release.role.spec.joints]
    alone = _show(release, home, seed, published)[CUT[0] + 60 : CUT[1]]
    held = [_speeds(b.rotations[:, index]) for b in _clip_bodies(published, embedded.TEST)]
    ratio = np.median(_speeds(alone)) / np.median(np.concatenate(held))
    assert 0.3 <= ratio <= 1.5
    second = 30
    closest = np.inf
    for body in _clip_bodies(published, None):
        for version in (body, mirror_body(body)):
            # The hips' heading is the stage's business; compare the joints.
            stored = version.rotations[:, index[1:]]
            for at in range(0, len(stored) - second, 3):
                window = stored[at : at + second]
                for start in range(0, len(alone) - second, 15):
                    apart = angle_between(window, alone[start : start + second, 1:]).mean()
                    closest = min(closest, float(apart))
    assert closest > 5.0


def test_the_demo_shows_replays_and_contacts_nobody(tmp_path: Path, published: list[Clip]) -> None:
    """Every Python process of the demo reports its sockets; the home stays free of others' files."""
    spy = tmp_path / "spy"
    spy.mkdir()
    (spy / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def hook(event, args):\n"
        "    if event in ('socket.connect', 'socket.sendto', 'socket.getaddrinfo', 'socket.bind'):\n"
        "        with open(os.environ['SPY_LOG'], 'a') as log:\n"
        "            log.write(f'{event} {args[1:2] or args!r} {args[:1]!r}\\n')\n"
        "sys.addaudithook(hook)\n"
    )
    home = tmp_path / "person"
    home.mkdir()
    log = tmp_path / "sockets.log"
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "GREENROOM_CACHE": str(config.cache()),
        "GREENROOM_HOME": str(home / "greenroom"),
        "PYTHONPATH": os.pathsep.join([str(spy), os.environ.get("PYTHONPATH", "")]),
        "SPY_LOG": str(log),
    }
    command = [sys.executable, "-m", "greenroom", "demo", "--seconds", "3", "--headless", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["frames"] == 90 == said["replay"]["exact"]
    assert said["rungs"]["speech"] == 10 and said["cuts"] == [[40, 50]]
    assert said["ticks"] == said["frames"] and said["missed"] == said["replay"]["missed"] == 0
    assert set(said) == {
        *("show", "release", "swaps", "ticks", "frames", "missed", "late", "rungs", "cuts"),
        *("frame_ms", "overhead_ms", "model_ms", "replay", "receivers", "sinks"),
    }
    lines = log.read_text().splitlines() if log.exists() else []
    assert [line for line in lines if "127.0.0.1" not in line] == []
    assert [path.name for path in home.iterdir()] == ["greenroom"]


def test_the_card_says_what_the_manifests_say(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    said = embedded.embedded_card(workspace, embedded.install(workspace))
    assert said == (Path(__file__).parents[2] / "docs" / "reference" / "card.md").read_text()
