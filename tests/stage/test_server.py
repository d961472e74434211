from __future__ import annotations

import asyncio
import json
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from greenroom.errors import BadInput
from greenroom.observers.hub import BATCH_FRAMES, KEPT_BATCHES, KEPT_SWAPS, PATIENCE, QUEUE_FRAMES
from greenroom.stage import Hub, ServerHandle, create_app, serve_in_thread
from greenroom.stage.api import _avatar_route
from tests.stage.synthetic_show import frame, hello


def say(hub: Hub, kind: str, **fields: object) -> None:
    hub.publish(kind, json.dumps({"type": kind, **fields}).encode())


def hear(socket_: ClientConnection) -> dict[str, object]:
    message: dict[str, object] = json.loads(socket_.recv(timeout=5))
    return message


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>stage</title>")
    (tmp_path / "assets" / "main-1a2b3c.js").write_text("export {}")
    return tmp_path


@pytest.fixture
def server(hub: Hub, page: Path) -> Iterator[ServerHandle]:
    registry = CollectorRegistry()
    Counter("frames", "Frames emitted.", ["rung"], registry=registry).labels("capture").inc(3)

    async def extra(request: Request) -> JSONResponse:
        return JSONResponse({"extra": True})

    routes = [Route("/api/extra", extra)]
    app = create_app(hub, api_routes=routes, registry=registry, page=page)
    with serve_in_thread(app) as handle:
        yield handle


def ws_url(server: ServerHandle) -> str:
    return server.url.replace("http", "ws") + "ws"


def test_a_viewer_hears_hello_and_then_the_frames(server: ServerHandle, hub: Hub) -> None:
    hub.publish("hello", json.dumps(hello()).encode())
    with connect(ws_url(server)) as viewer:
        first = hear(viewer)
        assert (first["type"], first["actor"]) == ("hello", "mira")
        for tick in range(3):
            hub.publish("frame", json.dumps(frame(tick, "capture", {})).encode())
            assert hear(viewer)["tick"] == tick


def test_who_comes_later_is_told_what_matters(server: ServerHandle, hub: Hub) -> None:
    said = ("hello", "run", "frame", "swap", "alert", "frame", "swap", "run", "end", "verdict")
    for kind in said:
        say(hub, kind)
    with connect(ws_url(server)) as viewer:
        kinds = [hear(viewer)["type"] for _ in range(8)]
    assert kinds == ["hello", "swap", "swap", "frame", "alert", "end", "verdict", "run"]


def test_of_many_swaps_the_newest_are_kept(server: ServerHandle, hub: Hub) -> None:
    say(hub, "hello")
    for tick in range(KEPT_SWAPS + 2):
        say(hub, "swap", tick=tick)
    say(hub, "frame")
    with connect(ws_url(server)) as viewer:
        heard = [hear(viewer) for _ in range(KEPT_SWAPS + 2)]
    ticks = [message["tick"] for message in heard[1:-1]]
    assert ticks == list(range(2, KEPT_SWAPS + 2))
    assert heard[-1]["type"] == "frame"


def test_a_new_show_forgets_the_last_one(server: ServerHandle, hub: Hub) -> None:
    for kind in ("hello", "swap", "alert", "run", "end", "verdict"):
        say(hub, kind, show=1)
    say(hub, "hello", show=2)
    with connect(ws_url(server)) as viewer:
        assert hear(viewer) == {"type": "hello", "show": 2}
        assert hear(viewer) == {"type": "run", "show": 1}  # learning outlives a show
        say(hub, "frame", tick=0)
        assert hear(viewer)["type"] == "frame"


