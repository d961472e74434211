"""Enter alerts in the log, once each, so that whoever acts on one can say which it was.

Charts raise them during a show; Prometheus raises its own through Alertmanager. Both come here in one
form, with a key that says which alert it is: the same alert, told twice, is entered once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from greenroom.contracts import CAUSES, Alert
from greenroom.errors import BadInput
from greenroom.monitoring.detectors.prevalence import SPIKE
from greenroom.store.log import Entry, Log

EVENT, UNWATCHED = "alert", "charts"
"""What the log calls an alert; and the signal of one which says that a release goes on unwatched."""


@dataclass(frozen=True)
class LoggedAlert:
    """An alert as the log has it.

    Attributes:
        key: which alert it is, of one source.
        actor: about whom.
        release: the release that performed; "" where that is not known.
        source: who raised it: "chart", or "alertmanager".
        alert: what it says.
        entry: its entry in the log.
    """

    key: str
    actor: str
    release: str
    source: str
    alert: Alert
    entry: Entry


_SAID = {
    "capture": "Capture lost. Check the camera, the tracker and the network.",
    "face": "Face lost. Check the telephone and its network.",
    "voice": "Voice lost. Check the microphone.",
    "missing": "{where} lost. Check the camera or the tracker.",
    "held": "{where} frozen. Check the tracker.",
    "freeze": "{where} trembling in place. Check the tracker.",
    "jitter": "{where} jittering. Check the light, the camera and the tracker.",
    "style": "Movement unlike the reference: {where}.",
    UNWATCHED: "Charts of what performs now could not be made: {where}. Try greenroom fsck.",
    "spike": "A style that was rare has become frequent: {where}.",
}
_DO = {
    "capture fault": "The capture is to be mended; nothing is learned from it.",
    "machine": "Stop other work on this machine; see the parts of a frame on the stage page.",
    "new style": "Let the model learn it, if it is wanted.",
    "new person": "Ask who is there, and whether they agreed.",
    "new sound": "Listen, and let the model learn it, if it is wanted.",
    "model": "Look at the model; go back if need be: greenroom rollback.",
}


def alert_sentence(alert: Alert) -> str:
    """Return what an alert says to people, and what to do.

    >>> alert_sentence(Alert("missing", "capture fault", ("left arm",), 1.0, 10, 0, 0, 5))
    'Left arm lost. Check the camera or the tracker.'
    """
    where = ", ".join(alert.where) or "the whole body"
    template = _SAID.get("spike" if alert.signal.startswith(SPIKE) else alert.signal)
    if template is None:
        template = "{signal} out of control ({where}). " + _DO[alert.cause]
    elif alert.cause != "capture fault" and alert.signal != UNWATCHED:
        template += " " + _DO[alert.cause]
    text = template.format(where=where, signal=alert.signal)
    return f"{text[0].upper()}{text[1:]}"


@dataclass(frozen=True)
class AlertOrigin:
    """Where an alert comes from.

    Attributes:
        actor: whose show raised it.
        key: by which the source tells its alerts apart; recorded once per source and key.
        source: "chart" or "alertmanager".
        release: hash of the release that performed; "" where it is not known.
    """

    actor: str
    key: str
    source: str
    release: str = ""


def record_alert(log: Log, alert: Alert, origin: AlertOrigin, by: str) -> LoggedAlert:
    """Record an alert, unless one of this source and key is recorded; return it as recorded.

    Args:
        log: of the workspace.
        alert: the alert.
        origin: where it comes from.
        by: who records it.

    Raises:
        BadInput: the cause is none of `greenroom.contracts.CAUSES`.
    """
    if alert.cause not in CAUSES:
        raise BadInput(
            f"an alert's cause is not '{alert.cause}'", then=f"one of {', '.join(CAUSES)}"
        )
    payload = {**asdict(alert), "where": list(alert.where), "joints": list(alert.joints)}
    body = {**asdict(origin), "alert": payload}

    def find_existing(entries: Sequence[Entry]) -> Entry | None:
        same = (
            entry
            for entry in reversed(entries)
            if entry.event == EVENT
            and (entry.body["key"], entry.body["source"]) == (origin.key, origin.source)
        )
        return next(same, None)

    return _read(log.append(EVENT, body, by=by, unless=find_existing))


def list_alerts(log: Log, actor: str | None = None, cause: str | None = None) -> list[LoggedAlert]:
    """Return every alert in the log, oldest first; of one actor, or of one cause, if named."""
    return [
        record for record in alerts_in(log.entries(), actor) if cause in (None, record.alert.cause)
    ]


def alerts_in(entries: Iterable[Entry], actor: str | None = None) -> list[LoggedAlert]:
    """Return the alerts among entries of the log; of one actor if named."""
    return [
        _read(entry)
        for entry in entries
        if entry.event == EVENT and actor in (None, entry.body["actor"])
    ]


def alert_json(record: LoggedAlert) -> dict[str, Any]:
    """Return an alert of the log as JSON: what it says, and when and by whom it was entered."""
    return {
        "at_ns": str(record.entry.at_ns),
        "actor": record.actor,
        "release": record.release,
        "source": record.source,
        **asdict(record.alert),
    }


def _read(entry: Entry) -> LoggedAlert:
    body = entry.body
    payload = dict(body["alert"])
    payload |= {"where": tuple(payload["where"]), "joints": tuple(payload["joints"])}
    payload["size"] = float(payload["size"])
    return LoggedAlert(
        body["key"],
        body["actor"],
        release=body["release"],
        source=body["source"],
        alert=Alert(**payload),
        entry=entry,
    )
