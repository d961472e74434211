"""Long runs that nobody waits for: any command in a process of its own, its output and its end kept.

A job is a folder under the workspace: the command, what it printed, how far it is, its exit status. It
runs as long as somebody holds its lock, which the system lets go of when a process dies in whatever way.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from greenroom.clock import NS_PER_S, Clock
from greenroom.config import JOB_FOLDER
from greenroom.errors import BadInput
from greenroom.store import open_store
from greenroom.store.objects import digest, write_durably

_SUPERVISE = """
import sys
from pathlib import Path
from greenroom.services.jobs import supervise
sys.exit(supervise(Path(sys.argv[1]), int(sys.argv[2])))
"""


class Progress(msgspec.Struct, frozen=True):
    """How far a long run is.

    Attributes:
        label: what is done now.
        done: of the total, in units of the run's own.
        total: of all; 0 where nobody knows.
    """

    label: str
    done: int
    total: int

    @property
    def share(self) -> float:
        """How much is done, in [0, 1]."""
        return min(1.0, self.done / max(1, self.total))

    @classmethod
    def read(cls, folder: Path) -> Progress | None:
        """Return the progress in a folder; None where there is none, or it is none."""
        try:
            return msgspec.json.decode((folder / "progress").read_bytes(), type=cls)
        except (OSError, ValueError, RecursionError, msgspec.MsgspecError):
            return None

    def write(self, folder: Path) -> None:
        """Replace the progress in a folder; one that cannot be written is no reason to end a run."""
        with suppress(OSError):
            (folder / "progress.new").write_bytes(msgspec.json.encode(self))
            os.replace(folder / "progress.new", folder / "progress")


class _Start(msgspec.Struct, frozen=True):
    """What is written down of a job when it starts."""

    command: list[str]
    started: str
    pid: int


class Job(msgspec.Struct, frozen=True):
    """A command that runs, or ran, by itself.

    Attributes:
        job: its name.
        command: the arguments after `greenroom --home DIR`.
        started: UTC, ISO 8601.
        pid: of the process that supervises it, which leads its group.
        state: "lost" is one that ended without a status, as when the machine went down; the same command
            goes on where it was.
        exit: its exit status; None where it has none.
        progress: the last that it wrote.
    """

    job: str
    command: list[str]
    started: str
    pid: int
    state: Literal["running", "done", "failed", "lost"]
    exit: int | None
    progress: Progress | None


def detach(home: Path, command: Sequence[str], clock: Clock | None = None) -> str:
    """Start a command in a session of its own; return the job's name.

    Args:
        home: of the workspace.
        command: the arguments after `greenroom --home DIR`.
        clock: stamps the start; None for the workspace's own.
    """
    clock = clock or open_store(str(home)).log.clock
    start_time = datetime.fromtimestamp(clock.utc_ns() / NS_PER_S, UTC)
    started = start_time.isoformat(timespec="microseconds")
    name = digest("\0".join([started, str(os.getpid()), *command]).encode())[:12]
    folder = home / "jobs" / name
    folder.mkdir(parents=True)
    with (
        (folder / "lock").open("wb") as lock,
        (folder / "out").open("wb") as out,
        (folder / "err").open("wb") as err,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)  # handed on: a job is never seen between two holders
        process = subprocess.Popen(
            [sys.executable, "-c", _SUPERVISE, str(folder.resolve()), str(lock.fileno())],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            pass_fds=[lock.fileno()],
            start_new_session=True,
        )
        start = _Start(list(command), started, process.pid)
        write_durably(folder / "job.json", msgspec.json.encode(start))
    assert process.stdin is not None
    process.stdin.close()  # now it may begin
    return name


def supervise(folder: Path, lock: int) -> int:
    """Run a job's command, and write down how it ended; both hold the job's lock.

    Args:
        folder: of the job.
        lock: the open file that is locked.
    """
    pending_signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):  # caught here, so not ignored there
        signal.signal(number, lambda number, frame: pending_signals.append(number))
    sys.stdin.read()  # until the job is written down
    command = _read_start(folder).command
    home = folder.parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "greenroom", "--home", str(home), *command],
        stdin=subprocess.DEVNULL,
        env={**os.environ, JOB_FOLDER: str(folder)},
        pass_fds=[lock],
    )
    while (code := process.poll()) is None:
        if pending_signals:
            pending_signals.clear()
            process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    write_durably(folder / "exit", str(code).encode())
    return code


def all_jobs(home: Path) -> list[Job]:
    """Return every job, the newest last."""
    jobs = [_read_job(path.parent) for path in (home / "jobs").glob("*/job.json")]
    return sorted(jobs, key=lambda job: job.started)


def find_job(home: Path, name: str) -> Job:
    """Return the job whose name begins so.

    Raises:
        BadInput: there is none of that name, or more than one.
    """
    folders = [path.parent for path in (home / "jobs").glob("*/job.json")]
    matches = [folder for folder in folders if folder.name.startswith(name)]
    if len(matches) != 1:
        what = "no job" if not matches else f"{len(matches)} jobs"
        raise BadInput(f"there is {what} '{name}'", then="see: greenroom jobs")
    return _read_job(matches[0])


def _read_job(folder: Path) -> Job:
    start = _read_start(folder)
    running = _is_locked(folder / "lock")
    code = int((folder / "exit").read_text()) if (folder / "exit").exists() else None
    state: Literal["running", "done", "failed", "lost"] = (
        "running" if running else "lost" if code is None else "failed" if code else "done"
    )
    return Job(
        job=folder.name,
        command=start.command,
        started=start.started,
        pid=start.pid,
        state=state,
        exit=code,
        progress=Progress.read(folder),
    )


def _read_start(folder: Path) -> _Start:
    path = folder / "job.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Start)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BadInput(
            f"this describes no job: {error}", where=str(path), then="remove its folder"
        ) from None


def _is_locked(lock: Path) -> bool:
    if not lock.exists():
        return False
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def stop(home: Path, name: str) -> None:
    """Interrupt a job's command; what was finished is kept.

    Raises:
        BadInput: it does not run.
    """
    job = find_job(home, name)
    if job.state != "running":
        raise BadInput(f"job {job.job} is {job.state}", then="see: greenroom jobs")
    # The supervisor leads the group; where it was killed alone, its command is of the group still.
    try:
        os.kill(job.pid, signal.SIGTERM)
    except ProcessLookupError:
        os.killpg(job.pid, signal.SIGTERM)
