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
        what = {"command": list(command), "started": started, "pid": process.pid}
        write_durably(folder / "job.json", json.dumps(what).encode())
    assert process.stdin is not None
    process.stdin.close()  # now it may begin
    return name


def supervise(folder: Path, lock: int) -> int:
    """Run a job's command, and write down how it ended; both hold the job's lock.

    Args:
        folder: of the job.
        lock: the open file that is locked.
    """
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):  # caught here, so not ignored there
        signal.signal(number, lambda number, frame: told.append(number))
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
        if told:
            told.clear()
            process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    write_durably(folder / "exit", str(code).encode())
    return code


def jobs(home: Path) -> list[dict[str, Any]]:
    """Return what is known of every job, the newest last."""
    found = [job(home, path.parent.name) for path in (home / "jobs").glob("*/job.json")]
    return sorted(found, key=lambda each: str(each["started"]))


def job(home: Path, name: str) -> dict[str, Any]:
    """Return a job: name, command, started, state, exit, progress.

    The state is "running", "done", "failed", or "lost": it ended without a word, as when the machine
    went down; the same command goes on where it was.

    Raises:
        BadInput: there is none of that name, or more than one.
    """
    everyone = [path.parent for path in (home / "jobs").glob("*/job.json")]
    found = [folder for folder in everyone if folder.name.startswith(name)]
    if len(found) != 1:
        what = "no job" if not found else f"{len(found)} jobs"
        raise BadInput(f"there is {what} '{name}'", then="see: greenroom jobs")
    folder = found[0]
    out = {"job": folder.name, **json.loads((folder / "job.json").read_bytes())}
    running = _held(folder / "lock")
    code = int((folder / "exit").read_text()) if (folder / "exit").exists() else None
    state = "running" if running else "lost" if code is None else "failed" if code else "done"
    progress = folder / "progress"
    said = json.loads(progress.read_bytes()) if progress.exists() else None
    return {**out, "state": state, "exit": code, "progress": said}


def _held(lock: Path) -> bool:
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
    found = job(home, name)
    if found["state"] != "running":
        raise BadInput(f"job {found['job']} is {found['state']}", then="see: greenroom jobs")
    # The supervisor leads the group; where it was killed alone, its command is of the group still.
    try:
        os.kill(found["pid"], signal.SIGTERM)
    except ProcessLookupError:
        os.killpg(found["pid"], signal.SIGTERM)


@click.command("jobs")
@click.argument("name", required=False)
@click.option("--stop", "stops", is_flag=True, help="Interrupt it; what was finished is kept.")
@click.option("--wait", "waits", is_flag=True, help="Until it ends; exits as it did.")
@as_json
@click.pass_obj
def jobs_command(
    context: Context, name: str | None, stops: bool, waits: bool, as_json: bool
) -> None:
    """List what `greenroom --detach COMMAND` started, or show one with what it printed."""
    home = context.workspace.home
    if name is None:
        found = jobs(home)
        answer(as_json, {"jobs": found}, "\n".join(map(_line, found)) or "no jobs")
        return
    if stops:
        stop(home, name)
    while (found_job := job(home, name))["state"] == "running" and (waits or stops):
        time.sleep(0.1)
    folder = home / "jobs" / found_job["job"]
    out, err = ((folder / n).read_bytes().decode("utf-8", "replace") for n in ("out", "err"))
    lines = [_line(found_job), out[-_TAIL:].rstrip(), err[-_TAIL:].rstrip()]
    answer(as_json, {**found_job, "out": out, "err": err}, "\n".join(filter(None, lines)))
    code = found_job["exit"]
    if waits and code != 0:  # a signal's number as a shell gives it; a lost job failed
        click.get_current_context().exit(1 if code is None else code if code > 0 else 128 - code)


def _line(found: dict[str, Any]) -> str:
    said = found["progress"]
    far = f"{said['label']} {said['done']:,}/{said['total']:,}" if said else ""
    command = " ".join(found["command"])
    return f"{found['job']}  {found['state']:8}{found['started'][:19]}  {command}  {far}".rstrip()


COMMANDS = (jobs_command,)
