import errno
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from greenroom.clock import VirtualClock
from greenroom.errors import BadInput, CheckFailed, GreenroomError
from greenroom.store.log import Entry, Log, Moved
from greenroom.store.merkle import inclusion_proof, root, verify_inclusion
from greenroom.store.objects import write_durably

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log", VirtualClock(utc_ns=1_700_000_000_000_000_000))


def filled(path: Path, entries: int) -> Log:
    log = Log(path, VirtualClock())
    for i in range(entries):
        log.append("note", {"text": f"entry {i}"}, by="ada")
    return log


def head_file(log: Log) -> Path:
    return log.path.with_suffix(".head")


def test_an_empty_log_is_whole(log: Log) -> None:
    assert log.entries() == [] and log.refs() == {} and log.ref("x") is None
    assert log.head() == (0, root([]))
    log.check()


def test_entries_come_back_as_they_were_put(log: Log) -> None:
    log.append("approve", {"object": A, "note": "größer"}, by="ada")
    log.clock.sleep_until(5)
    log.append("note", {}, by="bob")
    first, second = Log(log.path).entries()
    assert (first.index, first.event, first.by) == (0, "approve", "ada")
    assert first.body == {"object": A, "note": "größer"}
    assert second.index == 1 and second.at_ns - first.at_ns == 5


def test_an_outsider_can_check_an_entry(log: Log) -> None:
    for i in range(5):
        log.append("note", {"i": i}, by="ada")
    size, head = log.head()
    leaves = log.leaves()
    assert size == 5 and root(leaves) == head
    assert verify_inclusion(leaves[3], 3, size, inclusion_proof(leaves, 3), head)


def test_a_ref_moves_only_from_where_it_is_expected(log: Log) -> None:
    log.move("models/ada", A, expect=None, by="ada")
    with pytest.raises(Moved):
        log.move("models/ada", B, expect=None, by="bob")
    with pytest.raises(Moved):
        log.move("models/ada", B, expect=C, by="bob")
    with pytest.raises(Moved):
        log.move("models/bob", B, expect=A, by="bob")
    assert log.refs() == {"models/ada": A} and len(log.entries()) == 1
    entry = log.move("models/ada", B, expect=A, by="bob")
    assert entry.body == {"name": "models/ada", "old": A, "new": B}
    assert log.ref("models/ada") == B


def test_refs_are_found_by_prefix(log: Log) -> None:
    for name, at in (("b/x", A), ("a/y", B), ("a/x", C)):
        log.move(name, at, expect=None, by="ada")
    assert list(log.refs()) == ["a/x", "a/y", "b/x"]
    assert log.refs("a/") == {"a/x": C, "a/y": B}
    assert log.ref("a/y") == B and log.ref("c") is None


def test_two_that_are_open_at_once_see_each_other(log: Log) -> None:
    other = Log(log.path, VirtualClock())
    assert other.entries() == []
    log.move("x", A, expect=None, by="ada")
    assert other.ref("x") == A
    other.move("x", B, expect=A, by="bob")
    with pytest.raises(Moved):
        log.move("x", C, expect=A, by="ada")
    assert log.ref("x") == B and log.head() == other.head()


@pytest.mark.parametrize("existing", [0, 1, 3])
def test_an_append_between_two_reads_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: int
) -> None:
    writer = filled(tmp_path / "log", existing)
    reader = Log(writer.path)
    read_bytes, busy = Path.read_bytes, []

    def meanwhile(path: Path) -> bytes:
        if path == head_file(writer) and not busy:
            busy.append(True)
            writer.append("note", {}, by="bob")
            writer.append("note", {}, by="bob")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", meanwhile)
    assert len(reader.entries()) in (existing, existing + 2)
    assert len(reader.entries()) == existing + 2


