"""Map the names of face weights that senders use to ARKit's 52."""

from __future__ import annotations

from collections.abc import Mapping

from greenroom.frames import ARKIT

_BLINK_LEFT, _BLINK_RIGHT = {"eyeBlinkLeft": 1.0}, {"eyeBlinkRight": 1.0}
_HAPPY = {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "cheekSquintLeft": 0.5}
_HAPPY["cheekSquintRight"] = 0.5
_PRESETS: dict[str, dict[str, float]] = {
    "aa": {"jawOpen": 1.0},
    "ih": {"jawOpen": 0.2, "mouthStretchLeft": 0.7, "mouthStretchRight": 0.7},
    "ou": {"jawOpen": 0.2, "mouthPucker": 1.0},
    "ee": {"jawOpen": 0.4, "mouthStretchLeft": 0.5, "mouthStretchRight": 0.5},
    "oh": {"jawOpen": 0.6, "mouthFunnel": 1.0},
    "blinkleft": _BLINK_LEFT,
    "blinkright": _BLINK_RIGHT,
    "blink": {**_BLINK_LEFT, **_BLINK_RIGHT},
    "happy": _HAPPY,
    "relaxed": {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5},
    "angry": {"browDownLeft": 1.0, "browDownRight": 1.0},
    "sad": {"browInnerUp": 1.0, "mouthFrownLeft": 0.7, "mouthFrownRight": 0.7},
    "surprised": {"browInnerUp": 1.0, "eyeWideLeft": 1.0, "eyeWideRight": 1.0},
    "lookup": {"eyeLookUpLeft": 1.0, "eyeLookUpRight": 1.0},
    "lookdown": {"eyeLookDownLeft": 1.0, "eyeLookDownRight": 1.0},
    "lookleft": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "lookright": {"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0},
}
"""VRM 1.0 expression, lower case → ARKit weights at its full value: an approximation, by eye."""
_VRM0 = {
    "a": "aa",
    "i": "ih",
    "u": "ou",
    "e": "ee",
    "o": "oh",
    "joy": "happy",
    "sorrow": "sad",
    "fun": "relaxed",
    "blink_l": "blinkleft",
    "blink_r": "blinkright",
}
"""VRM 0 preset, lower case → VRM 1.0 expression."""
_ARKIT = {name.lower(): index for index, name in enumerate(ARKIT)}


def arkit_index(name: str) -> int | None:
    """Return which of the 52 weights a name means; None for none.

    Args:
        name: ARKit's own, capitalised or not, or with _L and _R for the sides.

    >>> ARKIT[arkit_index("mouthSmile_R")], ARKIT[arkit_index("JawOpen")], arkit_index("Joy")
    ('mouthSmileRight', 'jawOpen', None)
    """
    lower = name.lower()
    if lower.endswith("_l"):
        lower = lower[:-2] + "left"
    elif lower.endswith("_r"):
        lower = lower[:-2] + "right"
    return _ARKIT.get(lower)


def arkit_weights(values: Mapping[str, float]) -> dict[int, float]:
    """Return ARKit weights by index of what a sender calls by any known name.

    A weight that is sent by ARKit's own name wins over expressions; of several expressions the largest
    counts.

    Args:
        values: name → value in [0, 1].

    >>> {ARKIT[i]: v for i, v in arkit_weights({"A": 0.5, "Blink_L": 1.0, "Hat": 1.0}).items()}
    {'jawOpen': 0.5, 'eyeBlinkLeft': 1.0}
    """
    out: dict[int, float] = {}
    own: dict[int, float] = {}
    for name, value in values.items():
        lower = name.lower()
        preset = _PRESETS.get(_VRM0.get(lower, lower))
        if preset is not None:
            for weight, share in preset.items():
                index = _ARKIT[weight.lower()]
                out[index] = max(out.get(index, 0.0), value * share)
            continue
        named = arkit_index(name)
        if named is not None:
            own[named] = value
    return {**out, **own}
