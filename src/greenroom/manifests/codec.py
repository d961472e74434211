"""Manifests as JSON, and JSON as manifests; an error names the object, the field and the value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from greenroom.errors import BadInput
from greenroom.manifests.base import Manifest, kind_of
from greenroom.manifests.evaluation import CrossValidation, Fold, Sandbox, Search, Study, Validation
from greenroom.manifests.models import Model, ModelPart
from greenroom.manifests.registry import Approval, Policy, ReleaseManifest
from greenroom.manifests.shows import ReplayReservoir, Show, Survey
from greenroom.manifests.takes import Annotation, Dataset, Rig, Take

KINDS: dict[str, type[Manifest]] = {
    kind_of(kind): kind
    for kind in (
        Take,
        Annotation,
        Rig,
        Dataset,
        Model,
        ModelPart,
        ReleaseManifest,
        Policy,
        Approval,
        Validation,
        Study,
        Fold,
        CrossValidation,
        Search,
        Sandbox,
        ReplayReservoir,
        Show,
        Survey,
    )
}
"""Tag → kind of manifest."""
BEGIN_ANEW = "begin with a new --home, and ingest again"
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")


def to_json(manifest: msgspec.Struct) -> dict[str, Any]:
    """Return a manifest, or a part of one, as JSON; fields at their default are left out."""
    fields: dict[str, Any] = {}
    if isinstance(manifest, Manifest):
        fields |= {"kind": kind_of(manifest), "version": type(manifest).VERSION}
    defaults = _defaults(type(manifest))
    for name in manifest.__struct_fields__:
        value = getattr(manifest, name)
        if name not in defaults or value != defaults[name]:
            fields[name] = _to_builtins(value)
    return fields


def _to_builtins(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return to_json(value)
    if isinstance(value, dict):
        return {key: _to_builtins(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_builtins(each) for each in value]
    return value


@cache
def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the fields of a Struct that have a default, with its value.

    msgspec's own `omit_defaults` compares by identity, and one value would have two hashes.
    """
    return {
        each.name: each.default if each.default is not msgspec.NODEFAULT else each.default_factory()
        for each in msgspec.structs.fields(kind)
        if not each.required
    }


def from_json(fields: Mapping[str, Any], name: str = "") -> Manifest:
    """Return the manifest that JSON describes, every field checked.

    Args:
        fields: decoded JSON.
        name: its hash, for messages.

    Raises:
        BadInput: its kind or version is unknown, or a field is missing, unknown or out of bounds.
    """
    what = f"object {name[:12]}" if name else "this object"
    tag = fields.get("kind")
    kind = KINDS.get(tag) if isinstance(tag, str) else None
    version = fields.get("version")
    if kind is None:
        then = BEGIN_ANEW if version == 1 else "update Greenroom, or check the hash"
        raise BadInput(f"{what} is of no known kind: {_excerpt(tag)}", then=then)
    if version != kind.VERSION or isinstance(version, bool):
        problem = f"{what} is a {tag} of version {_excerpt(version)}, not {kind.VERSION}"
        raise BadInput(problem, then=BEGIN_ANEW)
    try:
        return msgspec.convert({k: v for k, v in fields.items() if k != "version"}, kind)
    except msgspec.ValidationError as error:
        path, value = _place(str(error), fields)
        problem = f"{what} is no valid {tag}: {error}{value}"
        raise BadInput(
            problem, where=path, then="restore it from a backup, or make it again"
        ) from None


def _excerpt(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _place(message: str, fields: Mapping[str, Any]) -> tuple[str, str]:
    """Return the field's path that an error names, and its value as text; "" where it names none."""
    _, mark, path = message.rpartition("`$")
    if not mark:
        return "", ""
    value: Any = fields
    for key, index in _STEP.findall(path):
        if key and isinstance(value, dict) and key in value:
            value = value[key]
        elif index.isdigit() and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:  # msgspec writes "[...]" for any key of a mapping
            return path.strip("`.").split("[")[0], ""
    return path.strip("`."), f", but it is {_excerpt(value)}"
