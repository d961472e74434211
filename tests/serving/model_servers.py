"""Model servers for tests: the command in a process of its own, and one that answers as it is told."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

Alter = Callable[[bytes, bytes], bytes]
"""(request, the true answer) → what is answered; it may sleep."""


def free_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def start_model_server(home: Path, port: int, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "greenroom", "--home", str(home), "serve-model", "mira"]
    process = subprocess.Popen(
        [*command, "--port", str(port), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline(), "it did not start"
    with urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=10) as answer:
        assert answer.status == 200
    return process


def end_model_server(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate()


class Proxy:
    """Stands between a client and a model server, and may alter what is answered.

    Attributes:
        alter: asked for each answer; None passes it on.
        drips: whether answers leave byte after byte, 5 ms apart.
        port: where it listens.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.alter: Alter | None = None
        self.drips = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._closed = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.server_port)) as server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while request := _message(client):
                    server.sendall(request)
                    answer = _message(server)
                    if self.alter is not None:
                        answer = self.alter(request, answer)
                    while self.drips and answer:
                        client.sendall(answer[:1])
                        answer = answer[1:]
                        time.sleep(0.005)
                    client.sendall(answer)
            except OSError:
                pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._open:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(5)


def _message(source: socket.socket) -> bytes:
    """Return one HTTP message with its body; empty at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = source.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    length = lengths[0] if lengths else 0
    while len(body) < length:
        body += source.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def proxied(server_port: int) -> Iterator[Proxy]:
    proxy = Proxy(server_port)
    yield proxy
    proxy.close()


def wait_until(is_true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
