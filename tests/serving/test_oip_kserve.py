"""The client of the Open Inference Protocol against KServe's Python server."""

import os
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from greenroom import embedded
from greenroom.contracts import golden_clip
from greenroom.errors import ModelUnavailable
from greenroom.registry.release import load_release
from greenroom.serving import DEFAULT_BACKEND, ShapedBackend, open_backend
from greenroom.store.workspace import Workspace
from tests.serving.model_servers import free_tcp_port, wait_until

PYTHON = os.environ.get("KSERVE_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="set KSERVE_PYTHON to an interpreter that has kserve==0.21.0"
)


def test_a_model_named_by_its_hash_gives_the_bits_of_the_runtime_here(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    release = load_release(workspace, embedded.install(workspace))
    (tmp_path / "model.onnx").write_bytes(release.graph)
    port = free_tcp_port()
    script = Path(__file__).with_name("kserve_server.py")
    command = [PYTHON, str(script), str(port), str(tmp_path / "model.onnx")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _is_live(port), 60)
        url = f"oip://127.0.0.1:{port}/{release.manifest.graph_sha256}?timeout_ms=30"
        shape = release.role.shape
        remote, local = (
            open_backend(url, release.graph, shape),
            open_backend(DEFAULT_BACKEND, release.graph, shape),
        )
        for inputs in golden_clip(shape):
            expected = local.run(inputs)
            wait_until(lambda inputs=inputs: _answers(remote, inputs))  # type: ignore[misc]
            actual = remote.run(inputs)
            assert all(actual[n].tobytes() == expected[n].tobytes() for n in expected)
        remote.close()  # type: ignore[attr-defined]
    finally:
        server.terminate()
        server.wait()


def _is_live(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/v2/health/live", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _answers(backend: ShapedBackend, inputs: object) -> bool:
    try:
        backend.run(inputs)  # type: ignore[arg-type]
    except ModelUnavailable:
        return False
    return True
