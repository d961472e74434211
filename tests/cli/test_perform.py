"""`perform` as a user runs it: it watches by default, and a script may excuse what is new."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from greenroom import embedded
from greenroom.capture.sample_data import Clip
from greenroom.store.workspace import Workspace


@pytest.mark.parametrize("options", [(), ("--no-watch",), ("--script", "script.csv")])
def test_a_release_performs_and_is_watched(
    tmp_path: Path, published: list[Clip], options: tuple[str, ...]
) -> None:
    workspace = Workspace(tmp_path / "home")
    embedded.install(workspace)
    take = embedded.ingest_clips(workspace, "test")["humanoid3d_walk"]
    (tmp_path / "script.csv").write_text("start,end,scene\n0,2,dance\n")
    command = [sys.executable, "-m", "greenroom", "--home", str(workspace.home), "perform", "mira"]
    said = ["--in", f"take:{take}", "--seconds", "2", "--json", *options]
    done = subprocess.run([*command, *said], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 60


def test_a_script_that_cannot_be_read_starts_no_show(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    embedded.install(workspace)
    (tmp_path / "script.csv").write_text("start,end,scene\n2,1,dance\n")
    command = [sys.executable, "-m", "greenroom", "--home", str(workspace.home), "perform", "mira"]
    said = ["--in", "take:" + "0" * 64, "--script", "script.csv"]
    done = subprocess.run([*command, *said], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "script.csv:2: a scene has a name" in done.stderr
    assert workspace.catalog.find("show") == []
