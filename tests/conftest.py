"""Fixtures that every room's tests may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    default = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    path = Path(os.environ.get("GREENROOM_SHARED_DATA", default))
    if not path.is_dir():
        pytest.skip("shared recordings not found: set GREENROOM_SHARED_DATA")
    return path
