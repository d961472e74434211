"""The whole loop as a user runs it: a fault is told, a style is learned, and the show replays."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.train


@pytest.mark.xdist_group("loop")
def test_the_loop_closes_by_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "greenroom", "--home", str(tmp_path)]
    options = ["demo", "--loop", "--headless", "--json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    causes = [alert["cause"] for alert in said["alerts"]]
    faults = [a["second"] for a in said["alerts"] if a["cause"] == "capture fault"]
    styles = [a["second"] for a in said["alerts"] if a["cause"] == "new style"]
    assert set(causes) == {"capture fault", "new style"}
    assert min(faults) < said["style_second"] <= min(styles)
    assert said["run"]["outcome"] == "promoted" and said["captured_takes"] >= 3
    ((swap, release),) = said["swaps"]
    assert release == said["release"] and swap > said["style_second"] * 30
    sure = said["confidence"]
    assert sure["after_swap"] > sure["new_style"] and said["simulated"] is True
    assert said["replay"]["exact"] == said["frames"] == said["replay"]["frames"]
    listed = subprocess.run([*command, "run", "list", "--json"], capture_output=True, text=True)
    (run,) = json.loads(listed.stdout)["runs"]  # the fault asked for none
    assert (run["kind"], run["outcome"], run["release"]) == ("alert", "promoted", release)
    back = subprocess.run([*command, "rollback", "mira", "--json"], capture_output=True, text=True)
    assert json.loads(back.stdout)["left"] == release
