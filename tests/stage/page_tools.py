"""Run the page's own scripts with Node, or say why that cannot be done here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

WEB = Path(__file__).parents[2] / "web"
NODE = shutil.which("node")


def run_node(*args: str, stdin: str = "", limit_s: float = 60) -> str:
    """Run Node in `web/` and return what it printed; skip where it or its packages are missing."""
    if NODE is None:
        pytest.skip("no node on PATH")
    if not (WEB / "node_modules" / "playwright-core").is_dir():
        pytest.skip("web/node_modules is missing: run `npm ci` in web/")
    done = subprocess.run(
        [NODE, *args], cwd=WEB, input=stdin, capture_output=True, text=True, timeout=limit_s
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def node(script: str, *args: str, stdin: str = "", limit_s: float = 60) -> Any:
    """Return the JSON object that a script of `web/e2e/` prints."""
    return json.loads(run_node(f"e2e/{script}", *args, stdin=stdin, limit_s=limit_s))
