"""From a marked packet in to its datagram out: a VMC sender, a show, and a viewer, on this machine.

    python benchmarks/end_to_end.py [--seconds 20] [--rate 61] [--options '?buffer=20']

The hips of each packet stand a little further than those of the one before. A packet is out with the
first datagram whose hips stand as far. The rate is none of the show's multiples, so that every phase occurs.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from greenroom import embedded
from greenroom.capture.receivers.osc import parse_osc
from greenroom.frames import BONES
from greenroom.live.sinks.vmc import unity_name
from greenroom.store.workspace import Workspace

STEP = 0.0005
BODY = [name for name in BONES if not any(part in name for part in ("Eye", "jaw"))]


def free_port() -> int:
    """Return a port of this machine that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def packet(x: float, seconds: float) -> bytes:
    """One pose as a bundle of python-osc."""
    bundle = OscBundleBuilder(IMMEDIATELY)
    for name in BODY:
        message = OscMessageBuilder("/VMC/Ext/Bone/Pos")
        message.add_arg(unity_name(name))
        for number in (-x if name == "hips" else 0.0, 0.95, 0.0, 0.0, 0.0, 0.0, 1.0):
            message.add_arg(float(number))
        bundle.add_content(message.build())
    message = OscMessageBuilder("/VMC/Ext/T")
    message.add_arg(seconds)
    bundle.add_content(message.build())
    return bundle.build().dgram


def hips_of(data: bytes) -> float | None:
    """Return the x of the hips in a datagram, ours."""
    for address, arguments in parse_osc(data):
        if address == "/VMC/Ext/Bone/Pos" and arguments[0] == "Hips":
            return -float(arguments[1])
    return None


def main() -> None:
    """Perform, send, and print the delays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=61)
    parser.add_argument("--options", default="")
    asked = parser.parse_args()
    sent: list[float] = []
    received: list[tuple[float, float]] = []
    end = threading.Event()
    port = free_port()
    count = int((asked.seconds + 10) * asked.rate)
    packets = [packet(STEP * k, k / asked.rate) for k in range(count)]

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            start = time.monotonic()
            for k, data in enumerate(packets):
                time.sleep(max(0.0, start + k / asked.rate - time.monotonic()))
                if end.is_set():
                    return
                sent.append(time.monotonic())
                sender.sendto(data, ("127.0.0.1", port))

    with (
        tempfile.TemporaryDirectory() as home,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as viewer,
    ):
        embedded.install(Workspace(Path(home)))
        viewer.bind(("127.0.0.1", 0))
        viewer.settimeout(0.2)

        def view() -> None:
            while not end.is_set():
                try:
                    data = viewer.recv(65536)
                except TimeoutError:
                    continue
                now, x = time.monotonic(), hips_of(data)
                if x is not None:
                    received.append((now, x))

        threads = [threading.Thread(target=send), threading.Thread(target=view)]
        for thread in threads:
            thread.start()
        url = f"vmc://:{port}{asked.options}"
        out = f"vmc://127.0.0.1:{viewer.getsockname()[1]}"
        words = ["perform", "mira", "--in", url, "--out", out, "--no-watch", "--json"]
        command = [sys.executable, "-m", "greenroom", "--home", home, *words]
        done = subprocess.run(
            [*command, "--seconds", str(asked.seconds)], capture_output=True, text=True, check=True
        )
        end.set()
        for thread in threads:
            thread.join()
    times, places = np.asarray(received).T
    keep = times > times[0] + 3
    times, places = times[keep], places[keep]
    delays = []
    for k, at in enumerate(sent):
        index = int(np.searchsorted(places, STEP * k - STEP / 100))
        if 0 < index < len(places) and at > times[0]:
            delays.append(1000 * (times[index] - at))
    report = json.loads(done.stdout)["receivers"][0]
    p50, p99 = np.percentile(delays, [50, 99])
    print(f"{len(delays)} packets: p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {max(delays):.1f} ms")
    print({name: report[name] for name in ("late", "delay_ms", "buffer_ms", "skew_ppm")})


if __name__ == "__main__":
    main()
