"""Detached commands: they outlive who started them, say how far they are, and how they ended."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from click.testing import CliRunner

from greenroom.cli import main
from greenroom.cli.context import meter
from greenroom.config import JOB_FOLDER
from greenroom.services.jobs import find_job


def _run(home: Path, *arguments: str):
    return CliRunner().invoke(main, ["--home", str(home), *arguments])


def _detach(home: Path, *arguments: str) -> str:
    said = subprocess.run(
        [sys.executable, "-m", "greenroom", "--home", str(home), "--detach", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    if "--json" in arguments:
        return str(json.loads(said.stdout)["job"])
    return said.stdout.split()[1]


def test_a_command_goes_on_by_itself_and_its_end_is_kept(tmp_path: Path) -> None:
    name = _detach(tmp_path, "take", "list", "--json")
    ended = _run(tmp_path, "jobs", name, "--wait", "--json")
    found = json.loads(ended.stdout)
    assert ended.exit_code == 0 and found["state"] == "done"
    assert json.loads(found["out"])["takes"] == []
    assert found["command"] == ["take", "list", "--json"]
    listed = _run(tmp_path, "jobs")
    assert name in listed.stdout and "done" in listed.stdout
    (tmp_path / "jobs" / "half").mkdir()  # as a crash before it was written down leaves it
    assert name in _run(tmp_path, "jobs").stdout


def test_a_failure_is_told_with_its_reason(tmp_path: Path) -> None:
    name = _detach(tmp_path, "validate", "nothing")
    ended = _run(tmp_path, "jobs", name[:6], "--wait")
    assert ended.exit_code == 2
    assert "failed" in ended.stdout and "nothing" in ended.stdout
    said = subprocess.run(
        [sys.executable, "-m", "greenroom", "--home", str(tmp_path), "--detach", "fsck", "--json"],
        capture_output=True,
        check=True,
    )
    assert set(json.loads(said.stdout)) == {"job"}


def test_a_long_one_is_interrupted_and_a_killed_one_is_lost(tmp_path: Path) -> None:
    show = ("demo", "--seconds", "600", "--headless")
    first, second = _detach(tmp_path / "a", *show), _detach(tmp_path / "b", *show)
    assert find_job(tmp_path / "a", first).state == "running"
    stopped = json.loads(_run(tmp_path / "a", "jobs", first, "--stop", "--json").stdout)
    assert stopped["state"] in ("done", "failed") and stopped["exit"] is not None
    again = _run(tmp_path / "a", "jobs", first, "--stop")
    assert again.exit_code == 2 and f"see: greenroom --home {tmp_path / 'a'} jobs" in again.stderr
    supervisor = find_job(tmp_path / "b", second).pid
    os.killpg(supervisor, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while find_job(tmp_path / "b", second).state == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert find_job(tmp_path / "b", second).state == "lost"


def test_unknown_commands_and_jobs_are_said(tmp_path: Path) -> None:
    assert "there is no command" in _run(tmp_path, "--detach", "dance").output
    missing = _run(tmp_path, "jobs", "abc")
    assert missing.exit_code == 2 and "there is no job 'abc'" in missing.stderr
    assert _run(tmp_path, "jobs").stdout.strip() == "no jobs"


def test_a_damaged_job_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "abc"
    folder.mkdir(parents=True)
    for damage in (b"", b"[" * 5000, b"\xff", b'{"command": "train"}'):
        (folder / "job.json").write_bytes(damage)
        refused = _run(tmp_path, "jobs", "abc")
        assert refused.exit_code == 2 and "job.json: this describes no job" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1


def test_how_far_it_is_stands_in_its_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(JOB_FOLDER, str(tmp_path))
    show = meter("judging", True)
    show(1, 50)
    show(50, 50)
    said = json.loads((tmp_path / "progress").read_bytes())
    assert said == {"label": "judging", "done": 50, "total": 50}
