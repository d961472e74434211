"""One workspace: objects, log and catalogue under a folder, and the check of all three."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from greenroom.clock import Clock, utc_day
from greenroom.errors import BadInput, GreenroomError
from greenroom.manifests import Manifest, kind_of
from greenroom.plugins import scheme_of
from greenroom.store.attribution import Attributions
from greenroom.store.catalog import Catalog
from greenroom.store.log import Log
from greenroom.store.objects import Objects


@dataclass(frozen=True)
class Fault:
    """One thing that does not hold.

    Attributes:
        what: "object", "log", "ref", "manifest" or "catalogue".
        name: its hash, file or name.
        reason: what is wrong with it.
    """

    what: str
    name: str
    reason: str


@dataclass
class Findings:
    """What fsck saw."""

    objects: int = 0
    entries: int = 0
    refs: int = 0
    bad: list[Fault] = field(default_factory=list)


LEAST_DIGITS = 6
"""Of a hash that is given by its first digits."""
_LISTED = {
    "take": "list them: greenroom take list",
    "dataset": "list them: greenroom dataset list",
    "model": "list them: greenroom model list",
    "release": "list them: greenroom release list",
    "show": "list them: greenroom show list",
    "search": "greenroom search prints its hash when it ends",
    "validation": "greenroom validate prints its hash when it ends",
}


class Workspace:
    """Everything under one folder.

    Args:
        home: the folder; made when something is first kept.
        clock: stamps the log.
    """

    def __init__(self, home: Path, clock: Clock | None = None) -> None:
        """Name the parts; nothing is opened yet."""
        self.home = home
        self.objects = Objects(home / "objects")
        self.log = Log(home / "log", clock)
        self.catalog = Catalog(home / "catalog.sqlite", self.objects, self.log)
        self.attributions = Attributions(self.log)

    def today(self) -> datetime.date:
        """Return the UTC day of the log's clock: the one answer to what day it is."""
        return self.day_of(self.log.clock.utc_ns())

    def day_of(self, utc_ns: int) -> datetime.date:
        """Return the UTC day of a time in nanoseconds since 1970."""
        return utc_day(utc_ns)

    def publish(self, manifest: Manifest, *, by: str) -> str:
        """Keep a manifest and say so in the log; publishing the same again adds nothing.

        Raises:
            BadInput: it names an object that is not here.
        """
        kind = kind_of(manifest)
        for name in (*manifest.parent_hashes(), *manifest.blob_hashes()):
            if name not in self.objects:
                raise BadInput(f"this {kind} names object {name[:12]}, which is missing")
        name = self.objects.put_manifest(manifest)
        if not self.published(name):
            self.log.append("publish", {"object": name, "kind": kind}, by=by)
        return name

    def published(self, name: str) -> bool:
        """Tell whether the log says that this manifest was published."""
        return any(e.event == "publish" and e.body["object"] == name for e in self.log.entries())

    def resolve(self, text: str, kind: str) -> str:
        """Return the hash of an object given by hash, by six or more of its first digits, or by name.

        Raises:
            BadInput: none, or more than one, begins or is called so.
        """
        if len(text) >= LEAST_DIGITS and all(c in "0123456789abcdef" for c in text):
            matches = self.catalog.resolve(text, kind)
            if len(matches) == 1:
                return matches[0]
            if len(matches) > 1:
                raise BadInput(f"{len(matches)} {kind}s begin with {text}", then="give more digits")
        named_matches = [row.object for row in self.catalog.find(kind) if text and row.name == text]
        if len(named_matches) == 1:
            return named_matches[0]
        if named_matches:
            hashes = ", ".join(name[:12] for name in named_matches[-3:])
            what = f"{len(named_matches)} {kind}s are called '{text}'"
            raise BadInput(what, then=f"give a hash; the newest are {hashes}")
        if text and len(text) < LEAST_DIGITS and all(c in "0123456789abcdef" for c in text):
            raise BadInput(
                f"'{text}' is too short for a hash, and no {kind} is called so",
                then=f"give at least {LEAST_DIGITS} digits of the hash; {_LISTED.get(kind, '')}".rstrip(
                    "; "
                ),
            )
        raise BadInput(
            f"there is no {kind} '{text}' in {self.home}",
            then=_LISTED.get(kind, f"list them: greenroom serve, then /api/{kind}s"),
        )

    def fsck(self, progress: Callable[[int], None] = lambda _: None) -> Findings:
        """Hash every object, check the log from its start, and compare every ref with it."""
        findings = Findings()
        for name in self.objects:
            try:
                self.objects.get(name)
            except (GreenroomError, OSError) as error:
                findings.bad.append(Fault("object", name, str(error)))
            findings.objects += 1
            progress(findings.objects)
        try:
            self.log.check()
            self._compare(findings)
        except GreenroomError as error:
            findings.bad.append(Fault("log", str(self.log.path), str(error)))
        return findings

    def _compare(self, findings: Findings) -> None:
        entries = self.log.entries()
        findings.entries = len(entries)
        known_bad = {fault.name for fault in findings.bad}
        for entry in entries:
            if entry.event != "publish" or entry.body["object"] in known_bad:
                continue
            self._check_manifest(entry.body["object"], findings)
        refs = self.log.refs()
        findings.refs = len(refs)
        for name, object_hash in refs.items():
            if object_hash not in self.objects:
                findings.bad.append(
                    Fault("ref", name, f"points at {object_hash}, which is missing")
                )
        try:
            indexed = self.catalog.refs() if self.catalog.path.exists() else {}
        except GreenroomError as error:
            findings.bad.append(Fault("catalogue", str(self.catalog.path), str(error)))
            return
        for name, object_hash in indexed.items():
            if refs.get(name) != object_hash and not self._behind(name, object_hash):
                reason = f"the catalogue has {object_hash[:12]}, the log {str(refs.get(name))[:12]}"
                findings.bad.append(Fault("ref", name, reason + "; delete catalog.sqlite"))

    def _behind(self, ref: str, object_hash: str) -> bool:
        """Tell whether the log once had the ref there: an index not read on is no fault."""
        moves = (e.body for e in self.log.entries() if e.event == "ref")
        return any(move["name"] == ref and move["new"] == object_hash for move in moves)

    def _check_manifest(self, name: str, findings: Findings) -> None:
        try:
            manifest = self.objects.read_any(name)
        except GreenroomError as error:
            findings.bad.append(Fault("manifest", name, str(error)))
            return
        for part in (*manifest.parent_hashes(), *manifest.blob_hashes()):
            if part not in self.objects:
                findings.bad.append(Fault("object", part, f"missing, but {name[:12]} names it"))


def open_folder(url: str) -> Workspace:
    """Return the workspace in a folder.

    Args:
        url: the folder's path, or file:// with an absolute one.

    Raises:
        BadInput: the URL names another machine or no absolute path, or the path is a file.

    >>> open_folder("file:///tmp/my%20home").home.as_posix()
    '/tmp/my home'
    """
    path = url
    if scheme_of(url) == "file":
        parts = urlsplit(url)
        path = unquote(parts.path)
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise BadInput(f"'{url}' names no folder here", then="give file:///PATH")
    home = Path(path)
    if home.exists() and not home.is_dir():
        raise BadInput(f"the workspace {home} is a file", then="give a folder")
    return Workspace(home)
