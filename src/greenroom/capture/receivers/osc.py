"""Read Open Sound Control 1.0 packets defensively: anybody may send anything to an open port."""

from __future__ import annotations

import struct

DEEPEST = 8
"""Levels of bundles within bundles; more is no animation data."""
_SIZES = {"i": 4, "f": 4, "h": 8, "d": 8, "t": 8, "c": 4, "r": 4, "m": 4}
_CODES = {"i": "i", "f": "f", "h": "q", "d": "d", "t": "Q", "c": "I", "r": "I", "m": "I"}
_CONSTANTS = {"T": True, "F": False, "N": None, "I": float("inf")}
_POSE = struct.Struct(">7f")
_TRANSFORM = ",sfffffff"

_USUAL = ((28, _POSE.unpack_from), (4, struct.Struct(">f").unpack_from))
_MOST_HEADS = 512
_HEADS: dict[bytes, tuple[str, str, int]] = {}
"""Bytes before a message's numbers → address, text, and how many bytes of numbers follow."""

Argument = str | bytes | float | bool | None
Message = tuple[str, list[Argument]]


def parse_osc(data: bytes) -> list[Message]:
    r"""Return (address, arguments) of every message of a packet, bundles opened, in their order.

    Args:
        data: one datagram.

    Raises:
        ValueError: it is no OSC packet, or cut short.

    >>> parse_osc(b"/a\0\0,i\0\0\0\0\0\7")
    [('/a', [7])]
    """
    messages: list[Message] = []
    _read_packet(data, messages, 0)
    return messages


def _read_packet(data: bytes, messages: list[Message], depth: int) -> None:
    if data[:8] != b"#bundle\0":
        messages.append(_read_message(data))
        return
    if depth >= DEEPEST:
        raise ValueError("bundles are nested too deep")
    offset = 16  # after the time tag
    if len(data) < offset:
        raise ValueError("a bundle is cut short")
    while offset < len(data):
        if offset + 4 > len(data):
            raise ValueError("a bundle is cut short")
        length = int.from_bytes(data[offset : offset + 4], "big")
        offset += 4
        if length % 4 or length == 0 or offset + length > len(data):
            raise ValueError("a message of a bundle is cut short")
        _read_packet(data[offset : offset + length], messages, depth + 1)
        offset += length


def _read_message(data: bytes) -> Message:
    for numbers, unpack in _USUAL:  # what a frame has a hundred of: known by its head
        cached = _HEADS.get(data[:-numbers])
        if cached is not None and cached[2] == numbers:
            return cached[0], [cached[1], *unpack(data, len(data) - numbers)]
    if data[:1] != b"/" or len(data) % 4:
        raise ValueError("not an OSC message")
    address, offset = _read_text(data, 0)
    if offset == len(data):  # old senders leave the type tags out
        return address, []
    tags, offset = _read_text(data, offset)
    if not tags.startswith(","):
        raise ValueError("a message has no type tags")
    arguments: list[Argument] = []
    if tags.startswith(_TRANSFORM):  # nearly every message of a body
        text, offset = _read_text(data, offset)
        if offset + 28 > len(data):
            raise ValueError("a message is cut short")
        arguments = [text, *_POSE.unpack_from(data, offset)]
        if tags == _TRANSFORM and offset + 28 == len(data):
            _remember(data[:offset], address, text, 28)
        offset, tags = offset + 28, "," + tags[len(_TRANSFORM) :]
    for tag in tags[1:]:
        if tag in _CONSTANTS:
            arguments.append(_CONSTANTS[tag])
        elif tag in "sS":
            text, offset = _read_text(data, offset)
            arguments.append(text)
        elif tag == "b":
            length = int.from_bytes(data[offset : offset + 4], "big")
            if offset + 4 + length > len(data):
                raise ValueError("a blob is cut short")
            arguments.append(data[offset + 4 : offset + 4 + length])
            offset += 4 + length + -length % 4
        elif tag in _SIZES:
            if offset + _SIZES[tag] > len(data):
                raise ValueError("a message is cut short")
            arguments.append(struct.unpack_from(">" + _CODES[tag], data, offset)[0])
            offset += _SIZES[tag]
            if tags == ",sf" and offset == len(data) and isinstance(arguments[0], str):
                _remember(data[:-4], address, arguments[0], 4)
        elif tag not in "[]":
            raise ValueError(f"unknown type tag {tag!r}")
    return address, arguments


def _remember(head: bytes, address: str, text: str, numbers: int) -> None:
    if len(_HEADS) < _MOST_HEADS and len(head) < 128:
        _HEADS[head] = address, text, numbers


def _read_text(data: bytes, offset: int) -> tuple[str, int]:
    """Return a padded string, and where the next argument begins."""
    end = data.find(b"\0", offset)
    if end < 0:
        raise ValueError("a string is cut short")
    return data[offset:end].decode(), end + 4 - end % 4  # UnicodeDecodeError is a ValueError
