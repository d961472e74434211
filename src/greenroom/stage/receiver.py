"""Receive what Alertmanager sends, so that alerts of Prometheus's rules are in the log like a chart's.

A notification may come twice, or from two Alertmanagers at once: an alert is known by its fingerprint
and the time it started, and entered once. It is read whole before any of its alerts is entered.
"""

from __future__ import annotations

import hmac
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from greenroom.contracts import CAUSES, Alert
from greenroom.errors import BadInput, GreenroomError
from greenroom.monitoring.alerts import record_alert
from greenroom.store.log import Log

PATH = "/api/alertmanager"
SOURCE = "alertmanager"
LARGEST = 1 << 20
"""Bytes of a notification, at most; one alert of ours has some 1,500."""

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class _Alert(msgspec.Struct):
    """One alert of Alertmanager's webhook, version 4; what we do not use is passed over."""

    status: str
    labels: dict[str, str]
    fingerprint: _Text
    startsAt: _Text  # as it stands in the message
    annotations: dict[str, str] = {}


class _Notification(msgspec.Struct):
    version: str
    alerts: list[_Alert]


@dataclass(frozen=True)
class FiringAlert:
    """One firing alert of a notification.

    Attributes:
        key: which alert it is.
        actor: about whom.
        release: which performed; "" where the rule does not say.
        alert: what it says.
    """

    key: str
    actor: str
    release: str
    alert: Alert


def read_notification(data: bytes) -> tuple[list[FiringAlert], int]:
    """Return the firing alerts of a webhook's body, and how many were about an end.

    Labels `actor`, `signal` and `cause` say what it is, `release` and `where` (names, commas between)
    what else is known; annotations `size` and `tick` are numbers. Prometheus does not say when it began:
    the confidence set is from the show's start to the tick at which it was raised.

    Raises:
        BadInput: it is no notification of version 4, or one of its alerts is none of ours.
    """
    try:
        notification = msgspec.json.decode(data, type=_Notification)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"this is no notification of Alertmanager: {error}") from None
    if notification.version != "4":
        raise BadInput(f"this is version '{notification.version}' of the webhook, not 4")
    firing = [alert for alert in notification.alerts if alert.status == "firing"]
    return [_parse_alert(alert) for alert in firing], len(notification.alerts) - len(firing)


def _parse_alert(alert: _Alert) -> FiringAlert:
    labels = alert.labels
    where = f"alert {labels.get('alertname', alert.fingerprint)}"
    for name in ("actor", "signal", "cause"):
        if not labels.get(name, "").strip():
            raise BadInput(f"it has no label '{name}'", where=where, then="see docs/watching.md")
    if labels["cause"] not in CAUSES:
        raise BadInput(
            f"its cause is '{labels['cause']}'", where=where, then=f"one of {', '.join(CAUSES)}"
        )
    tick = int(_number(alert.annotations, "tick", where))
    parsed = Alert(
        signal=labels["signal"],
        cause=labels["cause"],
        where=tuple(filter(None, (name.strip() for name in labels.get("where", "").split(",")))),
        size=_number(alert.annotations, "size", where),
        tick=tick,
        began=tick,
        began_low=0,
        began_high=tick,
    )
    key = f"{alert.fingerprint}:{alert.startsAt}"
    return FiringAlert(key, labels["actor"], labels.get("release", ""), parsed)


def _number(annotations: dict[str, str], name: str, where: str) -> float:
    """Return a number of an annotation, 0 where there is none."""
    text = annotations.get(name, "").strip() or "0"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (name == "tick" and not 0 <= value < 2**53):
        raise BadInput(f"its {name} '{text}' is no number that can be kept", where=where)
    return value


def routes(log: Log, token: bytes) -> Sequence[BaseRoute]:
    """Return the route that Alertmanager posts to.

    Args:
        log: of the workspace; it is read through a log of this route's own.
        token: what the sender must show as `Authorization: Bearer TOKEN`.
    """
    thread_log, lock = Log(log.path, log.clock), threading.Lock()

    def keep(notifications: Sequence[FiringAlert]) -> int:
        with lock:
            first_new = thread_log.head()[0]
            records = [
                record_alert(
                    thread_log,
                    notification.actor,
                    notification.alert,
                    key=notification.key,
                    source=SOURCE,
                    by=SOURCE,
                    release=notification.release,
                )
                for notification in notifications
            ]
            return len(
                {record.entry.index for record in records if record.entry.index >= first_new}
            )

    async def receive(request: Request) -> Response:
        authorization = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(authorization, b"Bearer " + token):
            answer = _problem("this token is not the one", "set credentials_file to it", 401)
            answer.headers["www-authenticate"] = "Bearer"
            return answer
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > LARGEST:
                return _problem(f"more than {LARGEST:,} bytes", "set max_alerts lower", 413)
        try:
            notifications, ended = read_notification(bytes(data))
            entered = await run_in_threadpool(keep, notifications)
        except BadInput as error:
            return _problem(str(error), "see docs/watching.md", 400)
        except GreenroomError as error:  # Alertmanager tries again
            return _problem(str(error), "see greenroom fsck", 500)
        return JSONResponse(
            {"entered": entered, "known": len(notifications) - entered, "ended": ended}
        )

    return [Route(PATH, receive, methods=["POST"])]


def _problem(what: str, then: str, status: int) -> Response:
    return JSONResponse({"error": what, "then": then}, status)
