"""The client of the Open Inference Protocol: against the product's server, and against bad ones."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from greenroom import embedded
from greenroom.contracts import golden_clip
from greenroom.errors import BadInput, ModelUnavailable
from greenroom.frames import Floats
from greenroom.registry.release import Release, load_release
from greenroom.serving import DEFAULT_BACKEND, ShapedBackend, fallback_backend, open_backend
from greenroom.serving.oip_backend import OipBackend
from greenroom.serving.oip_server import ServedModel
from greenroom.serving.onnx_backend import replay_class, self_test
from greenroom.stage.model_server import create_model_app
from greenroom.stage.server import ServerHandle, serve_in_thread
from greenroom.store.workspace import Workspace
from greenroom.testing import check_backend
from tests.serving.model_servers import Proxy, free_tcp_port, proxied, wait_until


@dataclass
class Stage:
    release: Release
    served: ServedModel
    handle: ServerHandle

    def open(self, port: int, options: str = "") -> OipBackend:
        url = f"oip://127.0.0.1:{port}/mira{options}"
        backend = open_backend(url, self.release.graph, self.release.role.shape)
        assert isinstance(backend, OipBackend)
        return backend

    @property
    def inputs(self) -> dict[str, Floats]:
        return golden_clip(self.release.role.shape)[0]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    release = load_release(workspace, embedded.install(workspace))
    served = ServedModel("mira", release)
    with serve_in_thread(create_model_app(served)) as handle:
        yield Stage(release, served, handle)


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    with proxied(stage.handle.port) as opened:
        yield opened


def answers(backend: ShapedBackend, inputs: dict[str, Floats]) -> bool:
    try:
        backend.run(inputs)
    except ModelUnavailable:
        return False
    return True


def json_only(request: bytes, answer: bytes) -> bytes:
    """Play a server without the binary extension."""
    assert b"binary_data_size" not in request
    return answer.replace(b'["binary_tensor_data"]', b'["-inary_tensor_data"]')


def test_it_passes_the_conformance_suite(stage: Stage) -> None:
    url = f"oip://127.0.0.1:{stage.handle.port}/mira?timeout_ms=30"
    check_backend(lambda graph, shape: open_backend(url, graph, shape))


@pytest.mark.parametrize("binary", [True, False])
def test_each_bit_is_that_of_the_runtime_here(stage: Stage, proxy: Proxy, binary: bool) -> None:
    proxy.alter = None if binary else json_only
    local = open_backend(DEFAULT_BACKEND, stage.release.graph, stage.release.role.shape)
    remote = stage.open(proxy.port, "?timeout_ms=30")
    for inputs in golden_clip(stage.release.role.shape):
        expected = local.run(inputs)
        wait_until(lambda inputs=inputs: answers(remote, inputs))  # type: ignore[misc]
        actual = remote.run(inputs)
        assert list(actual) == list(expected)
        assert all(actual[n].tobytes() == expected[n].tobytes() for n in expected)
    assert replay_class(remote.fingerprint(), local.fingerprint(), set()) == "EXACT"
    remote.close()


def test_over_json_inputs_that_are_no_numbers_give_none(stage: Stage, proxy: Proxy) -> None:
    proxy.alter = json_only
    remote = stage.open(proxy.port)
    outputs = remote.run({**stage.inputs, "state": np.full_like(stage.inputs["state"], np.nan)})
    assert all(np.isnan(values).all() for values in outputs.values())
    remote.close()


def test_another_hash_is_refused_before_the_show(stage: Stage) -> None:
    url = f"oip://127.0.0.1:{stage.handle.port}/mira"
    with pytest.raises(BadInput, match="the server has the model .* and the release's is"):
        open_backend(url, stage.release.graph + b" ", stage.release.role.shape)


def test_a_model_that_is_not_served_or_no_server_is_bad_input(stage: Stage) -> None:
    for url, words in (
        (f"oip://127.0.0.1:{stage.handle.port}/nobody", "answers 404: there is no model 'nobody'"),
        (f"oip://127.0.0.1:{free_tcp_port()}/mira", "no model server answers.*serve-model"),
    ):
        with pytest.raises(BadInput, match=words):
            open_backend(url, stage.release.graph, stage.release.role.shape)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("oip://127.0.0.1:9000", "names no model; like oip://127.0.0.1:9000/mira"),
        ("oip://127.0.0.1:9000/a/b", "names no model"),
        ("oip:///mira", "names no host"),
        ("oip://h/mira?timeout_ms=0", "give 1 to 30"),
        ("oip://h/mira?timeout_ms=nan", "give 1 to 30"),
        ("oip://h/mira?timeout_ms=soon", "timeout_ms= and a number"),
        ("oip://h/mira?speed=9", "known: timeout_ms, token"),
        ("oip://h/mira?token=/nowhere", "cannot be read"),
    ],
)
def test_an_unusable_url_is_bad_input(stage: Stage, url: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        open_backend(url, stage.release.graph, stage.release.role.shape)


def _slow(request: bytes, answer: bytes) -> bytes:
    if request.startswith(b"POST"):
        time.sleep(0.3)
    return answer


def _other_hash(request: bytes, answer: bytes) -> bytes:
    sha256 = answer.partition(b'"sha256":"')[2][:64]
    return answer.replace(sha256, sha256[::-1]) if request.startswith(b"POST") else answer


def _other_shape(request: bytes, answer: bytes) -> bytes:
    return answer.replace(b'"datatype":"FP32"', b'"datatype":"FP16"')


def _no_http(request: bytes, answer: bytes) -> bytes:
    return b"\x00" * 100


def _endless(request: bytes, answer: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 5_000_000


def _redirect(request: bytes, answer: bytes) -> bytes:
    return b"HTTP/1.1 302 Found\r\nlocation: /v2\r\ncontent-length: 0\r\n\r\n"


def _server_error(request: bytes, answer: bytes) -> bytes:
    return b'HTTP/1.1 500 No\r\ncontent-length: 14\r\n\r\n{"error":"no"}'


def _cut_off(request: bytes, answer: bytes) -> bytes:
    return answer[: len(answer) - 100]


@pytest.mark.parametrize(
    "alter",
    [
        _slow,
        _other_hash,
        _other_shape,
        _no_http,
        _endless,
        _redirect,
        _server_error,
        _cut_off,
    ],
    ids=lambda alter: str(alter.__name__),
)
def test_a_bad_answer_is_given_up_within_its_time_and_the_backend_comes_back(
    stage: Stage, proxy: Proxy, alter: object
) -> None:
    remote = stage.open(proxy.port)
    wait_until(lambda: answers(remote, stage.inputs))
    proxy.alter = alter  # type: ignore[assignment]
    start_s = time.monotonic()
    assert not answers(remote, stage.inputs)
    assert time.monotonic() - start_s < 0.1  # 20 ms, and what a busy machine adds
    durations_s = []
    for _ in range(20):
        start_s = time.monotonic()
        assert not answers(remote, stage.inputs), "it comes back although the answers are bad"
        durations_s.append(time.monotonic() - start_s)
        time.sleep(0.01)
    assert np.median(durations_s) < 0.001
    proxy.alter = None
    wait_until(lambda: answers(remote, stage.inputs))
    remote.close()


def test_answers_that_drip_end_at_the_deadline_too(stage: Stage, proxy: Proxy) -> None:
    remote = stage.open(proxy.port)
    wait_until(lambda: answers(remote, stage.inputs))
    proxy.drips = True
    start_s = time.monotonic()
    assert not answers(remote, stage.inputs)
    assert time.monotonic() - start_s < 0.1
    proxy.drips = False
    wait_until(lambda: answers(remote, stage.inputs))
    remote.close()
    with pytest.raises(ModelUnavailable, match="is away"):
        remote.run(stage.inputs)


def test_a_connection_that_the_server_closed_while_idle_costs_no_tick(
    stage: Stage, proxy: Proxy
) -> None:
    remote = stage.open(proxy.port)
    wait_until(lambda: answers(remote, stage.inputs))
    for client in proxy._open:
        client.shutdown(2)
    time.sleep(0.05)
    assert remote._session is not None
    remote._session.infer(stage.inputs, 2)
    remote.close()


def test_the_other_releases_of_a_show_run_on_this_machine() -> None:
    assert fallback_backend("oip://10.0.0.7:9000/mira") == DEFAULT_BACKEND


def test_before_a_show_a_slow_answer_is_waited_for(stage: Stage, proxy: Proxy) -> None:
    remote = stage.open(proxy.port)
    slow_until = time.monotonic() + 0.5

    def slow_at_first(request: bytes, answer: bytes) -> bytes:
        return _slow(request, answer) if time.monotonic() < slow_until else answer

    proxy.alter = slow_at_first
    self_test(remote, stage.release.golden)
    remote.close()


def test_a_token_is_sent(stage: Stage, tmp_path: Path) -> None:
    token = b"0123456789abcdef0123"
    (tmp_path / "token").write_bytes(token + b"\n")
    with serve_in_thread(create_model_app(stage.served, token=token)) as handle:
        with pytest.raises(BadInput, match="answers 401"):
            stage.open(handle.port)
        remote = stage.open(handle.port, f"?token={tmp_path / 'token'}")
        wait_until(lambda: answers(remote, stage.inputs))
        remote.close()
