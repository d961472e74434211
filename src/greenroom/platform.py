"""Process priority and memory, so that heavy work does not delay a show on the same machine.

The engine performs at a real-time priority, which settles who gets a processor. It does not settle
memory: each large array that a process frees goes back to the system, and each new one is fetched page
by page, cleared by the kernel, which does not let itself be interrupted meanwhile. On two cores that
alone made frames late (docs/log/experiments.md). So heavy work keeps freed memory and uses it again.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

NICE = 10
_OPTIONS = {
    "MALLOC_MMAP_MAX_": (-4, 0),  # no array is a mapping of its own
    "MALLOC_TRIM_THRESHOLD_": (-1, -1),  # what is freed is kept
    "MALLOC_TOP_PAD_": (-2, 2**26),  # bytes fetched at once
    "MALLOC_ARENA_MAX": (-8, 1),  # for all threads together
}
"""The allocator's options: by name in the environment, by number and value in glibc's `mallopt`."""


def retain_freed_memory(children: bool = False) -> None:
    """Keep what this process frees, until it ends; without glibc's allocator, do nothing.

    Args:
        children: tell the processes it starts to do so too. What the environment says already stays.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for name, (number, value) in _OPTIONS.items():
            if name not in os.environ:
                mallopt(number, value)
                if children:
                    os.environ[name] = str(value % 2**64)


def run_in_background() -> None:
    """Keep memory, and let everybody else have a processor first; what this process starts does too."""
    retain_freed_memory(children=True)
    os.nice(max(0, NICE - os.nice(0)))


def run_ahead() -> None:
    """Get a processor before other work that is not real time, where the system allows it."""
    with suppress(OSError):  # it needs a right that not every account has
        os.nice(-NICE - os.nice(0))


def is_alive(pid: int) -> bool:
    """Tell whether there is a process of a number, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's, and alive
        pass
    return True
