"""A KServe server of one ONNX file, named by its hash; run by an interpreter that has kserve.

python -m venv VENV && VENV/bin/pip install kserve==0.21.0 onnxruntime
VENV/bin/python kserve_server.py PORT FILE
"""

import hashlib
import sys
from pathlib import Path
from typing import Any


def _described(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": "FP32", "shape": list(tensor.shape)}


def main(port: int, graph: bytes) -> None:
    import onnxruntime
    from kserve import InferOutput, InferResponse, Model, ModelServer

    class OnnxModel(Model):  # type: ignore[misc]
        def __init__(self, graph: bytes) -> None:
            super().__init__(hashlib.sha256(graph).hexdigest())
            providers = ["CPUExecutionProvider"]
            self.session = onnxruntime.InferenceSession(graph, providers=providers)
            self.ready = True

        async def get_input_types(self) -> list[dict[str, Any]]:
            return [_described(each) for each in self.session.get_inputs()]

        async def get_output_types(self) -> list[dict[str, Any]]:
            return [_described(each) for each in self.session.get_outputs()]

        def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
            arrays = self.session.run(None, {each.name: each.as_numpy() for each in payload.inputs})
            outputs = []
            for described, values in zip(self.session.get_outputs(), arrays, strict=True):
                output = InferOutput(described.name, list(values.shape), "FP32")
                output.set_data_from_numpy(values, binary_data=False)
                outputs.append(output)
            return InferResponse(payload.id, self.name, outputs)

    ModelServer(http_port=port, enable_grpc=False).start([OnnxModel(graph)])


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes())
