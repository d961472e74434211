import socket
import sys
import time

import pytest

from greenroom.capture.receivers.addresses import ListenAddress
from greenroom.capture.receivers.udp_port import UdpPort
from greenroom.clock import NS_PER_S
from tests.capture.receivers.senders import free_port


@pytest.fixture(params=[True, False], ids=["stamped", "polled"])
def port(request: pytest.FixtureRequest) -> UdpPort:
    opened = UdpPort(ListenAddress("127.0.0.1", free_port()))
    if request.param and sys.platform != "linux":
        pytest.skip("only Linux stamps datagrams")
    opened.is_stamped = request.param
    return opened


def test_a_datagram_arrived_when_it_came_and_not_when_it_was_looked_for(port: UdpPort) -> None:
    assert port.read(0) == []
    time.sleep(0.2)  # the kernel begins to stamp a moment after it was asked
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in (b"one", b"two"):
            sender.sendto(data, ("127.0.0.1", port.address.port))
            time.sleep(0.06)
    first, second = port.read(10 * NS_PER_S)
    port.close()
    assert (first.data, second.data) == (b"one", b"two")
    ages = [(10 * NS_PER_S - each.arrival_ns) / 1e9 for each in (first, second)]
    if port.is_stamped:
        assert ages[0] - ages[1] >= 0.055 and 0.055 < ages[1] <= 1
    else:
        assert ages == [0, 0]


def test_nothing_is_read_after_the_end(port: UdpPort) -> None:
    port.read(0)
    port.close()
    assert port.read(1) == [] and port.refused == 0
