"""A release's model as a performer asks it: tensors in, a flat row of numbers out, weights of a face."""

from __future__ import annotations

import numpy as np

from greenroom.contracts import Backend, flat_width
from greenroom.frames import ARKIT, Floats
from greenroom.registry.release import PerformerSpec

_ZERO, _ONE = np.float32(0), np.float32(1)


class LoadedModel:
    """A release's model, as a performer asks it.

    Args:
        role: from the release.
        backend: runs the model.
    """

    def __init__(self, role: PerformerSpec, backend: Backend) -> None:
        """Find where the weights that a frame can carry stand among the outputs."""
        self.role, self.backend = role, backend
        self._gives = tuple(role.shape.outputs())
        first = 0
        if role.shape.face:
            sizes = role.shape.outputs().items()
            first = flat_width(dict(list(sizes)[: self._gives.index("face")]))
        gives = [n for n in ARKIT if any(n == name for _, name, _ in role.arkit)]
        self.places = np.asarray([ARKIT.index(n) for n in gives], dtype=np.intp)
        self._mix: Floats | None = None
        drives = gives  # channels as they are
        if any(channel != name or weight != 1 for channel, name, weight in role.arkit):
            drives = [c for c in role.rig if any(c == channel for channel, _, _ in role.arkit)]
            self._mix = np.zeros((len(drives), len(gives)), dtype=np.float32)
            for channel, name, weight in role.arkit:
                self._mix[drives.index(channel), gives.index(name)] = weight
        self._driven_indices = np.asarray(
            [first + role.rig.index(c) for c in drives], dtype=np.intp
        )

    def ask(self, inputs: dict[str, Floats]) -> tuple[Floats, bool]:
        """Return what the model says of a tick, flat, and whether all of it is finite."""
        tensors = self.backend.run(inputs)
        flat = np.concatenate([tensors[name] for name in self._gives], axis=None)
        return flat, bool(np.logical_and.reduce(np.isfinite(flat)))

    def face(self, outputs: Floats) -> Floats:
        """Return the weights that a frame can carry, as `places`, of all that the model said."""
        driven = outputs[self._driven_indices]
        if self._mix is None:
            return driven
        # Row after row: a product of matrices rounds differently on other processors.
        mixed: Floats = np.add.reduce(driven[:, None] * self._mix, axis=0)
        return np.clip(mixed, _ZERO, _ONE, out=mixed)

    def stands_in_for(self, other: LoadedModel) -> bool:
        """Tell whether it can be asked with another's inputs, and drives the same."""
        mine, theirs = self.role, other.role
        return (
            mine.spec.hash,
            mine.shape.inputs(),
            mine.uses_speech,
            mine.rig,
            mine.words,
            mine.arkit,
        ) == (
            theirs.spec.hash,
            theirs.shape.inputs(),
            theirs.uses_speech,
            theirs.rig,
            theirs.words,
            theirs.arkit,
        )
