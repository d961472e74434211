"""Who may ask the page's server: names, tokens, and that nobody serves other machines without one."""

from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from greenroom.errors import BadInput
from greenroom.stage import Hub, create_app, serve_in_thread
from greenroom.stage.access import is_loopback, require_token

TOKEN = b"0123456789abcdef0123"


def test_a_server_that_other_machines_reach_does_not_start_without_a_token() -> None:
    for host in ("0.0.0.0", "::", "10.0.0.7", "studio.example"):  # noqa: S104
        with pytest.raises(BadInput, match="is open to other machines, and has no token"):
            require_token(host, None)
        require_token(host, TOKEN)
    with pytest.raises(BadInput, match="has no token"):
        serve_in_thread(create_app(Hub()), "0.0.0.0")  # noqa: S104
    assert is_loopback("127.8.8.8") and not is_loopback("127.0.0.1.example")


def test_every_path_but_the_health_check_asks_for_the_token() -> None:
    app = create_app(Hub(), hosts=("*",), token=TOKEN)
    with serve_in_thread(app) as server, httpx.Client(base_url=server.url) as client:
        for path in ("/", "/metrics", "/assets/x.js", "/api/takes", "/favicon.svg"):
            answer = client.get(path)
            assert answer.status_code == 401 and "token" in answer.json()["error"], path
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.get("/healthz").status_code == 200
        assert client.get("/metrics?token=0123456789abcdef012").status_code == 401
        shown = {"authorization": "Bearer " + TOKEN.decode()}
        assert client.get("/metrics", headers=shown).status_code == 200
        address = server.url.replace("http", "ws") + "ws"
        with pytest.raises(InvalidStatus):
            connect(address)
        with connect(address, additional_headers=shown) as socket:
            assert socket.protocol.state.name == "OPEN"


def test_a_browser_shows_the_token_once_and_keeps_it_in_a_cookie() -> None:
    app = create_app(Hub(), hosts=("*",), token=TOKEN)
    with serve_in_thread(app) as server, httpx.Client(base_url=server.url) as client:
        first = client.get(f"/metrics?token={TOKEN.decode()}")
        assert first.status_code == 303 and first.headers["location"] == "/metrics"
        cookie = first.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert client.get("/metrics").status_code == 200


def test_serve_off_this_machine_is_one_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from greenroom.cli import main

    done = CliRunner().invoke(main, ["--home", str(tmp_path), "serve", "--host", "0.0.0.0"])  # noqa: S104
    assert done.exit_code == 2 and len(done.stderr.strip().splitlines()) == 1
    assert "give --token FILE" in done.stderr
