"""Registries find plug-ins and outlive broken ones; the plug-in of the how-to page works as printed."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from greenroom import embedded, plugins
from greenroom.capture import readers
from greenroom.contracts import Alert
from greenroom.errors import BadInput
from greenroom.manifests import Show
from greenroom.monitoring.detectors import DETECTORS, installed_detectors
from greenroom.observers import OBSERVERS, installed_observers
from greenroom.plugins import GROUPS, Registry, host_port, options_of
from greenroom.store import open_store

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "write-a-plug-in.md"

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    """Return what makes entry points look installed: name="module:attribute"."""
    registries = (readers.FORMATS, DETECTORS, OBSERVERS)

    def refresh() -> None:
        for registry in registries:
            registry.refresh()
        readers.readers.cache_clear()

    def install(group: str, **values: str) -> None:
        entries = [EntryPoint(name, value, group) for name, value in values.items()]
        monkeypatch.setattr(
            plugins, "entry_points", lambda group: [e for e in entries if e.group == group]
        )
        refresh()

    yield install
    monkeypatch.undo()
    refresh()


def test_members_are_our_own_and_those_of_plug_ins(install: Install) -> None:
    install("greenroom.sinks", lines="io:StringIO")
    registry: Registry[object] = Registry("greenroom.sinks", {"bytes": "io:BytesIO"})
    assert registry.names() == ["bytes", "lines"] and registry.plug_ins() == ["lines"]
    assert registry.get("bytes").__name__ == "BytesIO"  # type: ignore[attr-defined]
    assert [name for name, _ in registry.installed()] == ["lines"]
    with pytest.raises(BadInput, match="there is no sink 'midi'; known: bytes, lines"):
        registry.get("midi")


def test_a_broken_plug_in_is_one_warning_and_stops_nothing(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("greenroom.sinks", a="no_such_module:thing", b="io:StringIO", bytes="io:StringIO")
    registry: Registry[object] = Registry("greenroom.sinks", {"bytes": "io:BytesIO"})
    assert [name for name, _ in registry.installed()] == ["b"]
    assert [name for name, _ in registry.installed()] == ["b"]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2 and all("\n" not in message for message in messages)
    assert "'bytes' is ignored: that name is taken" in messages[0]
    assert "'a' cannot be loaded: No module named 'no_such_module'" in messages[1]


def test_our_own_members_can_be_loaded() -> None:
    for registry in (readers.FORMATS, DETECTORS):
        assert registry.group in GROUPS
        assert all(registry.get(name) for name in registry.built_in)


class Echo:
    """A reader whose every step fails."""

    name, suffixes = "echo", (".echo",)

    def sniff(self, head, path):
        if b"boom" in head:
            raise ZeroDivisionError
        return path.endswith(".echo")

    def read(self, data, where, mapping):
        raise KeyError("frames")


def test_a_failing_format_is_bad_input(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("greenroom.formats", echo=f"{__name__}:Echo", other=f"{__name__}:Echo")
    with pytest.raises(BadInput, match="the format 'echo' failed: KeyError"):
        readers.read_recording(b"x", "a.echo")
    with pytest.raises(BadInput, match="no reader knows this file; known: .*echo"):
        readers.read_recording(b"boom", "a.echo")
    messages = [record.getMessage() for record in caplog.records]
    assert any("its reader is named 'echo'" in message for message in messages)


class Failing:
    """A detector that alerts once and then fails."""

    learning = False

    def __init__(self, limbs):
        self.alerts = ()

    def fit(self, takes):
        return self

    def update(self, x, *, excused=False):
        if self.alerts:
            raise ZeroDivisionError
        self.alerts = (Alert("bang", "model", (), 1.0, 1, 1, 1, 1),)

    def lasts(self, signal):
        return signal == "bang"

    def reset(self):
        self.alerts = ()


def test_a_failing_detector_falls_silent(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("greenroom.detectors", failing=f"{__name__}:Failing", unmade="os:getpid")
    (detector,) = installed_detectors({"trunk": (0,)})
    detector.fit([])
    detector.update([0.0])
    assert [alert.signal for alert in detector.alerts] == ["failing/bang"]
    assert detector.lasts("failing/bang") and not detector.lasts("failing/hush")
    for _ in range(3):
        detector.update([0.0])
    assert detector.alerts == () and detector.learning and not detector.lasts("failing/bang")
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2 and "watches no more: ZeroDivisionError" in messages[1]


def test_an_observer_that_cannot_be_made_is_left_out(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("greenroom.observers", good="types:SimpleNamespace", bad="builtins:open")
    assert [type(each).__name__ for each in installed_observers()] == ["SimpleNamespace"]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("url", ["vmc://", "vmc://:39539", "vmc://host:many", "vmc://host:70000"])
def test_a_url_without_host_and_port_is_bad_input(url: str) -> None:
    with pytest.raises(BadInput, match="like vmc://127.0.0.1:39539"):
        host_port(url, 39539)


def test_unknown_options_are_bad_input() -> None:
    with pytest.raises(BadInput, match="known: threads"):
        options_of("a://b?depth=1", {"threads": int})


def extract(folder: Path) -> list[str]:
    """Write the files of the page into a folder; return their names."""
    blocks = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', PAGE.read_text(), re.M | re.S)
    for name, text in blocks:
        (folder / name).write_text(text)
    return [name for name, _ in blocks]


@pytest.mark.slow
def test_the_plug_in_of_the_how_to_page_installs_passes_and_is_used(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="builds the plug-in; run: make setup")
    source, target, home = tmp_path / "source", tmp_path / "site", tmp_path / "home"
    source.mkdir()
    names = extract(source)
    assert {"pyproject.toml", "greenroom_stick.py", "wave.stick", "test_stick.py"} == set(names)
    python_path = os.pathsep.join(
        [str(target), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    )
    environment = {**os.environ, "PYTHONPATH": python_path, "GREENROOM_HOME": str(home)}

    def run(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, *args],
            cwd=source,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run("-m", "pip", "install", *options, "--target", str(target), ".")
    assert "5 passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_stick.py")
    ingest = ("ingest", "wave.stick", "--actor", "mira", "--participant", "ada")
    result = json.loads(run("-m", "greenroom", *ingest, "--rights", "MIT", "--json"))
    (take,) = result["takes"]
    embedded.install(open_store(str(home)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as viewer:
        viewer.bind(("127.0.0.1", 0))
        viewer.setblocking(False)
        url = f"stick://127.0.0.1:{viewer.getsockname()[1]}"
        out = ("--out", url, "--seconds", "1", "--json")
        show = json.loads(run("-m", "greenroom", "perform", "mira", "--in", f"take:{take}", *out))
        assert show["frames"] == 30
        ticks = [int(viewer.recv(1500).split()[0]) for _ in range(30)]
    assert ticks == list(range(30))


TOY = """
from greenroom.capture.packets import encode_audio
from greenroom.contracts import Packet
from greenroom.clock import tick_ns
import numpy as np

