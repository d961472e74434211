"""Serve a release's model by the Open Inference Protocol, version 2, over HTTP.

The version of the model is the SHA-256 of its ONNX file. It stands in the metadata and in each answer,
so that a client can tell which model answered.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from greenroom import __version__
from greenroom.errors import BadInput
from greenroom.frames import Floats
from greenroom.registry.release import Release
from greenroom.serving import oip
from greenroom.serving.onnx_backend import OnnxBackend, self_test, warm_up

HEALTH_PATHS = ("/v2/health/live", "/v2/health/ready")
"""What a probe asks; no token is needed for it."""
_BINARY_TYPE = "application/octet-stream"


class ServedModel:
    """A release's model behind the protocol's addresses.

    Args:
        name: under which it is served.
        release: loaded and verified.
        threads: within an operation.

    Raises:
        BadInput: the graph is unusable.
        CheckFailed: it says something else than when it was trained.
    """

    def __init__(self, name: str, release: Release, threads: int = 1) -> None:
        """Load the graph, try it on the golden clip, and warm it up."""
        shape = release.role.shape
        self.name, self.hash = name, release.model.blobs.graph
        self.backend = OnnxBackend(release.graph, shape, threads)
        self_test(self.backend, release.golden)
        warm_up(self.backend)
        inputs = shape.inputs()
        self.inputs = oip.with_batch({n: inputs[n] for n in self.backend.input_names})
        self.outputs = oip.with_batch(shape.outputs())
        self.limit = oip.message_limit(self.inputs)
        self._parameters = {oip.HASH: self.hash}

    def routes(self) -> list[BaseRoute]:
        """Return the protocol's addresses."""
        model, version = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
        return [
            Route("/v2", self._server),
            *(Route(path, self._healthy) for path in HEALTH_PATHS),
            *(Route(path, self._metadata) for path in (model, version)),
            *(Route(f"{path}/ready", self._ready) for path in (model, version)),
            *(Route(f"{path}/infer", self._infer, methods=["POST"]) for path in (model, version)),
        ]

    async def _server(self, request: Request) -> Response:
        metadata = oip.ServerMetadata("greenroom", __version__, [oip.BINARY])
        return JSONResponse(msgspec.to_builtins(metadata))

    async def _healthy(self, request: Request) -> Response:
        return JSONResponse({request.url.path.rpartition("/")[2]: True})

    async def _ready(self, request: Request) -> Response:
        return self._unknown(request) or JSONResponse({"name": self.name, "ready": True})

    async def _metadata(self, request: Request) -> Response:
        fingerprint = self.backend.fingerprint()
        metadata = oip.ModelMetadata(
            self.name,
            platform="onnxruntime_onnx",
            versions=[self.hash],
            inputs=[oip.MetadataTensor(n, oip.DATATYPE, list(s)) for n, s in self.inputs.items()],
            outputs=[oip.MetadataTensor(n, oip.DATATYPE, list(s)) for n, s in self.outputs.items()],
            parameters={
                **self._parameters,
                **{oip.FINGERPRINT + part: value for part, value in fingerprint.items()},
            },
        )
        return self._unknown(request) or JSONResponse(msgspec.to_builtins(metadata))

    def _unknown(self, request: Request) -> Response | None:
        """Return the answer to who asks for another model or version; None where it is this one."""
        name, version = request.path_params["name"], request.path_params.get("version", self.hash)
        if (name, version) == (self.name, self.hash):
            return None
        then = f"ask for /v2/models/{self.name} or its version {self.hash}"
        return _error(f"there is no model '{name[:80]}' of version '{version[:80]}'", then, 404)

    async def _infer(self, request: Request) -> Response:
        unknown = self._unknown(request)
        if unknown is not None:
            return unknown
        try:
            body = await self._read(request)
            if body is None:
                then = f"send at most {self.limit} bytes"
                return _error("the body is too large", then, 413, {"connection": "close"})
            return self._answer(body, request.headers.get(oip.JSON_LENGTH))
        except ClientDisconnect:
            return Response(status_code=499)
        except BadInput as error:
            return _error(error.what, error.then, 400)

    async def _read(self, request: Request) -> bytes | None:
        """Return the body; None as soon as it is too large."""
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > self.limit:
                return None
        return bytes(body)

    def _answer(self, body: bytes, json_length: str | None) -> Response:
        head, raw = oip.split_json(body, json_length)
        try:
            asked = msgspec.json.decode(head, type=oip.InferRequest)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            then = "send {'inputs': [{'name', 'shape', 'datatype', 'data'}]}, without NaN"
            raise BadInput(f"this is no request in JSON: {error}", then=then) from None
        inputs = oip.unpack(asked.inputs, raw, self.inputs)
        in_binary = self._requested(asked)
        outputs = self.backend.run(inputs)
        return self._response(asked.id, {name: outputs[name] for name in in_binary}, in_binary)

    def _requested(self, asked: oip.InferRequest) -> dict[str, bool]:
        """Return the outputs that a request wants, and whether each in binary form."""
        default = asked.parameters.get("binary_data_output", False) is True
        if not asked.outputs:
            return dict.fromkeys(self.outputs, default)
        requested = {}
        for output in asked.outputs:
            if output.name not in self.outputs:
                then = f"there are: {', '.join(self.outputs)}"
                raise BadInput(f"there is no output '{output.name}'", then=then)
            wanted = output.parameters or oip.TensorParameters()
            if wanted.classification:
                raise BadInput("no output is a classification", then="ask for the tensor itself")
            binary = wanted.binary_data
            requested[output.name] = default if binary is None else binary
        return requested

    def _response(
        self, request_id: str, outputs: dict[str, Floats], in_binary: dict[str, bool]
    ) -> Response:
        tensors, raw = [], b""
        for name, values in outputs.items():
            if not in_binary[name] and not np.isfinite(values).all():
                raise BadInput(
                    f"the output {name} is not finite, which JSON cannot hold",
                    then="send finite inputs, or ask for it in binary form",
                )
            listed, numbers = oip.pack({name: values}, in_binary[name])
            tensors += listed
            raw += numbers
        head = msgspec.json.encode(
            oip.InferResponse(
                tensors,
                model_name=self.name,
                model_version=self.hash,
                id=request_id,
                parameters=self._parameters,
            )
        )
        if not raw:
            return Response(head, media_type="application/json")
        headers = {oip.JSON_LENGTH: str(len(head))}
        return Response(head + raw, media_type=_BINARY_TYPE, headers=headers)


def _error(what: str, then: str, status: int, headers: dict[str, str] | None = None) -> Response:
    body: dict[str, Any] = {"error": f"{what}; {then}" if then else what}
    return JSONResponse(body, status, headers=headers)
