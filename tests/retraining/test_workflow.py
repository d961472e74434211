"""Killed anywhere, a run goes on where it was: one end, nothing done twice, nothing lost."""

import collections
import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greenroom.errors import GreenroomError, Refused
from greenroom.registry.promote import live_release
from greenroom.retraining import requests
from greenroom.retraining.requests import request_run, runs
from greenroom.retraining.workflow import run_pending, single_worker
from greenroom.store.log import Log
from greenroom.store.workspace import Workspace
from tests.retraining.killed_run import SCRIPT, check, killed_after, news, prepared
from tests.simulation import fakes
from tests.simulation.fakes import FakeWork, rights, take

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(
        importlib.util.find_spec("dbos") is None,
        reason="the workflow engine is not installed: the extra loop",
    ),
]
KILLS = int(os.environ.get("GREENROOM_KILLS", "12"))
STEPS = ("pull", "build", "train", "validate", "sandbox", "shadow", "approve", "canary", "promote")


def repeated(home: Path, run: str) -> collections.Counter[str]:
    """How often each step of a run was begun and done."""
    lines = (home / "calls").read_text().splitlines()
    return collections.Counter(line.removeprefix(f"{run} ") for line in lines if run in line)


@pytest.mark.slow
def test_killed_anywhere_every_run_ends_once(tmp_path: Path) -> None:
    home, dice = prepared(tmp_path), random.Random(7)
    kills, outcomes, again = 0, collections.Counter[str](), collections.Counter[str]()
    for n in range(10_000):
        if kills >= KILLS:
            break
        quality = (0, 3, 1)[n % 3]  # good, sent back on trial, not good enough
        news(home, 1000 + n)
        champion, run = live_release(home, "mira"), request_run(home, "mira", "a test", "test").name
        command = [sys.executable, SCRIPT, str(tmp_path), str(quality), "0.02"]
        hits = 0
        for _ in range(3):  # a run may be killed thrice
            if kills + hits < KILLS and not runs(Workspace(tmp_path).log)[-1].outcome:
                hits += killed_after(command, dice.uniform(0, 0.7))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
        check(tmp_path, run, champion)
        outcomes[runs(Workspace(tmp_path).log)[-1].outcome] += 1
        kills += hits
        for what, times in repeated(tmp_path, run).items():
            # What was done but not yet in the journal is done again: at most once a kill.
            assert times <= 1 + hits, what
            again["repeated"] += times > 1
            again["once"] += times == 1
    print(f"{kills} kills, {dict(outcomes)}, steps {dict(again)}")
    assert kills >= KILLS and outcomes[requests.PROMOTED] and outcomes[requests.REJECTED]
    assert again["once"] > again["repeated"]


def test_what_is_in_the_journal_is_not_done_again(tmp_path: Path) -> None:
    home, calls = prepared(tmp_path), collections.Counter[str]()
    news(home, 1)
    request_run(home, "mira", "a test", "test")

    class Crash(BaseException):
        """The machine goes off."""

    for victim in (*STEPS, ""):

        def tell(run: str, step: str, n: int, of: int, off: str = victim) -> None:
            calls[f"{step} {n}"] += 1
            if step == off and n == 0:
                raise Crash

        if victim:
            with pytest.raises(Crash):
                run_pending(Workspace(tmp_path), FakeWork(), tell)
            assert runs(Workspace(tmp_path).log)[-1].outcome == ""
        else:
            (run,) = run_pending(Workspace(tmp_path), FakeWork(), tell)
            assert run.outcome == requests.PROMOTED
    assert calls == {f"{step} {n}": (2, 1)[n] for step in STEPS for n in (0, 1)}


def test_a_disk_that_is_full_at_the_end_loses_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, append = prepared(tmp_path), Log.append
    news(home, 1)
    name = request_run(home, "mira", "a test", "test").name

    def full(self: Log, event: str, *args: Any, **named: Any) -> Any:
        if event == requests.ENDED:
            raise OSError(28, "No space left on device")
        return append(self, event, *args, **named)

    monkeypatch.setattr(Log, "append", full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            run_pending(Workspace(tmp_path), FakeWork())
    assert runs(Workspace(tmp_path).log)[-1].outcome == ""
    monkeypatch.undo()

    class Idle(FakeWork):
        """Nothing is left to do."""

        def train(self, *args: Any) -> str:
            raise AssertionError("it was trained already")

    (run,) = run_pending(Workspace(tmp_path), Idle())
    assert (run.name, run.outcome, run.release) == (
        name,
        requests.PROMOTED,
        live_release(home, "mira"),
    )


def test_runs_of_two_actors_end_in_one_go(tmp_path: Path) -> None:
    home = prepared(tmp_path)
    fakes.debut(home, "noor", "Ada")
    news(home, 1)
    take(home, "noor", 2, rights("2020-01-01", "2099-01-01"))
    for actor in ("mira", "noor"):
        request_run(home, actor, "a test", "test")
    ended = run_pending(home, FakeWork())
    assert [(run.actor, run.outcome) for run in ended] == [
        ("mira", requests.PROMOTED),
        ("noor", requests.HELD),
    ]
    assert run_pending(home, FakeWork()) == []


def test_a_journal_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    home = prepared(tmp_path)
    news(home, 1)
    request_run(home, "mira", "a test", "test")
    (tmp_path / "workflows.sqlite").mkdir()
    with pytest.raises(GreenroomError, match="the journal of the runs cannot be used"):
        run_pending(home, FakeWork())
    (tmp_path / "workflows.sqlite").rmdir()
    assert run_pending(home, FakeWork())[0].outcome == requests.PROMOTED


def test_one_process_works_at_a_time(tmp_path: Path) -> None:
    home = prepared(tmp_path)
    with single_worker(tmp_path), pytest.raises(Refused, match="another process works on the runs"):
        run_pending(home, FakeWork())
    assert run_pending(home, FakeWork()) == []
