"""One tree of errors, so that every room fails in the same words and only the CLI formats them.

GreenroomError            what went wrong, where, what to do next
├── BadInput              exit 2: a file, an option or a value that cannot be used
│   ├── Refused           exit 2: usable, but not allowed (rights, approval)
│   └── MissingExtra      exit 2: a part that is not installed, with the line that installs it
└── CheckFailed           exit 1: something that should hold does not
    ├── CorruptObject     exit 1: bytes that do not match their name
    └── ModelUnavailable  exit 1: a model's server gave no answer in time, or another model's
"""

from __future__ import annotations


class GreenroomError(Exception):
    """Say what went wrong, where, and what to do next, in one line.

    Args:
        what: the problem, with the bad value and the allowed ones.
        where: a file with line, an object's hash, a field; empty when it is obvious.
        then: the next thing to do; empty when there is none.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", then: str = "") -> None:
        """Keep the three parts; ``str()`` joins them."""
        super().__init__(what, where, then)
        self.what = what
        self.where = where
        self.then = then

    def __str__(self) -> str:
        """Return ``where: what; then`` on one line."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        line = f"{head}; {self.then}" if self.then else head
        return " ".join(line.split())


class BadInput(GreenroomError):
    """A file, option or value that cannot be used."""

    exit_code = 2


class Refused(BadInput):
    """Something well formed that is not allowed (rights, approval, an unknown release)."""


class MissingExtra(BadInput):
    """A part that is not installed.

    Args:
        what: what was called.
        extra: the name of the extra that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        """Name the install line for `extra`."""
        super().__init__(
            f"{what} needs the extra '{extra}', which is not installed",
            then=f"run: make setup EXTRAS={extra}  (or: pip install 'greenroom[{extra}]')",
        )
        self.extra = extra


class CheckFailed(GreenroomError):
    """A check that should hold and does not."""


class CorruptObject(CheckFailed):
    """Bytes in the store that do not match the hash they are kept under."""


class ModelUnavailable(CheckFailed):
    """A model's server gave no answer within its time, or another model's; a show falls back."""
