"""Long runs that nobody waits for: any command in a process of its own, its words and its end kept.

A job is a folder under the workspace: the command, what it printed, how far it is, its exit status. It
runs as long as somebody holds its lock, which the system lets go of when a process dies in whatever way.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from greenroom.cli.context import JOB, Context, answer, as_json
from greenroom.errors import BadInput
from greenroom.store.objects import digest, write_durably

_TAIL = 4000
_SUPERVISE = """
import sys
from pathlib import Path
from greenroom.cli.jobs import supervise
sys.exit(supervise(Path(sys.argv[1]), int(sys.argv[2])))
"""


def detach(home: Path, command: Sequence[str]) -> str:
    """Start a command in a session of its own; return the job's name.

    Args:
        home: of the workspace.
        command: the arguments after `greenroom --home DIR`.
    """
    started = datetime.now(UTC).isoformat(timespec="microseconds")
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
        job_record = {"command": list(command), "started": started, "pid": process.pid}
        write_durably(folder / "job.json", json.dumps(job_record).encode())
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
    command = json.loads((folder / "job.json").read_bytes())["command"]
    home = folder.parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "greenroom", "--home", str(home), *command],
        stdin=subprocess.DEVNULL,
        env={**os.environ, JOB: str(folder)},
        pass_fds=[lock],
    )
    while (code := process.poll()) is None:
        if pending_signals:
            pending_signals.clear()
            process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    write_durably(folder / "exit", str(code).encode())
    return code


def jobs(home: Path) -> list[dict[str, Any]]:
    """Return what is known of every job, the newest last."""
    all_jobs = [job(home, path.parent.name) for path in (home / "jobs").glob("*/job.json")]
    return sorted(all_jobs, key=lambda each: str(each["started"]))


def job(home: Path, name: str) -> dict[str, Any]:
    """Return a job: name, command, started, state, exit, progress.

    The state is "running", "done", "failed", or "lost": it ended without a word, as when the machine
    went down; the same command goes on where it was.

    Raises:
        BadInput: there is none of that name, or more than one.
    """
    folders = [path.parent for path in (home / "jobs").glob("*/job.json")]
    matches = [folder for folder in folders if folder.name.startswith(name)]
    if len(matches) != 1:
        what = "no job" if not matches else f"{len(matches)} jobs"
        raise BadInput(f"there is {what} '{name}'", then="see: greenroom jobs")
    folder = matches[0]
    out = {"job": folder.name, **json.loads((folder / "job.json").read_bytes())}
    running = _is_locked(folder / "lock")
    code = int((folder / "exit").read_text()) if (folder / "exit").exists() else None
    state = "running" if running else "lost" if code is None else "failed" if code else "done"
    progress = folder / "progress"
    last_progress = json.loads(progress.read_bytes()) if progress.exists() else None
    return {**out, "state": state, "exit": code, "progress": last_progress}


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
    status = job(home, name)
    if status["state"] != "running":
        raise BadInput(f"job {status['job']} is {status['state']}", then="see: greenroom jobs")
    # The supervisor leads the group; where it was killed alone, its command is of the group still.
    try:
        os.kill(status["pid"], signal.SIGTERM)
    except ProcessLookupError:
        os.killpg(status["pid"], signal.SIGTERM)


@click.command("jobs")
@click.argument("name", required=False)
@click.option("--stop", "stops", is_flag=True, help="Interrupt it; what was finished is kept.")
@click.option("--wait", "waits", is_flag=True, help="Until it ends; exits as it did.")
@as_json
@click.pass_obj
def jobs_command(
    context: Context, name: str | None, stops: bool, waits: bool, as_json: bool
) -> None:
    """List what `greenroom --detach COMMAND` started.

    Of one job, show what it printed.
    """
    home = context.workspace.home
    if name is None:
        all_jobs = jobs(home)
        answer(as_json, {"jobs": all_jobs}, "\n".join(map(_line, all_jobs)) or "no jobs")
        return
    if stops:
        stop(home, name)
    while (status := job(home, name))["state"] == "running" and (waits or stops):
        time.sleep(0.1)
    folder = home / "jobs" / status["job"]
    out, err = ((folder / n).read_bytes().decode("utf-8", "replace") for n in ("out", "err"))
    lines = [_line(status), out[-_TAIL:].rstrip(), err[-_TAIL:].rstrip()]
    answer(as_json, {**status, "out": out, "err": err}, "\n".join(filter(None, lines)))
    code = status["exit"]
    if waits and code != 0:  # a signal's number as a shell gives it; a lost job failed
        click.get_current_context().exit(1 if code is None else code if code > 0 else 128 - code)


def _line(status: dict[str, Any]) -> str:
    progress = status["progress"]
    progress_text = (
        f"{progress['label']} {progress['done']:,}/{progress['total']:,}" if progress else ""
    )
    command = " ".join(status["command"])
    head = f"{status['job']}  {status['state']:8}{status['started'][:19]}"
    return f"{head}  {command}  {progress_text}".rstrip()


COMMANDS = (jobs_command,)
