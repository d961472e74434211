import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.capture.packets import newest
from greenroom.capture.receivers import open_receiver, resolve_receiver
from greenroom.capture.receivers.datagrams import ReceiverCounts
from greenroom.capture.receivers.ifacialmocap import HELLO, FacialMocapDecoder
from greenroom.clock import tick_ns
from greenroom.errors import BadInput
from greenroom.frames import ARKIT
from greenroom.services.show_session import read_inputs
from greenroom.testing import check_receiver
from tests.capture.receivers.senders import decoded, free_port

HEAD = "=head#-21.4,-6.0,-6.6,-0.03,-0.10,-0.65|rightEye#6.0,2.4,0.2|leftEye#6.0,-1.6,-0.1|"


class Phone:
    """A telephone on this machine: it waits for the greeting, and answers to the listening port."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(2)
        self.listen = free_port()
        self.url = (
            f"ifacialmocap://127.0.0.1:{self.socket.getsockname()[1]}?listen={self.listen}&buffer=0"
        )

    def send(self, text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.encode()
        self.socket.sendto(data, ("127.0.0.1", self.listen))


@pytest.fixture
def phone() -> Iterator[Phone]:
    made = Phone()
    yield made
    made.socket.close()


def v1(**weights: int) -> str:
    return "|".join(f"{name}-{value}" for name, value in weights.items()) + "|" + HEAD


def v2(**weights: int) -> str:
    return "|".join(f"{name}&{value}" for name, value in weights.items()) + "|" + HEAD


FACE = {"mouthSmile_R": 30, "eyeBlink_L": 70, "jawOpen": 12, "jawLeft": 5, "browInnerUp": 100}


@pytest.mark.parametrize("text", [v1(**FACE), v2(**FACE), v2(**{**FACE, "tongueOut": -3})])
def test_names_and_hundredths_become_arkits(phone: Phone, text: str) -> None:
    receiver = open_receiver(phone.url, None)  # type: ignore[arg-type]
    receiver.poll(0)
    assert phone.socket.recv(200) == HELLO
    phone.send(text)
    face = newest(receiver.poll(tick_ns(1))).face
    receiver.close()
    assert face is not None
    weights = {n: w for n, w in zip(ARKIT, face.weights.tolist(), strict=True) if w == w}
    weights.pop("tongueOut", None)
    expected = {"mouthSmileRight": 0.3, "eyeBlinkLeft": 0.7, "jawOpen": 0.12, "jawLeft": 0.05}
    assert weights == pytest.approx({**expected, "browInnerUp": 1.0})


def test_the_applications_own_packet_is_read_whole(phone: Phone, shared_data: Path) -> None:
    data = (shared_data / "ifacialmocap_packets" / "packet_52_shapes.txt").read_bytes()
    decoder = FacialMocapDecoder(ReceiverCounts())
    decoder.feed(data, 0)
    weights = decoded(decoder).weights
    assert weights is not None and np.isfinite(weights).all()
    assert weights[ARKIT.index("mouthShrugUpper")] == pytest.approx(0.26)
    assert weights[ARKIT.index("mouthStretchRight")] == pytest.approx(0.21)


def test_the_same_text_again_means_that_the_face_was_lost(phone: Phone) -> None:
    counts = ReceiverCounts()
    decoder = FacialMocapDecoder(counts)
    for tick in range(10):
        decoder.feed(v1(**FACE).encode(), tick_ns(tick))
    assert counts.duplicated == 9 and decoded(decoder, tick_ns(9)).weights is None


def test_a_silent_telephone_is_greeted_each_second(phone: Phone) -> None:
    receiver = open_receiver(phone.url, None)  # type: ignore[arg-type]
    for tick in range(61):
        receiver.poll(tick_ns(tick))
    receiver.close()
    phone.socket.setblocking(False)
    assert [phone.socket.recv(200) for _ in range(3)] == [HELLO] * 3
    with pytest.raises(BlockingIOError):
        phone.socket.recv(200)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\xff\xfe", b"jawOpen-12", v1(**{**FACE, "jawLeft": 900}).encode()]
)
def test_what_is_no_face_is_passed_over_and_counted(data: bytes) -> None:
    with pytest.raises(ValueError):
        FacialMocapDecoder(ReceiverCounts()).feed(data or b" ", 0)


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode())))
def test_any_text_is_a_value_error(data: bytes) -> None:
    for start in (b"", v1(**FACE).encode()[:40]):
        try:
            FacialMocapDecoder(ReceiverCounts()).feed(start + data, 0)
        except ValueError:
            pass


@pytest.mark.parametrize(
    "url", ["ifacialmocap://", "ifacialmocap://127.0.0.1:0", "ifacialmocap://127.0.0.1?listen=x"]
)
def test_an_unusable_url_is_bad_input(url: str) -> None:
    with pytest.raises(BadInput):
        open_receiver(url, None)  # type: ignore[arg-type]


def test_it_conforms(phone: Phone) -> None:
    check_receiver(
        lambda: open_receiver(phone.url, None),  # type: ignore[arg-type]
        feed=lambda tick: phone.send(v1(**{**FACE, "jawOpen": tick})),
    )


def test_a_telephones_name_is_looked_up_when_the_show_is_ordered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look_up(host: str, port: int, **options: object) -> list[object]:
        assert host in ("phone.local", "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (answer, port))]

    unused: Any = None
    answer = "127.0.0.1"
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    url = f"ifacialmocap://phone.local:49984?use=face&listen={free_port()}"
    found = read_inputs(unused, [url], ()).receivers
    assert found == [url.replace("phone.local", "127.0.0.1")]
    answer = "fe80::1"
    assert resolve_receiver("ifacialmocap://phone.local:7") == "ifacialmocap://[fe80::1]:7"
    assert resolve_receiver("ifacialmocap://phone.local") == "ifacialmocap://[fe80::1]"
