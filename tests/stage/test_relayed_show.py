"""`serve` shows what another process performs, whenever it began, and the next show after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from greenroom import embedded
from greenroom.capture.sample_data import Clip
from greenroom.services.operator import operator_token
from greenroom.stage import Hub, create_app, serve_in_thread
from greenroom.store.workspace import Workspace

pytestmark = pytest.mark.slow


@dataclass
class Studio:
    """A workspace with a take, a server over it, and shows that are performed beside it."""

    home: Path
    take: str

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "greenroom", "--home", str(self.home), *args]

    def perform(self, seconds: float) -> subprocess.Popen[str]:
        options = ["--in", f"take:{self.take}", "--seconds", str(seconds), "--json"]
        return subprocess.Popen(
            self.command("perform", "mira", *options), stdout=subprocess.PIPE, text=True
        )

    def serve(self) -> tuple[subprocess.Popen[str], str]:
        with serve_in_thread(create_app(Hub())) as probe:
            port = probe.port
        server = subprocess.Popen(self.command("serve", "--port", str(port)))
        for _ in range(200):
            time.sleep(0.1)
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz")
            except httpx.HTTPError:
                continue
            return server, f"127.0.0.1:{port}"
        raise AssertionError("the server did not start")


@pytest.fixture
def studio(tmp_path: Path, published: list[Clip]) -> Studio:
    workspace = Workspace(tmp_path / "home")
    embedded.install(workspace)
    return Studio(workspace.home, embedded.ingest_clips(workspace, "test")["humanoid3d_walk"])


@pytest.fixture
def server(studio: Studio) -> Iterator[str]:
    process, address = studio.serve()
    yield address
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def hear(viewer: ClientConnection, kind: str, limit_s: float = 60.0) -> list[dict[str, Any]]:
    """Return the messages up to the first of one kind."""
    heard, end = [], time.monotonic() + limit_s
    while not heard or heard[-1]["type"] != kind:
        heard.append(json.loads(viewer.recv(timeout=end - time.monotonic())))
    return heard


def history(address: str) -> list[int]:
    """Return the ticks of what a late viewer gets."""
    data = httpx.get(f"http://{address}/history?actor=mira").content
    ticks: list[int] = []
    while data:
        length = int.from_bytes(data[:4], "big")
        lines = zlib.decompress(data[4 : 4 + length]).splitlines()
        ticks += [json.loads(line)["tick"] for line in lines]
        data = data[4 + length :]
    return sorted(ticks)


def test_a_page_that_waited_sees_one_show_after_the_other(studio: Studio, server: str) -> None:
    with connect(f"ws://{server}/ws") as viewer:
        shows = []
        for seconds in (3, 2):
            show = studio.perform(seconds)
            heard = hear(viewer, "end")
            out, _ = show.communicate(timeout=60)
            shows.append((heard, json.loads(out)))
    for heard, result in shows:
        assert heard[0]["type"] == "hello" and heard[0]["actor"] == "mira"
        end = heard[-1]
        assert {key: end[key] for key in ("show", "frames", "missed")} == {
            key: result[key] for key in ("show", "frames", "missed")
        }
    assert shows[0][0][0]["show"] != shows[1][0][0]["show"]
    assert history(server) == list(range(60))
    with connect(f"ws://{server}/ws?actor=mira") as late:  # over, and still there to look back at
        assert [message["type"] for message in hear(late, "end")] == ["hello", "frame", "end"]
        url = f"http://{server}/api/replay/"
        assert httpx.post(url + "mira").status_code == 401
        shown = {"authorization": f"Bearer {operator_token(studio.home).secret}"}
        assert httpx.post(url + "ada", headers=shown).status_code == 404
        assert httpx.post(url + "mira", headers=shown).status_code == 202
        assert httpx.post(url + "mira", headers=shown).status_code == 409
        assert hear(late, "end")[-1]["checking"]
        verdict = hear(late, "verdict")[-1]
        assert (verdict["exact"], verdict["frames"], verdict["class"]) == (60, 60, "EXACT")


def test_a_server_that_comes_late_has_the_shows_past(studio: Studio) -> None:
    show = studio.perform(12)
    on_air = studio.home / "on-air" / "mira.messages"
    while not on_air.exists():
        time.sleep(0.05)
    time.sleep(3)
    process, address = studio.serve()
    try:
        with connect(f"ws://{address}/ws") as viewer:
            frame = hear(viewer, "frame")[-1]
            assert frame["tick"] > 60 and frame["missed"] == 0
            ticks = history(address)
            assert ticks[0] == 0 and ticks[: frame["tick"]] == list(range(frame["tick"]))
            refused = subprocess.run(
                studio.command("perform", "mira", "--in", f"take:{studio.take}"),
                capture_output=True,
            )
            assert refused.returncode != 0 and b"on stage already" in refused.stderr
            # A server that stands still is nothing to the show.
            process.send_signal(signal.SIGSTOP)
            time.sleep(2)
            process.send_signal(signal.SIGCONT)
            end = hear(viewer, "end")[-1]
        result = json.loads(show.communicate(timeout=60)[0])
        assert (result["frames"] + result["missed"], end["show"]) == (360, result["show"])
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def test_a_show_that_was_killed_is_over_on_the_page(studio: Studio, server: str) -> None:
    with connect(f"ws://{server}/ws") as viewer:
        show = studio.perform(60)
        hear(viewer, "frame")
        os.kill(show.pid, signal.SIGKILL)
        show.communicate()
        end = hear(viewer, "end")[-1]
    assert end["show"] is None and end["frames"] > 0
