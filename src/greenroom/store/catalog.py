"""Answer questions about manifests quickly; an index that can be dropped and rebuilt at any time.

The catalogue is a projection of the log and the manifests that it names, kept in SQLite. It remembers
how many log entries it has read, and reads on when it is asked. If it is damaged or of another version
it is made anew: `catalog.sum` holds the SHA-256 of the file after the last change made here.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock

from greenroom.errors import CheckFailed, GreenroomError
from greenroom.manifests import Take, kind_of
from greenroom.store.attribution import INGEST, attribution_of
from greenroom.store.log import Entry, Log
from greenroom.store.objects import Objects, digest

_VERSION = 2
_Sum = tuple[list[int], str]
_SCHEMA = """
create table manifests(object text not null, kind text not null, actor text not null,
                       name text not null, at_ns integer not null, by text not null,
                       position integer not null, primary key (object, actor));
create index manifests_kind on manifests(kind, actor, position);
create table parents(child text not null, parent text not null, primary key (child, parent));
create table refs(name text primary key, object text not null);
create table seen(entries integer not null);
insert into seen values (0);
"""


@dataclass(frozen=True)
class Row:
    """What the catalogue knows of a manifest without opening it.

    Attributes:
        object: its hash.
        kind: its tag, such as "take".
        actor: whose it is; "" for none. A take of two actors has a row for each.
        name: its name; "" for none.
        at_ns: when it was first published, or first ingested for this actor, UTC nanoseconds.
        by: who did that.
    """

    object: str
    kind: str
    actor: str
    name: str
    at_ns: int
    by: str


class _Checksum:
    """`catalog.sum`: the SHA-256 of the catalogue's file after the last change made here."""

    def __init__(self, path: Path) -> None:
        self.path, self.sum_path = path, path.with_suffix(".sum")

    def _stamp(self) -> list[int]:
        """Return what changes with every change of the file: its size and time."""
        stat = self.path.stat()
        return [stat.st_size, stat.st_mtime_ns]

    def check(self) -> None:
        """Drop the file where somebody else has changed it."""
        if not self.path.exists():
            return
        try:
            stamp, checksum = msgspec.json.decode(self.sum_path.read_bytes(), type=_Sum)
        except (ValueError, OSError, msgspec.DecodeError):
            stamp, checksum = [], ""
        if stamp != self._stamp() and digest(self.path.read_bytes()) != checksum:
            self.path.unlink()

    def write(self) -> None:
        """Record the file as it is, unless it has not changed."""
        stamp = self._stamp()
        with suppress(OSError, ValueError, msgspec.DecodeError):
            if msgspec.json.decode(self.sum_path.read_bytes(), type=_Sum)[0] == stamp:
                return
        checksum = digest(self.path.read_bytes())
        self.sum_path.write_bytes(msgspec.json.encode((stamp, checksum)))


