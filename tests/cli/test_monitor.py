"""`greenroom monitor charts` on a real show of the embedded release."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from greenroom import embedded
from greenroom.capture.sample_data import Clip
from greenroom.cli import main
from greenroom.live.show import perform
from greenroom.live.supervisor import ShowSpec
from greenroom.registry.release import load_release
from greenroom.store.workspace import Workspace


@pytest.mark.xdist_group("shows")
def test_charts_are_printed_and_drawn(tmp_path: Path, published: list[Clip]) -> None:
    workspace = Workspace(tmp_path / "home")
    release = load_release(workspace, embedded.install(workspace))
    clips = embedded.ingest_clips(workspace, "test")
    takes = [clips[name] for name in embedded.TEST]
    show = perform(workspace, ShowSpec(release, takes, 120), "test").show

    def run(*args: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(main, ["--home", str(workspace.home), "monitor", *args])
        return done.exit_code, done.stdout, done.stderr

    page = tmp_path / "charts.html"
    code, out, err = run("charts", show, "--report", str(page), "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["show"] == show and result["release"] == release.name
    row = next(row for row in result["joints"] if row["joint"] == "leftUpperLeg")
    assert 0 <= row["mean_out_corrected"] <= row["mean_out"] <= 1
    assert 1 <= row["independent_ticks"] < 30
    text = page.read_text()
    assert text.count("<svg") == 2 * len(result["joints"]) and "<script" not in text
    assert "leftUpperLeg" in run("charts", show)[1]


def test_without_the_reference_it_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--home", str(tmp_path), "monitor", "charts", "123456"])
    assert done.exit_code == 2 and "there is no show" in done.stderr
