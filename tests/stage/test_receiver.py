from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.contracts import CAUSES
from greenroom.errors import BadInput
from greenroom.monitoring.alerts import list_alerts, record_alert
from greenroom.stage import Hub, ServerHandle, create_app, serve_in_thread
from greenroom.stage.access import read_token
from greenroom.stage.api import routes as api_routes
from greenroom.stage.receiver import (
    LARGEST,
    PATH,
    FiringAlert,
    read_notification,
    routes,
)
from greenroom.store.log import Log
from greenroom.store.workspace import Workspace

TOKEN = b"0123456789abcdef"
BEARER = {"authorization": f"Bearer {TOKEN.decode()}"}


def alert(**changes: Any) -> dict[str, Any]:
    labels = {"alertname": "FramesLate", "signal": "frames late", "cause": "model", "actor": "mira"}
    return {
        "status": "firing",
        "labels": labels | {"release": "ab", "where": "left arm, head"},
        "annotations": {"size": "0.25", "tick": "1800", "do": "Look."},
        "startsAt": "2026-11-26T10:00:00.5Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "c1fe0fb1c6d6be0c",
    } | changes


def notification(*alerts: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts} | changes).encode()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def server(workspace: Workspace) -> Iterator[ServerHandle]:
    every = [*api_routes(workspace), *routes(workspace.log, TOKEN)]
    with serve_in_thread(create_app(Hub(), api_routes=every)) as handle:
        yield handle


def post(server: ServerHandle, data: bytes, **headers: Any) -> httpx.Response:
    return httpx.post(server.url + PATH[1:], content=data, headers=BEARER | headers)


def test_an_alert_is_entered_once_whole_and_listed(
    server: ServerHandle, workspace: Workspace
) -> None:
    data = notification(alert(), alert(fingerprint="d2", status="resolved"))
    assert post(server, data).json() == {"entered": 1, "known": 0, "ended": 1}
    assert post(server, data).json() == {"entered": 0, "known": 1, "ended": 1}
    (known,) = list_alerts(workspace.log, "mira")
    assert (known.source, known.release) == ("alertmanager", "ab")
    said = known.alert
    assert (said.signal, said.cause, said.where) == ("frames late", "model", ("left arm", "head"))
    assert (said.size, said.tick, said.began, said.began_low) == (0.25, 1800, 1800, 0)
    (listed,) = httpx.get(server.url + "api/alerts?actor=mira&cause=model").json()["alerts"]
    assert listed["signal"] == "frames late" and listed["source"] == "alertmanager"
    assert httpx.get(server.url + "api/alerts?cause=new%20style").json() == {"alerts": []}


def test_an_alert_that_fires_again_is_another(server: ServerHandle, workspace: Workspace) -> None:
    post(server, notification(alert()))
    post(server, notification(alert(startsAt="2026-11-26T11:00:00Z")))
    assert len(list_alerts(workspace.log)) == 2


def test_the_same_notification_at_once_from_many_is_entered_once(
    server: ServerHandle, workspace: Workspace
) -> None:
    data = notification(alert(), alert(fingerprint="d2"))

    def tell(n: int) -> tuple[int, int]:
        answer = post(server, data)
        assert httpx.get(server.url + "api/alerts").status_code == 200
        return answer.status_code, answer.json()["entered"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(tell, range(32)))
    assert {status for status, _ in answers} == {200}
    assert sum(count for _, count in answers) == 2 == len(list_alerts(workspace.log))
    workspace.log.check()


def test_who_does_not_show_the_token_is_turned_away(
    server: ServerHandle, workspace: Workspace
) -> None:
    wrong = ("", "Bearer", "Bearer 0123456789abcdeF", "Basic 0123456789abcdef", b"Bearer \xff")
    for given_ in wrong:
        answer = post(server, notification(alert()), authorization=given_)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert "token" in answer.json()["error"]
    assert httpx.post(server.url + PATH[1:], content=b"").status_code == 401
    assert httpx.get(server.url + PATH[1:], headers=BEARER).status_code == 405
    assert list_alerts(workspace.log) == []


def test_without_a_token_there_is_no_such_route(workspace: Workspace) -> None:
    with serve_in_thread(create_app(Hub(), api_routes=api_routes(workspace))) as handle:
        assert httpx.post(handle.url + PATH[1:], headers=BEARER).status_code == 404


