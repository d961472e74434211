"""Where things are: the workspace and the download cache, from options, environment or defaults."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

HOME_VARIABLE = "GREENROOM_HOME"
CACHE_VARIABLE = "GREENROOM_CACHE"
JOB_FOLDER = "GREENROOM_JOB"
"""The environment variable that tells a detached command which folder is its job's."""


def home(option: str | Path | None = None) -> Path:
    """Return the workspace: the option, else ``GREENROOM_HOME``, else ``~/.greenroom``.

    Args:
        option: a folder, or a URL such as file:///srv/greenroom.
    """
    place = option or os.environ.get(HOME_VARIABLE) or Path.home() / ".greenroom"
    if str(place).startswith("file://"):
        return Path(url2pathname(urlsplit(str(place)).path))
    return Path(place).expanduser()


def cache() -> Path:
    """Return the folder for fetched recordings: ``GREENROOM_CACHE``, else ``~/.cache/greenroom``."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "greenroom").expanduser()
