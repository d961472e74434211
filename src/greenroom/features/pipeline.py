"""The one way from a take or a live tick to features, with the same bits either way.

A `FeatureSpec` says which; its hash travels with the dataset, the model and the release, and what was
made under another specification is refused. A `FeaturePipeline` holds what the past contributes
(the last
pose, the last samples) and is fed any number of ticks at a time: cutting a take into chunks does not
change a bit (a property test), because each tick's features depend on its own rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greenroom.clock import TICK_HZ
from greenroom.errors import BadInput
from greenroom.features.pose import ROOT_CHANNELS, state_features
from greenroom.features.speech import BANDS, CHANNELS, PADDED, WINDOW, SpeechExtractor
from greenroom.frames import BONE, SAMPLE_RATE, Floats
from greenroom.manifests import FeatureSettings, to_json
from greenroom.store.objects import canonical, digest

_MISSING = np.float32(np.nan)
_TICK_HZ = np.float32(TICK_HZ)
VERSION = 2
"""Raised whenever a formula here, in `pose` or in `speech` changes: it is part of the hash."""


@dataclass(frozen=True)
class FeatureSpec:
    """What is computed, for which joints.

    Attributes:
        joints: bone names, hips first.
        version: of the formulas.
    """

    joints: tuple[str, ...]
    version: int = VERSION

    def __post_init__(self) -> None:
        """Refuse a specification that this code cannot compute."""
        if self.version != VERSION:
            raise BadInput(
                f"feature specification version {self.version} is not {VERSION}",
                then="use the Greenroom that made it, or train again",
            )
        unknown = [name for name in self.joints if name not in BONE]
        if unknown or self.joints[:1] != ("hips",):
            raise BadInput(f"feature joints are humanoid bones, hips first, not {self.joints}")

    @property
    def state_width(self) -> int:
        """D: 6 a joint, and the root's 4."""
        return 6 * len(self.joints) + len(ROOT_CHANNELS)

    def manifest(self) -> FeatureSettings:
        """Return everything that decides the bits."""
        return FeatureSettings(
            joints=list(self.joints),
            version=self.version,
            tick_hz=TICK_HZ,
            sample_rate=SAMPLE_RATE,
            window=WINDOW,
            padded=PADDED,
            mel_bands=BANDS,
            root=list(ROOT_CHANNELS),
        )

    @classmethod
    def load(cls, settings: FeatureSettings) -> FeatureSpec:
        """Return the specification of a manifest; refuse another version or other constants."""
        spec = cls(tuple(settings.joints), settings.version)
        if spec.manifest() != settings:
            raise BadInput("this feature specification is not this version's", then="train again")
        return spec

    @property
    def hash(self) -> str:
        """The specification's hash."""
        return digest(canonical(to_json(self.manifest())))


@dataclass(frozen=True)
class Features:
    """Features of T ticks.

    Attributes:
        state: (T, 6 J + 4); NaN where missing. See `greenroom.features.pose`.
        velocity: (T, 6 J), a second; NaN where this tick or the one before is missing.
        valid: (T, J), 0 missing to 1 trusted.
        speech: (T, 43); see `greenroom.features.speech`.
        speech_mask: (T,), 1 where audio arrived, else 0 and the row is computed from silence.
    """

    state: Floats
    velocity: Floats
    valid: Floats
    speech: Floats
    speech_mask: Floats


class FeaturePipeline:
    """Features a tick at a time, a chunk at a time, or of a whole take.

    Args:
        spec: what to compute.
        listen: False for a model that does not hear; speech is 0 then.
    """

    def __init__(self, spec: FeatureSpec, listen: bool = True) -> None:
        """Start with no past: silence, and no pose before the first."""
        self.spec, self._listen = spec, listen
        self._index = np.asarray([BONE[name] for name in spec.joints])
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._before: tuple[Floats, Floats] | None = None
        self._six = np.full((1, 6 * len(self.spec.joints)), np.nan, dtype=np.float32)
        self._hearing = SpeechExtractor() if self._listen else None

    def run(
        self, root: Floats, rotations: Floats, validity: Floats, audio: Floats, speech_mask: Floats
    ) -> Features:
        """Return the features of the next T ticks.

        Args:
            root: (T, 3), metres; NaN where missing.
            rotations: (T, 55, 4), unit quaternions xyzw; NaN where missing.
            validity: (T, 55), 0 to 1.
            audio: (T, 800), float32.
            speech_mask: (T,), 1 where audio arrived.
        """
        valid = validity.take(self._index, axis=1)
        chosen = rotations.take(self._index, axis=1)
        np.copyto(chosen, _MISSING, where=(valid <= 0)[..., None])
        state = state_features(root, chosen, self._before)
        six = state[:, : self._six.shape[1]]
        velocity = six - (self._six if len(six) == 1 else np.concatenate([self._six, six[:-1]]))
        velocity *= _TICK_HZ
        self._six = six[-1:].copy()
        self._before = (root[-1].copy(), chosen[-1, 0].copy())
        if self._hearing is None:
            speech = np.zeros((len(audio), len(CHANNELS)), dtype=np.float32)
        else:
            speech = self._hearing.run(audio, speech_mask)
        return Features(state, velocity, valid, speech, speech_mask)