from greenroom.serving import open_backend


class Hum:
    def __init__(self, url, *, workspace, first):
        self.tick = first

    def poll(self, now_ns):
        out = []
        while tick_ns(self.tick) <= now_ns:
            samples = np.full(800, 0.1, dtype=np.float32)
            out.append(Packet(now_ns, encode_audio(self.tick, samples)))
            self.tick += 1
        return out

    def close(self):
        pass


def open_slow(url, *, graph, shape):
    return open_backend("onnxruntime://cpu?threads=2", graph, shape)
"""
ENTRY_POINTS = """
[greenroom.receivers]
hum = toy:Hum
[greenroom.backends]
slow = toy:open_slow
[greenroom.observers]
broken = toy:Missing
"""


def test_live_input_and_backend_of_a_plug_in_perform_beside_a_broken_one(tmp_path: Path) -> None:
    site, home = tmp_path / "site", tmp_path / "home"
    metadata = site / "toy-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "toy.py").write_text(TOY)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    workspace = open_store(str(home))
    embedded.install(workspace)
    python_path = os.pathsep.join([str(site), str(ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": python_path, "GREENROOM_HOME": home.as_uri()}

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "greenroom", *args]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    perform = ("perform", "mira", "--in", "hum:here", "--backend", "slow://", "--json")
    endless = run(*perform)
    assert endless.returncode == 2 and "say how long: --seconds 60" in endless.stderr
    done = run(*perform, "--seconds", "2")
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "'broken'" in line]
    assert len(warnings) == 1 and "toy: the observer 'broken' cannot be loaded" in warnings[0]
    result = json.loads(done.stdout)
    assert result["frames"] == 60
    show = workspace.objects.read(result["show"], Show)
    assert show.playlist == show.parents.takes == [] and show.fingerprint["threads"] == "2"
    verdict = json.loads(run("replay", result["show"], "--verify", "--json").stdout)
    assert verdict["exact"] == 60
