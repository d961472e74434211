"""Live capture outlives an engine that dies, and a release that takes over."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from greenroom import embedded
from greenroom.live.recorder import read_ledger
from greenroom.live.replay import verify
from greenroom.live.ring import rung_of
from greenroom.live.show import perform
from greenroom.live.supervisor import ShowSpec
from greenroom.manifests import Show
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace
from tests.cli.test_perform_live import Studio, studio
from tests.live.test_show import Strikes, another, swapped

_ = studio
TICKS = 180


@pytest.fixture
def show(tmp_path: Path, studio: Studio) -> tuple[Workspace, ShowSpec]:
    workspace = Workspace(tmp_path / "home")
    release = load_release(workspace, embedded.install(workspace))
    urls = [f"vmc://:{studio.body}", f"livelink://:{studio.face}?use=face"]
    return workspace, ShowSpec(release, [], TICKS, receivers=urls, rank=2)


def rungs_of(workspace: Workspace, order: ShowSpec, show: str) -> list[str]:
    manifest = workspace.objects.read(show, Show)
    return [rung_of(row) for row in read_ledger(workspace, manifest, order.release.role.shape)]


@pytest.mark.skipif(os.name != "posix" or not Path("/proc/self/task").exists(), reason="by /proc")
def test_an_engine_that_takes_over_hears_the_same_ports(show: tuple[Workspace, ShowSpec]) -> None:
    workspace, order = show
    done = perform(workspace, order, "test", [Strikes(30, signal.SIGKILL)])
    rungs = rungs_of(workspace, order, done.show)
    assert rungs[10:30] == ["capture"] * 20 and "hold" in rungs
    assert rungs[-20:] == ["capture"] * 20
    assert len(done.json["receivers"]) == 2 and done.json["receivers"][0]["malformed"] == 0
    verdict = verify(workspace, done.show)
    assert (verdict.exact, verdict.first_difference) == (verdict.frames, None)


def test_capture_goes_on_where_a_release_takes_over(show: tuple[Workspace, ShowSpec]) -> None:
    workspace, order = show
    new = another(workspace, order.release.name, note="new")
    done, _warnings = swapped(workspace, order, {20: new})
    [(first, _release)] = done.json["swaps"]
    rungs = rungs_of(workspace, order, done.show)
    gaps = [tick for tick, rung in enumerate(rungs) if tick >= 10 and rung != "capture"]
    assert 20 < first < TICKS and len(gaps) <= 1, (first, gaps)
    sent = [report["received"] for report in done.json["receivers"]]
    assert np.all(np.asarray(sent) > 60)
    assert verify(workspace, done.show).first_difference is None
