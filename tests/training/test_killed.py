"""Killed at random points from training to the stage: the old champion or the new, never a mix."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from greenroom.registry.promote import live_ref
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace

pytestmark = pytest.mark.train
KILLS = int(os.environ.get("GREENROOM_KILLS", "12"))
SERVER = """
import os, signal, sys, time
from pathlib import Path
import onnx, torch.onnx
from greenroom.contracts import ModelShape
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.registry.promote import promote
from tests.people import approve
from greenroom.store.workspace import Workspace
from greenroom.training import trainer
from greenroom.training.recipe import Recipe
from greenroom.manifests import Model
from greenroom.training.train import train
from greenroom.validation.gates import decide_gates
from greenroom.validation.evaluator import EvalScope, validate
trainer.EVERY = 2

def go(home, dataset, seed):
    workspace = Workspace(Path(home))
    model = train(workspace, dataset, "t", recipe=Recipe(6, 2, 4, seed=seed, windows=8))
    manifest = workspace.objects.read(model, Model)
    graph = workspace.objects.get(manifest.blobs.graph)
    backend = OnnxBackend(graph, ModelShape.load(manifest.shape))
    validate(workspace, model, backend, "t", EvalScope(tasks=["infill"]))
    validation, decisions = decide_gates(workspace, model)
    promote(workspace, "a", approve(workspace, model, "Ada", None, validation, decisions), "t")
    Path(home, f"done-{seed}").write_text(model)

print("ready", flush=True)
for line in sys.stdin:  # what takes long to import is there already: a run is a fork
    home, dataset, seed, after = line.split()
    child = os.fork()
    if not child:
        go(home, dataset, int(seed))
        os._exit(0)
    gone, end = 0, time.monotonic() + float(after)
    while not gone and time.monotonic() < end:
        time.sleep(0.002)
        gone, status = os.waitpid(child, os.WNOHANG)
    if not gone:
        os.kill(child, signal.SIGKILL)
        gone, status = os.waitpid(child, 0)
    print("ended", os.waitstatus_to_exitcode(status), flush=True)
"""


class Runs:
    """A process that has everything imported, and forks a run whenever it is asked."""

    def __enter__(self) -> "Runs":
        """Start it."""
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._line() == "ready"
        return self

    def __exit__(self, *error: object) -> None:
        """End it."""
        with self.server:
            self.server.kill()

    def _line(self) -> str:
        assert self.server.stdout is not None
        return self.server.stdout.readline().strip()

    def go(self, home: Path, dataset: str, seed: int, after: float = 1e6) -> str:
        """Run from training to the stage; kill it after so many seconds. Return how it ended."""
        assert self.server.stdin is not None
        print(home, dataset, seed, after, file=self.server.stdin, flush=True)
        return self._line()


def test_killed_anywhere_from_training_to_the_stage(
    tmp_path: Path, four_clips: Callable[[Path], tuple[Workspace, str]]
) -> None:
    home, dice = tmp_path / "killed", random.Random(0)
    _, dataset = four_clips(home)
    with Runs() as runs:
        begun = time.monotonic()
        assert runs.go(home, dataset, 0) == "ended 0"
        whole = time.monotonic() - begun
        seed, killed, champion = 1, 0, Workspace(home).log.ref(live_ref("a"))
        while killed < KILLS:
            ended = runs.go(home, dataset, seed, dice.uniform(0, 1.1 * whole))
            assert ended in ("ended 0", "ended -9")
            killed += ended == "ended -9"
            fresh = Workspace(home)
            now = fresh.log.ref(live_ref("a"))
            assert now is not None
            release = load_release(fresh, now)  # signed, verified, whole
            model = str(release.manifest.parents.model)
            if now != champion:  # the new one is this seed's, judged, and nobody else's
                assert fresh.objects.read_any(model).recipe["seed"] == seed
                assert release.manifest.parents.validation
            if killed % 20 == 0:
                assert fresh.fsck().bad == []
            if (home / f"done-{seed}").exists():
                seed, champion = seed + 1, now
        assert runs.go(home, dataset, seed) == "ended 0"
        again = tmp_path / "whole"
        assert four_clips(again)[1] == dataset
        assert runs.go(again, dataset, seed) == "ended 0"
    assert (home / f"done-{seed}").read_text() == (again / f"done-{seed}").read_text()
    assert Workspace(home).fsck().bad == []
    assert not list((home / "runs").glob("*"))
