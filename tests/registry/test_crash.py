"""Killed at random points between a model and the stage: the old champion or the new, never a mix."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from greenroom import embedded
from greenroom.registry.promote import live_release
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace

KILLS = 40
LOOP = """
import sys
from pathlib import Path
from msgspec import structs
from greenroom.manifests import Model, ReleaseManifest
from greenroom.registry.promote import live_release, promote
from tests.people import approve
from greenroom.store.workspace import Workspace
home = Workspace(Path(sys.argv[1]))
release = home.objects.read(live_release(home, "mira"), ReleaseManifest)
plain = home.objects.read(release.parents.model, Model)
print("ready", flush=True)
for n in range(1000):
    recipe = {**plain.recipe, "note": sys.argv[2] + str(n)}
    other = home.publish(structs.replace(plain, recipe=recipe), by="crash")
    promote(home, "mira", approve(home, other, "Ada"), "crash")
    print(n, flush=True)
"""


@pytest.mark.slow
def test_killed_anywhere_between_model_and_stage(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    embedded.install(workspace)
    dice = random.Random(0)
    moved = 0
    for kill in range(KILLS):
        before = live_release(Workspace(tmp_path), "mira")
        command = [sys.executable, "-c", LOOP, str(tmp_path), f"{kill}."]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            time.sleep(dice.uniform(0, 0.25))
            process.send_signal(signal.SIGKILL)
        fresh = Workspace(tmp_path)
        release = load_release(fresh, live_release(fresh, "mira"))  # signed, whole, of this actor
        assert release.actor == "mira"
        moved += release.name != before
        if kill % 10 == 9:
            assert fresh.fsck().bad == []
    assert moved > KILLS // 4  # it was not always killed before it did anything
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".tmp"]
