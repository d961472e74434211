"""Bring a workspace's runs to their end in a process that a test kills; what is done is noted."""

import os
import sys
import time
from pathlib import Path

from greenroom.retraining.durable import work_off
from greenroom.retraining.simulated import FakeWork
from greenroom.store.workspace import Workspace


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
    work_off(Workspace(home), FakeWork(0, weights, lambda step: time.sleep(seconds)), tell)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