def test_a_slow_viewer_loses_old_frames_and_nothing_else() -> None:
    async def main() -> tuple[list[dict[str, object]], int]:
        hub = Hub()
        say(hub, "hello")
        viewer = hub.join()
        for tick in range(1000):
            say(hub, "frame", tick=tick)
            if tick == 10:
                say(hub, "alert")
        say(hub, "end")
        say(hub, "verdict")
        heard = []
        while not heard or heard[-1]["type"] != "verdict":
            message = await viewer.take()
            assert message is not None
            heard.append(json.loads(message))
        return heard, viewer.lost

    heard, lost = asyncio.run(main())
    kinds = [str(message["type"]) for message in heard]
    assert kinds == ["hello", "alert", *["frame"] * QUEUE_FRAMES, "end", "verdict"]
    ticks = [message["tick"] for message in heard if message["type"] == "frame"]
    assert ticks == list(range(1000 - QUEUE_FRAMES, 1000))
    assert lost == 1000 - QUEUE_FRAMES


def test_a_slow_viewer_hears_the_last_word_of_a_run_and_every_swap() -> None:
    async def main() -> list[dict[str, object]]:
        hub = Hub()
        viewer = hub.join()
        say(hub, "hello")
        for done in range(PATIENCE + 1):
            say(hub, "run", done=done)
        say(hub, "swap", tick=1)
        say(hub, "swap", tick=2)
        heard = [json.loads(await viewer.take() or b"") for _ in range(4)]
        say(hub, "run", done=-1)
        say(hub, "hello")  # does not take the run away from who has not heard it
        return heard + [json.loads(await viewer.take() or b"") for _ in range(2)]

    heard = asyncio.run(main())
    assert [m["type"] for m in heard] == ["hello", "run", "swap", "swap", "run", "hello"]
    assert (heard[1]["done"], heard[4]["done"]) == (PATIENCE, -1)


def test_a_viewer_who_takes_nothing_is_sent_away_rather_than_kept_for_ever() -> None:
    async def main() -> bytes | None:
        hub = Hub()
        viewer = hub.join()
        for _ in range(PATIENCE + 1):
            say(hub, "alert")
        return await viewer.take()

    assert asyncio.run(main()) is None


def test_viewers_are_counted_and_forgotten(server: ServerHandle, hub: Hub) -> None:
    say(hub, "hello")
    with connect(ws_url(server)) as viewer:
        hear(viewer)
        assert httpx.get(server.url + "healthz").json() == {"ok": True, "viewers": 1}
        viewer.send("a page has nothing to say")
        say(hub, "frame")
        assert hear(viewer)["type"] == "frame"
    for _ in range(200):
        if httpx.get(server.url + "healthz").json()["viewers"] == 0:
            break
    assert hub.viewers == 0


def test_stopping_with_a_viewer_connected_ends_its_connection(hub: Hub) -> None:
    say(hub, "hello")
    handle = serve_in_thread(create_app(hub))
    with connect(ws_url(handle)) as viewer:
        hear(viewer)
        handle.stop()
        handle.stop()
        with pytest.raises(Exception, match="1012|1001|close"):
            viewer.recv(timeout=5)
    say(hub, "frame")  # nobody hears it and nothing breaks


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:1", "null", "file://127.0.0.1"]
)
def test_another_origin_may_not_listen(server: ServerHandle, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        connect(ws_url(server), origin=origin)  # type: ignore[arg-type]
    assert refusal.value.response.status_code == 403


def test_the_page_itself_may_listen(server: ServerHandle, hub: Hub) -> None:
    say(hub, "hello")
    origin = server.url.rstrip("/")
    with connect(ws_url(server), origin=origin) as viewer:  # type: ignore[arg-type]
        assert hear(viewer)["type"] == "hello"


def test_a_name_that_a_stranger_points_here_is_turned_away(server: ServerHandle) -> None:
    answer = httpx.get(server.url, headers={"host": f"evil.example:{server.port}"})
    assert answer.status_code == 421 and "only on this machine" in answer.json()["error"]
    with pytest.raises(InvalidStatus):
        connect(ws_url(server), additional_headers={"Host": "evil.example"})


def test_headers(server: ServerHandle) -> None:
    index = httpx.get(server.url)
    assert index.headers["cache-control"] == "no-cache"
    policy = index.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert index.headers["x-content-type-options"] == "nosniff"
    assert index.headers["referrer-policy"] == "no-referrer"
    asset = httpx.get(server.url + "assets/main-1a2b3c.js")
    assert "immutable" in asset.headers["cache-control"]
    assert "javascript" in asset.headers["content-type"]
    for missing in ("nothing", "assets/nothing.js", "assets/..%2f..%2fserver.py", "favicon.svg"):
        answer = httpx.get(server.url + missing)
        assert answer.status_code == 404 and "/metrics" in answer.json()["then"]
        assert "immutable" not in answer.headers.get("cache-control", "")
    assert httpx.post(server.url).status_code == 405


def test_metrics_and_extra_routes(server: ServerHandle) -> None:
    answer = httpx.get(server.url + "metrics")
    assert 'frames_total{rung="capture"} 3.0' in answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert httpx.get(server.url + "api/extra").json() == {"extra": True}


def test_a_page_that_is_not_built_says_how_to_build_it(hub: Hub, tmp_path: Path) -> None:
    with serve_in_thread(create_app(hub, page=tmp_path)) as handle:
        answer = httpx.get(handle.url)
    assert answer.status_code == 503 and "make setup" in answer.text


def test_a_busy_port_says_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BadInput, match="in use; stop the other program"):
            serve_in_thread(create_app(Hub()), port=port)
    with pytest.raises(BadInput, match="0 to 65535"):
        serve_in_thread(create_app(Hub()), port=70_000)