def test_a_log_that_is_damaged_is_for_alertmanager_to_try_again(
    server: ServerHandle, workspace: Workspace
) -> None:
    assert post(server, notification(alert())).status_code == 200
    workspace.log.path.write_bytes(b"")
    answer = post(server, notification(alert()))
    assert answer.status_code == 500 and "shorter" in answer.json()["error"]


LABELS = alert()["labels"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no notification of Alertmanager"),
        (b"[]", "no notification of Alertmanager"),
        (b"\xff\xfe", "no notification of Alertmanager"),
        (b"[" * 100_000, "no notification of Alertmanager"),
        (notification(alert(), version="3"), "version '3' of the webhook, not 4"),
        (notification(alert(fingerprint="")), "no notification of Alertmanager"),
        (notification(alert(labels={"alertname": "X"})), "alert X: it has no label 'actor'"),
        (notification(alert(labels=LABELS | {"cause": "rain"})), "its cause is 'rain'; one of"),
        (notification(alert(annotations={"size": "much"})), "its size 'much' is no number"),
        (notification(alert(annotations={"size": "NaN"})), "its size 'NaN'"),
        (notification(alert(annotations={"tick": "-1"})), "its tick '-1'"),
        (notification(alert(annotations={"tick": "1e300"})), "its tick '1e300'"),
    ],
    ids=range(12),
)
def test_one_bad_alert_and_none_of_the_notification_is_entered(
    server: ServerHandle, workspace: Workspace, data: bytes, why: str
) -> None:
    if b'"alerts": [{' in data:
        whole = json.loads(data)
        whole["alerts"].insert(0, alert(fingerprint="good"))
        data = json.dumps(whole).encode()
    answer = post(server, data)
    assert answer.status_code == 400 and why in answer.json()["error"]
    assert "watching.md" in answer.json()["then"] and list_alerts(workspace.log) == []


def test_what_is_too_large_is_not_read_to_its_end(server: ServerHandle) -> None:
    assert post(server, b" " * LARGEST + b"x").status_code == 413


def test_a_token_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(BadInput, match="cannot be read"):
        read_token(path)
    for bad in ("", "short\n", "two words of a token\n"):
        path.write_text(bad)
        with pytest.raises(BadInput, match="one word of at least 16 characters; make one"):
            read_token(path)
    path.write_bytes(TOKEN + b"\n")
    assert read_token(path) == TOKEN


TEXT = st.text(max_size=12)
STRINGS = st.dictionaries(
    st.sampled_from(("actor", "signal", "cause", "where", "release", "size", "tick", "x")),
    TEXT | st.sampled_from((*CAUSES, "1", "-0", "inf", "1e400", "0x1", "٣", "1_0")),
)
ALERTS = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(("firing", "resolved")) | TEXT,
        "labels": STRINGS | st.none(),
        "annotations": STRINGS | TEXT,
        "fingerprint": TEXT,
        "startsAt": TEXT | st.integers(),
    },
)
NEAR = st.builds(
    lambda labels, annotations: alert(labels=LABELS | labels, annotations=annotations),
    STRINGS,
    STRINGS,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
BODIES = (
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.lists(ALERTS | NEAR, max_size=3).map(lambda alerts: notification(*alerts))
    | st.lists(NEAR, min_size=1, max_size=2).map(lambda alerts: notification(*alerts))
)


@given(BODIES)
def test_any_bytes_are_a_notification_or_one_clear_error(data: bytes) -> None:
    try:
        told, ended = read_notification(data)
    except BadInput as error:
        assert str(error)
        return
    assert ended >= 0
    for one in told:
        assert isinstance(one, FiringAlert) and one.alert.cause in CAUSES and one.actor.strip()
        assert one.alert.tick >= 0 and abs(one.alert.size) < float("inf")


@given(st.lists(NEAR, min_size=1, max_size=2))
def test_whatever_is_read_can_be_kept(tmp_path_factory: Any, alerts: list[dict[str, Any]]) -> None:
    try:
        told, _ = read_notification(notification(*alerts))
    except BadInput:
        return
    log = Log(tmp_path_factory.mktemp("fuzz") / "log")
    for one in told:
        record_alert(log, one.actor, one.alert, key=one.key, source="alertmanager", by="me")
    assert {known.alert for known in list_alerts(Log(log.path))} <= {one.alert for one in told}
