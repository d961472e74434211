"""NVIDIA's client of the Open Inference Protocol against the product's server."""

from pathlib import Path

import pytest

from greenroom import embedded
from greenroom.contracts import golden_clip
from greenroom.registry.release import load_release
from greenroom.serving.oip_server import ServedModel
from greenroom.stage.model_server import create_model_app
from greenroom.stage.server import serve_in_thread
from greenroom.store.workspace import Workspace

triton = pytest.importorskip(
    "tritonclient.http", reason="pip install 'tritonclient[http]==2.73.0'", exc_type=ImportError
)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("names_outputs", [True, False])
def test_it_gets_the_bits_and_the_hash(tmp_path: Path, binary: bool, names_outputs: bool) -> None:
    workspace = Workspace(tmp_path)
    release = load_release(workspace, embedded.install(workspace))
    served = ServedModel("mira", release)
    arrays = golden_clip(release.role.shape)[1]
    expected = served.backend.run(arrays)
    with serve_in_thread(create_model_app(served)) as handle:
        client = triton.InferenceServerClient(f"127.0.0.1:{handle.port}")
        assert (
            client.is_server_live() and client.is_server_ready() and client.is_model_ready("mira")
        )
        metadata = client.get_model_metadata("mira")
        inputs = [triton.InferInput(x["name"], x["shape"], "FP32") for x in metadata["inputs"]]
        for each in inputs:
            each.set_data_from_numpy(arrays[each.name()], binary_data=binary)
        outputs = [triton.InferRequestedOutput(n, binary_data=binary) for n in expected]
        answer = client.infer(
            "mira", inputs, outputs=outputs if names_outputs else None, model_version=served.hash
        )
        client.close()
    assert answer.get_response()["parameters"] == {"sha256": served.hash}
    for name, values in expected.items():
        assert answer.as_numpy(name).tobytes() == values.tobytes()
