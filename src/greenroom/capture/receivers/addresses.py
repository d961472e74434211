"""Say where a live input listens, and which machines it hears."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from greenroom.errors import BadInput
from greenroom.plugins import options_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class ListenAddress:
    """Where a receiver listens, and to whom.

    Attributes:
        host: an address of this machine.
        port: of it.
        allowed: networks whose senders are heard; empty for this machine alone.
        peer: address and port of the one sender that is greeted; None for none.
    """

    host: str
    port: int
    allowed: tuple[Network, ...] = ()
    peer: tuple[str, int] | None = None


def is_local(host: str) -> bool:
    """Tell whether an address is of the loopback network.

    >>> is_local("127.0.0.1"), is_local("localhost"), is_local("0.0.0.0"), is_local("::1")
    (True, True, False, True)
    """
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def read_networks(text: str, where: str) -> tuple[Network, ...]:
    """Return the networks of a comma-separated list such as "192.168.1.0/24,10.0.0.7".

    Raises:
        BadInput: one is none.
    """
    networks = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(part, strict=False))
        except ValueError:
            raise BadInput(
                f"'{part}' is no network", where=where, then="write it like 192.168.1.0/24"
            ) from None
    return tuple(networks)


def read_listen_url(
    url: str, default: int, types: Mapping[str, type] | None = None
) -> tuple[ListenAddress, dict[str, Any]]:
    """Return where a URL such as vmc://:39540?allow=192.168.1.0/24 listens, and its other options.

    Args:
        url: SCHEME://[HOST]:PORT; without HOST, this machine alone is heard.
        default: port of a URL that has none.
        types: name → type of options beside `allow`.

    Raises:
        BadInput: no port, no network, or an address that others reach without an `allow`.
    """
    parts, options = options_of(url, {"allow": str, **(types or {})})
    example = f"like {parts.scheme}://127.0.0.1:{default}"
    try:
        port = default if parts.port is None else parts.port
    except ValueError:
        port = 0
    if not port:
        raise BadInput(f"'{url}' has no usable port", then=example)
    host = parts.hostname or "127.0.0.1"
    allowed = read_networks(options.pop("allow", ""), url)
    if not is_local(host) and not allowed:
        raise BadInput(
            f"'{url}' is reached by other machines, and nobody said which may send",
            then="give --allow 192.168.1.0/24, or leave the host out",
        )
    return ListenAddress("127.0.0.1" if host == "localhost" else host, port, allowed), options


def with_allowed(url: str, networks: Sequence[str]) -> str:
    """Return a URL that names who may send, where others reach it and it does not say so itself.

    >>> with_allowed("vmc://0.0.0.0:39540?use=body", ["10.0.0.0/8"])
    'vmc://0.0.0.0:39540?use=body&allow=10.0.0.0/8'
    >>> with_allowed("vmc://:39540", ["10.0.0.0/8"])
    'vmc://:39540'
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not networks or not host or is_local(host) or "allow=" in parts.query:
        return url
    return f"{url}{'&' if parts.query else '?'}allow={','.join(networks)}"
