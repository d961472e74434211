"""Where things are: the workspace and the download cache, from options, environment or defaults."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "GREENROOM_HOME"
CACHE_VARIABLE = "GREENROOM_CACHE"


def home(option: str | Path | None = None) -> Path:
    """Return the workspace: the option, else ``GREENROOM_HOME``, else ``~/.greenroom``."""
    return Path(option or os.environ.get(HOME_VARIABLE) or Path.home() / ".greenroom").expanduser()


def cache() -> Path:
    """Return the folder for fetched recordings: ``GREENROOM_CACHE``, else ``~/.cache/greenroom``."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "greenroom").expanduser()