@pytest.mark.parametrize("torn", [b"0", b"x" * 64, b"0" * 64 + b' {"at":"0"', b"z" * 500])
def test_a_torn_last_line_never_happened_and_is_overwritten(tmp_path: Path, torn: bytes) -> None:
    whole = filled(tmp_path / "log", 3)
    before = whole.path.read_bytes()
    with open(whole.path, "ab") as file:
        file.write(torn)
    whole.check()
    after = Log(whole.path, VirtualClock())
    assert len(after.entries()) == 3
    after.append("note", {}, by="bob")
    after.check()
    assert len(Log(whole.path).entries()) == 4
    data = whole.path.read_bytes()
    assert data.startswith(before) and data.count(b"\n") == 4 and data.endswith(b"\n")


def test_a_crash_between_line_and_head_is_no_fault(tmp_path: Path) -> None:
    log = filled(tmp_path / "log", 2)
    old_head = head_file(log).read_bytes()
    log.append("note", {}, by="ada")
    head_file(log).write_bytes(old_head)
    log.check()
    again = Log(log.path, VirtualClock())
    again.append("note", {}, by="ada")
    assert len(again.entries()) == 4


@pytest.mark.parametrize("entries", [1, 2])
def test_every_flipped_bit_is_caught(tmp_path: Path, entries: int) -> None:
    log = filled(tmp_path / "log", entries)
    missed = []
    for path in (log.path, head_file(log)):
        whole = path.read_bytes()
        for bit in range(8 * len(whole)):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            try:
                log.check()
            except CheckFailed:
                continue
            missed.append((path.name, bit))
        path.write_bytes(whole)
    assert missed == []
    log.check()


def test_every_truncation_is_caught(tmp_path: Path) -> None:
    log = filled(tmp_path / "log", 3)
    whole = log.path.read_bytes()
    for length in range(len(whole)):
        log.path.write_bytes(whole[:length])
        with pytest.raises(CheckFailed):
            log.check()
        with pytest.raises(CheckFailed):
            log.entries()
    log.path.unlink()
    with pytest.raises(CheckFailed):
        log.check()


def test_a_missing_head_is_caught(tmp_path: Path) -> None:
    log = filled(tmp_path / "log", 3)
    head_file(log).unlink()
    with pytest.raises(CheckFailed, match="log.head is missing"):
        log.check()


def test_lines_exchanged_or_repeated_are_caught(tmp_path: Path) -> None:
    log = filled(tmp_path / "log", 3)
    a, b, c = log.path.read_bytes().splitlines(keepends=True)
    for damaged in (a + c + b, a + b + b, a + b + c + c, b + c):
        log.path.write_bytes(damaged)
        with pytest.raises(CheckFailed):
            log.check()


def test_another_log_in_its_place_is_caught(tmp_path: Path) -> None:
    log = filled(tmp_path / "log", 3)
    other = Log(tmp_path / "other", VirtualClock())
    for i in range(3):
        other.append("note", {"text": f"entry {i}!"}, by="ada")
    log.path.write_bytes(other.path.read_bytes())
    with pytest.raises(CheckFailed, match="not those that log.head names"):
        log.check()


def test_nothing_is_appended_to_a_damaged_log(tmp_path: Path) -> None:
    log = filled(tmp_path / "log", 3)
    damaged = log.path.read_bytes().replace(b"entry 1", b"entry 7")
    log.path.write_bytes(damaged)
    fresh = Log(log.path, VirtualClock())
    for _ in range(2):
        with pytest.raises(CheckFailed, match="log:2"):
            fresh.append("note", {}, by="ada")
    assert log.path.read_bytes() == damaged


def test_a_full_disk_changes_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.move("x", A, expect=None, by="ada")
    before = log.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(GreenroomError, match="No space left"):
            log.move("x", B, expect=A, by="ada")
    assert log.path.read_bytes() == before and log.ref("x") == A
    log.check()
    log.move("x", B, expect=A, by="ada")
    assert Log(log.path).ref("x") == B


def test_what_has_no_canonical_form_is_not_appended(log: Log) -> None:
    with pytest.raises(BadInput):
        log.append("note", {"value": float("nan")}, by="ada")
    assert log.entries() == []


NAMES = st.sampled_from(["models/a", "models/b", "shows/x"])
HASHES = st.sampled_from([A, B, C])


