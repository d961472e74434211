"""`calibrate`, as a user runs it: a raw sender of another body stands, and then performs."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from click.testing import CliRunner

from greenroom import embedded
from greenroom.capture.body_calibration import calibration_path, load_calibration
from greenroom.cli import main
from greenroom.clock import VirtualClock
from greenroom.errors import BadInput
from greenroom.frames import BONES
from greenroom.live.recorder import read_ledger
from greenroom.live.ring import frame_of
from greenroom.manifests import Show
from greenroom.registry.release import load_release
from greenroom.rotations import angle_between
from greenroom.services.calibrate import CalibrateRequest, calibrate_input
from greenroom.store.workspace import Workspace
from tests.capture.receivers.raw_sender import RawSender, Stage, bent, lowest
from tests.capture.receivers.senders import bundle, free_port
from tests.cli.test_perform_live import greenroom


@pytest.fixture
def home(tmp_path: Path) -> Path:
    embedded.install(Workspace(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def stage() -> Iterator[Stage]:
    opened = Stage(RawSender(4), free_port())
    yield opened
    opened.close()


def test_another_body_is_performed_as_it_moved_after_a_t_pose(home: Path, stage: Stage) -> None:
    url, workspace = f"vmc://:{stage.port}", Workspace(home)
    done = greenroom(home, "calibrate", "mira", "--in", f"{url}?use=body,root", "--seconds", "1")
    assert done.returncode == 0, done.stderr
    assert "55 bones" in done.stderr and "hold the T-pose" in done.stderr
    path = calibration_path(workspace, "mira", url)
    assert str(path) in done.stdout and path.stat().st_mode & 0o77 == 0
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    stage.sender.rotations, stage.sender.root = bent(7), np.asarray([0.6, 0.85, -0.4])
    words = ("--in", f"{url}?buffer=10", "--seconds", "3", "--json")
    shown = greenroom(home, "perform", "mira", *words)
    assert shown.returncode == 0, shown.stderr
    assert "calibrated on" in shown.stderr and "--forget" in shown.stderr
    result = json.loads(shown.stdout)
    [report] = result["receivers"]
    assert report["calibrated"] is True and report["buffer_ms"] == 10
    _check_performed(workspace, result["show"], stage.sender)
    replayed = greenroom(home, "replay", result["show"], "--verify", "--json")
    assert json.loads(replayed.stdout)["exact"] == 90
    forgotten = greenroom(home, "calibrate", "mira", "--in", url, "--forget", "--json")
    assert json.loads(forgotten.stdout)["forgotten"] and not path.exists()


def _check_performed(workspace: Workspace, show: str, sender: RawSender) -> None:
    """Every driven bone within 1°, the hips within 2 cm of the person's, at the actor's size."""
    manifest = workspace.objects.read(show, Show)
    release = load_release(workspace, manifest.parents.releases[0])
    own = release.skeleton.offsets
    scale = lowest(own) / sender.height
    root = sender.root * scale
    root[1] = own[0, 1] + (sender.root[1] - 0.95) * scale
    index = [BONES.index(name) for name in release.role.spec.joints]
    for row in list(read_ledger(workspace, manifest, release.role.shape))[75:]:
        frame = frame_of(row)
        off = angle_between(frame.rotations[index].astype(float), sender.rotations[index])
        assert off.max() < 1, (int(row["tick"]), off.max())
        assert np.abs(frame.root - root).max() < 0.02, (int(row["tick"]), frame.root, root)


def request_of(url: str) -> CalibrateRequest:
    return CalibrateRequest("mira", url, seconds=1, wait_s=2, countdown_s=0.2)


def test_where_nothing_arrives_there_is_one_clear_error(home: Path) -> None:
    lines: list[str] = []
    url, clock = f"vmc://:{free_port()}", VirtualClock()
    with pytest.raises(BadInput, match="nothing arrived in 2 s; start the sender"):
        calibrate_input(
            Workspace(home), request_of(url), lambda stage, line: lines.append(line), clock
        )
    assert lines and all("waiting for a body" in line for line in lines)
    assert not (home / "calibrations").exists()


def test_what_gives_no_body_is_refused_at_once(home: Path) -> None:
    for url, match in (
        (f"livelink://:{free_port()}", "no body: face"),
        ("take:123456", "no live input"),
        ("wav:voice.wav", "no live input"),
        ("tv://1", "no live input"),
    ):
        with pytest.raises(BadInput, match=match):
            calibrate_input(Workspace(home), request_of(url), clock=VirtualClock())


class Restless(VirtualClock):
    """A clock at whose ticks a sender sends; from the tenth on its person waves."""

    def __init__(self, sender: RawSender, port: int, still: bool = False) -> None:
        super().__init__()
        self.sender, self.port, self.still = sender, port, still
        self.socket, self.ticks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def sleep_until(self, ns: int) -> None:
        super().sleep_until(ns)
        self.ticks += 1
        if not self.still and self.ticks > 10:
            self.sender.rotations = bent(self.ticks)
        for data in self.sender.datagrams(self.ticks / 30):
            self.socket.sendto(data, ("127.0.0.1", self.port))


def test_a_person_who_moves_is_told_so_and_nothing_is_kept(home: Path) -> None:
    port = free_port()
    with Restless(RawSender(1), port) as clock:
        with pytest.raises(BadInput, match="the person moved"):
            calibrate_input(Workspace(home), request_of(f"vmc://:{port}"), clock=clock)
    assert not (home / "calibrations").exists()


def test_a_calibration_is_of_one_actor_and_one_input(home: Path) -> None:
    port, workspace = free_port(), Workspace(home)
    with Restless(RawSender(1), port, still=True) as clock:
        done = calibrate_input(workspace, request_of(f"vmc://:{port}?buffer=5"), clock=clock)
    assert done.json["bones"] == 55 and done.json["url"] == f"vmc://127.0.0.1:{port}"
    assert load_calibration(workspace, "mira", f"vmc://localhost:{port}") == done.calibration
    assert load_calibration(workspace, "other", f"vmc://:{port}") is None
    assert load_calibration(workspace, "mira", f"mvn://:{port}") is None
    done.path.write_text(done.path.read_text().replace('"version"', '"x"'))
    with pytest.raises(BadInput, match="--forget"):
        load_calibration(workspace, "mira", f"vmc://:{port}")


def test_forgetting_what_is_not_there_is_an_error(home: Path) -> None:
    words = ["--home", str(home), "calibrate", "mira", "--in", "vmc://:39540", "--forget"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "there is no calibration" in done.output


def test_datagrams_without_a_body_are_told_from_silence(home: Path) -> None:
    class Blinking(Restless):
        def sleep_until(self, ns: int) -> None:
            VirtualClock.sleep_until(self, ns)
            self.socket.sendto(bundle(("/VMC/Ext/OK", [1])), ("127.0.0.1", self.port))

    port = free_port()
    with Blinking(RawSender(1), port) as clock:
        with pytest.raises(BadInput, match="datagrams arrived in 2 s, and no body in them"):
            calibrate_input(Workspace(home), request_of(f"vmc://:{port}"), clock=clock)
