"""Alerts and satisfaction as a user asks for them; a server that listens to Alertmanager."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from greenroom.cli import main
from greenroom.contracts import Alert
from greenroom.monitoring.alerts import AlertOrigin, record_alert
from greenroom.store.workspace import Workspace
from tests import examples
from tests.examples import published_release


def run(home: Path, *args: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["--home", str(home), *args])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "home").mkdir()
    return Workspace(tmp_path / "home")


def test_alerts_are_listed_by_actor_and_cause(workspace: Workspace) -> None:
    home = workspace.home
    assert run(home, "alerts")[1] == "no alerts\n"
    style = Alert("style", "new style", ("left arm",), 2.5, 900, 870, 840, 880)
    fault = Alert("missing", "capture fault", (), 1.0, 30, 20, 10, 30)
    record_alert(workspace.log, style, AlertOrigin("mira", key="1", source="chart"), by="me")
    record_alert(
        workspace.log,
        fault,
        AlertOrigin("nova", key="2", source="alertmanager", release="ab"),
        by="me",
    )
    code, out, _ = run(home, "alerts")
    assert code == 0 and len(out.splitlines()) == 3
    assert out.splitlines()[1].endswith("870  new style, left arm, chart")
    assert json.loads(run(home, "alerts", "nova", "--json")[1])["alerts"][0]["release"] == "ab"
    (only,) = json.loads(run(home, "alerts", "--cause", "new style", "--json")[1])["alerts"]
    assert only["actor"] == "mira" and only["where"] == ["left arm"] and only["size"] == 2.5
    code, _, err = run(home, "alerts", "--cause", "rain")
    assert code == 2 and "capture fault" in err and len(err.splitlines()) == 1


def test_a_survey_is_kept_and_asked_for_by_show_and_release(
    workspace: Workspace, tmp_path: Path
) -> None:
    home = workspace.home
    assert run(home, "satisfaction")[1] == "no surveys yet\n"
    release = published_release(workspace)
    one, two = (workspace.publish(examples.show(release, seed=n), by="me") for n in (1, 2))
    csv = tmp_path / "survey.csv"
    csv.write_text("respondent;score\nAda;5\nBob;4\nCy;2\n")
    code, _, err = run(home, "satisfaction", str(csv))
    assert code == 2 and "give --show SHOW" in err and len(err.splitlines()) == 1
    code, out, _ = run(home, "satisfaction", str(csv), "--show", one[:8], "--json")
    (survey,) = json.loads(out)["surveys"]
    assert code == 0 and (survey["show"], survey["release"]) == (one, release)
    assert (survey["ratio"], survey["respondents"]) == (0.6667, 3)
    csv.write_text(f"respondent,score,show\nAda,5,{two}\n")
    assert run(home, "satisfaction", str(csv))[1].startswith(f"show {two[:12]}  100% satisfied")
    told = json.loads(run(home, "satisfaction", "--json")[1])
    assert [s["show"] for s in told["surveys"]] == [one, two]
    assert told["releases"][0] == {
        "release": release,
        "ratio": 0.75,
        "low": 0.3006,
        "high": 0.9544,
        "respondents": 4,
    }
    told = json.loads(run(home, "satisfaction", "--show", two, "--json")[1])
    assert [s["show"] for s in told["surveys"]] == [two]
    code, out, _ = run(home, "fsck", "--json")
    assert code == 0 and json.loads(out)["bad"] == []


def test_a_server_does_not_start_with_a_token_that_is_none(tmp_path: Path) -> None:
    short = tmp_path / "token"
    short.write_text("secret")
    code, _, err = run(tmp_path, "serve", "--alertmanager-token", str(short))
    assert code == 2 and "at least 16 characters" in err
