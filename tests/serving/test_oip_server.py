"""The server of the Open Inference Protocol: each address, and each request that it refuses."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from greenroom import embedded
from greenroom.contracts import golden_clip
from greenroom.errors import BadInput
from greenroom.frames import Floats
from greenroom.registry.approval import revoke
from greenroom.registry.release import Release, load_release
from greenroom.serving.oip_server import ServedModel
from greenroom.stage.model_server import create_model_app
from greenroom.stage.server import serve_in_thread
from greenroom.store.workspace import Workspace

TOKEN = b"0123456789abcdef0123"
LENGTH = "Inference-Header-Content-Length"


@contextmanager
def connected(served: ServedModel, token: bytes | None = None) -> Iterator[httpx.Client]:
    app = create_model_app(served, token=token)
    with serve_in_thread(app) as handle, httpx.Client(base_url=handle.url) as client:
        yield client


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    return load_release(workspace, embedded.install(workspace))


@pytest.fixture(scope="module")
def served(release: Release) -> ServedModel:
    return ServedModel("mira", release)


@pytest.fixture(scope="module")
def client(served: ServedModel) -> Iterator[httpx.Client]:
    with connected(served) as opened:
        yield opened


@pytest.fixture
def inputs(release: Release, served: ServedModel) -> dict[str, Floats]:
    clip = golden_clip(release.role.shape)[0]
    return {name: clip[name] for name in served.inputs}


def tensors(inputs: dict[str, Floats]) -> list[dict[str, Any]]:
    return [
        {"name": n, "shape": list(v.shape), "datatype": "FP32", "data": v.tolist()}
        for n, v in inputs.items()
    ]


def infer(client: httpx.Client, body: dict[str, Any], model: str = "mira") -> Any:
    return client.post(f"/v2/models/{model}/infer", json=body)


def test_the_metadata_name_the_model_by_its_hash(client: httpx.Client, release: Release) -> None:
    sha256 = release.manifest.graph_sha256
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/mira", f"/v2/models/mira/versions/{sha256}"):
        metadata = client.get(path).json()
        assert metadata["versions"] == [sha256] and metadata["parameters"]["sha256"] == sha256
        assert metadata["outputs"][0] == {
            "name": "pose",
            "datatype": "FP32",
            "shape": [1, release.role.shape.state],
        }
        assert client.get(f"{path}/ready").json() == {"name": "mira", "ready": True}


def test_nested_json_is_answered_with_the_hash(
    client: httpx.Client, served: ServedModel, inputs: dict[str, Floats]
) -> None:
    answer = infer(client, {"id": "7", "inputs": tensors(inputs)}).json()
    assert answer["id"] == "7" and answer["model_version"] == served.hash
    assert answer["parameters"] == {"sha256": served.hash}
    expected = served.backend.run(inputs)
    for output in answer["outputs"]:
        values = np.asarray(output["data"], dtype=np.float32).reshape(output["shape"])
        assert values.tobytes() == expected[output["name"]].tobytes()
    asked = {"inputs": tensors(inputs), "outputs": [{"name": "pose"}]}
    assert [o["name"] for o in infer(client, asked).json()["outputs"]] == ["pose"]


def test_inputs_that_are_no_numbers_are_answered_in_binary_form_only(
    client: httpx.Client, inputs: dict[str, Floats]
) -> None:
    broken = {name: np.full_like(values, np.nan) for name, values in inputs.items()}
    listed = [
        {
            "name": name,
            "shape": list(values.shape),
            "datatype": "FP32",
            "parameters": {"binary_data_size": values.nbytes},
        }
        for name, values in broken.items()
    ]
    raw = b"".join(values.tobytes() for values in broken.values())
    for binary, status in ((True, 200), (False, 400)):
        head = json.dumps({"inputs": listed, "parameters": {"binary_data_output": binary}}).encode()
        headers = {LENGTH: str(len(head))}
        answer = client.post("/v2/models/mira/infer", content=head + raw, headers=headers)
        assert answer.status_code == status
    assert "not finite" in answer.json()["error"]


def first(**changes: Any) -> Any:
    """Change the first tensor of a request."""

    def change(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**listed[0], **changes}, *listed[1:]]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda listed: listed[1:], "send each of these once: history"),
        (lambda listed: [*listed, listed[0]], "send each of these once"),
        (first(name="pose"), "send each of these once"),
        (first(datatype="FP64"), "datatype 'FP64'; send FP32"),
        (first(shape=[1, 2]), r"has the shape [1, 2]; send [1, "),
        (first(data=[1.0]), "numbers"),
        (first(data=[[1.0], [1.0, 2.0]]), "numbers"),
        (first(data=["1"]), "numbers"),
        (first(data=[True]), "numbers"),
        (first(data=None), "numbers"),
        (first(data=None, parameters={"binary_data_size": -4}), "behind the JSON"),
        (first(data=None, parameters={"binary_data_size": 4}), "behind the JSON"),
        (first(parameters={"binary_data_size": "4"}), "no request in JSON"),
        (lambda listed: "no list", "no request in JSON"),
    ],
)
def test_a_wrong_request_is_told_what_to_do(
    client: httpx.Client, inputs: dict[str, Floats], change: Any, words: str
) -> None:
    answer = infer(client, {"inputs": change(tensors(inputs))})
    assert answer.status_code == 400 and words in answer.json()["error"]


@pytest.mark.parametrize("length", ["x", "-1", "99999999", "9" * 50, "²"])
def test_a_wrong_length_of_the_json_is_refused(client: httpx.Client, length: str) -> None:
    headers = {LENGTH.encode(): length.encode("latin-1", "replace")}
    answer = client.post("/v2/models/mira/infer", content=b"{}", headers=headers)
    assert answer.status_code == 400 and "length of the JSON" in answer.json()["error"]


@pytest.mark.parametrize("content", [b"", b"[" * 50_000, b'{"inputs": [NaN]}', b"\xff", b"null"])
def test_what_is_no_json_is_refused(client: httpx.Client, content: bytes) -> None:
    answer = client.post("/v2/models/mira/infer", content=content)
    assert answer.status_code == 400 and "no request in JSON" in answer.json()["error"]


def test_bytes_that_belong_to_no_tensor_and_unknown_outputs_are_refused(
    client: httpx.Client, inputs: dict[str, Floats]
) -> None:
    head = json.dumps({"inputs": tensors(inputs)}).encode()
    headers = {LENGTH: str(len(head))}
    answer = client.post("/v2/models/mira/infer", content=head + b"1234", headers=headers)
    assert answer.status_code == 400 and "belong to no tensor" in answer.json()["error"]
    for output in ({"name": "x"}, {"name": "pose", "parameters": {"classification": 3}}):
        answer = infer(client, {"inputs": tensors(inputs), "outputs": [output]})
        assert answer.status_code == 400 and "output" in answer.json()["error"]


def test_a_body_that_is_too_large_is_refused(client: httpx.Client, served: ServedModel) -> None:
    answer = client.post("/v2/models/mira/infer", content=b" " * (served.limit + 1))
    assert answer.status_code == 413 and "at most" in answer.json()["error"]


def test_other_models_versions_paths_and_methods_are_errors_in_json(client: httpx.Client) -> None:
    for path in ("/v2/models/nobody", "/v2/models/mira/versions/1", "/v2/models/nobody/ready"):
        assert "there is no model" in client.get(path).json()["error"]
    assert infer(client, {}, "nobody").status_code == 404
    for answer in (client.get("/v2/models/mira/infer"), client.get("/elsewhere")):
        assert answer.status_code in (404, 405) and "serve-a-model" in answer.json()["error"]


def test_a_token_guards_all_but_the_health_checks(served: ServedModel) -> None:
    with connected(served, TOKEN) as client:
        assert client.get("/v2/health/ready").status_code == 200
        assert client.get("/v2/models/mira").status_code == 401
        assert infer(client, {}).status_code == 401
        headers = {"authorization": f"Bearer {TOKEN.decode()}"}
        assert client.get("/v2/models/mira", headers=headers).status_code == 200
    with pytest.raises(BadInput, match="no token"):
        serve_in_thread(create_model_app(served), "0.0.0.0")  # noqa: S104


def test_another_host_name_is_not_answered(client: httpx.Client) -> None:
    assert client.get("/v2", headers={"host": "elsewhere.test"}).status_code == 421


def test_only_an_approved_release_is_served_and_other_machines_need_a_token(
    tmp_path: Path,
) -> None:
    workspace = Workspace(tmp_path)
    name = embedded.install(workspace)
    command = [sys.executable, "-m", "greenroom", "--home", str(tmp_path), "serve-model", "mira"]

    def refusal(*options: str) -> str:
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        return done.stderr

    assert "no token" in refusal("--host", "0.0.0.0")  # noqa: S104
    revoke(workspace, name, "test", "a fault")
    assert "revoked" in refusal()
