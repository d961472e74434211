"""`record` as a user runs it: independent senders, a take on one clock, and a kill that loses little."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from greenroom.capture.ingest import load_take
from greenroom.clock import TICK_HZ
from greenroom.live.ring import shared_folder
from greenroom.store.workspace import Workspace
from tests.capture.receivers.senders import free_port
from tests.cli.test_perform_live import Studio


@pytest.fixture
def studio() -> Iterator[Studio]:
    opened = Studio()
    yield opened
    opened.close()


def start(home: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "greenroom", "--home", str(home), "record", "mira"]
    return subprocess.Popen(
        [*command, *options, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def result_of(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    result: dict[str, Any] = json.loads(out)
    return result


def test_body_face_and_voice_of_three_sources_are_one_take(studio: Studio, tmp_path: Path) -> None:
    voice = np.sin(np.arange(24_000 * 20) / 20).astype(np.float32) / 2
    soundfile.write(tmp_path / "voice.wav", voice, 24_000, subtype="FLOAT")
    body = f"vmc://:{studio.body}?use=body,root"
    sources = [body, f"livelink://:{studio.face}", f"wav:{tmp_path}/voice.wav"]
    options = [option for url in sources for option in ("--in", url)]
    rights = ["--participant", "ada", "--rights", "CC0-1.0", "--name", "first"]
    result = result_of(start(tmp_path / "home", *options, *rights, "--seconds", "2"))
    assert (result["ticks"], result["name"]) == (60, "first")
    assert all(result[medium]["share"] > 0.8 for medium in ("body", "face", "voice"))
    assert [each["url"] for each in result["receivers"]] == sources
    workspace = Workspace(tmp_path / "home")
    recording = load_take(workspace, result["take"])
    assert recording.audio is not None and recording.face is not None
    assert recording.audio.samples.tobytes() == voice[: 60 * 800].tobytes()
    assert float(np.nanmax(np.abs(recording.face.weights - 0.6))) < 0.05
    who = workspace.attributions.of(result["take"])
    assert (who.actor, who.participants) == ("mira", ("ada",))


def test_it_is_ended_by_an_interrupt_and_kept(studio: Studio, tmp_path: Path) -> None:
    process = start(tmp_path, "--in", f"vmc://:{studio.body}")
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    result = result_of(process)
    assert result["ticks"] > 20 and "quarantined" in result["notes"][-1]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")
def test_a_recording_that_is_killed_is_kept(studio: Studio, tmp_path: Path) -> None:
    process = start(tmp_path, "--in", f"vmc://:{studio.body}")
    time.sleep(4)
    began = time.monotonic()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    workspace = Workspace(tmp_path)
    while not workspace.catalog.find("take") and time.monotonic() < began + 15:
        time.sleep(0.2)  # the recorder's process notices, and publishes what it has
    [row] = workspace.catalog.find("take")
    recording = load_take(workspace, row.object)
    assert recording.body is not None and len(recording.body) > 1.5 * TICK_HZ


def test_what_cannot_be_recorded_is_refused_before_anything_starts(tmp_path: Path) -> None:
    for options, problem in (
        (["--in", "take:" + "0" * 64], "recorded already"),
        (["--in", "vmc://0.0.0.0:39540"], "nobody said which may send"),
        (["--in", "vmc://:39540", "--participant", "ada"], "belong together"),
        (["--in", "vmc://:39540", "--rights", "no.json", "--participant", "ada"], "no.json"),
    ):
        process = start(tmp_path, *options, "--seconds", "1")
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 2 and problem in errors.decode(), errors
    assert not (tmp_path / "recording").exists()


def test_a_recording_that_cannot_be_kept_does_not_begin_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "recording").write_text("no folder")  # also root cannot make one in its place
    process = start(tmp_path, "--in", f"vmc://:{free_port()}", "--seconds", "60")
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and out == b"" and b"Traceback" not in errors
    assert b"a recording cannot be kept here" in errors
    assert list(shared_folder().glob(f"greenroom-{process.pid}-*")) == []


def test_silence_is_no_take(tmp_path: Path) -> None:
    process = start(tmp_path, "--in", f"vmc://:{free_port()}", "--seconds", "0.5")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2 and b"nothing arrived in 0.5 s" in errors
    assert not list(tmp_path.glob("recording/*"))
