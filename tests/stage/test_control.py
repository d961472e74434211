"""The operator's acts through HTTP: who may, what is answered, and that the show does them."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from greenroom import embedded
from greenroom.capture.sample_data import Clip
from greenroom.errors import BadInput
from greenroom.live.control import CUT, HELD
from greenroom.live.recorder import read_ledger
from greenroom.live.replay import opening_release
from greenroom.live.ring import Ring
from greenroom.live.show_notice import ShowNotice
from greenroom.manifests import Show
from greenroom.services.operator import OperatorToken, operator_token
from greenroom.stage import Hub, create_app, serve_in_thread
from greenroom.stage.control import BURST, LARGEST, routes
from greenroom.stage.server import PAGE
from greenroom.store.workspace import Workspace
from tests.live.stand_in import SHAPE
from tests.stage.page_tools import node

CHROMIUM = os.environ.get("GREENROOM_CHROMIUM") or shutil.which("chromium")
PICTURES = os.environ.get("GREENROOM_SCREENSHOTS")


class _Named:
    name = "0" * 64


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def token(workspace: Workspace) -> OperatorToken:
    return operator_token(workspace.home)


@pytest.fixture
def client(workspace: Workspace, token: OperatorToken) -> Iterator[httpx.Client]:
    """A server beside a show of mira's that is on, which asks viewers for a token of their own."""
    ring = Ring(workspace.home / "ring", SHAPE, create=True)
    with ShowNotice(workspace.home, "mira") as notice:
        notice.put(ring, [_Named()])  # type: ignore[list-item]
        app = create_app(Hub(), api_routes=routes(workspace, token), token=b"for-viewers-alone")
        with serve_in_thread(app) as server, httpx.Client(base_url=server.url) as client:
            yield client


def shown(token: OperatorToken) -> dict[str, str]:
    return {"authorization": f"Bearer {token.secret}"}


def acts(workspace: Workspace) -> list[tuple[str, str, str]]:
    entries = Workspace(workspace.home).log.entries()
    return [(e.body["actor"], e.body["act"], e.by) for e in entries if e.event == "control"]


def test_the_token_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = operator_token(tmp_path / "home")
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert operator_token(tmp_path / "home") == first and len(first.secret) >= 32
    assert first.secret not in repr(first)
    assert first.secret not in first.hint("http://127.0.0.1:1/", terminal=False)
    assert str(first.path) in first.hint("http://127.0.0.1:1/", terminal=False)
    fragment = f"http://127.0.0.1:1/#operator={first.secret}"
    assert fragment in first.hint("http://127.0.0.1:1/", terminal=True)
    first.path.chmod(0o644)
    with pytest.raises(BadInput, match="others may read"):
        operator_token(tmp_path / "home")
    first.path.chmod(0o600)
    first.path.write_text("short")
    with pytest.raises(BadInput, match="one word of 16"):
        operator_token(tmp_path / "home")


def test_an_act_is_an_entry_of_the_log_under_the_tokens_name(
    client: httpx.Client, workspace: Workspace, token: OperatorToken
) -> None:
    for act in ("hold", "resume"):
        answer = client.post("/api/control/mira", json={"act": act}, headers=shown(token))
        assert (answer.status_code, answer.json()["by"]) == (200, "operator")
    assert acts(workspace) == [("mira", "hold", "operator"), ("mira", "resume", "operator")]
    known = client.get("/api/control/mira", headers=shown(token)).json()
    assert known["on"] and known["acts"] == ["hold", "resume", "cut", "restore"]


def test_who_may_not_is_told_what_to_do(
    client: httpx.Client, workspace: Workspace, token: OperatorToken
) -> None:
    def post(headers: dict[str, str], **what: object) -> httpx.Response:
        return client.post("/api/control/mira", headers=headers, **what)  # type: ignore[arg-type]

    hold, right = {"act": "hold"}, shown(token)
    answers = {
        401: [post({}, json=hold), post({"authorization": "Bearer x"}, json=hold)],
        403: [post(right | {"origin": "http://evil.example"}, json=hold)],
        404: [client.post("/api/control/ada", headers=right, json=hold)],
        405: [client.put("/api/control/mira", headers=right, json=hold)],
        413: [post(right, content=b" " * (LARGEST + 1))],
        422: [post(right, json={"act": "explode"}), post(right, content=b"\xff"), post(right)],
    }
    for status, given in answers.items():
        for answer in given:
            assert answer.status_code == status, answer.text
            assert answer.json()["error"] and answer.json()["then"]
    viewer = post({"authorization": "Bearer for-viewers-alone"}, json=hold)
    assert viewer.status_code == 401  # who may look may not act
    same = post(right | {"origin": str(client.base_url).rstrip("/")}, json=hold)
    assert same.status_code == 200
    assert acts(workspace) == [("mira", "hold", "operator")]


