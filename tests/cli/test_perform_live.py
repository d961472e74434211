"""`perform` on live inputs, as a user runs it: python-osc sends, and the replay is exact."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from greenroom import embedded
from greenroom.capture.packets import newest
from greenroom.frames import ARKIT
from greenroom.live.recorder import read_ledger
from greenroom.live.ring import frame_of, get_packets
from greenroom.manifests import Show
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace
from tests.capture.receivers.senders import free_port
from tests.capture.receivers.test_live_link import packet
from tests.capture.receivers.test_vmc import pose


class Studio:
    """Programs that send a body and a face to ports of this machine, 60 times a second."""

    def __init__(self) -> None:
        self.body, self.face = free_port(), free_port()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            frame = 0
            while not self._end.wait(1 / 60):
                for data in pose(frame / 60):
                    sender.sendto(data, ("127.0.0.1", self.body))
                sender.sendto(packet(frame, [0.6] * 61), ("127.0.0.1", self.face))
                frame += 1

    def close(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def studio() -> Iterator[Studio]:
    opened = Studio()
    yield opened
    opened.close()


@pytest.fixture
def viewer() -> Iterator[socket.socket]:
    """A port of this machine that takes what is sent to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        yield opened


@pytest.fixture
def home(tmp_path: Path) -> Path:
    embedded.install(Workspace(tmp_path / "home"))
    return tmp_path / "home"


def greenroom(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "greenroom", "--home", str(home), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=home.parent)


def test_body_face_and_voice_of_three_sources_perform_and_replay_exactly(
    home: Path, studio: Studio, viewer: socket.socket
) -> None:
    seconds = np.arange(4 * 48_000) / 48_000
    soundfile.write(home.parent / "voice.wav", 0.2 * np.sin(1000 * seconds), 48_000)
    body = f"vmc://:{studio.body}?use=body,root"
    inputs = ("--in", body, "--in", f"livelink://:{studio.face}", "--in", "wav:voice.wav")
    out = f"vmc://127.0.0.1:{viewer.getsockname()[1]}"
    done = greenroom(
        home, "perform", "mira", *inputs, "--out", out, "--out", "null:", "--seconds", "3", "--json"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["frames"] == 90 and result["rungs"]["capture"] >= 80
    receivers = {report["url"]: report for report in result["receivers"]}
    assert receivers[body]["received"] > 200 and receivers["wav:voice.wav"]["received"] == 90
    assert receivers[f"livelink://:{studio.face}"]["malformed"] == 0
    assert [sink["failed"] for sink in result["sinks"]] == [0, 0]
    assert result["sinks"][1]["sent"] == 90 and result["sinks"][0]["sent"] >= 4 * 90
    _check_frames(Workspace(home), result["show"])
    replayed = greenroom(home, "replay", result["show"], "--verify", "--json")
    assert json.loads(replayed.stdout)["exact"] == 90


def _check_frames(workspace: Workspace, show: str) -> None:
    """The last frames are what was sent: the body to the bit, the face within 0.05."""
    manifest = workspace.objects.read(show, Show)
    shape = load_release(workspace, manifest.parents.releases[0]).role.shape
    for row in list(read_ledger(workspace, manifest, shape))[60:]:
        captured, frame = newest(get_packets(row)), frame_of(row)
        assert captured.body is not None and captured.face is not None
        assert captured.sound is not None
        np.testing.assert_allclose(frame.root, [-0.25, 0.9, 0.5], atol=5e-3)
        assert abs(frame.face[ARKIT.index("jawOpen")] - 0.6) < 0.05
        assert abs(frame.face[ARKIT.index("tongueOut")] - 0.6) < 0.05


def test_a_face_alone_performs(home: Path, studio: Studio) -> None:
    done = greenroom(
        home, "perform", "mira", "--in", f"livelink://:{studio.face}", "--seconds", "1", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 30


def test_what_cannot_be_heard_starts_no_show(home: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        taken = f"vmc://:{other.getsockname()[1]}"
        for url, reason in (
            (taken, "cannot be listened at"),
            ("vmc://0.0.0.0:39540", "--allow"),
            ("vmc://192.0.2.7:39540?allow=10.0.0.0/8", "cannot be listened at"),
            ("wav:nothing.wav", "nothing.wav"),
        ):
            done = greenroom(home, "perform", "mira", "--in", url, "--seconds", "1")
            assert done.returncode == 2 and reason in done.stderr, done.stderr
            assert len(done.stderr.strip().splitlines()) == 1
    assert Workspace(home).catalog.find("show") == []


def test_who_may_send_can_be_an_option(home: Path) -> None:
    start = time.monotonic()
    url = f"vmc://0.0.0.0:{free_port()}"
    network = ("--allow", "127.0.0.0/8", "--seconds", "1")
    done = greenroom(home, "perform", "mira", "--in", url, *network)
    assert done.returncode == 0, done.stderr
    assert "nothing was received" in done.stdout and time.monotonic() - start < 60


@pytest.mark.parametrize(
    "words",
    [
        ("--seconds", "nan"),
        ("--seconds", "inf"),
        ("--seconds", "1e300"),
        ("--seconds", "1", "--seed", "-1"),
        ("--seconds", "1", "--seed", "99999999999999999999999"),
        ("--seconds", "1", "--backend", "junk://"),
        ("--seconds", "1", "--allow", "10.0.0.0/8"),
    ],
)
def test_what_no_show_can_be_is_refused_in_one_line_before_it_starts(
    home: Path, words: tuple[str, ...]
) -> None:
    done = greenroom(home, "perform", "mira", "--in", f"vmc://:{free_port()}", *words)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert Workspace(home).catalog.find("show") == []


@pytest.mark.slow
@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGHUP])
def test_an_impatient_end_keeps_the_show(home: Path, wish: signal.Signals) -> None:
    """Asked twice, as by somebody who presses Ctrl-C again, or whose terminal is closed."""
    command = [sys.executable, "-m", "greenroom", "--home", str(home), "perform", "mira"]
    words = ["--in", f"vmc://:{free_port()}", "--seconds", "60", "--json"]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    notice = home / "on-air" / "mira.json"
    while not notice.exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    for pause in (0.05, 0.1, 0):
        process.send_signal(wish)
        time.sleep(pause)
    output, _ = process.communicate(timeout=60)
    result = json.loads(output)
    # The last one may come when all is written: then it ends what is left of the process.
    assert process.returncode in (0, -wish)
    assert result["frames"] > 10 and result["missed"] == 0
    assert len(Workspace(home).catalog.find("show")) == 1
