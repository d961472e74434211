"""Whole shows with a model server in a process of its own, which may be killed or slow down."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from greenroom import embedded
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.consent.records import read_rights
from greenroom.live.recorder import read_ledger
from greenroom.live.replay import verify
from greenroom.live.show import ShowResult, perform
from greenroom.live.show_spec import ShowSpec
from greenroom.live.sources import CAPTURE, HOLD, PREVIOUS, RUNGS
from greenroom.manifests import Show
from greenroom.registry.approval import sign_approval
from greenroom.registry.release import Release, load_release
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests import examples
from tests.people import with_key
from tests.serving.model_servers import (
    end_model_server,
    free_tcp_port,
    proxied,
    start_model_server,
)

AWAY = b"the model's server is away"


@dataclass
class House:
    workspace: Workspace
    take: str
    release: Release
    port: int

    @property
    def url(self) -> str:
        return f"oip://127.0.0.1:{self.port}/mira"


@pytest.fixture
def house(tmp_path: Path, person: object) -> House:
    workspace = Workspace(tmp_path / "home")
    release = load_release(workspace, embedded.install(workspace))
    recording = read_recording(person() if callable(person) else person, "walk.bvh")
    rights = (read_rights("MIT", "p"),)
    take = store_take(workspace, recording, Attribution("mira", ("p",), rights), "test")
    return House(workspace, take, release, free_tcp_port())


@pytest.fixture
def server(house: House) -> Iterator[subprocess.Popen[str]]:
    process = start_model_server(house.workspace.home, house.port)
    yield process
    end_model_server(process)


def greenroom(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "greenroom", "--home", str(house.workspace.home), *words]
    return subprocess.run(command, capture_output=True, text=True)


def performed(
    house: House,
    url: str,
    seconds: float,
    meanwhile: Callable[[], None],
    previous: Release | None = None,
) -> ShowResult:
    """Perform a show, while something is done beside it."""
    ticks = round(30 * seconds)
    order = ShowSpec(house.release, [house.take], ticks, backend=url, previous=previous)
    beside = threading.Thread(target=meanwhile)
    beside.start()
    done = perform(house.workspace, order, "test")
    beside.join()
    return done


def check(house: House, done: ShowResult, rung: str) -> None:
    """Check that a show fell back while its server was away, was never late, and replays exactly."""
    show = house.workspace.objects.read(done.show, Show)
    rows = list(read_ledger(house.workspace, show, house.release.role.shape))
    away = np.asarray([bool(row["reason"] == AWAY) for row in rows])
    assert 5 < away.sum() < len(rows) - 5
    assert not away[:30].all(), "it did not begin with the server"
    assert not away[-30:].all(), "it did not come back"
    for row, is_away in zip(rows, away, strict=True):
        if row["late"]:
            continue
        assert RUNGS[row["rung"]] == (rung if is_away else CAPTURE)
        assert bool(row["asked"]) != is_away
    assert done.json["frames"] == len(rows) and done.json["missed"] == 0
    took_ms = [(int(row["emit"]) - int(row["due"])) / 1e6 for row in rows]
    assert np.percentile(np.asarray(took_ms)[away], 90) < 33.3
    verdict = verify(house.workspace, done.show)
    assert verdict.exact == len(rows), verdict


def test_ten_seconds_are_performed_with_no_late_frame_and_replay_exactly(
    house: House, server: subprocess.Popen[str]
) -> None:
    words = ("--in", f"take:{house.take}", "--seconds", "10", "--backend", house.url, "--json")
    done = greenroom(house, "perform", "mira", *words)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["frames"], result["late"], result["missed"]) == (300, 0, 0)
    away = result["rungs"].get(HOLD, 0)
    assert result["rungs"].get(CAPTURE) == 300 - away
    assert away <= 15, "answers took more than 20 ms, on a machine that other work keeps busy"
    show = house.workspace.objects.read(result["show"], Show)
    assert show.fingerprint["protocol"].startswith("open inference protocol")
    verdict = json.loads(greenroom(house, "replay", result["show"], "--verify", "--json").stdout)
    assert (verdict["exact"], verdict["class"]) == (300, "EXACT")


def test_a_server_killed_in_the_show_is_fallen_back_from_and_comes_back(
    house: House, server: subprocess.Popen[str]
) -> None:
    restarted: list[subprocess.Popen[str]] = []

    def kill_and_restart() -> None:
        time.sleep(4)
        end_model_server(server)
        time.sleep(1)
        restarted.append(start_model_server(house.workspace.home, house.port))

    done = performed(house, house.url, 12, kill_and_restart)
    end_model_server(restarted[0])
    check(house, done, HOLD)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["slow", "another hash"])
def test_a_server_that_slows_or_changes_its_model_is_fallen_back_from(
    house: House, server: subprocess.Popen[str], what: str
) -> None:
    def alter(request: bytes, answer: bytes) -> bytes:
        if what == "slow":
            time.sleep(0.05)
            return answer
        return answer.replace(house.release.model.blobs.graph.encode(), b"0" * 64)

    with proxied(house.port) as proxy:

        def disturb() -> None:
            time.sleep(4)
            proxy.alter = alter
            time.sleep(1)
            proxy.alter = None

        done = performed(house, f"oip://127.0.0.1:{proxy.port}/mira", 10, disturb)
    check(house, done, HOLD)


def test_another_model_starts_no_show(house: House, server: subprocess.Popen[str]) -> None:
    with proxied(house.port) as proxy:
        sha256 = house.release.model.blobs.graph.encode()
        proxy.alter = lambda request, answer: answer.replace(sha256, b"0" * 64)
        url = f"oip://127.0.0.1:{proxy.port}/mira"
        words = ("--in", f"take:{house.take}", "--seconds", "2", "--backend", url)
        done = greenroom(house, "perform", "mira", *words)
    assert done.returncode == 2 and "the server has the model 000000000000" in done.stderr
    assert house.workspace.catalog.find("show") == []


@pytest.mark.slow
def test_the_release_before_performs_on_this_machine_while_the_server_is_away(
    house: House, server: subprocess.Popen[str]
) -> None:
    """It is a release of the same model here; the server is never asked for it."""
    manifest = examples.noted_release(house.workspace, house.release.name, "before")
    before = house.workspace.publish(manifest, by="test")
    sign_approval(house.workspace, before, with_key(house.workspace, "test"))

    def kill() -> None:
        time.sleep(4)
        end_model_server(server)
        time.sleep(1)
        restarted.append(start_model_server(house.workspace.home, house.port))

    restarted: list[subprocess.Popen[str]] = []
    done = performed(house, house.url, 12, kill, load_release(house.workspace, before))
    end_model_server(restarted[0])
    check(house, done, PREVIOUS)
