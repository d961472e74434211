"""Read what people say of a take, its style, emotion, phonemes or phase, as tiers beside its media.

Convention (source → ours): seconds from the take's start → ticks at 30 Hz, the nearest; a row without
them → the whole take; names and values are kept as they are, as text. A tier is one value for the whole
take, or stretches [first tick, one past the last, value] that do not overlap.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from greenroom.contracts import PHONEMES
from greenroom.errors import BadInput
from greenroom.frames import TICK_HZ

MAX_BYTES = 32 << 20
MAX_TEXT = 200
LONGEST_S = 1e6
_TIER = re.compile(r"[^\W\d_][\w .-]{0,63}")
_TIMES = ("start", "end")

Tiers = dict[str, str | list[tuple[int, int, str]]]
"""A value for the whole take, or stretches in their order, by the tier's name."""


@dataclass(frozen=True)
class Label:
    """One value of one tier.

    Attributes:
        tier: its name.
        value: as it was said.
        span: (start, end) in seconds; None for the whole take.
        where: file and row.
    """

    tier: str
    value: str
    span: tuple[float, float] | None
    where: str


@dataclass(frozen=True)
class Labels:
    """What a labels file says.

    Attributes:
        where: the file.
        labels_by_take: by the take's name as the file has it.
    """

    where: str
    labels_by_take: dict[str, tuple[Label, ...]]

    def of(self, paths: Iterable[str], ticks: int) -> Tiers:
        """Return the tiers of the take that came from `paths`, cut to its `ticks`.

        Raises:
            BadInput: a stretch begins after the take's end, or overlaps another of its tier.
        """
        names = sorted(
            set().union(*(label_keys(path) for path in paths)) & set(self.labels_by_take)
        )
        out: Tiers = {}
        for label in (label for name in names for label in self.labels_by_take[name]):
            if label.span is None:
                if out.get(label.tier, label.value) != label.value:
                    raise _twice(label)
                out[label.tier] = label.value
                continue
            first, end = (math.floor(seconds * TICK_HZ + 0.5) for seconds in label.span)
            if first >= ticks:
                raise BadInput(
                    f"a stretch from {label.span[0]} s in a take of {ticks / TICK_HZ:.2f} s",
                    where=label.where,
                    then="correct its seconds",
                )
            stretches = out.setdefault(label.tier, [])
            if isinstance(stretches, str):
                raise _twice(label)
            if end > first:  # shorter than half a tick it covers none
                stretches.append((first, min(end, ticks), label.value))
            stretches.sort()
            if any(
                stretch[1] > following[0]
                for stretch, following in zip(stretches, stretches[1:], strict=False)
            ):
                raise _twice(label)
        return {tier: labels for tier, labels in out.items() if labels}

    def meant(self, paths: Iterable[str]) -> set[str]:
        """Return which of the takes it speaks of are among the files at `paths`."""
        return set(self.labels_by_take) & set().union(*(label_keys(path) for path in paths))


def _twice(label: Label) -> BadInput:
    what = f"tier {label.tier!r} says two things of one moment, the second {label.value!r}"
    return BadInput(what, where=label.where, then="leave one")


def label_keys(path: str) -> set[str]:
    """Return what a labels file may call the take at `path`: its stem, name, or path from any folder.

    >>> sorted(label_keys("a/b/walk.bvh"))
    ['a/b/walk', 'a/b/walk.bvh', 'b/walk', 'b/walk.bvh', 'walk', 'walk.bvh']
    """
    parts = PurePosixPath(path).parts
    tails = ["/".join(parts[k:]).lstrip("/") for k in range(len(parts))]
    return {*tails, *(str(PurePosixPath(tail).with_suffix("")) for tail in tails if tail)} - {""}


