"""A real fault, seen by the real Prometheus, told by the real Alertmanager, entered in the log."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from greenroom.clock import PERIOD_NS, tick_ns
from greenroom.contracts import Alert, ModelShape, get_tensors
from greenroom.live.ring import slot_type
from greenroom.live.sources import RUNGS
from greenroom.monitoring.alerts import LoggedAlert, list_alerts
from greenroom.monitoring.dashboard import queries
from greenroom.monitoring.exporter import Metrics
from greenroom.monitoring.satisfaction import Answer, keep_survey
from greenroom.observers.page import MetricsObserver
from greenroom.stage import Hub, create_app, serve_in_thread
from greenroom.store.log import Log
from greenroom.store.workspace import Workspace
from tests import examples
from tests.examples import published_release

DEPLOY = Path(__file__).parents[2] / "deploy"
SHAPE = ModelShape(joints=4, state=28, speech_channels=3)
STYLE = Alert("style", "new style", ("left arm",), 2.5, 900, 870, 840, 880)
TOKEN = "a-token-for-this-test-alone"
PATIENCE_S = 90.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("prometheus-alertmanager")),
        reason="prometheus not found: apt-get install prometheus prometheus-alertmanager",
    ),
]


def free_ports(count: int) -> list[int]:
    """Ports that were free at one moment, no two the same."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def until(what: str, found: Callable[[], Any]) -> Any:
    """Return what `found` gives as soon as it gives something."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if got := found():
                return got
        except (httpx.HTTPError, ValueError):  # not up yet, or says in plain words that it is not
            pass
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {PATIENCE_S:g} s")


class Show:
    """Rows of the ring at 30 Hz through the observer that a show has; `fault` breaks them."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.observer = MetricsObserver(metrics, SHAPE)
        self.fault = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def row(self, tick: int) -> np.ndarray[Any, Any]:
        row = np.zeros((), dtype=slot_type(SHAPE))
        row["tick"], row["due"], row["asked"] = tick, tick_ns(tick), 1
        row["rung"] = RUNGS.index("speech" if self.fault else "capture")
        for name, after in (("arrival", 0), ("features", 1), ("inference", 3), ("post", 4)):
            row[name] = row["due"] + after * 1_000_000
        row["emit"] = row["due"] + (2 * PERIOD_NS if self.fault else 5_000_000)
        get_tensors(row["inputs"], SHAPE.inputs())["valid"][:] = 0 if self.fault else 1
        get_tensors(row["outputs"], SHAPE.outputs())["confidence"][:] = 0.9
        return row

    def _play(self) -> None:
        tick = 0
        while not self._stop.wait(1 / 30):
            row = self.row(tick)
            self.observer.frame(row, get_tensors(row["outputs"], SHAPE.outputs()))
            tick += 1

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@dataclass
class House:
    """All that runs: the show's exporter, the workspace's server, Prometheus, Alertmanager."""

    log: Log
    show: Show
    prometheus: str
    alertmanager: str
    release: str
    end_show: Callable[[], None]
    calm: list[LoggedAlert] = field(default_factory=list)

    def ask(self, query: str) -> list[Any]:
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def signals(self) -> dict[str, LoggedAlert]:
        return {known.alert.signal: known for known in list_alerts(self.log)}


@contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[None]:
    with open(folder / f"{Path(command[0]).name}.txt", "wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def written(folder: Path, source: Path, changes: dict[str, str]) -> Path:
    """Write a configuration as it is kept, with this test's ports, paths and intervals."""
    text = source.read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / source.name).write_text(text)
    return folder / source.name


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("watching")
    workspace = Workspace(folder / "home")
    release = published_release(workspace)
    performed = examples.show(release)
    answers = [Answer(str(n), 5 if n < 8 else 2) for n in range(10)]
    keep_survey(workspace, answers, "me", workspace.publish(performed, by="me"))
    (folder / "token").write_text(TOKEN + "\n")
    registry = CollectorRegistry()
    metrics = Metrics(registry, RUNGS)
    metrics.on_stage("mira", release, confidence_base=0.9, ends_s=time.time() + 600)
    with ExitStack() as stack:
        exporter = serve_in_thread(create_app(Hub(), registry=registry))
        serving, watching, telling = free_ports(3)
        stack.callback(exporter.stop)
        show = Show(metrics)
        stack.callback(show.close)
        serve = ("-m", "greenroom", "--home", str(folder / "home"), "serve", "--port", str(serving))
        token = ("--alertmanager-token", str(folder / "token"))
        stack.enter_context(running((sys.executable, *serve, *token), folder))
        changes = {"127.0.0.1:8031": f"127.0.0.1:{serving}"}
        config = written(folder, DEPLOY / "alertmanager" / "alertmanager.yml", changes)
        command = [
            "prometheus-alertmanager",
            f"--config.file={config}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{telling}",
            "--cluster.listen-address=",
        ]
        stack.enter_context(running(command, folder))
        changes |= {
            "127.0.0.1:8030": f"127.0.0.1:{exporter.port}",
            "127.0.0.1:9093": f"127.0.0.1:{telling}",
            "interval: 5s": "interval: 500ms",
            "- rules.yml": f"- {DEPLOY / 'prometheus' / 'rules.yml'}",
        }
        config = written(folder, DEPLOY / "prometheus" / "prometheus.yml", changes)
        command = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{watching}",
        ]
        stack.enter_context(running(command, folder))
        out = House(
            Log(folder / "home" / "log"),
            show,
            f"http://127.0.0.1:{watching}",
            f"http://127.0.0.1:{telling}",
            release,
            exporter.stop,
        )
        until("both targets up", lambda: len(out.ask("up == 1")) == 2)
        until("figures of a show in order", lambda: out.ask("instance:frames_late:ratio_30s == 0"))
        out.calm = list_alerts(out.log)
        show.fault = True
        metrics.alert(STYLE, True)
        yield out


def test_a_show_in_order_raises_nothing_and_a_fault_is_in_the_log(house: House) -> None:
    assert house.calm == []
    wanted = {"frames late": "machine", "capture lost": "capture fault"}
    until("both alerts", lambda: wanted.keys() <= house.signals().keys())
    for signal, cause in wanted.items():
        known = house.signals()[signal]
        assert (known.alert.cause, known.actor, known.source) == (cause, "mira", "alertmanager")
        assert known.release == house.release
        assert known.alert.tick > 0 and 0.01 < known.alert.size <= 1
    keys = [known.key for known in list_alerts(house.log)]
    assert len(keys) == len(set(keys))


def test_what_the_charts_raised_goes_to_the_crew_alone(house: House) -> None:
    def told() -> list[Any]:
        alerts = httpx.get(f"{house.alertmanager}/api/v2/alerts").json()
        return [one for one in alerts if one["labels"]["alertname"] == "Charted"]

    (charted,) = until("the chart's alert", told)
    assert [receiver["name"] for receiver in charted["receivers"]] == ["crew"]
    assert charted["labels"]["signal"] == "style" and charted["labels"]["actor"] == "mira"
    assert "style" not in house.signals()


def test_every_query_of_the_dashboard_returns_data(house: House) -> None:
    until("an alert", lambda: house.ask('ALERTS{alertstate="firing", alertname!="Charted"}'))
    for query in queries():
        found = house.ask(query)
        assert found, query
        assert all(np.isfinite(float(series["value"][1])) for series in found), query
    kept = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    assert {t["expr"] for p in kept["panels"] for t in p.get("targets", [])} == set(queries())


def test_a_show_that_is_gone_before_its_end_is_missed(house: House) -> None:
    house.end_show()
    until("the alert", lambda: "show down" in house.signals())
    known = house.signals()["show down"]
    assert known.actor == "mira" and 0 < known.alert.size < 600
