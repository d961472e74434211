"""The rules and configurations in deploy/, as Prometheus's and Alertmanager's own tools judge them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from greenroom.contracts import CAUSES

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("promtool", ("check", "rules", "prometheus/rules.yml")),
        ("promtool", ("check", "config", "prometheus/prometheus.yml")),
        ("promtool", ("test", "rules", "prometheus/rules_test.yml")),
        ("amtool", ("check-config", "alertmanager/alertmanager.yml")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_their_own_tools_find_nothing_wrong(tool: str, words: tuple[str, ...]) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} not found: apt-get install prometheus prometheus-alertmanager")
    done = subprocess.run([tool, *words], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("actor=mira", "log,crew"),
        ("actor=mira origin=chart", "crew"),
        ("origin=workspace", "crew"),
        ("alertname=SomebodyElses", "crew"),
    ],
)
def test_each_alert_is_told_to_whom_it_is_news(labels: str, receivers: str) -> None:
    if shutil.which("amtool") is None:
        pytest.skip("amtool not found: apt-get install prometheus prometheus-alertmanager")
    file = f"--config.file={DEPLOY / 'alertmanager' / 'alertmanager.yml'}"
    command = ["amtool", "config", "routes", "test", file, *labels.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == receivers


def test_each_alert_is_tested_and_says_what_the_receiver_asks_for() -> None:
    tested = RULES.with_name("rules_test.yml").read_text()
    alerts = re.split(r"^ +- (?=alert:|record:)", RULES.read_text(), flags=re.M)
    alerts = [text for text in alerts if text.startswith("alert:")]
    assert len(alerts) == 12
    for text in alerts:
        name = text.split("\n", 1)[0].removeprefix("alert: ")
        assert f'alertname="{name}"' in tested, name
        labels = re.search(r"labels: \{(.*)\}", text)
        assert labels is not None, name
        said = dict(pair.split(": ") for pair in labels[1].split(", "))
        assert said["severity"] in ("watch", "act"), name
        if said.get("origin") != "chart":  # the charts' own come with the series
            assert said["signal"] and said["cause"] in CAUSES, name
        assert re.search(r"^ +do: \S", text, re.M), name
