"""Names of people who sign: plain, and each person's own, because approvals are counted by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from greenroom.errors import BadInput


def folded_name(name: str) -> str:
    """Return a person's name without case and surplus blanks: whoever differs only there is the same.

    >>> folded_name(" Ada  Lovelace") == folded_name("ada lovelace")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def check_owner(owner: str, owners: Iterable[str]) -> None:
    """Pass, or raise where a name cannot be a key's owner: approvals are counted by name.

    Args:
        owner: the name.
        owners: of the keys that count.

    Raises:
        BadInput: it is no plain name, or differs from another owner's only by case or blanks.
    """
    if not owner.strip():
        raise BadInput("a key needs its owner's name")
    if owner != " ".join(owner.split()) or not owner.isprintable():
        raise BadInput(
            f"'{owner}' has blanks around it or characters that cannot be printed",
            then=f"give a plain name: '{' '.join(''.join(filter(str.isprintable, owner)).split())}'",
        )
    if owner.startswith(".") or "/" in owner or "\\" in owner:
        raise BadInput(
            f"'{owner}' is no name of a person",
            then="give a name without '/', as in: 'Ada Lovelace'",
        )
    for other in owners:
        if other != owner and folded_name(other) == folded_name(owner):
            raise BadInput(
                f"'{owner}' differs from '{other}', who has a key, only by case or blanks",
                then=f"use '{other}' for the same person, or a name that tells two people apart",
            )
