"""A show whose processes are killed: what was recorded is kept, replays, and nothing stays behind."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from greenroom import embedded
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.consent.records import read_rights
from greenroom.errors import GreenroomError
from greenroom.live.journal import JournalHeader, RecordingJournal, journals
from greenroom.live.recorder import SEGMENT, Recorder, read_ledger
from greenroom.live.recording import RecorderHandle
from greenroom.live.recovery import is_cut_off, recover_recordings
from greenroom.live.replay import verify
from greenroom.live.ring import Ring, shared_folder, slot_type
from greenroom.live.take_recording import NO_MODEL
from greenroom.manifests import Show, ShowParents
from greenroom.manifests.codec import to_json
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests import examples
from tests.live import stand_in

GONE = 2**22 + 1
"""A process number that Linux does not give."""


def journal_of(
    workspace: Workspace, ticks: int, ring: Path, name: str = "show-1"
) -> RecordingJournal:
    """Record some ticks of an empty show with a journal, and leave it as a crash would."""
    journal = RecordingJournal(workspace.home / "recording" / name)
    journal.open()
    show = examples.show("0" * 64, parents=ShowParents(releases=[]))
    room = to_json(stand_in.SHAPE.manifest())
    header = JournalHeader(show=to_json(show), by="t", ring=str(ring), room=room, pid=GONE)
    journal.describe(header)
    recorder, shared = Recorder(workspace, journal=journal), Ring(ring, stand_in.SHAPE, create=True)
    for tick in range(ticks):
        row = shared.slots[0].copy()
        row["tick"] = tick
        shared.write(row)
        recorder.take(shared.read(tick)[0][0])
    journal.lock.release()
    return journal


def frames_of(workspace: Workspace, name: str) -> list[int]:
    """Return the ticks that a show has."""
    show = workspace.objects.read(name, Show)
    return [int(row["tick"]) for row in read_ledger(workspace, show, stand_in.SHAPE)]


def test_a_show_is_finished_from_its_journal_and_its_memory(tmp_path: Path) -> None:
    workspace, ring = Workspace(tmp_path / "home"), tmp_path / "greenroom-1-ring"
    ticks = 2 * SEGMENT + 11
    assert is_cut_off(journal_of(workspace, ticks, ring))
    [kept] = recover_recordings(workspace)
    assert (kept.frames, frames_of(workspace, kept.name)) == (ticks, list(range(ticks)))
    assert workspace.objects.read(kept.name, Show).recovered
    assert journals(workspace.home) == [] and not ring.exists()
    assert recover_recordings(workspace) == []


def test_without_its_memory_all_but_the_last_second_is_kept(tmp_path: Path) -> None:
    workspace, ring = Workspace(tmp_path / "home"), tmp_path / "greenroom-1-ring"
    journal_of(workspace, 2 * SEGMENT + 11, ring)
    ring.unlink()
    [kept] = recover_recordings(workspace)
    assert frames_of(workspace, kept.name) == list(range(2 * SEGMENT))


def test_a_show_that_was_being_published_is_published_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "home")
    journal_of(workspace, SEGMENT, tmp_path / "greenroom-1-ring")

    def killed(journal: RecordingJournal) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RecordingJournal, "remove", killed)
        recover_recordings(workspace)
    [kept] = recover_recordings(workspace)
    assert [row.object for row in workspace.catalog.find("show")] == [kept.name]


def test_a_show_that_is_recorded_is_left_alone(tmp_path: Path) -> None:
    workspace, ring = Workspace(tmp_path / "home"), tmp_path / "greenroom-1-ring"
    journal = journal_of(workspace, SEGMENT, ring)
    header = journal.header()
    assert header is not None
    journal.describe(replace(header, pid=os.getpid()))
    with RecordingJournal(journal.folder).lock:
        assert recover_recordings(workspace) == []
    assert journals(workspace.home) and ring.exists()


def test_a_living_show_whose_recorder_is_being_replaced_is_left_alone(tmp_path: Path) -> None:
    workspace, ring = Workspace(tmp_path / "home"), tmp_path / "greenroom-1-ring"
    journal = journal_of(workspace, SEGMENT, ring)
    journal.supervise()
    assert recover_recordings(workspace) == []
    assert journals(workspace.home) and ring.exists()
    journal.release()
    assert len(recover_recordings(workspace)) == 1


def test_a_recorder_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    workspace, ring = Workspace(tmp_path / "home"), tmp_path / "greenroom-1-ring"
    journal = journal_of(workspace, 2 * SEGMENT, ring)
    with (journal.folder / "segments.jsonl").open("ab") as file:
        file.write(b'{"segment":"0')  # killed while it wrote the line
    recorder = Recorder(workspace, journal=RecordingJournal(journal.folder))
    assert recorder.resume() == 2 * SEGMENT
    row = Ring(ring, stand_in.SHAPE).slots[0].copy()
    for tick in range(2 * SEGMENT, 4 * SEGMENT):
        row["tick"] = row["seq"] = tick
        recorder.take(row.copy())
    ring.unlink()
    [kept] = recover_recordings(workspace)
    assert frames_of(workspace, kept.name) == list(range(4 * SEGMENT))


def test_a_line_that_could_not_be_written_whole_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_of(Workspace(tmp_path / "home"), SEGMENT, tmp_path / "greenroom-1-ring")
    [line] = journal.lines()

    def full(handle: int) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr("os.fsync", full)
        journal.append(line)
    journal.append(line)
    assert journal.lines() == [line, line]


def test_frames_that_were_lost_before_the_end_are_all_counted(tmp_path: Path) -> None:
    workspace, ring = Workspace(tmp_path / "home"), tmp_path / "greenroom-1-ring"
    journal = journal_of(workspace, SEGMENT, ring)
    [line] = journal.lines()
    journal.append(replace(line, totals=replace(line.totals, lost=7)))
    [kept] = recover_recordings(workspace)
    assert workspace.objects.read(kept.name, Show).lost_to_recorder == 7


def test_a_recorder_that_is_refused_its_disk_leaves_no_memory_and_no_journal(
    tmp_path: Path,
) -> None:
    workspace, ring = (
        Workspace(tmp_path / "home"),
        Ring(tmp_path / "greenroom-1-ring", NO_MODEL, create=True),
    )
    handle = RecorderHandle(workspace, ring, "t", warn=print, reserve=10**15)
    with pytest.raises(GreenroomError, match="GB of disk"):
        handle.wait_ready()
    handle.abandon()
    assert not ring.path.exists() and journals(workspace.home) == []


def test_frames_that_were_lost_to_the_recorder_are_not_missed_ticks(tmp_path: Path) -> None:
    recorder = Recorder(Workspace(tmp_path / "home"))
    row = np.zeros((), dtype=slot_type(stand_in.SHAPE))
    for tick, number in ((0, 0), (100, 100), (105, 103)):  # 99 and 2 were overtaken
        row["tick"], row["seq"] = tick, number
        recorder.take(row.copy())
    assert recorder.missed == 2


def test_a_damaged_journal_stops_nobody_and_removes_no_file_of_others(tmp_path: Path) -> None:
    workspace, precious = Workspace(tmp_path / "home"), tmp_path / "precious.txt"
    precious.write_text("mine")
    first = journal_of(workspace, 2 * SEGMENT, tmp_path / "greenroom-1-ring", "show-1")
    lines = first.lines()
    negative = replace(lines[1], totals=replace(lines[1].totals, next_number=-1))
    no_digest = replace(lines[1], totals=replace(lines[1].totals, digest="zz"))
    for number, line in enumerate((negative, no_digest), 2):
        ring = tmp_path / f"greenroom-{number}-ring"
        journal = journal_of(workspace, 0, ring, f"show-{number}")
        header = journal.header()
        assert header is not None
        journal.describe(replace(header, ring=str(precious)))
        for each in (lines[0], line):
            journal.append(each)
    kept = recover_recordings(workspace)
    assert [each.frames for each in kept] == [2 * SEGMENT, SEGMENT, SEGMENT]
    assert precious.read_text() == "mine"


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    workspace, warnings = Workspace(tmp_path / "home"), list[str]()
    (tmp_path / "home/recording/mine").mkdir(parents=True)
    (tmp_path / "home/recording/mine/notes.txt").write_text("of the rehearsal")
    journal = journal_of(workspace, SEGMENT, tmp_path / "greenroom-1-ring")
    (journal.folder / "record.json").unlink()
    assert recover_recordings(workspace, warnings.append) == []
    assert (tmp_path / "home/recording/mine/notes.txt").exists() and journal.lines()
    assert len(warnings) == 1 and "nothing says of what" in warnings[0]


def test_a_journal_that_cannot_be_read_is_told_and_stays(tmp_path: Path) -> None:
    workspace, warnings = Workspace(tmp_path / "home"), list[str]()
    journal = journal_of(workspace, SEGMENT, tmp_path / "greenroom-1-ring")
    (journal.folder / "record.json").write_text("{")
    assert recover_recordings(workspace, warnings.append) == [] and is_cut_off(journal)
    assert len(warnings) == 1 and str(journal.folder) in warnings[0]
    assert journal.folder.exists()


def test_a_full_disk_leaves_all_that_is_needed_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, warnings = Workspace(tmp_path / "home"), list[str]()
    journal_of(workspace, SEGMENT + 7, tmp_path / "greenroom-1-ring")

    def full(*_: object) -> str:
        raise GreenroomError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("greenroom.store.objects.Objects.put", full)
        assert recover_recordings(workspace, warnings.append) == []
    assert "no space left" in warnings[0]
    [kept] = recover_recordings(workspace)
    assert kept.frames == SEGMENT + 7


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 4 * SEGMENT), st.integers(0, 2000))
def test_a_journal_cut_off_anywhere_gives_whole_segments(
    tmp_path_factory: pytest.TempPathFactory, ticks: int, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    workspace, ring = Workspace(folder / "home"), folder / "greenroom-1-ring"
    journal = journal_of(workspace, ticks, ring)
    ring.unlink()
    path = journal.folder / "segments.jsonl"
    text = path.read_bytes() if path.exists() else b""
    path.write_bytes(text[: max(0, len(text) - cut)])
    whole = text[: max(0, len(text) - cut)].count(b"\n")
    kept = recover_recordings(workspace)
    assert [each.frames for each in kept] == ([whole * SEGMENT] if whole else [])
    assert [frames_of(workspace, each.name) for each in kept] == [
        list(range(whole * SEGMENT)) for _ in kept
    ]


class RunningShow:
    """A show of one minute in processes of its own, and what an avatar program gets of it."""

    def __init__(self, home: Path, take: str) -> None:
        self.home = home
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(30)
        out = f"vmc://127.0.0.1:{self.socket.getsockname()[1]}"
        command = [sys.executable, "-m", "greenroom", "--home", str(home), "perform", "mira"]
        options = ["--in", f"take:{take}", "--out", out, "--seconds", "60", "--no-watch", "--json"]
        self.process = subprocess.Popen(
            [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        self.socket.recv(2048)
        self.socket.settimeout(0.02)

    def heard(self, seconds: float) -> list[float]:
        """Return when datagrams came in the next seconds, monotonic."""
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(TimeoutError):
                self.socket.recv(2048)
                times.append(time.monotonic())
        return times

    def pids(self) -> dict[str, list[int]]:
        """Return the numbers of its processes by the module that they run."""
        out: dict[str, list[int]] = {"supervisor": [self.process.pid]}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                name = next((w.decode() for w in words if w.startswith(b"greenroom.live.")), "")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if name and parent == self.process.pid:
                    out.setdefault(name.rpartition(".")[2], []).append(int(folder.name))
        return out

    def memory(self) -> list[Path]:
        """Return what it has in shared memory."""
        return list(shared_folder().glob(f"greenroom-{self.process.pid}-*"))

    def end(self) -> None:
        """Let go of everything."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.communicate()
        self.socket.close()


