"""Attribution of takes: whose they are, who is in them, what these people allow, and the labels.

None of it is in a take's hash, for all of it may change. An entry `ingest` of the log says whose a take
is; the newest entry of a take and actor counts. An entry `annotate` names an annotation of a take; the
newest of each annotator counts.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any

import msgspec

from greenroom.errors import BadInput, CheckFailed
from greenroom.manifests import Rights, to_json
from greenroom.store.log import Entry, Log

INGEST, ANNOTATE = "ingest", "annotate"
_ACTOR = re.compile(r"\w[\w.-]{0,99}")


def require_actor_name(actor: str) -> str:
    """Return an actor's name, which is a part of a ref's name, of files' names and of addresses.

    Raises:
        BadInput: it has other signs than these can hold.
    """
    if not _ACTOR.fullmatch(actor):
        raise BadInput(
            f"the actor '{actor}' has no usable name",
            then="give letters, digits, '-', '_', '.', such as mira",
        )
    return actor


@dataclass(frozen=True)
class Attribution:
    """Whose a take is, and who is in it.

    Attributes:
        actor: the virtual performer.
        participants: people in the recording; none if they are not known.
        rights: what each of them allows; none quarantines the take.
        name: of the take, as people call it; "" for the file's.
        session: the recording session; "" where it is not known.
        group: takes that belong together, such as repetitions; "" for none.
    """

    actor: str
    participants: tuple[str, ...] = ()
    rights: tuple[Rights, ...] = ()
    name: str = ""
    session: str = ""
    group: str = ""

    def entry(self, take: str) -> dict[str, Any]:
        """Return the body of the log's entry for a take."""
        return {
            "take": take,
            "actor": self.actor,
            "name": self.name,
            "participants": list(self.participants),
            "rights": [to_json(rights) for rights in self.rights],
            "session": self.session,
            "group": self.group,
        }


def attribution_of(entry: Entry) -> tuple[str, Attribution]:
    """Return the take and the attribution of an entry `ingest`.

    Raises:
        CheckFailed: the entry has another form.
    """
    body = entry.body
    try:
        fields = {key: value for key, value in body.items() if key != "take"}
        return str(body["take"]), msgspec.convert(fields, Attribution)
    except (KeyError, msgspec.ValidationError) as error:
        raise CheckFailed(
            f"entry {entry.index} of the log is no valid ingest: {error}",
            then="restore the log from a backup",
        ) from None


class Attributions:
    """Index of the log's entries about takes, read on whenever it is asked.

    Args:
        log: of the workspace.
    """

    def __init__(self, log: Log) -> None:
        """Keep the log; nothing is read yet."""
        self._log = log
        self._lock = threading.Lock()
        self._count = 0
        self._by_take: dict[str, dict[str, Attribution]] = {}
        self._annotations: dict[str, dict[str, str]] = {}

    def of(self, take: str, actor: str = "") -> Attribution:
        """Return the newest attribution of a take, of one actor if named; an empty one for none."""
        self._read_on()
        by_actor = self._by_take.get(take, {})
        if actor:
            return by_actor.get(actor, Attribution(actor))
        return next(reversed(by_actor.values()), Attribution(""))

    def rights(self, take: str) -> dict[str, tuple[Rights, ...]]:
        """Return everybody who is in a take by any actor's attribution, with their newest rights.

        Who is in a recording does not depend on the actor that it is for.
        """
        self._read_on()
        rights: dict[str, tuple[Rights, ...]] = {}
        for attribution in self._by_take.get(take, {}).values():  # the newest last
            for participant in attribution.participants:
                granted = tuple(r for r in attribution.rights if r.participant == participant)
                rights[participant] = granted or rights.get(participant, ())
        return rights

    def actors(self, take: str) -> tuple[str, ...]:
        """Return the actors that a take was ingested for, sorted."""
        self._read_on()
        return tuple(sorted(self._by_take.get(take, {})))

    def require_actor(self, take: str, actor: str) -> None:
        """Pass where a take was ingested for an actor.

        Raises:
            BadInput: it is another actor's.
        """
        actors = self.actors(take)
        if actor not in actors:
            raise BadInput(f"take {take[:12]} is {', '.join(actors)}'s, not {actor}'s")

    def name(self, take: str, actor: str = "") -> str:
        """Return what people call a take; the first digits of its hash where it has no name."""
        return self.of(take, actor).name or take[:12]

    def annotations(self, take: str) -> tuple[str, ...]:
        """Return the newest annotation of each annotator, in the order of their names."""
        self._read_on()
        by_annotator = self._annotations.get(take, {})
        return tuple(by_annotator[name] for name in sorted(by_annotator))

    def ingest(self, take: str, attribution: Attribution, by: str) -> None:
        """Enter in the log whose a take is; the same again adds nothing."""
        self._read_on()
        newest = self.of(take)
        if newest != attribution:
            self._log.append(INGEST, attribution.entry(take), by=by)

    def annotate(self, take: str, annotation: str, annotator: str, by: str) -> None:
        """Enter in the log which annotation of an annotator counts; the same again adds nothing."""
        self._read_on()
        if self._annotations.get(take, {}).get(annotator) != annotation:
            body = {"take": take, "annotation": annotation, "annotator": annotator}
            self._log.append(ANNOTATE, body, by=by)

    def _read_on(self) -> None:
        with self._lock:
            for entry in self._log.entries(self._count):
                if entry.event == INGEST:
                    take, attribution = attribution_of(entry)
                    by_actor = self._by_take.setdefault(take, {})
                    by_actor.pop(attribution.actor, None)
                    by_actor[attribution.actor] = attribution
                elif entry.event == ANNOTATE and {"take", "annotation", "annotator"} <= set(
                    entry.body
                ):
                    body = entry.body
                    by_annotator = self._annotations.setdefault(str(body["take"]), {})
                    by_annotator[str(body["annotator"])] = str(body["annotation"])
                self._count = entry.index + 1
