"""Decide which source joint is which humanoid bone: a mapping file's word, then names, then shape.

A mapping file is JSON, and every key is optional::

    {"names": {"Wirbel1": "spine", "Helfer": null}, "unit": "cm", "up": "Z",
     "rate": 60, "channels": ["jawOpen", "mouthClose"]}

``names`` says which joint is which VRM 1.0 bone (null leaves a joint out) and wins over what the
names and the tree's shape would say; ``unit`` is a name of
:data:`greenroom.capture.skeleton.units.UNITS` or
a number of metres; ``up`` is the source's up axis: X, Y, Z, -X, -Y or -Z. ``rate`` (rows a second)
and ``channels`` (a name a column) are for face arrays, which say neither themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field

from greenroom.capture.skeleton.naming import REQUIRED, Bones, by_name, by_shape, contradictions
from greenroom.capture.skeleton.units import UNITS
from greenroom.errors import BadInput
from greenroom.frames import BONE, Motion

AXES = ("X", "Y", "Z", "-X", "-Y", "-Z")
KEYS = ("names", "unit", "up", "rate", "channels")
MAX_FILE = 1 << 20
MIN_RATE, MAX_RATE = 1.0, 10_000.0
MAX_CHANNELS, MAX_NAME = 4096, 200


@dataclass(frozen=True)
class Mapping:
    """What a person says of a source; empty, everything is found out.

    Attributes:
        names: source joint → bone, "" for a joint to leave out.
        unit: metres in one unit of the source, None to guess.
        up: the source's up axis, None to find it.
        rate: rows a second of a face array, None for 30.
        channels: the name of each column of a face array; empty where nobody named them.
    """

    names: AnyMapping[str, str] = field(default_factory=dict)
    unit: float | None = None
    up: str | None = None
    rate: float | None = None
    channels: tuple[str, ...] = ()


AUTOMATIC = Mapping()


def read_mapping(data: bytes, *, where: str) -> Mapping:
    """Parse a mapping file, strictly.

    Raises:
        BadInput: names the key, the bad value and what is allowed.

    >>> read_mapping(b'{"names": {"Becken": "hips"}, "unit": "cm"}', where="m.json")
    Mapping(names={'Becken': 'hips'}, unit=0.01, up=None, rate=None, channels=())
    """

    def fail(what: str, then: str) -> BadInput:
        return BadInput(what, where=where, then=then)

    if len(data) > MAX_FILE:
        raise fail(f"{len(data)} bytes is no mapping file", f"at most {MAX_FILE}")
    try:
        raw = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise fail(f"not a mapping file: {error}", "write it as JSON in UTF-8") from None
    if not isinstance(raw, dict) or (extra := sorted(set(raw) - set(KEYS))):
        problem = f"unknown keys {extra}" if isinstance(raw, dict) else "not an object"
        raise fail(problem, f"allowed keys: {', '.join(KEYS)}")
    names = raw.get("names", {})
    if not isinstance(names, dict):
        raise fail("'names' must be an object", 'such as {"Becken": "hips"}')
    for source, bone in names.items():
        if bone is not None and (not isinstance(bone, str) or bone not in BONE):
            raise fail(f"names: {source!r}: unknown bone {bone!r}", "use VRM 1.0's bones, or null")
    named_bones = [bone for bone in names.values() if bone]
    if duplicates := sorted({bone for bone in named_bones if named_bones.count(bone) > 1}):
        raise fail(f"names: {', '.join(duplicates)} given twice", "name one joint for each bone")
    up = raw.get("up")
    if up is not None and up not in AXES:
        raise fail(f"up: {up!r}", f"use one of {', '.join(AXES)}")
    bone_by_source = {source: bone or "" for source, bone in names.items()}
    return Mapping(
        bone_by_source,
        _unit(raw.get("unit"), where),
        up=up,
        rate=_rate(raw.get("rate"), where),
        channels=check_channels(raw["channels"], where) if "channels" in raw else (),
    )


def _unit(unit: object, where: str) -> float | None:
    """Return the metres in one unit; None where none is given."""
    if unit is None:
        return None
    metres = UNITS.get(unit) if isinstance(unit, str) else unit
    if isinstance(metres, bool) or not isinstance(metres, int | float):
        raise BadInput(
            f"unit: {unit!r}",
            where=where,
            then=f"use one of {', '.join(UNITS)}, or metres in one unit",
        )
    if not 1e-6 <= metres <= 1e4:
        raise BadInput(
            f"unit: {metres} metres", where=where, then="give the metres in one unit, such as 0.01"
        )
    return float(metres)


def _rate(rate: object, where: str) -> float | None:
    if rate is None:
        return None
    if (
        isinstance(rate, int | float)
        and not isinstance(rate, bool)
        and MIN_RATE <= rate <= MAX_RATE
    ):
        return float(rate)
    raise BadInput(
        f"rate: {rate!r:.40}",
        where=where,
        then=f"give rows a second, {MIN_RATE:g} to {MAX_RATE:g}",
    )


def check_channels(names: object, where: str) -> tuple[str, ...]:
    """Return the names of a face's channels, as they are.

    Raises:
        BadInput: no list of 1 to 4096 different printable names.
    """
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_CHANNELS:
        count_text = f"{len(names)} names" if isinstance(names, list) else "no list"
        raise BadInput(
            f"channels: {count_text}",
            where=where,
            then=f"list 1 to {MAX_CHANNELS} names of channels",
        )
    for k, name in enumerate(names):
        if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= MAX_NAME:
            raise BadInput(
                f"channel {k} is named {str(name)[:40]!r}",
                where=where,
                then=f"name it in 1 to {MAX_NAME} printable letters",
            )
    if len(set(names)) < len(names):
        duplicate = next(name for k, name in enumerate(names) if name in names[:k])
        raise BadInput(f"channel {duplicate!r} is named twice", where=where, then="name each once")
    return tuple(names)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key stands twice")
    return out


def map_joints(motion: Motion, mapping: Mapping = AUTOMATIC, *, where: str = "") -> Bones:
    """Return bone → joint index: at least every bone that VRM 1.0 requires.

    Args:
        motion: its joint names, tree and first frame are looked at.
        mapping: what a person says; wins.
        where: what to call the source in errors.

    Raises:
        BadInput: a name in the mapping that is no joint, bones that cannot be found, or a mapping
            that contradicts the tree (a knee above its hip).
    """
    skeleton = motion.skeleton
    index = {name: j for j, name in enumerate(skeleton.names)}
    if unknown := sorted(set(mapping.names) - set(index)):
        raise BadInput(
            f"the mapping names {unknown[0]!r}, which is no joint",
            where=where,
            then=f"joints: {', '.join(skeleton.names)[:200]}",
        )
    bones_by_name = _overlay(by_name(skeleton), mapping, index)
    problems = _problems(bones_by_name, skeleton.parents)
    if not problems:
        return bones_by_name
    places, _ = skeleton.world(motion.translations[:1], motion.rotations[:1])
    shaped = _overlay(by_shape(skeleton, places[0]), mapping, index)
    if not _problems(shaped, skeleton.parents):
        return shaped
    if len(shaped) > len(bones_by_name):  # the attempt that came further says more
        problems = _problems(shaped, skeleton.parents)
    raise BadInput(
        f"cannot find the humanoid in joints {', '.join(skeleton.names)[:120]}: {problems[0]}",
        where=where,
        then='say which is which with --mapping FILE: {"names": {"<joint>": "<bone>"}}',
    )


def _overlay(bones: Bones, mapping: Mapping, index: dict[str, int]) -> Bones:
    mapped = {index[source]: bone for source, bone in mapping.names.items()}
    mapped_bones = set(mapped.values())
    out = {bone: j for bone, j in bones.items() if j not in mapped and bone not in mapped_bones}
    out.update({bone: j for j, bone in mapped.items() if bone})
    return {bone: out[bone] for bone in BONE if bone in out}


def _problems(bones: Bones, parents: tuple[int, ...]) -> list[str]:
    missing = [bone for bone in REQUIRED if bone not in bones]
    out = [f"no joint for {', '.join(missing[:6])}"] if missing else []
    out += [f"{bone} does not stand under {up}" for bone, up in contradictions(bones, parents)]
    return out
