"""Bring a workspace's runs to their end in a process that a test kills, and look at what is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from greenroom.registry.auto_approval import read_auto_approval
from greenroom.registry.promote import canary_ref, live_ref, live_release
from greenroom.registry.release import load_release
from greenroom.retraining import requests
from greenroom.retraining.workflow import run_pending
from greenroom.store.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, it finds the other tests too

from tests import examples  # noqa: E402
from tests.people import set_policy  # noqa: E402
from tests.simulation import fakes  # noqa: E402
from tests.simulation.fakes import FakeWork, rights, take  # noqa: E402

SCRIPT = str(Path(__file__))


def prepared(folder: Path) -> Workspace:
    """Mira is on stage, with a standing policy; what is learned is decided by the test."""
    home = Workspace(folder)
    fakes.debut(home, "mira", "Ada")
    bounded = read_auto_approval({"until": "2099-12-31", "per_day": 1000}, "here")
    gates = [fakes.GATE]
    rules = requests.Rules(per_day=1000).manifest()
    set_policy(home, "mira", "Ada", gates=gates, auto_approval=bounded, learning=rules)
    home.publish(examples.show(live_release(home, "mira")), by="test")
    return home


def news(home: Workspace, seed: int) -> None:
    take(home, "mira", seed, rights("2020-01-01", "2099-01-01"))


def killed_after(command: list[str], seconds: float) -> bool:
    """Start a process and kill it so many seconds after its first word; tell whether it was."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def check(home: Path, run: str, champion: str) -> None:
    """One end, no step that was done was done again, refs as the log says, and nothing is lost."""
    fresh = Workspace(home)
    entries = fresh.log.entries()
    ends = [e for e in entries if e.event == requests.ENDED and e.body["run"] == run]
    assert len(ends) == 1
    begun = next(e.index for e in entries if e.event == requests.ASKED and e.body["run"] == run)
    moves = [e.body for e in entries[begun:] if e.event == "ref"]
    promoted = [m["new"] for m in moves if m["name"] == live_ref("mira")]
    if ends[0].body["outcome"] == requests.PROMOTED:
        assert promoted == [ends[0].body["release"]] == [live_release(fresh, "mira")]
        approvals = [e for e in entries[begun:] if e.event == "approve"]
        assert len(approvals) == 1
    else:
        assert ends[0].body["outcome"] == requests.REJECTED and ends[0].body["reason"]
        assert promoted == [] and live_release(fresh, "mira") == champion
    tried = fresh.log.ref(canary_ref("mira"))
    assert tried in (None, live_release(fresh, "mira"))
    load_release(fresh, live_release(fresh, "mira"))
    assert fresh.fsck().bad == []


def main(home: Path, quality: int, seconds: float) -> None:
    """Work; `seconds` pass at each point where the work says where it is."""
    lines = os.open(home / "calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(text: str) -> None:
        os.write(lines, f"{text}\n".encode())
        print(text, flush=True)

    def tell(run: str, step: str, done: int, total: int) -> None:
        note(f"{run} {step} {'done' if done == total else 'begun'}")
        time.sleep(seconds)

    weights = tuple(float(n == quality) for n in range(5))
    run_pending(Workspace(home), FakeWork(0, weights, lambda step: time.sleep(seconds)), tell)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
