"""The journal of runs in a real PostgreSQL: to the end, after a kill, and shared by workspaces."""

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from greenroom.errors import GreenroomError
from greenroom.registry.promote import live_release
from greenroom.retraining.requests import PROMOTED, REJECTED, request_run, runs
from greenroom.retraining.workflow import DATABASE, run_pending
from greenroom.store.workspace import Workspace
from tests.retraining.killed_run import SCRIPT, check, killed_after, news, prepared
from tests.simulation.fakes import FakeWork

BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=Path("none")).parent
pytestmark = [
    pytest.mark.train,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("dbos") is None,
        reason="the workflow engine is not installed: the extra loop",
    ),
    pytest.mark.skipif(
        not (BINARIES / "initdb").exists(),
        reason="PostgreSQL not found: apt-get install postgresql",
    ),
]


def as_nobody_special(command: Sequence[object]) -> None:
    """Run a command of PostgreSQL's, which refuses to be run by root."""
    other = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    said = [*other, *map(str, command)]
    subprocess.run(said, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/")


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL that listens on a socket in its folder and on no port: it is in nobody's way."""

    folder: Path

    def control(self, *words: str) -> None:
        data, log = self.folder / "data", self.folder / "log"
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        as_nobody_special(
            [BINARIES / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "-m", "immediate"]
            + [*words]
        )

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A throw-away cluster."""
    folder = Path(tempfile.mkdtemp(prefix="greenroom-", dir="/tmp"))  # a socket's path is short
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        initdb = [BINARIES / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-N"]
        as_nobody_special(initdb)
        made = Cluster(folder)
        made.control("start")
        try:
            yield made
        finally:
            made.control("stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A database that is not there yet is what everything here uses."""
    monkeypatch.setenv(DATABASE, cluster.url(request.node.name))


def command(home: Path, quality: int, seconds: float) -> list[str]:
    return [sys.executable, SCRIPT, str(home), str(quality), str(seconds)]


def finish(home: Path, quality: int) -> None:
    words = command(home, quality, 0)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.mark.usefixtures("database")
def test_a_run_comes_to_its_end(tmp_path: Path) -> None:
    home = prepared(tmp_path)
    news(home, 1)
    request_run(home, "mira", "a test", "test")
    (run,) = run_pending(home, FakeWork())
    assert (run.outcome, run.release) == (PROMOTED, live_release(home, "mira"))
    assert not list(tmp_path.glob("workflows.sqlite*"))


@pytest.mark.usefixtures("database")
def test_another_process_finishes_what_a_killed_one_began(tmp_path: Path) -> None:
    home, dice, kills = prepared(tmp_path), random.Random(3), 0
    for n, quality in enumerate((0, 1)):  # good, not good enough
        news(home, 100 + n)
        champion, run = live_release(home, "mira"), request_run(home, "mira", "a test", "test").name
        for _ in range(2):
            if not runs(Workspace(tmp_path).log)[-1].outcome:
                kills += killed_after(command(tmp_path, quality, 0.05), dice.uniform(0.1, 0.7))
        finish(tmp_path, quality)
        check(tmp_path, run, champion)
        assert runs(Workspace(tmp_path).log)[-1].outcome == (PROMOTED, REJECTED)[quality]
    assert kills >= 2


@pytest.mark.usefixtures("database")
def test_workspaces_share_a_database(tmp_path: Path) -> None:
    """One is killed and gone on with while the other is at work; their runs have the same names."""
    homes = [prepared(tmp_path / name) for name in "ab"]
    for n in range(2):
        for home in homes:
            news(home, 10 * n)
        champions = [live_release(home, "mira") for home in homes]
        names = [request_run(home, "mira", "a test", "test").name for home in homes]
        assert names == [f"mira-{n + 1:04d}"] * 2
        hits = list[bool]()

        def tell(run: str, step: str, done: int, total: int, hits: list[bool] = hits) -> None:
            if (step, done) == ("train", 0):
                hits.append(killed_after(command(homes[1].home, 1, 0.1), 0.5))
                finish(homes[1].home, 1)

        run_pending(homes[0], FakeWork(), tell)
        assert hits == [True]
        for home, champion, outcome in zip(homes, champions, (PROMOTED, REJECTED), strict=True):
            check(home.home, names[0], champion)
            assert runs(Workspace(home.home).log)[-1].outcome == outcome


@pytest.mark.usefixtures("database")
def test_a_database_that_goes_away_for_a_while_is_waited_for(
    tmp_path: Path, cluster: Cluster
) -> None:
    home, steps = prepared(tmp_path), list[str]()
    news(home, 1)
    request_run(home, "mira", "a test", "test")

    def tell(run: str, step: str, done: int, total: int) -> None:
        if done == total:
            steps.append(step)
        if (step, done) == ("validate", 0):
            cluster.control("restart")

    (run,) = run_pending(home, FakeWork(), tell)
    assert run.outcome == PROMOTED and len(steps) == len(set(steps)) == 9


def test_a_database_that_is_not_there_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = prepared(tmp_path)
    news(home, 1)
    request_run(home, "mira", "a test", "test")
    monkeypatch.setenv(DATABASE, f"postgresql://somebody:secret@/runs?host={tmp_path}")
    with pytest.raises(GreenroomError, match="the journal of the runs cannot be used") as caught:
        run_pending(home, FakeWork())
    told = str(caught.value)
    assert told.startswith(f"{DATABASE}: ") and "secret" not in told and "\n" not in told
    monkeypatch.delenv(DATABASE)
    assert run_pending(home, FakeWork())[0].outcome == PROMOTED