class Catalog:
    """The index of one workspace.

    Args:
        path: the SQLite file.
        objects: where the manifests are.
        log: which of them were published.
    """

    def __init__(self, path: Path, objects: Objects, log: Log) -> None:
        """Keep what is needed; the file is opened when it is first asked."""
        self.path = path
        self.objects = objects
        self.log = log
        self._checksum = _Checksum(path)

    def find(self, kind: str, *, actor: str | None = None) -> list[Row]:
        """Return the manifests of a kind in the order in which they were published."""
        query = "select object, kind, actor, name, at_ns, by from manifests where kind = ?"
        values: tuple[str, ...] = (kind,)
        if actor is not None:
            query, values = query + " and actor = ?", (kind, actor)
        return [Row(*row) for row in self._ask(query + " order by position", values)]

    def resolve(self, prefix: str, kind: str) -> list[str]:
        """Return the objects of `kind` whose hash begins with `prefix` (six digits or more)."""
        query = "select object from manifests where kind = ? and object glob ? order by position"
        rows = self._ask(query, (kind, f"{prefix}*"))
        return list(dict.fromkeys(row[0] for row in rows))

    def children(self, name: str) -> list[str]:
        """Return what names this object as its parent: the lineage, downwards."""
        query = "select child from parents where parent = ? order by child"
        return [row[0] for row in self._ask(query, (name,))]

    def refs(self) -> dict[str, str]:
        """Return the refs as this index has them *without* reading on; fsck compares them.

        Raises:
            CheckFailed: the file is damaged.
        """
        try:
            with closing(self._connect()) as db:
                return dict(db.execute("select name, object from refs"))
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise CheckFailed(
                f"the catalogue is damaged: {error}", where=str(self.path), then="delete it"
            ) from None

    def rebuild(self) -> None:
        """Drop the index and make it anew from the log."""
        self.path.unlink(missing_ok=True)
        self.sync()

    def sync(self) -> None:
        """Read on to the end of the log."""
        self._ask("select entries from seen", ())

    def _ask(self, query: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """Read on, then answer; where the file is damaged, make it anew and answer then."""
        entries = self.log.entries()
        try:
            return self._answer(entries, query, values)
        except sqlite3.Error as error:  # sqlite3's own "cannot decode" has no code
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL):
                raise GreenroomError(
                    f"the catalogue cannot be used: {error}", where=str(self.path)
                ) from error
        except (UnicodeDecodeError, TypeError):
            pass
        self.path.unlink(missing_ok=True)
        return self._answer(entries, query, values)

    def _answer(
        self, entries: list[Entry], query: str, values: tuple[str, ...]
    ) -> list[tuple[Any, ...]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            self._checksum.check()
            with closing(self._connect()) as db:
                self._read_on(db, entries)
                rows = db.execute(query, values).fetchall()
            self._checksum.write()
        return rows

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            version = db.execute("pragma user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError("another version")
            if version == 0:
                db.execute("begin immediate")
                if db.execute("pragma user_version").fetchone()[0] == 0:
                    for statement in _SCHEMA.split(";")[:-1]:
                        db.execute(statement)
                    db.execute(f"pragma user_version = {_VERSION}")
                db.execute("commit")
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def _read_on(self, db: sqlite3.Connection, entries: list[Entry]) -> None:
        row = db.execute("select entries from seen").fetchone()
        if row is None or not isinstance(row[0], int):
            raise sqlite3.DatabaseError("it does not say how far it has read")
        indexed_entries = row[0]
        if indexed_entries >= len(entries):
            return
        db.execute("begin immediate")
        indexed_entries = db.execute("select entries from seen").fetchone()[0]
        for entry in entries[indexed_entries:]:
            self._index(db, entry)
        db.execute("update seen set entries = ?", (max(indexed_entries, len(entries)),))
        db.execute("commit")

    def _index(self, db: sqlite3.Connection, entry: Entry) -> None:
        if entry.event == "ref":
            move = (entry.body["name"], entry.body["new"])
            db.execute("insert or replace into refs values (?, ?)", move)
        if entry.event == INGEST:
            self._index_take(db, entry)
        if entry.event != "publish":
            return
        name = entry.body["object"]
        try:
            manifest = self.objects.read_any(name)
        except GreenroomError:
            return  # lost or damaged: fsck reports it, and no query may offer it
        if not isinstance(manifest, Take):  # whose a take is, and its name, come with `ingest`
            actor, title = getattr(manifest, "actor", ""), getattr(manifest, "name", "")
            row = (name, kind_of(manifest), actor, title, entry.at_ns, entry.by, entry.index)
            db.execute("insert or ignore into manifests values (?, ?, ?, ?, ?, ?, ?)", row)
        rows = [(name, parent) for parent in sorted(set(manifest.parent_hashes()))]
        db.executemany("insert or ignore into parents values (?, ?)", rows)

    def _index_take(self, db: sqlite3.Connection, entry: Entry) -> None:
        """Add a take for an actor, or give it its newer name; its place stays the first."""
        take, attribution = attribution_of(entry)
        try:
            self.objects.read(take, Take)
        except GreenroomError:
            return
        row = (take, attribution.actor, attribution.name, entry.at_ns, entry.by, entry.index)
        db.execute(
            "insert into manifests values (?, 'take', ?, ?, ?, ?, ?)"
            " on conflict (object, actor) do update set name = excluded.name",
            row,
        )
