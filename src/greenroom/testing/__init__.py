"""Conformance suites for plug-ins: one function per kind of member, for use in pytest.

Each raises AssertionError with one sentence that says what the member does wrong.
"""

from greenroom.testing.formats import check_format
from greenroom.testing.live import check_backend, check_observer, check_receiver, check_sink
from greenroom.testing.watching import check_detector, check_tracker

__all__ = [
    "check_backend",
    "check_detector",
    "check_format",
    "check_observer",
    "check_receiver",
    "check_sink",
    "check_tracker",
]
