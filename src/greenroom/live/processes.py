"""Start and end the processes of a show, each of which gets its order as one JSON line."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import Any

from greenroom.live.ipc import MessageStream, send


def start_process(
    module: str, order: dict[str, Any]
) -> tuple[subprocess.Popen[bytes], MessageStream]:
    """Start a module of `greenroom.live` and send it its order; return it and what it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"greenroom.live.{module}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"},
        start_new_session=True,  # an interrupt from the keyboard is this side's to handle
    )
    send(process.stdin, order)
    assert process.stdout is not None
    return process, MessageStream(process.stdout.fileno())


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, and wait until it is gone."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):
            if pipe is not None:
                pipe.close()
