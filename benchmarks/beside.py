"""A show with a worker beside it: when a spike's update or a training comes on stage, and which frames are late.

Usage: benchmarks/beside.py HOME [--actor NAME] [--new STYLE] [--known N] [--seconds S] [--alone]
HOME is a workspace whose actor's champion never saw STYLE, with a policy that says what is asked for, as in
docs/benchmarks.md. A copy is written to. Takes of known styles that the champion was not trained on play first, N of
them, then those of STYLE. `--alone` leaves the worker out: what the show does by itself on this machine.

The control is a process at a higher real-time priority than the engine's that does nothing but wake every two
milliseconds, and look how long the host gave one of this machine's processors to somebody else (`steal`). Neither can
be mended by any code that runs here.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from greenroom.capture.annotations import take_tiers, whole_label
from greenroom.clock import NS_PER_S, PERIOD_NS, TICK_HZ
from greenroom.live.recorder import read_ledger
from greenroom.live.replay import opening_release
from greenroom.live.ring import STAMPS
from greenroom.manifests import Dataset, Model, ReleaseManifest, Show, Take
from greenroom.registry.promote import live_ref
from greenroom.store.workspace import Workspace

CONTROL = """
import os, time
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
stat = open("/proc/stat")
def stolen():
    stat.seek(0)
    return [int(line.split()[8]) for line in stat.read().splitlines() if line[:3] == "cpu"][1:]
before, at = stolen(), time.time_ns()
while True:
    due = time.monotonic_ns() + 2_000_000
    time.sleep(0.002)
    over, now, taken = time.monotonic_ns() - due, time.time_ns(), stolen()
    if over > 3_000_000 or taken != before:
        print(at, now, over, max(b - a for a, b in zip(before, taken)), flush=True)
    before, at = taken, now
"""


_NEAR_NS = 40_000_000
"""Around a late frame: what was stolen is counted in hundredths of a second, and may show later."""


def takes_of(workspace: Workspace, actor: str, new: str, known: int) -> tuple[list[str], float]:
    """Return what plays, and the second at which it is new."""
    release = workspace.objects.read(str(workspace.log.ref(live_ref(actor))), ReleaseManifest)
    model = workspace.objects.read(release.parents.model, Model)
    dataset = workspace.objects.read(model.parents.dataset, Dataset)
    taught = set(dataset.splits["train"])
    usual: list[str] = []
    rare: list[str] = []
    for row in workspace.catalog.find("take", actor=actor):
        style = whole_label(take_tiers(workspace, row.object), "style")
        if row.object not in taught and style in {*model.styles, new}:
            (rare if style == new else usual).append(row.object)
    for some in (usual, rare):
        random.Random(0).shuffle(some)
    usual = usual[:known]
    ticks = sum(workspace.objects.read(take, Take).clock.ticks for take in usual)
    return usual + rare * 2, ticks / TICK_HZ


@contextmanager
def control() -> Iterator[list[tuple[int, ...]]]:
    """Yield a list of odd wakes, filled at the end.

    Each is UTC ns of the wake before and of this one, ns overslept, and hundredths of a second stolen.
    """
    found: list[tuple[int, ...]] = []
    process = subprocess.Popen([sys.executable, "-c", CONTROL], stdout=subprocess.PIPE, text=True)
    try:
        yield found
    finally:
        if process.poll() is not None:
            sys.exit("there is no control: it may not have a real-time priority here")
        process.terminate()
        said, _ = process.communicate()
        found += [tuple(map(int, line.split())) for line in said.splitlines()]


def report(workspace: Workspace, show: str, wakes: list[tuple[int, ...]]) -> None:
    """Print each frame that was late, and what the control saw at that time."""
    manifest = workspace.objects.read(show, Show)
    began = int(manifest.started_utc_ns)
    for row in read_ledger(workspace, manifest, opening_release(workspace, manifest).role.shape):
        due, *stamps = (int(row[stamp]) for stamp in STAMPS)
        if stamps[-1] > due + PERIOD_NS:
            parts = zip(STAMPS[1:], stamps, strict=True)
            said = ", ".join(f"{name} {(ns - due) / 1e6:.1f}" for name, ns in parts)
            first, last = began + due - _NEAR_NS, began + stamps[-1] + _NEAR_NS
            near = [wake for wake in wakes if wake[0] < last and wake[1] > first]
            over = max((wake[2] for wake in near), default=0) / 1e6
            print(
                f"late: tick {int(row['tick'])} ({said} ms after it was due), {row['reason'].decode() or '-'};"
                f" control overslept {over:.1f} ms, stolen {10 * sum(wake[3] for wake in near)} ms"
            )
    slept = [wake[2] for wake in wakes if wake[2] > 3_000_000]
    print(
        f"control: overslept 3 ms or more {len(slept)} times, {max(slept, default=0) / 1e6:.1f} ms at most;"
        f" stolen {sum(wake[3] for wake in wakes) / 100:.2f} s"
    )


def tried(home: Path, args: argparse.Namespace) -> None:
    """Perform it, with what is asked for beside it, and print what came of it."""
    workspace = Workspace(home)
    takes, change = takes_of(workspace, args.actor, args.new, args.known)
    print(f"'{args.new}' from {change:.1f} s on")
    command = [sys.executable, "-m", "greenroom", "--home", str(home)]
    playing = [word for take in takes for word in ("--in", f"take:{take}")]
    perform = [*command, "perform", args.actor, *playing, "--seconds", str(args.seconds)]
    worker = None
    with control() as wakes:
        if not args.alone:
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            work = [*command, "run", "work"]
            worker = subprocess.Popen(work, stdout=subprocess.DEVNULL, env=env)
        try:
            done = subprocess.run([*perform, "--json"], stdout=subprocess.PIPE, check=True)
            if worker is not None and worker.poll() is not None:
                sys.exit("the worker ended before the show did")
        finally:
            if worker is not None:
                worker.terminate()
                worker.wait(60)
    said: dict[str, Any] = json.loads(done.stdout)
    began = int(workspace.objects.read(said["show"], Show).started_utc_ns)
    for entry in Workspace(home).log.entries():
        if entry.at_ns > began and entry.event != "publish":
            words = json.dumps(entry.body)
            print(f"{(entry.at_ns - began) / NS_PER_S:7.1f} s  {entry.event}  {words[:200]}")
    report(workspace, said["show"], wakes)
    print(f"late {said['late']} of {said['frames']}")
    subprocess.run([*command, "replay", said["show"], "--verify"], check=False)


def main() -> None:
    """Perform it, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home")
    parser.add_argument("--actor", default="mira")
    parser.add_argument("--new", default="elderly")
    parser.add_argument("--known", type=int, default=14)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--alone", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="beside-") as folder:
        home = Path(folder) / "home"
        shutil.copytree(args.home, home)
        tried(home, args)


main()
