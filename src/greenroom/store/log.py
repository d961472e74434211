"""Append-only record of everything that was decided; a ref is what this log says it is.

The log is one file, a line an entry: the tree head after the entry (64 hex digits), a blank, the
entry in canonical JSON. A changed byte anywhere breaks the heads from there on. `log.head` repeats
size and head and is written after the line, so that a log that lost whole lines is noticed too. A
line without its newline is an append that a crash cut short: it never happened, and the next append
drops it.

Moving a ref is one append with the expected old value, under a lock: nothing can fall between.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock

from greenroom.clock import NS_PER_S, Clock, WallClock, utc_day
from greenroom.errors import CheckFailed, GreenroomError
from greenroom.store.merkle import Tree, leaf_hash
from greenroom.store.objects import canonical, sync_folder, write_durably

_AHEAD_NS = 86_400 * NS_PER_S
"""How far the log's newest time may be ahead of the clock: machines that share it differ a little."""


class Moved(CheckFailed):
    """A ref was not where the caller expected it; nothing was changed."""


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    Attributes:
        index: position, from 0.
        event: what happened, such as "ref" or "approve".
        at_ns: UTC nanoseconds, as its writer claims.
        by: who did it.
        body: the rest.
        latest_ns: the latest time that this entry or one before it claims. It never runs backwards, so
            that nobody gains a day by setting a clock back.
    """

    index: int
    event: str
    at_ns: int
    by: str
    body: dict[str, Any]
    latest_ns: int = 0


class _HeadFile:
    """`log.head`: size and tree head after the last append; it tells of a log that lost lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        return self.path.exists()

    def write(self, tree: Tree) -> None:
        write_durably(self.path, canonical({"size": tree.size, "head": tree.root().hex()}))

    def read(self) -> tuple[int, str] | None:
        """Return size and head, or None where there is none yet."""
        try:
            saved = msgspec.json.decode(self.path.read_bytes())
            size, head = int(saved["size"]), str(saved["head"])
            if size < 1:
                raise ValueError
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError):
            raise CheckFailed(
                "this tree head cannot be read", where=str(self.path), then=_MEND
            ) from None
        return size, head


