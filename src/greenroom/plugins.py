"""Registries of what can be plugged in: own members by name, others by Python's entry points.

A package adds a member by an entry point of one of the `GROUPS`. The name of the entry point is the
member's name, or the scheme of its URLs. Entry points are looked up when a registry is first asked, and
a member is imported when it is first used. A plug-in that cannot be imported is one warning; it never
stops a command.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast
from urllib.parse import SplitResult, parse_qsl, urlsplit

from greenroom.errors import BadInput

GROUPS = {
    "greenroom.formats": "file format",
    "greenroom.receivers": "receiver",
    "greenroom.sinks": "sink",
    "greenroom.backends": "backend",
    "greenroom.stores": "store",
    "greenroom.detectors": "detector",
    "greenroom.trackers": "tracker",
    "greenroom.observers": "observer",
}
"""Entry-point group → what its members are."""

Member = TypeVar("Member")
_logger = logging.getLogger(__name__)


class Registry(Generic[Member]):
    """The members of one kind, by name.

    Args:
        group: one of `GROUPS`.
        built_in: name → "module:attribute" of our own members; they win over a plug-in of that name.
    """

    def __init__(self, group: str, built_in: Mapping[str, str]) -> None:
        """Store the names; nothing is imported or looked up yet."""
        self.group, self.kind = group, GROUPS[group]
        self.built_in = dict(built_in)
        self._members: dict[str, Member] = {}
        self._entry_points: dict[str, EntryPoint] | None = None

    def names(self) -> list[str]:
        """Return every name: our own in their order, then those of plug-ins."""
        return [*self.built_in, *self.plug_ins()]

    def plug_ins(self) -> list[str]:
        """Return the names of plug-ins, in alphabetical order; those that cannot be loaded too."""
        return list(self._external())

    def get(self, name: str) -> Member:
        """Return one member.

        Raises:
            BadInput: there is none of this name, or its plug-in cannot be loaded.
        """
        if name in self._members:
            return self._members[name]
        if name in self.built_in:
            module, _, attribute = self.built_in[name].partition(":")
            self._members[name] = cast("Member", getattr(import_module(module), attribute))
            return self._members[name]
        entry_point = self._external().get(name)
        if entry_point is None:
            names = ", ".join(self.names()) or "none is installed"
            raise BadInput(f"there is no {self.kind} '{name}'", then=f"known: {names}")
        try:
            self._members[name] = cast("Member", entry_point.load())
        except Exception as error:  # a plug-in may fail in any way
            raise BadInput(
                f"the {self.kind} '{name}' cannot be loaded: {_one_line(error)}",
                where=_package(entry_point),
                then="update or uninstall that package",
            ) from error
        return self._members[name]

    def installed(self) -> Iterator[tuple[str, Member]]:
        """Yield each plug-in that can be loaded, with its name; warn once of each that cannot."""
        for name, entry_point in list(self._external().items()):
            try:
                member = self.get(name)
            except BadInput as error:
                _logger.warning("%s", error)
                assert self._entry_points is not None
                del self._entry_points[name]
                continue
            yield entry_point.name, member

    def refresh(self) -> None:
        """Forget the plug-ins, so that the next call looks them up again."""
        self._entry_points = None
        self._members.clear()

    def _external(self) -> dict[str, EntryPoint]:
        if self._entry_points is None:
            self._entry_points = {}
            for entry_point in sorted(entry_points(group=self.group), key=lambda each: each.name):
                name = entry_point.name
                if name in self.built_in or name in self._entry_points:
                    message = "%s: the %s '%s' is ignored: that name is taken; uninstall it"
                    _logger.warning(message, _package(entry_point), self.kind, name)
                else:
                    self._entry_points[name] = entry_point
        return self._entry_points


def scheme_of(url: str) -> str:
    """Return what stands before a URL's first colon; empty for a path.

    >>> scheme_of("vmc://127.0.0.1:39539"), scheme_of("take:5f3a"), scheme_of("runs/home")
    ('vmc', 'take', '')
    >>> scheme_of("C:/home")  # a drive of Windows
    ''
    """
    scheme = url.partition(":")[0] if ":" in url else ""
    return scheme.lower() if len(scheme) > 1 and "/" not in scheme else ""


def host_port(url: str, default: int) -> tuple[str, int]:
    """Return the host and the port of a URL.

    Args:
        url: SCHEME://HOST:PORT.
        default: port of a URL that has none.

    Raises:
        BadInput: there is no host, or the port is not in 0 to 65535.

    >>> host_port("vmc://127.0.0.1", 39539)
    ('127.0.0.1', 39539)
    """
    example = f"like {scheme_of(url)}://127.0.0.1:{default}"
    parts, port = urlsplit(url), default
    try:
        port = default if parts.port is None else parts.port
    except ValueError:
        raise BadInput(f"'{url}' has no usable port", then=example) from None
    if not parts.hostname:
        raise BadInput(f"'{url}' names no host", then=example)
    return parts.hostname, port


_WORDS = {int: "a whole number", float: "a number"}
"""What an option's type is called."""


def options_of(url: str, types: Mapping[str, type]) -> tuple[SplitResult, dict[str, Any]]:
    """Return a URL's parts, and the options after its question mark.

    Args:
        url: such as "onnxruntime://cpu?threads=2".
        types: name → type of each option.

    Raises:
        BadInput: an option that is not known, or a value of another type.

    >>> options_of("onnxruntime://cpu?threads=2", {"threads": int})[1]
    {'threads': 2}
    """
    parts, options = urlsplit(url), {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in types:
            allowed = ", ".join(types) or "none"
            raise BadInput(f"'{url}' has the unknown option '{name}'", then=f"known: {allowed}")
        try:
            options[name] = types[name](value)
        except ValueError:
            raise BadInput(
                f"'{value}' is no value of '{name}'",
                where=url,
                then=f"give {name}= and {_WORDS.get(types[name], 'text')}",
            ) from None
    return parts, options


def _package(entry_point: EntryPoint) -> str:
    return entry_point.value if entry_point.dist is None else entry_point.dist.name


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
