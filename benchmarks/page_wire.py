"""Measure what the page costs on the wire and in the sender, with and without compression.

Usage: python benchmarks/page_wire.py HOME SHOW [SECONDS]; frames are those of a recorded show, sent at 30 Hz.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path

import httpx

from greenroom.contracts import get_tensors
from greenroom.live.recorder import read_ledger
from greenroom.live.replay import opening_release
from greenroom.manifests import Show
from greenroom.observers.hub import Hub
from greenroom.observers.page import PageObserver, welcome_message
from greenroom.stage import create_app, serve_in_thread
from greenroom.store.workspace import Workspace

_UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n"
)
_DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"


def listen(port: int, deflate: bool, seconds: float) -> None:
    """Print how many bytes a page gets within a time."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        request = _UPGRADE.format(port=port, more=_DEFLATE if deflate else "")
        connection.sendall(request.encode())
        end, received = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            received += len(connection.recv(1 << 16))
    print(received)


def messages(home: Path, show: str) -> tuple[bytes, list[bytes]]:
    """Return the greeting and the frames of a show, as its page got them."""
    workspace = Workspace(home)
    manifest = workspace.objects.read(workspace.resolve(show, "show"), Show)
    release = opening_release(workspace, manifest)
    out: list[bytes] = []

    class Kept(Hub):
        def publish(self, kind: str, message: bytes) -> None:
            out.append(message)

    observer = PageObserver(Kept(), ((0, "recorded", False),))
    for row in read_ledger(workspace, manifest, release.role.shape):
        observer.frame(row, get_tensors(row["outputs"], release.role.shape.outputs()))
    return welcome_message(release, None, [], []), out


def measure(greeting: bytes, frames: list[bytes], viewers: list[bool], seconds: float) -> None:
    """Send to viewers, each with or without compression, and print what it took."""
    hub = Hub()
    with serve_in_thread(create_app(hub)) as server:
        hub.publish("hello", greeting)
        command = [sys.executable, __file__, "--listen", str(server.port)]
        listeners = [
            subprocess.Popen([*command, str(int(deflate)), str(seconds)], stdout=subprocess.PIPE)
            for deflate in viewers
        ]
        while hub.viewers < len(viewers):
            time.sleep(0.01)
        begun, used, due = time.monotonic(), time.process_time(), time.monotonic()
        for message in cycle(frames):
            hub.publish("frame", message)
            due += 1 / 30
            time.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() > begun + seconds:
                break
        share = (time.process_time() - used) / (time.monotonic() - begun)
        received = [int(listener.communicate()[0]) for listener in listeners]
        history = httpx.get(server.url + "history").content
    rate = sum(received) / max(len(received), 1) / seconds / 1000
    how = "none" if not viewers else "deflate" if viewers[0] else "plain"
    print(
        f"{len(viewers)} viewers, {how:8} {rate:7.1f} kB/s each, sender {share:6.2%} of a core, "
        f"history {len(history) / 1000:,.0f} kB",
        flush=True,
    )


def main() -> None:
    """Measure no viewer, then one and four of each kind."""
    if sys.argv[1] == "--listen":
        listen(int(sys.argv[2]), sys.argv[3] == "1", float(sys.argv[4]))
        return
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 20.0
    greeting, frames = messages(Path(sys.argv[1]), sys.argv[2])
    print(f"{len(frames)} frames, {sum(map(len, frames)) / len(frames):,.0f} bytes each")
    for viewers in ([], [False], [True], [False] * 4, [True] * 4):
        measure(greeting, frames, viewers, seconds)


if __name__ == "__main__":
    main()
