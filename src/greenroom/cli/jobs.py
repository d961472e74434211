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
sys.exit(supervise(Path(sys.argv[1]), sys.argv[2]))
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
    what = {"command": list(command), "started": started}
    write_durably(folder / "job.json", json.dumps(what).encode())
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", _SUPERVISE, str(home.resolve()), name],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while not (folder / "pid").exists() and process.poll() is None:  # until it holds its lock
        time.sleep(0.01)
    return name


def supervise(home: Path, name: str) -> int:
    """Run a job's command, holding its lock, and write down how it ended."""
    folder = home / "jobs" / name
    command = json.loads((folder / "job.json").read_bytes())["command"]
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):  # caught here, so not ignored there
            signal.signal(number, lambda number, frame: told.append(number))
        process = subprocess.Popen(
            [sys.executable, "-m", "greenroom", "--home", str(home), *command],
            env={**os.environ, JOB: str(folder)},
            pass_fds=[lock.fileno()],  # so that the job lives as long as either of the two
        )
        write_durably(folder / "pid", str(os.getpid()).encode())
        while (code := process.poll()) is None:
            if told:
                told.clear()
                process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        write_durably(folder / "exit", str(code).encode())
    return code


def jobs(home: Path) -> list[dict[str, Any]]:
    """Return what is known of every job, the newest last."""
    found = [job(home, path.name) for path in (home / "jobs").glob("*") if path.is_dir()]
    return sorted(found, key=lambda each: str(each["started"]))


def job(home: Path, name: str) -> dict[str, Any]:
    """Return a job: name, command, started, state, exit, progress.

    The state is "running", "done", "failed", or "lost": it ended without a word, as when the machine
    went down; the same command goes on where it was.

    Raises:
        BadInput: there is none of that name, or more than one.
    """
    found = [p for p in (home / "jobs").glob(f"{name}*") if (p / "job.json").exists()]
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
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def stop(home: Path, name: str) -> None:
    """Interrupt a job as a person at its terminal would; what was finished is kept.

    Raises:
        BadInput: it does not run.
    """
    found = job(home, name)
    if found["state"] != "running":
        raise BadInput(f"job {found['job']} is {found['state']}", then="see: greenroom jobs")
    os.kill(int((home / "jobs" / found["job"] / "pid").read_text()), signal.SIGTERM)


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
    printed = (home / "jobs" / found_job["job"] / "out").read_bytes().decode("utf-8", "replace")
    answer(
        as_json, {**found_job, "out": printed}, f"{_line(found_job)}\n{printed[-_TAIL:]}".rstrip()
    )
    if waits and found_job["exit"]:
        click.get_current_context().exit(max(1, found_job["exit"]))


def _line(found: dict[str, Any]) -> str:
    said = found["progress"]
    far = f"{said['label']} {said['done']:,}/{said['total']:,}" if said else ""
    command = " ".join(found["command"])
    return f"{found['job']}  {found['state']:8}{found['started'][:19]}  {command}  {far}".rstrip()


COMMANDS = (jobs_command,)
