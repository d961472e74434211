"""The assembly of a model's input tensors, one tick at a time, in NumPy.

Live shows, replay, validation, adaptation and previews all fill the tensors of
`greenroom.contracts.ModelShape.inputs` through `ModelInputs`; `greenroom.networks.input_batch` does the
same for batches in torch, and a test holds the two equal.

Shapes: K history ticks, D state width, J joints, S speech ticks, F speech channels, P phonemes,
X context.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.contracts import ModelShape, flat_width, get_tensors
from greenroom.frames import Floats

AGE_SCALE = 6
"""Divisor of ln(1 + ticks) in the input `age`."""
_ZERO, _ONE, _SCALE = np.float32(0), np.float32(1), np.float32(AGE_SCALE)


class ModelInputs:
    """The input tensors of one tick, in one buffer that the next tick overwrites.

    Args:
        shape: of the model's tensors.

    Attributes:
        flat: all tensors one after the other, in the order of the shape.
        tensors: views of it by name, with a batch of one in front.
    """

    def __init__(self, shape: ModelShape) -> None:
        """Fill all tensors with zeros."""
        self.shape = shape
        self.flat = np.zeros(flat_width(shape.inputs()), dtype=np.float32)
        self.tensors = get_tensors(self.flat, shape.inputs())
        self._rows = {name: tensor[0] for name, tensor in self.tensors.items()}
        self._ages = np.zeros(shape.joints, dtype=np.float32)

    @property
    def is_speaking(self) -> bool:
        """Whether any of the speech ticks was received."""
        return bool(self._rows["speech_mask"].any())

    def set_history(self, states: Floats, captured: Floats | float = 1.0) -> None:
        """Replace the history.

        Args:
            states: (K, D), oldest first, or one state (D,) for all ticks.
            captured: joints captured in each (K, J), or one value for all.
        """
        self._rows["history"][:] = states
        self._rows["captured"][:] = captured

    def advance(self, pose: Floats, captured: Floats | None = None) -> None:
        """Append a performed state (D,) to the history.

        Args:
            pose: performed at the last tick.
            captured: joints captured then (J,); None for the current input `valid`.
        """
        _push(self._rows["history"], pose)
        _push(self._rows["captured"], self._rows["valid"] if captured is None else captured)

    def set_capture(self, state: Floats, velocity: Floats, valid: Floats) -> None:
        """Set this tick's capture from features, and count the ticks of each joint's gap.

        Args:
            state: (D,), NaN where missing.
            velocity: (6 J,), per second, NaN where missing.
            valid: trust in each joint (J,), 0 to 1.
        """
        rows = self._rows
        rows["state"][:] = np.where(np.isfinite(state), state, _ZERO)
        rows["velocity"][:] = np.where(np.isfinite(velocity), velocity, _ZERO)
        rows["valid"][:] = valid
        self._count_gaps(valid)

    def observe(
        self, state: Floats, previous: Floats, valid: Floats, previous_valid: Floats
    ) -> None:
        """Set this tick's capture from complete states, and count the ticks of each joint's gap.

        Args:
            state: complete state (D,).
            previous: that of the tick before (D,).
            valid: 1 for joints captured now, else 0 (J,).
            previous_valid: the same of the tick before (J,).
        """
        rows = self._rows
        rows["state"][:] = state * joint_mask_to_state(valid)
        step = (state - previous)[: 6 * self.shape.joints] * TICK_HZ
        rows["velocity"][:] = step * np.repeat(valid * previous_valid, 6)
        rows["valid"][:] = valid
        self._count_gaps(valid)

    def set_gap(self, ticks: int) -> None:
        """Set how many ticks each joint that is not captured has been missing."""
        self._ages[:] = ticks * (1 - self._rows["valid"])
        self._write_ages()

    def _count_gaps(self, valid: Floats) -> None:
        self._ages += _ONE
        self._ages *= valid <= 0
        self._write_ages()

    def _write_ages(self) -> None:
        age = np.log1p(self._ages, out=self._rows["age"])
        age /= _SCALE

    def push_speech(self, row: Floats, mask: Floats) -> None:
        """Append a tick's speech channels (F,) and whether they were received, 1 or 0."""
        _push(self._rows["speech"], row)
        _push(self._rows["speech_mask"], mask)

    def set_speech(self, rows: Floats, mask: float = 1.0) -> None:
        """Replace the speech by a window (S, F), or one row (F,) for all its ticks."""
        self._rows["speech"][:] = rows
        self._rows["speech_mask"][:] = mask

    def set_noise(self, draw: Floats | float) -> None:
        """Set the draw (Z,); 0 for the mean way."""
        self._rows["noise"][:] = draw

    def push_conditioning(self, row: Floats) -> None:
        """Append the labels of this tick (P + X,); a model without them has no such input."""
        spoken = self.shape.phonemes
        if spoken:
            _push(self._rows["phonemes"], row[:spoken])
        if self.shape.context:
            self._rows["context"][:] = row[spoken:]

    def set_conditioning(self, rows: Floats) -> None:
        """Replace the labels by those of ticks (T, P + X), S of them at least, this one last."""
        spoken = self.shape.phonemes
        if spoken:
            self._rows["phonemes"][:] = rows[-self.shape.speech :, :spoken]
        if self.shape.context:
            self._rows["context"][:] = rows[-1, spoken:]


def joint_mask_to_state(mask: Floats) -> Floats:
    """Return a mask of joints (J,) as one of state channels (D,); the root has the first joint's."""
    return np.append(np.repeat(mask, 6), np.repeat(mask[:1], 4))


def window_inputs(
    shape: ModelShape, states: Floats, lost: Sequence[int] = (), gap_ticks: int = 0
) -> ModelInputs:
    """Return the inputs at the last row of a window of complete states, with some joints missing.

    Args:
        shape: of the model's tensors.
        states: (K + 1, D), oldest first.
        lost: indices of the joints that are missing now.
        gap_ticks: ticks for which they have been missing.
    """
    inputs, joints = ModelInputs(shape), list(lost)
    captured = np.ones((shape.history + 1, shape.joints), dtype=np.float32)
    captured[-1, joints] = 0
    if gap_ticks > 1:
        captured[-gap_ticks:, joints] = 0
    inputs.set_history(states[:-1], captured[:-1])
    inputs.observe(states[-1], states[-2], captured[-1], captured[-2])
    inputs.set_gap(gap_ticks)
    return inputs


def _push(track: Floats, newest: Floats) -> None:
    """Shift the rows of a track (K, …) by one and append the newest."""
    track[:-1] = track[1:]
    track[-1] = newest