def test_requests_are_limited_and_wrong_tokens_hold_up_nobody(
    client: httpx.Client, token: OperatorToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.stage.control.A_SECOND", 0.01)  # however slow this machine is
    wrong = [client.get("/api/control/mira").status_code for _ in range(BURST + 5)]
    assert wrong[0] == 401 and wrong[-1] == 429
    assert client.get("/api/control/mira", headers=shown(token)).status_code == 200
    right = [client.get("/api/control/mira", headers=shown(token)) for _ in range(BURST + 5)]
    assert right[-1].status_code == 429 and int(right[-1].headers["retry-after"]) >= 1


@pytest.mark.slow
def test_a_click_on_the_page_of_a_real_show_is_in_its_record_and_replays(
    tmp_path: Path, published: list[Clip]
) -> None:
    if not (PAGE / "index.html").is_file() or CHROMIUM is None:
        pytest.skip("needs the built page and Chromium")
    workspace = Workspace(tmp_path / "home")
    embedded.install(workspace)
    take = embedded.ingest_clips(workspace, "test")["humanoid3d_walk"]
    with serve_in_thread(create_app(Hub())) as probe:
        port = probe.port
    command = [sys.executable, "-m", "greenroom", "--home", str(workspace.home)]
    options = ["--in", f"take:{take}", "--out", f"ws://127.0.0.1:{port}", "--seconds", "45"]
    show = subprocess.Popen(
        [*command, "perform", "mira", *options, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert show.stderr is not None
    lines = [show.stderr.readline(), show.stderr.readline()]
    secret = operator_token(workspace.home).secret
    assert f"http://127.0.0.1:{port}/" in lines[0] and "operator.token" in lines[1]
    folder = [PICTURES] if PICTURES else []
    url = f"http://127.0.0.1:{port}/"
    seen = node("operator.mjs", url, CHROMIUM, secret, *folder, limit_s=120)
    out, err = show.communicate(timeout=120)
    _check_page(seen, secret)
    assert secret not in err and secret not in out
    result = json.loads(out)
    manifest = workspace.objects.read(result["show"], Show)
    shape = opening_release(workspace, manifest).role.shape
    controls = [int(row["control"]) for row in read_ledger(workspace, manifest, shape)]
    assert {0, HELD, CUT} == set(controls)
    assert [act[1:] for act in acts(workspace)] == [
        (act, "operator") for act in "hold resume cut restore hold resume".split()
    ]
    replay = subprocess.run([*command, "replay", result["show"], "--verify"], capture_output=True)
    assert b"bit-exact" in replay.stdout


def _check_page(seen: dict[str, object], secret: str) -> None:
    """What the page showed at the desk and on the phone."""
    assert seen["before"] is False and "operator.token" in str(seen["asks"])
    assert "not the operator's token" in str(seen["wrong"])
    word, sentence, label = seen["held"]  # type: ignore[misc]
    assert word == "HELD" and "Held by the operator" in sentence and label.startswith("Resume")
    sentence, label = seen["cut"]  # type: ignore[misc]
    assert "Capture cut by the operator" in sentence and label.startswith("Restore capture")
    assert secret not in str(seen["address"]) and secret not in str(seen["requests"])
    assert (seen["kept"], seen["wide"], seen["problems"]) == (True, 0, [])


def test_only_this_path_is_open_to_the_operators_token(client: httpx.Client) -> None:
    """The path asks for the operator's token alone; every other one for the viewers'."""
    assert client.get("/healthz").status_code == 200
    assert client.get("/metrics").status_code == 401