class LogAgainstDict(RuleBasedStateMachine):
    """The log, opened twice and torn at times, against a dict of refs."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "log"
        self.logs = [Log(self.path, VirtualClock()) for _ in range(2)]
        self.refs: dict[str, str] = {}
        self.count = 0

    @rule(who=st.integers(0, 1), name=NAMES, new=HASHES, expect=st.none() | HASHES)
    def move(self, who: int, name: str, new: str, expect: str | None) -> None:
        if self.refs.get(name) == expect:
            self.logs[who].move(name, new, expect=expect, by="ada")
            self.refs[name] = new
            self.count += 1
        else:
            with pytest.raises(Moved):
                self.logs[who].move(name, new, expect=expect, by="ada")

    @rule(who=st.integers(0, 1), name=NAMES, new=HASHES)
    def follow(self, who: int, name: str, new: str) -> None:
        self.logs[who].move(name, new, expect=self.refs.get(name), by="ada")
        self.refs[name] = new
        self.count += 1

    @rule(who=st.integers(0, 1), text=st.text(max_size=6))
    def append(self, who: int, text: str) -> None:
        self.logs[who].append("note", {"text": text}, by="bob")
        self.count += 1

    @rule(who=st.integers(0, 1))
    def reopen(self, who: int) -> None:
        self.logs[who] = Log(self.path, VirtualClock())

    @rule(tail=st.binary(min_size=1, max_size=90).filter(lambda tail: b"\n" not in tail))
    def tear(self, tail: bytes) -> None:
        with open(self.path, "ab") as file:
            file.write(tail)

    @rule()
    def crash_before_the_head(self) -> None:
        head = self.path.with_suffix(".head")
        if not head.exists():
            return
        saved = head.read_bytes()
        self.append(0, "then it crashed")
        write_durably(head, saved)

    @invariant()
    def same(self) -> None:
        for log in getattr(self, "logs", []):
            assert log.refs() == self.refs
            assert len(log.entries()) == self.count == log.head()[0]
        if hasattr(self, "logs"):
            assert self.logs[0].head() == self.logs[1].head()
            self.logs[0].check()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestLogAgainstDict = LogAgainstDict.TestCase
TestLogAgainstDict.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)


def test_an_entry_stands_when_only_the_head_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path / "log")
    log.append("first", {}, by="me")

    def full(tree: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log._head_file, "write", full)
    assert log.append("second", {}, by="me").index == 1
    fresh = Log(tmp_path / "log")
    assert [entry.event for entry in fresh.entries()] == ["first", "second"]
    fresh.append("third", {}, by="me")
    Log(tmp_path / "log").check()


def test_what_is_recorded_already_stands_for_a_second_entry(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")

    def known(entries: Sequence[Entry]) -> Entry | None:
        return next((e for e in entries if e.event == "once"), None)

    first = log.append("once", {"n": 1}, by="me", unless=known)
    other = Log(tmp_path / "log")  # another process
    assert other.append("once", {"n": 2}, by="you", unless=known) == first
    assert other.append("twice", {}, by="you", unless=known) == first
    assert log.head()[0] == 1


def test_a_disk_that_is_full_from_the_first_entry_on_leaves_a_log_that_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise GreenroomError("cannot write: No space left on device", where=str(path))

    monkeypatch.setattr("greenroom.store.log.write_durably", full)
    for _ in range(3):
        with pytest.raises(GreenroomError, match="No space left"):
            Log(tmp_path / "log").append("note", {}, by="a")
    monkeypatch.undo()
    Log(tmp_path / "log").append("note", {}, by="a")
    assert len(Log(tmp_path / "log").entries()) == 2  # the first stood; it had no head yet


def test_threads_share_one_log(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")

    def work(thread: int) -> None:
        for number in range(20):
            log.append("note", {"thread": thread, "number": number}, by="test")
            assert log.entries()[-1].index >= number and log.head()[0] > number

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.check()
    bodies = [(entry.body["thread"], entry.body["number"]) for entry in log.entries()]
    assert sorted(bodies) == [(thread, number) for thread in range(4) for number in range(20)]
