"""Drift detectors, and the registry of those that watch the captured joints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from numpy.typing import ArrayLike

from greenroom.contracts import Alert, Detector
from greenroom.plugins import Registry


class MakeDetector(Protocol):
    """What a member of `DETECTORS` is: a function or a class."""

    def __call__(self, limbs: Mapping[str, Sequence[int]]) -> Detector:
        """Return a detector of rotation vectors; `limbs` has the joints' indices by limb."""


DETECTORS: Registry[MakeDetector] = Registry(
    "greenroom.detectors", {"motion": "greenroom.monitoring.charts.motion:MotionChart"}
)
"""Name → what makes a detector of the captured joints; each that is installed watches every show."""


class IsolatedDetector:
    """A plug-in's detector whose failure is one warning, after which it is silent.

    Args:
        name: of its entry point; it stands before each signal, as in "stick/fall".
        detector: the plug-in's.
    """

    def __init__(self, name: str, detector: Detector) -> None:
        """Store both."""
        self.name, self.detector, self.failed = name, detector, False

    @property
    def learning(self) -> bool:
        """Whether its reference holds too little for any alert."""
        return self.failed or self.detector.learning

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Its alerts since the last reset, oldest first."""
        if self.failed:
            return ()
        prefix = f"{self.name}/"
        return tuple(replace(each, signal=prefix + each.signal) for each in self.detector.alerts)

    def fit(self, takes: Sequence[Any]) -> IsolatedDetector:
        """Fit the detector."""
        self._try(lambda: self.detector.fit(takes))
        return self

    def update(self, x: ArrayLike, *, excused: bool = False) -> None:
        """Pass one tick on."""
        self._try(lambda: self.detector.update(x, excused=excused))

    def lasts(self, signal: str) -> bool:
        """Return whether what was alerted goes on."""
        return not self.failed and self.detector.lasts(signal.removeprefix(f"{self.name}/"))

    def reset(self) -> None:
        """Forget the stream; keep the fit."""
        self._try(self.detector.reset)

    def _try(self, call: Callable[[], object]) -> None:
        if self.failed:
            return
        try:
            call()
        except Exception as error:  # it may be anybody's code
            self.failed = True
            message = "the detector '%s' watches no more: %r; update its package"
            logging.getLogger(__name__).warning(message, self.name, error)


def installed_detectors(limbs: Mapping[str, Sequence[int]]) -> list[IsolatedDetector]:
    """Return a detector of each plug-in; one that cannot be made is a warning.

    Args:
        limbs: the joints' indices by limb.
    """
    out = []
    for name, make in DETECTORS.installed():
        try:
            out.append(IsolatedDetector(name, make(limbs)))
        except Exception as error:  # it may be anybody's code
            message = "the detector '%s' is ignored: %r; update its package"
            logging.getLogger(__name__).warning(message, name, error)
    return out