def test_what_is_large_is_compressed_on_the_wire(server: ServerHandle, page: Path) -> None:
    (page / "assets" / "large-1a2b3c.js").write_text("export const frame = 1;\n" * 4000)
    answer = httpx.get(server.url + "assets/large-1a2b3c.js")
    assert answer.headers["content-encoding"] == "gzip" and len(answer.content) > 90_000
    assert int(answer.headers.get("content-length", 0)) < 9_000
    plain = httpx.get(
        server.url + "assets/large-1a2b3c.js", headers={"accept-encoding": "identity"}
    )
    assert "content-encoding" not in plain.headers and plain.content == answer.content


def test_frames_are_compressed_on_the_wire(server: ServerHandle, hub: Hub) -> None:
    hub.publish("hello", json.dumps(hello()).encode())
    with connect(ws_url(server)) as viewer:
        assert [e.name for e in viewer.protocol.extensions] == ["permessage-deflate"]
        assert hear(viewer)["type"] == "hello"


def test_a_late_viewer_gets_the_last_two_minutes(server: ServerHandle, hub: Hub) -> None:
    total = BATCH_FRAMES * (KEPT_BATCHES + 2) + 7
    say(hub, "hello")
    for tick in range(total):
        say(hub, "frame", tick=tick)
    answer = httpx.get(server.url + "history?actor=mira")
    assert answer.headers["cache-control"] == "no-store"
    assert "content-encoding" not in answer.headers  # it is compressed as it is
    ticks = history_ticks(answer.content)
    assert ticks[:8] == [*range(total - 7, total), total - 7 - BATCH_FRAMES]  # newest batch first
    assert sorted(ticks) == list(range(total - BATCH_FRAMES * KEPT_BATCHES - 7, total))
    say(hub, "hello")
    assert httpx.get(server.url + "history").content == b""


def history_ticks(data: bytes) -> list[int]:
    ticks: list[int] = []
    while data:
        length = int.from_bytes(data[:4], "big")
        lines = zlib.decompress(data[4 : 4 + length]).splitlines()
        ticks += [json.loads(line)["tick"] for line in lines]
        data = data[4 + length :]
    return ticks


def test_an_avatar_is_sent_as_it_is(hub: Hub, page: Path) -> None:
    sent = b"glTF" + bytes(100_000)
    app = create_app(hub, api_routes=[_avatar_route(sent)], page=page)
    with serve_in_thread(app) as handle:
        answer = httpx.get(handle.url + "avatar.vrm")
    assert "content-encoding" not in answer.headers and answer.content == sent