@pytest.fixture
def running(tmp_path: Path, person: Any) -> Any:
    """A show that has begun."""
    workspace = Workspace(tmp_path / "home")
    embedded.install(workspace)
    data = person() if callable(person) else person
    who = Attribution("mira", ("p",), (read_rights("MIT", "p"),))
    take = store_take(workspace, read_recording(data, "walk.bvh"), who, "test")
    show = RunningShow(workspace.home, take)
    yield show
    show.end()


def is_there(pid: int) -> bool:
    """Tell whether a process is there, and not only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


needs_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")


@needs_linux
def test_a_show_whose_supervisor_is_killed_comes_to_rest_and_is_kept(running: RunningShow) -> None:
    running.heard(2.5)
    pids = running.pids()
    assert len(pids["recorder_process"]) == 1 and len(pids["watchdog"]) == 1
    os.kill(running.process.pid, signal.SIGKILL)
    killed = time.monotonic()
    running.process.wait()
    times = [killed, *running.heard(5)]
    assert max(np.diff(times)) < 0.5  # never dark until it ends
    assert 2.5 < times[-1] - killed < 3.5  # at rest within three seconds
    deadline = time.monotonic() + 10
    everyone = [pid for each in pids.values() for pid in each]
    while any(map(is_there, everyone)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in everyone if is_there(pid)] == [] and running.memory() == []
    workspace = Workspace(running.home)
    assert journals(workspace.home) == []
    [row] = workspace.catalog.find("show")
    show = workspace.objects.read(row.object, Show)
    assert show.recovered and show.missed <= 15
    assert show.frames + show.missed > 30 * 5  # to the end of the easing
    verdict = verify(workspace, row.object)
    assert (verdict.exact, verdict.first_difference) == (show.frames, None)


@needs_linux
def test_a_recorder_that_is_killed_is_replaced_and_nothing_is_lost(running: RunningShow) -> None:
    running.heard(2.2)
    [recorder] = running.pids()["recorder_process"]
    os.kill(recorder, signal.SIGKILL)
    running.heard(2.2)
    [another] = running.pids()["recorder_process"]
    assert another != recorder
    running.process.send_signal(signal.SIGINT)
    _, errors = running.process.communicate(timeout=60)
    assert b"the recorder ended with status -9" in errors
    workspace = Workspace(running.home)
    [row] = workspace.catalog.find("show")
    show = workspace.objects.read(row.object, Show)
    assert (show.lost_to_recorder, show.recovered) == (0, False) and show.frames > 120
    assert verify(workspace, row.object).exact == show.frames


@needs_linux
def test_a_show_of_which_every_process_is_killed_is_finished_by_a_command(
    running: RunningShow,
) -> None:
    running.heard(3.2)
    pids = running.pids()
    for pid in (each for name in ("supervisor", *pids) for each in pids[name]):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.process.wait()
    command = [sys.executable, "-m", "greenroom", "--home", str(running.home), "show"]
    listed = subprocess.run([*command, "list"], capture_output=True, text=True, check=True)
    assert "greenroom show recover" in listed.stderr
    out = subprocess.run([*command, "recover", "--json"], capture_output=True, check=True)
    [kept] = json.loads(out.stdout)["recovered"]
    workspace = Workspace(running.home)
    assert kept["frames"] >= 60 and running.memory() == []
    verdict = verify(workspace, kept["show"])
    assert (verdict.exact, verdict.first_difference) == (kept["frames"], None)
    listed = subprocess.run([*command, "list"], capture_output=True, text=True, check=True)
    assert "cut off" in listed.stdout and "recover" not in listed.stderr


def check_killed(running: RunningShow, whom: str, after_s: float) -> dict[str, float]:
    """Kill one process of a show at a moment; check what is kept, and return how it went."""
    running.heard(after_s)
    pids = running.pids()
    victims = pids.get(whom) or [running.process.pid]
    began = time.monotonic()
    os.kill(victims[0], signal.SIGKILL)
    times = [began, *running.heard(5)]
    if victims[0] != running.process.pid:
        running.process.send_signal(signal.SIGINT)
    running.process.wait(60)
    everyone = [pid for each in (pids, running.pids()) for ids in each.values() for pid in ids]
    deadline = time.monotonic() + 15
    while (any(map(is_there, everyone)) or running.memory()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in everyone if is_there(pid)] == [] and running.memory() == []
    workspace = Workspace(running.home)
    assert journals(workspace.home) == []
    show = workspace.objects.read(workspace.catalog.find("show")[-1].object, Show)
    verdict = verify(workspace, workspace.catalog.find("show")[-1].object)
    assert (verdict.exact, verdict.first_difference) == (show.frames, None)
    dark_s = float(max(np.diff(times)))
    performed_s = times[-1] - began + after_s
    return {"dark_s": dark_s, "lost_s": performed_s - (show.frames + show.missed) / 30}


KILLS = int(os.environ.get("GREENROOM_KILLS", "4"))
VICTIMS = ("supervisor", "recorder_process", "engine", "watchdog")


@needs_linux
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(KILLS))
def test_a_kill_at_any_moment_loses_at_most_a_second(running: RunningShow, seed: int) -> None:
    """`GREENROOM_KILLS=100 pytest -m slow -k any_moment -s` prints each outcome."""
    draws = random.Random(seed)
    whom, after_s = VICTIMS[seed % len(VICTIMS)], draws.uniform(0, 3)
    outcome = check_killed(running, whom, after_s)
    print(f"\n{seed} {whom} after {after_s:.2f} s: {outcome}", flush=True)
    assert outcome["lost_s"] <= 1 and outcome["dark_s"] <= 0.5


def test_disk_is_reserved_and_given_back_segment_by_segment(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    journal = RecordingJournal(workspace.home / "recording" / "show-1")
    journal.open()
    journal.reserve(1_000_000)
    path = journal.folder / "reserved"
    assert path.stat().st_blocks * 512 >= 1_000_000
    journal.reserve(5_000_000)  # another recorder goes on
    assert path.stat().st_size == 1_000_000
    row = np.zeros((), dtype=slot_type(stand_in.SHAPE))
    recorder = Recorder(workspace, journal=journal)
    for tick in range(2 * SEGMENT):
        row["tick"] = row["seq"] = tick
        recorder.take(row.copy())
    kept = sum(workspace.objects.path(line.segment).stat().st_size for line in journal.lines())
    assert 900_000 < path.stat().st_size < 1_000_000 - kept


def test_what_is_reserved_is_there_when_the_rest_of_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "home")
    journal = RecordingJournal(workspace.home / "recording" / "show-1")
    journal.open()
    journal.reserve(1_000_000)
    path, put = journal.folder / "reserved", workspace.objects.put

    def put_on_a_full_disk(data: bytes) -> str:
        assert 1_000_000 - path.stat().st_size >= len(data), "no space left"
        return put(data)

    monkeypatch.setattr(workspace.objects, "put", put_on_a_full_disk)
    row = np.zeros((), dtype=slot_type(stand_in.SHAPE))
    recorder = Recorder(workspace, journal=journal)
    for tick in range(SEGMENT):
        row["tick"] = row["seq"] = tick
        recorder.take(row.copy())
    assert len(journal.lines()) == 1


def test_a_show_that_does_not_fit_on_the_disk_does_not_begin(tmp_path: Path) -> None:
    journal = RecordingJournal(tmp_path / "recording" / "show-1")
    journal.open()
    with pytest.raises(GreenroomError, match="needs 1000000.0 GB of disk: .* GB are free"):
        journal.reserve(10**15)
    assert not (journal.folder / "reserved").exists()


def test_a_page_server_finishes_what_was_cut_off(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    journal_of(workspace, SEGMENT, tmp_path / "ring")
    command = [sys.executable, "-m", "greenroom", "--home", str(workspace.home), "serve"]
    server = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        lines: list[str] = []
        while not any("stage page" in line for line in lines):
            lines.append(server.stderr.readline())
            assert lines[-1], "the server ended"
        assert any("was cut off; its 30 frames are kept" in line for line in lines)
    finally:
        server.terminate()
        server.communicate(timeout=10)
    assert (
        journals(workspace.home) == [] and len(Workspace(workspace.home).catalog.find("show")) == 1
    )
