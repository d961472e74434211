"""What watches a show from outside, and the registry of observers by others."""

from __future__ import annotations

import logging
from collections.abc import Callable

from greenroom.contracts import Observer
from greenroom.plugins import Registry

OBSERVERS: Registry[Callable[[], Observer]] = Registry("greenroom.observers", {})
"""Name → what makes an observer; each that is installed sees every show."""


def installed_observers() -> list[Observer]:
    """Return an observer of each plug-in; one that cannot be made is a warning."""
    out = []
    for name, make in OBSERVERS.installed():
        try:
            out.append(make())
        except Exception as error:  # it may be anybody's code
            message = "the observer '%s' is ignored: %r; update its package"
            logging.getLogger(__name__).warning(message, name, error)
    return out