def read_labels(data: bytes, *, where: str) -> Labels:
    r"""Parse a labels file (source → ours: CSV or JSON rows → tiers by take; seconds as they are).

    Args:
        data: UTF-8. CSV with a first line that names the columns: `take`, then, if any, `start` and
            `end` in seconds, and a column a tier; an empty cell says nothing. Or JSON: a list of
            such rows as objects, or {take: {tier: value or [[start, end, value], …]}}.
        where: what to call the file in errors.

    Raises:
        BadInput: names the row, what is wrong in it, and what to do.

    >>> labels = read_labels(b"take,start,end,style,phase\nw,,,happy,\nw,0,0.5,,rest\n", where="l.csv")
    >>> labels.of(["walk/w.bvh"], 90)
    {'style': 'happy', 'phase': [(0, 15, 'rest')]}
    """
    if len(data) > MAX_BYTES:
        raise BadInput(f"{len(data)} bytes; at most {MAX_BYTES}", where=where, then="split it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("not UTF-8", where=where, then="save it as UTF-8") from None
    rows = _json_rows(text, where) if text.lstrip()[:1] in ("[", "{") else _csv_rows(text, where)
    labels_by_take: dict[str, list[Label]] = {}
    for location, row in rows:
        take = _text(row.get("take"), "take", location)
        if not take:
            raise BadInput(
                "a row without a take", where=location, then="name it by its file's stem"
            )
        span = _span(row, location)
        labels = labels_by_take.setdefault(
            str(PurePosixPath(take.replace("\\", "/"))).lstrip("/"), []
        )
        for tier, cell in row.items():
            if tier not in ("take", *_TIMES) and (value := _text(cell, tier, location)):
                if tier == PHONEMES and span is None:
                    raise BadInput(
                        f"phoneme {value!r} has no time",
                        where=location,
                        then="give each phoneme its start and end in seconds",
                    )
                labels.append(Label(check_tier(tier, location), value, span, location))
    if not any(labels_by_take.values()):
        raise BadInput("no label in it", where=where, then="give it rows: take,style")
    return Labels(where, {take: tuple(labels) for take, labels in labels_by_take.items()})


def check_tier(name: str, where: str) -> str:
    """Return a tier's name if it can be one.

    Raises:
        BadInput: it begins with no letter, or has other signs than letters, digits and ``_ . -``.
    """
    if not _TIER.fullmatch(name) or name in ("take", *_TIMES):
        raise BadInput(
            f"{name[:40]!r} is no name for a tier",
            where=where,
            then="use a word, such as style, emotion, content or phase",
        )
    return name


def _csv_rows(text: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            place = f"{where}:{reader.line_num}"
            raise BadInput(str(error), where=place, then="save it as CSV with commas") from None
        if row is None:
            break
        place = f"{where}:{reader.line_num}"
        if not any(cell.strip() for cell in row):
            continue
        if not columns:
            columns = _columns([cell.strip() for cell in row], place)
        elif len(row) != len(columns):
            raise BadInput(
                f"{len(row)} cells under {len(columns)} columns",
                where=place,
                then="correct the row",
            )
        else:
            yield place, dict(zip(columns, row, strict=True))
    if not columns:
        raise BadInput("it is empty", where=where, then="begin it with the columns: take,style")


def _columns(columns: list[str], where: str) -> list[str]:
    if "take" not in columns or len(set(columns)) < len(columns):
        raise BadInput(
            f"the columns {', '.join(columns)[:80]!r}",
            where=where,
            then="begin with one line of different columns, with commas: take,start,end,style",
        )
    for column in columns:
        if column not in ("take", *_TIMES):
            check_tier(column, where)
    return columns


def _json_rows(text: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"not JSON: {error}", where=where, then="correct it") from None
    form = '[{"take": "walk", "style": "happy"}] or {"walk": {"style": "happy"}}'
    if isinstance(raw, dict):
        raw = list(_spread(raw))
    for k, row in enumerate(raw):
        place = f"{where}: row {k}"
        if not isinstance(row, dict):
            raise BadInput("no object", where=place, then=f"write {form}")
        yield place, row


def _spread(takes: dict[str, Any]) -> Iterator[Any]:
    """Yield {take: {tier: value or stretches}} as rows; what has another form as it is."""
    for take, tiers in takes.items():
        if not isinstance(tiers, dict):
            yield tiers
            continue
        for tier, cell in tiers.items():
            for stretch in cell if isinstance(cell, list) else [[None, None, cell]]:
                if not isinstance(stretch, list) or len(stretch) != 3:
                    yield stretch
                else:
                    yield {"take": take, "start": stretch[0], "end": stretch[1], tier: stretch[2]}


def _text(cell: Any, column: str, where: str) -> str:
    """Return a cell as text: numbers as JSON has them, nothing as ''."""
    if cell is None:
        return ""
    number = isinstance(cell, int | float) and not isinstance(cell, bool)
    text = json.dumps(cell) if number else cell
    if not isinstance(text, str) or not text.strip().isprintable() or len(text) > MAX_TEXT:
        raise BadInput(
            f"{column[:40]!r} is {str(cell)[:40]!r}",
            where=where,
            then=f"write a word or number of at most {MAX_TEXT} printable letters",
        )
    return text.strip()


def _span(row: dict[str, Any], where: str) -> tuple[float, float] | None:
    texts = [_text(row.get(column), column, where) for column in _TIMES]
    if not any(texts):
        return None
    try:
        start, end = (float(text) for text in texts)
    except ValueError:
        start, end = math.nan, math.nan
    if not 0 <= start < end <= LONGEST_S:
        raise BadInput(
            f"from {texts[0][:20]!r} to {texts[1][:20]!r}",
            where=where,
            then="give start and end in seconds, 0 ≤ start < end, or neither",
        )
    return start, end


@dataclass(frozen=True)
class Pattern:
    """A file-name pattern with a tier in each pair of braces.

    Attributes:
        text: such as ``dataset-2_{content}_{style}_{n}``.
        tiers: the fields' names in their order.
        match: the same as a regular expression, a group a tier.
    """

    text: str
    tiers: tuple[str, ...]
    match: re.Pattern[str]

    def of(self, paths: Sequence[str]) -> Tiers:
        """Return what the first file whose stem, or name, fits says; nothing where none fits."""
        for path in paths:
            name = PurePosixPath(path)
            match = self.match.fullmatch(name.stem) or self.match.fullmatch(name.name)
            if match:
                return dict(zip(self.tiers, match.groups(), strict=True))
        return {}


def read_pattern(text: str) -> Pattern:
    """Parse a pattern (source → ours: ``{tier}`` in a file name → that tier's value).

    A field ends where the sign that follows it comes first; the last field takes the rest. A field
    named ``{_}`` is passed over.

    Raises:
        BadInput: no field, two that touch, one twice, or an odd brace.

    >>> read_pattern("set-2_{content}_{style}_{n}").of(["bvh/set-2_walk-turn-left_happy_012.bvh"])
    {'content': 'walk-turn-left', 'style': 'happy', 'n': '012'}
    """
    where = "--label-pattern"
    pieces = re.split(r"\{([^{}]*)\}", text)
    literals, fields = pieces[::2], pieces[1::2]
    if not fields or len(text) > MAX_TEXT or any(sign in "".join(literals) for sign in "{}"):
        what, then = f"{text[:80]!r} names no tier", "such as 'set_{content}_{style}_{n}'"
        raise BadInput(what, where=where, then=then)
    tiers = [check_tier(field, where) for field in fields if field != "_"]
    if len(set(tiers)) < len(tiers) or not tiers or PHONEMES in tiers:
        raise BadInput(
            f"{text!r} names a tier twice, or none that a whole take can have",
            where=where,
            then="name each once; phonemes have times, which no name tells",
        )
    if not all(literals[1:-1]):
        raise BadInput(f"two fields touch in {text!r}", where=where, then="put a sign between them")
    out = re.escape(literals[0])
    for k, (field, after) in enumerate(zip(fields, literals[1:], strict=True)):
        body = ".+" if k == len(fields) - 1 else f"[^{re.escape(after[0])}]+"
        out += (body if field == "_" else f"({body})") + re.escape(after)
    return Pattern(text, tuple(tiers), re.compile(out))
