"""The operator's token: whoever shows it may hold, resume, cut and restore a show from its page.

It lies in one file of the workspace that only its owner may read, and is made when it is first needed.
"""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path

from greenroom.errors import BadInput

ROLE = "operator"
FRAGMENT = "operator"
"""Name under which the page takes the token from behind the `#` of its address, which no server sees."""
_LENGTH = 16


@dataclass(frozen=True)
class OperatorToken:
    """A token and where it lies.

    Attributes:
        path: its file.
        secret: what has to be shown.
    """

    path: Path
    secret: str = field(repr=False)

    @property
    def name(self) -> str:
        """Who acts with it, as the log has it."""
        return ROLE

    def hint(self, url: str, terminal: bool) -> str:
        """Return a line that says how to control a show from the page at `url`.

        Args:
            url: of the page.
            terminal: whether a person reads it; only then is the token in it.
        """
        if terminal:
            return f"to control the show from a page: {url}#{FRAGMENT}={self.secret}"
        return f"to control the show from a page: the operator's token is in {self.path}"


def operator_token(home: Path) -> OperatorToken:
    """Return the operator's token of a workspace; make it where there is none.

    Raises:
        BadInput: its file cannot be read or made, holds no token, or others may read it.
    """
    path = home / f"{ROLE}.token"
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise BadInput(
            f"the operator's token cannot be made: {error.strerror}", where=str(path)
        ) from None
    else:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    return OperatorToken(path, _read(path))


def _read(path: Path) -> str:
    then = f"delete {path}; it is made anew"
    try:
        secret = path.read_text("ascii").strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError):
        raise BadInput("the operator's token cannot be read", where=str(path), then=then) from None
    if len(secret) < _LENGTH or len(secret.split()) != 1:
        raise BadInput(f"a token is one word of {_LENGTH} characters", where=str(path), then=then)
    if os.name == "posix" and mode & 0o077:
        raise BadInput(
            "others may read the operator's token", where=str(path), then=f"chmod 600 {path}"
        )
    return secret


def print_addresses(home: Path, url: str) -> None:
    """Print where the page is, and how to control a show from it, on stderr."""
    print(f"stage page: {url}", file=sys.stderr, flush=True)
    hint = operator_token(home).hint(url, sys.stderr.isatty())
    print(hint, file=sys.stderr, flush=True)
