"""Read who is in a recording and what they allowed; nothing may be used on less.

Rights are either a JSON file (participant, purposes, start, expiry, and the hash of the signed document)
or the SPDX licence of a published recording. Both become one record, in an entry of the
log that names the take.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

from greenroom.errors import BadInput
from greenroom.manifests import Rights
from greenroom.store.objects import read_json_file

PURPOSES = ("train", "perform", "export", "publish")
PUBLISHED = {
    licence.lower(): (licence, purposes)
    for licence, purposes in {
        "MIT": PURPOSES,
        "BSD-2-Clause": PURPOSES,
        "BSD-3-Clause": PURPOSES,
        "Apache-2.0": PURPOSES,
        "Zlib": PURPOSES,
        "CC0-1.0": PURPOSES,
        "CC-BY-4.0": PURPOSES,
        "CC-BY-SA-3.0": ("train", "perform", "export"),
        "CC-BY-SA-4.0": ("train", "perform", "export"),
        "CC-BY-NC-4.0": ("train", "perform", "export"),
        "CC-BY-NC-ND-4.0": ("perform",),
        "CMU": ("train", "perform", "export"),
    }.items()
}
"""Licence → what it lets us do; `publish` is to ship what was made from it."""


def read_rights(text: str, participant: str) -> Rights:
    """Return the record for `--rights TEXT`: a JSON file's path or a licence's name.

    Raises:
        BadInput: neither, or a record with a field missing or wrong.
    """
    published = PUBLISHED.get(text.lower())
    if published:
        licence, purposes = published
        return Rights(participant=participant, purposes=list(purposes), licence=licence)
    path = Path(text)
    if not path.is_file():
        names = ", ".join(licence for licence, _ in PUBLISHED.values())
        raise BadInput(
            f"--rights '{text}' is neither a file nor a known licence",
            then=f"give a JSON file, or one of: {names}",
        )
    return _checked(read_json_file(path), participant, text)


def _checked(raw: Any, participant: str, where: str) -> Rights:
    fields = {"participant", "purposes", "start", "expiry", "document_sha256"}
    if not isinstance(raw, dict) or set(raw) != fields:
        raise BadInput(f"a rights record has exactly {', '.join(sorted(fields))}", where=where)
    if raw["participant"] != participant:
        raise BadInput(f"it is of '{raw['participant']}', not of '{participant}'", where=where)
    purposes = raw["purposes"]
    if not isinstance(purposes, list) or not purposes or set(map(str, purposes)) - set(PURPOSES):
        raise BadInput(f"purposes are some of {', '.join(PURPOSES)}", where=where)
    try:
        start = datetime.date.fromisoformat(raw["start"])
        expiry = datetime.date.fromisoformat(raw["expiry"])
    except (TypeError, ValueError):
        raise BadInput("start and expiry are dates like 2026-11-23", where=where) from None
    if expiry < start:
        raise BadInput("it expires before it starts", where=where)
    if not re.fullmatch(r"[0-9a-f]{64}", str(raw["document_sha256"])):
        raise BadInput("document_sha256 is 64 hexadecimal digits", where=where)
    return Rights(
        participant=participant,
        purposes=sorted(purposes),
        start=start.isoformat(),
        expiry=expiry.isoformat(),
        document_sha256=raw["document_sha256"],
    )
