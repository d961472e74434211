"""What every manifest has: strict immutable Structs, their units, and the hashes that they name.

A manifest is canonical JSON (RFC 8785) with a `kind`, a `version`, and the hashes of what it was made
from (`parents`), of its own parts (`parts`) and of its bytes (`blobs`). It holds no clock time, author
or machine, unless these are what it records, so that the same inputs give the same hash.

Units: ticks are at 30 Hz; hashes are SHA-256 in lower-case hex; UTC nanoseconds are decimal strings,
because JSON's numbers end at 2^53.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

VERSION = 2
"""Of every manifest. Those of version 1 are refused: their takes held consent and labels."""

_END = r"(?!\n)$"  # a `$` alone matches before a last newline too
_DAY = (
    r"(?!0000)([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    r"|02-(0[1-9]|1[0-9]|2[0-8]))"
    r"|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
)
"""A day of the calendar, with 29 February in leap years only."""

Hash = Annotated[str, Meta(pattern=f"^[0-9a-f]{{64}}{_END}", description="SHA-256, lower-case hex")]
OptionalHash = Annotated[
    str,
    Meta(pattern=f"^([0-9a-f]{{64}})?{_END}", description='SHA-256, lower-case hex; "" for none'),
]
Name = Annotated[str, Meta(min_length=1, description="a name that people chose")]
Ticks = Annotated[int, Meta(ge=0, description="ticks at 30 Hz")]
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[int, Meta(ge=1)]
Weight = Annotated[float, Meta(ge=0)]
Direction = Literal["higher", "lower"]
"""Which way a metric is better."""
Day = Annotated[str, Meta(pattern=f"^({_DAY}){_END}", description="UTC day, YYYY-MM-DD")]
OptionalDay = Annotated[
    str, Meta(pattern=f"^({_DAY})?{_END}", description='UTC day, YYYY-MM-DD; "" for none')
]
UtcNs = Annotated[
    str, Meta(pattern=f"^[0-9]{{1,19}}{_END}", description="UTC nanoseconds, decimal")
]


class Part(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Base of what stands inside a manifest: immutable, and strict about unknown fields."""


class Manifest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="kind",
):
    """Base of every kind of object; `kind` is its tag."""

    VERSION: ClassVar[int] = VERSION

    def parent_hashes(self) -> Iterator[str]:
        """Yield the manifests that this one was made from: all under `parents` and `parts`."""
        yield from _strings(getattr(self, "parents", None))
        yield from _strings(getattr(self, "parts", None))

    def blob_hashes(self) -> Iterator[str]:
        """Yield the bytes that this manifest names: all under `blobs`."""
        yield from _strings(getattr(self, "blobs", None))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _strings(getattr(value, name))
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)


class Rights(Part, frozen=True, kw_only=True):
    """What may be done with a recording, and why: a licence or a person's consent.

    Attributes:
        participant: the person, or the publisher of a licensed recording.
        purposes: what is allowed.
        licence: SPDX name of a published recording's licence; "" for consent.
        start: first day on which consent holds; "" for a licence.
        expiry: last day on which consent holds; "" for a licence.
        document_sha256: hash of the signed document; "" for a licence.
    """

    participant: Name
    purposes: list[str]
    licence: str = ""
    start: OptionalDay = ""
    expiry: OptionalDay = ""
    document_sha256: OptionalHash = ""


def kind_of(manifest: Manifest | type[Manifest]) -> str:
    """Return a manifest's tag, such as "take"."""
    return str(manifest.__struct_config__.tag)