class Log:
    """The append-only log of one workspace; threads and processes may share it.

    Args:
        path: the file; made with the first append.
        clock: stamps the entries.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """Keep path and clock; nothing is read until asked."""
        self.path = path
        self.clock = clock or WallClock()
        self._tree = Tree()
        self._entries: list[Entry] = []
        self._leaves: list[bytes] = []
        self._heads: list[str] = []
        self._refs: dict[str, str] = {}
        self._offset = 0
        self._head_file = _HeadFile(path.with_suffix(".head"))
        self._thread_lock = threading.RLock()

    def append(
        self,
        event: str,
        body: dict[str, Any],
        *,
        by: str,
        unless: Callable[[Sequence[Entry]], Entry | None] = lambda entries: None,
    ) -> Entry:
        """Record an event, durably; return the entry.

        Args:
            event: what happened.
            body: the rest, as canonical JSON can hold it.
            by: who did it.
            unless: looks at what is recorded while nobody else can append; the entry that it returns
                stands for this one, and nothing is added.
        """
        with self._locked():
            return unless(self._entries) or self._append(event, body, by)

    def require_clock(self) -> None:
        """Pass, or raise where what is signed now would be dated by somebody's wrong clock.

        Revocations and recordings do not ask: they are kept whatever the clock says.

        Raises:
            CheckFailed: the log's newest time is more than a day ahead of this machine's clock.
        """
        entries = self.entries()
        if not entries or entries[-1].latest_ns - self.clock.utc_ns() <= _AHEAD_NS:
            return
        newest = max(entries, key=lambda entry: entry.at_ns)
        raise CheckFailed(
            f"entry {newest.index} of the log, by {newest.by}, is of {utc_day(newest.at_ns)}, but this "
            f"machine's clock says {utc_day(self.clock.utc_ns())}: one of them is wrong, and nothing "
            "is signed before it is known which",
            where=str(self.path),
            then="set this machine's clock; if that entry is from the future, go back to a backup of "
            "before it",
        )

    def move(self, ref: str, new: str, *, expect: str | None, by: str) -> Entry:
        """Point `ref` at `new`, provided it is at `expect` (None: not yet there).

        Raises:
            Moved: it is somewhere else; nothing was changed.
        """
        with self._locked():
            old = self._refs.get(ref)
            if old != expect:
                raise Moved(
                    f"ref {ref} is at {(old or 'nothing')[:12]}, not {(expect or 'nothing')[:12]}",
                    then="read it again and decide anew",
                )
            return self._append("ref", {"name": ref, "old": old, "new": new}, by)

    def entries(self, start: int = 0) -> list[Entry]:
        """Return every entry from index `start` on, checked against the tree heads."""
        with self._thread_lock:
            self._catch_up()
            return self._entries[start:]

    def leaves(self) -> list[bytes]:
        """Return the leaf hashes, for proofs."""
        with self._thread_lock:
            self._catch_up()
            return list(self._leaves)

    def head(self) -> tuple[int, bytes]:
        """Return (size, tree head)."""
        with self._thread_lock:
            self._catch_up()
            return self._tree.size, self._tree.root()

    def ref(self, name: str) -> str | None:
        """Return where a ref points, or None."""
        with self._thread_lock:
            self._catch_up()
            return self._refs.get(name)

    def refs(self, prefix: str = "") -> dict[str, str]:
        """Return every ref that begins with `prefix`."""
        with self._thread_lock:
            self._catch_up()
            return {
                name: object_hash
                for name, object_hash in sorted(self._refs.items())
                if name.startswith(prefix)
            }

    def check(self) -> None:
        """Read the whole file again from the start and compare it with `log.head`.

        Raises:
            CheckFailed: a line does not match its tree head, or lines are missing.
        """
        fresh = Log(self.path, self.clock)
        fresh._catch_up()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._thread_lock, FileLock(self.path.with_suffix(".lock")):
            self._catch_up()
            yield

    def _append(self, event: str, body: dict[str, Any], by: str) -> Entry:
        if self._tree.size == 1 and not self._head_file.exists():
            self._head_file.write(
                self._tree
            )  # a crash came before the first; two lines without one would be a fault
        at_ns = self.clock.utc_ns()
        line = canonical({"at": str(at_ns), "by": by, "event": event, "body": body})
        leaf = leaf_hash(line)
        record = self._tree.after(leaf).root().hex().encode() + b" " + line + b"\n"
        new_file = not self.path.exists()
        try:
            with open(self.path, "r+b" if not new_file else "xb") as file:
                file.truncate(self._offset)
                file.seek(self._offset)
                try:
                    file.write(record)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(self._offset)
                    raise
        except OSError as error:
            raise GreenroomError(
                f"cannot append to the log: {error.strerror}",
                where=str(self.path),
                then="free space or mend the disk; nothing was changed",
            ) from error
        if new_file:
            sync_folder(self.path.parent)
        self._accept(record, leaf)
        try:
            self._head_file.write(self._tree)
        except (OSError, GreenroomError):
            if not self._head_file.exists():
                raise
            # The entry stands; a head that is behind is allowed, and the next append writes it.
        return self._entries[-1]

    def _catch_up(self) -> None:
        """Read what others appended since; verify every line.

        The head is read first: whoever appends meanwhile makes the log longer than it, never shorter.
        """
        saved = self._head_file.read()
        try:
            with open(self.path, "rb") as file:
                length = file.seek(0, os.SEEK_END)
                if length < self._offset:
                    raise CheckFailed("the log became shorter", where=str(self.path), then=_MEND)
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            data = b""
        for line in data.split(b"\n")[:-1]:
            self._accept(line + b"\n", leaf_hash(line[65:]))
        if saved is None and self._tree.size > 1:  # one line may be there before the first head
            saved = self._head_file.read()
            if saved is None:
                raise CheckFailed("log.head is missing", where=str(self.path), then=_MEND)
            saved = None if saved[0] > self._tree.size else saved
        if saved is not None:
            self._compare_head(*saved)

    def _accept(self, line: bytes, leaf: bytes) -> None:
        index = self._tree.size
        where = f"{self.path}:{index + 1}"
        tree = self._tree.after(leaf)
        if line[:65] != tree.root().hex().encode() + b" ":
            raise CheckFailed("this entry does not match the tree head", where=where, then=_MEND)
        try:
            raw = msgspec.json.decode(line[65:-1])
            at_ns = int(raw["at"])
            entry = Entry(
                index,
                raw["event"],
                at_ns=at_ns,
                by=raw["by"],
                body=raw["body"],
                latest_ns=max(at_ns, self._entries[-1].latest_ns) if self._entries else at_ns,
            )
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError):
            raise CheckFailed("this entry cannot be read", where=where, then=_MEND) from None
        self._tree = tree
        self._entries.append(entry)
        self._leaves.append(leaf)
        self._heads.append(line[:64].decode())
        self._offset += len(line)
        if entry.event == "ref":
            self._refs[entry.body["name"]] = entry.body["new"]

    def _compare_head(self, size: int, head: str) -> None:
        if size > self._tree.size:
            raise CheckFailed(
                f"the log has {self._tree.size} entries, but had {size}",
                where=str(self.path),
                then=_MEND,
            )
        if self._heads[size - 1] != head:
            raise CheckFailed(
                f"the log's first {size} entries are not those that log.head names",
                where=str(self._head_file.path),
                then=_MEND,
            )


_MEND = "restore the log from a backup; do not append to it"
