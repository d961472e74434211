"""Versions of a face rig: the same channels with a mapping to ARKit's names, given to a model as it is.

The rig that takes name is the list of its channels. A version of it says as well which of ARKit's 52
weights each channel drives, and how much; it is an object of its own, and a part of a model.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping

import msgspec

from greenroom.errors import BadInput, Refused
from greenroom.frames import ARKIT
from greenroom.manifests import Model, ModelParents, Rig, RigParents
from greenroom.registry.lineage import require_trained
from greenroom.store.objects import decode_json
from greenroom.store.workspace import Workspace

Weights = Mapping[str, Mapping[str, float]]
"""{channel: {ARKit's name: weight}}."""
MOST = 10.0
"""A weight's size at most: beyond it nothing is meant."""
_THEN = 'write {"name": "my rig", "arkit": {"channel": {"jawOpen": 1.0}}}'


class _File(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arkit: dict[str, dict[str, float]]


def read_rig(data: bytes, channels: tuple[str, ...], *, where: str) -> tuple[str, Weights]:
    """Return the name and the mapping that a file gives a rig.

    A channel that it does not name drives nothing.

    Args:
        data: JSON: {"name": …, "arkit": {channel: {ARKit's name: weight}}}; weights in [-10, 10].
        channels: of the rig.
        where: what to call the file in errors.

    Raises:
        BadInput: it is no such file, it names what is not there, or it maps nothing.

    >>> read_rig(b'{"name": "n", "arkit": {"oh": {"jawOpen": 0.5}}}', ("oh",), where="n.json")
    ('n', {'oh': {'jawOpen': 0.5}})
    """
    rig = decode_json(data, _File, where=where, then=_THEN)
    if not rig.name.strip():
        raise BadInput("the rig has no name", where=where, then=_THEN)
    if not rig.arkit:
        raise BadInput("no channel is mapped", where=where, then=_THEN)
    for channel, weights in rig.arkit.items():
        _check_name(channel, channels, "channel of this rig", where)
        if not weights:
            raise BadInput(f"'{channel}' drives nothing", where=where, then="leave it out")
        for name, weight in weights.items():
            _check_name(name, ARKIT, "name of ARKit's", where)
            if not (math.isfinite(weight) and abs(weight) <= MOST):
                raise BadInput(
                    f"'{channel}' drives {name} by {weight:g}; weights are -{MOST:g} to {MOST:g}",
                    where=where,
                )
    return rig.name, rig.arkit


def _check_name(name: str, names: tuple[str, ...], what: str, where: str) -> None:
    if name not in names:
        suggestions = difflib.get_close_matches(name, names, 3) or names[:3]
        raise BadInput(
            f"'{name}' is no {what}",
            where=where,
            then=f"there is {', '.join(suggestions)}, for instance",
        )


def set_rig_mapping(workspace: Workspace, model: str, data: bytes, where: str, by: str) -> str:
    """Give a model's face rig another mapping; return the hash of the model that has it.

    The graph, and all that it was judged by, is the same: only what a frame carries is another.

    Args:
        workspace: where.
        model: its hash.
        data: for :func:`read_rig`.
        where: what to call the data in errors.
        by: who asks.

    Raises:
        BadInput: the model has no face, the file is wrong, or nothing would change.
    """
    before = workspace.objects.read(model, Model)
    if not before.rig:
        raise BadInput(f"model {model[:12]} drives no face", then="train one on voices with faces")
    require_trained(workspace, model)
    name, arkit = read_rig(data, tuple(before.rig), where=where)
    plain = workspace.publish(Rig(channels=before.rig), by=by)
    rig = Rig(
        channels=before.rig,
        name=name,
        arkit={channel: dict(weights) for channel, weights in arkit.items()},
        parents=RigParents(rig=plain),
    )
    part = workspace.publish(rig, by=by)
    parts = before.parts
    if part == parts.get("rig"):
        raise BadInput(f"model {model[:12]} has this rig already: {part[:12]}")
    parents = ModelParents(dataset=before.parents.dataset, start=model)
    changed = msgspec.structs.replace(before, parts={**parts, "rig": part}, parents=parents)
    return workspace.publish(changed, by=by)


def arkit_mapping(workspace: Workspace, model: Model) -> tuple[tuple[str, str, float], ...]:
    """Return (channel, ARKit's name, weight) of all that a model's rig maps, in the channels' order.

    Without a mapping the channels that have ARKit's own names are what they say.

    Raises:
        Refused: the rig is another one's.
    """
    channels = model.rig
    rig = Rig(channels=channels)
    if "rig" in model.parts:
        rig = workspace.objects.read(model.parts["rig"], Rig)
    if rig.channels != channels:
        raise Refused("this model names the rig of another face")
    if rig.arkit is None:
        return tuple((name, name, 1.0) for name in channels if name in ARKIT)
    arkit = rig.arkit
    return tuple((c, n, float(w)) for c in channels for n, w in sorted(arkit.get(c, {}).items()))
