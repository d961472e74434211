"""Detached jobs as a service: the workspace's clock says when they started."""

import io
import subprocess
from pathlib import Path

import pytest

from greenroom.clock import VirtualClock
from greenroom.services.jobs import all_jobs, detach, find_job


class Started:
    """A process that does nothing."""

    pid = 1

    def __init__(self, command: list[str], **options: object) -> None:
        self.stdin = io.BytesIO()


def test_a_job_starts_when_the_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", Started)
    clock = VirtualClock(utc_ns=1_000_000_000_500_000_000)
    name = detach(tmp_path, ["take", "list"], clock)
    assert find_job(tmp_path, name).started == "2001-09-09T01:46:40.500000+00:00"
    assert [job.job for job in all_jobs(tmp_path)] == [name]
