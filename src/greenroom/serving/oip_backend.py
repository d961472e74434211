"""Ask a model server by the Open Inference Protocol, version 2, over HTTP.

The server has to name the SHA-256 of the release's ONNX file, as a parameter, the version or the model's
name: in its metadata before it is asked, and in each answer. A call ends within a part of a tick. Where
the server is slow, away, or answers with another model, `run` raises `ModelUnavailable`, the show falls
back, and a thread looks for the server until it answers in time again. While that thread looks, a call
costs nothing.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from greenroom.contracts import ModelShape
from greenroom.errors import BadInput, GreenroomError, ModelUnavailable
from greenroom.frames import Floats
from greenroom.plugins import host_port, options_of
from greenroom.serving import oip
from greenroom.serving.oip_connection import DeadlineConnection
from greenroom.serving.onnx_backend import machine_fingerprint

DEFAULT_PORT = 9000
TIMEOUT_MS = 20.0
"""For one call: what is left of a tick of 33 ms is enough for the rest of it."""
LONGEST_MS = 30.0
OPENING_S = 2.0
"""For one exchange before a show, or while nobody waits."""
FIRST_DELAY_S, LONGEST_DELAY_S = 0.05, 2.0
"""Between two attempts to reach a server that is away."""

Message = TypeVar("Message", bound=msgspec.Struct)
_FAILURES = (OSError, http.client.HTTPException, msgspec.MsgspecError, UnicodeDecodeError)


@dataclass(frozen=True)
class ServerAddress:
    """Where a model is served.

    Attributes:
        host: name or address.
        port: of TCP.
        model: name under which it is served.
        timeout_s: for one call of a show.
        token: that the server asks for; None where it asks for none.
    """

    host: str
    port: int
    model: str
    timeout_s: float = TIMEOUT_MS / 1e3
    token: bytes | None = None

    def __str__(self) -> str:
        """Return the URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"oip://{host}:{self.port}/{self.model}"


class OipBackend:
    """A release's model on a server of the Open Inference Protocol.

    Args:
        server: where it is.
        graph: the ONNX file's bytes, already verified; its hash is what the server must name.
        shape: sizes of the graph's tensors.

    Raises:
        BadInput: no server answers there, or it serves another model.
    """

    def __init__(self, server: ServerAddress, graph: bytes, shape: ModelShape) -> None:
        """Connect, and check the model's hash and tensors."""
        self.server, self.shape = server, shape
        self._hash = hashlib.sha256(graph).hexdigest()
        self._delay_s = 0.0  # a late answer is no reason to wait
        self._closed = threading.Event()
        self._session: _Session | None = None
        try:
            self._session = _Session(server, self._hash, shape)
        except ModelUnavailable as error:
            raise BadInput(error.what, where=str(server), then=_START) from error
        self._fingerprint = _fingerprint(self._session.metadata)

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        """Return the outputs of one tick.

        Raises:
            ModelUnavailable: no answer in time, or not of this model; the next calls raise it at once
                until the server answers again.
        """
        session = self._session
        if session is None:
            raise ModelUnavailable("the model's server is away", where=str(self.server))
        try:
            outputs = session.infer(inputs, self.server.timeout_s)
        except ModelUnavailable:
            self._session = None
            session.close()
            threading.Thread(target=self._reconnect, name="greenroom-oip", daemon=True).start()
            raise
        self._delay_s = 0.0
        return outputs

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the bits, as the server declares it."""
        return dict(self._fingerprint)

    def close(self) -> None:
        """Close the connection, and look for the server no more."""
        self._closed.set()
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def __del__(self) -> None:
        """Close the connection."""
        if hasattr(self, "_session"):
            self.close()

    def _reconnect(self) -> None:
        """Look for the server until it answers in time with this model, ever more rarely."""
        while not self._closed.wait(self._delay_s):
            self._delay_s = min(max(2 * self._delay_s, FIRST_DELAY_S), LONGEST_DELAY_S)
            try:
                session = _Session(self.server, self._hash, self.shape)
                session.try_deadline()
            except GreenroomError:
                continue
            self._session = session
            if self._closed.is_set():
                self.close()
            return


_START = "start it: greenroom serve-model ACTOR --port PORT"


class _Session:
    """A connection to a server that was found to have the model.

    Args:
        server: where it is.
        sha256: of the model's ONNX file.
        shape: sizes of its tensors.

    Raises:
        ModelUnavailable: no server answers there.
        BadInput: it serves another model.
    """

    def __init__(self, server: ServerAddress, sha256: str, shape: ModelShape) -> None:
        self.server, self.sha256 = server, sha256
        try:
            self._connection = DeadlineConnection(server.host, server.port, server.token)
        except OSError as error:
            raise ModelUnavailable(f"this server has no address: {error}") from None
        try:
            self._open(shape)
        except BaseException:
            self.close()
            raise

    def _open(self, shape: ModelShape) -> None:
        path = f"/v2/models/{self.server.model}"
        self.binary = oip.BINARY in self._get("/v2", oip.ServerMetadata).extensions
        self.metadata = self._get(path, oip.ModelMetadata)
        self._require_hash()
        takes, gives = oip.with_batch(shape.inputs()), oip.with_batch(shape.outputs())
        inputs = self._listed(self.metadata.inputs, takes)
        outputs = self._listed(self.metadata.outputs, gives)
        if not inputs or set(outputs) != set(gives):
            what = f"the server's model gives {', '.join(outputs) or 'no tensor that it describes'}"
            raise BadInput(what, where=str(self.server), then=f"it must give {', '.join(gives)}")
        self._outputs = gives
        self._inputs = {name: takes[name] for name in takes if name in inputs}
        self._limit = oip.message_limit(gives)
        pinned = self.sha256 in (self.metadata.versions or ())
        self._path = f"{path}/versions/{self.sha256}/infer" if pinned else f"{path}/infer"
        self._zeros = {n: np.zeros(size, dtype=np.float32) for n, size in self._inputs.items()}
        self.infer(self._zeros, OPENING_S)

    def _get(self, path: str, kind: type[Message]) -> Message:
        """Return a part of the server's metadata."""
        try:
            answer = self._connection.exchange(
                "GET", path, limit=oip.METADATA_BYTES, timeout_s=OPENING_S
            )
            if answer.status != 200:
                raise _refusal(answer.status, answer.body)
            return msgspec.json.decode(answer.body, type=kind)
        except _FAILURES as error:
            raise ModelUnavailable(f"no model server answers: {_words(error)}") from error

    def _require_hash(self) -> None:
        parameters = self.metadata.parameters or {}
        named = [*(self.metadata.versions or ()), *filter(None, [parameters.get(oip.HASH)])]
        if self.sha256 == self.metadata.name:  # a server that can name a model by nothing else
            return
        if self.sha256 not in named:
            raise BadInput(
                f"the server has the model {', '.join(str(n)[:12] for n in named) or 'of no hash'}, "
                f"and the release's is {self.sha256[:12]}",
                where=str(self.server),
                then="serve the release that performs: greenroom serve-model ACTOR",
            )

    def _listed(
        self, tensors: Sequence[oip.MetadataTensor], shapes: oip.Shapes
    ) -> dict[str, list[int]]:
        """Return the tensors of the metadata, each of which has to be one of `shapes`."""
        for tensor in tensors:
            shape = shapes.get(tensor.name, ())
            fits = len(shape) == len(tensor.shape) and all(
                size in (-1, wanted) for size, wanted in zip(tensor.shape, shape, strict=True)
            )
            if not fits or tensor.datatype != oip.DATATYPE:
                raise BadInput(
                    f"the server's model has the tensor {tensor.name} {tensor.shape} of "
                    f"{tensor.datatype}",
                    where=str(self.server),
                    then=f"a performer's are {oip.DATATYPE}: {', '.join(shapes)}",
                )
        return {tensor.name: tensor.shape for tensor in tensors}

    def infer(self, inputs: Mapping[str, Floats], timeout_s: float) -> dict[str, Floats]:
        """Return the outputs of one tick.

        Raises:
            ModelUnavailable: there is no answer in time, or it is not this model's.
        """
        feed = {name: inputs[name] for name in self._inputs}
        if not self.binary and not all(np.isfinite(values).all() for values in feed.values()):
            # JSON holds no such numbers; neither would the model's answer be any.
            return {n: np.full(s, np.nan, dtype=np.float32) for n, s in self._outputs.items()}
        tensors, raw = oip.pack(feed, self.binary)
        wanted = oip.TensorParameters(binary_data=self.binary)
        outputs = [_Wanted(name, wanted) for name in self._outputs]
        head = msgspec.json.encode(_Asked(tensors, outputs))
        headers = {"Content-Type": "application/json"}
        if self.binary:
            headers = {
                "Content-Type": "application/octet-stream",
                oip.JSON_LENGTH: str(len(head)),
            }
        try:
            answer = self._connection.exchange(
                "POST",
                self._path,
                body=head + raw,
                headers=headers,
                limit=self._limit,
                timeout_s=timeout_s,
            )
            if answer.status != 200:
                raise _refusal(answer.status, answer.body)
            return self._outputs_of(answer.body, answer.headers.get(oip.JSON_LENGTH))
        except (*_FAILURES, BadInput) as error:
            raise ModelUnavailable(f"the model's server: {_words(error)}") from error

    def _outputs_of(self, body: bytes, json_length: str | None) -> dict[str, Floats]:
        head, raw = oip.split_json(body, json_length)
        response = msgspec.json.decode(head, type=oip.InferResponse)
        parameters = response.parameters or {}
        named = parameters.get(oip.HASH, response.model_version)
        if named != self.sha256 and (oip.HASH in parameters or not self._is_name(response)):
            raise BadInput(
                f"it answers with the model {str(named or 'of no hash')[:12]}, "
                f"and not {self.sha256[:12]}"
            )
        return oip.unpack(response.outputs, raw, self._outputs)

    def _is_name(self, response: oip.InferResponse) -> bool:
        """Tell whether the hash is the model's name here, and the answer's too."""
        return self.sha256 == self.metadata.name == response.model_name

    def try_deadline(self) -> None:
        """Ask once as a tick does.

        Raises:
            ModelUnavailable: it takes too long.
        """
        self.infer(self._zeros, self.server.timeout_s)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _Wanted(msgspec.Struct):
    """A requested output."""

    name: str
    parameters: oip.TensorParameters


class _Asked(msgspec.Struct):
    """A request as it is sent: a requested output has neither shape nor datatype."""

    inputs: list[oip.Tensor]
    outputs: list[_Wanted]
    id: str = "tick"  # KServe's server answers none without it


def _refusal(status: int, body: bytes) -> ModelUnavailable:
    """Return what a server's answer other than 200 says."""
    try:
        words = str(msgspec.json.decode(body)["error"])[:200]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError):
        words = "without a word"
    return ModelUnavailable(f"the model's server answers {status}: {words}")


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _fingerprint(metadata: oip.ModelMetadata) -> dict[str, str]:
    """Return what decides the bits: the server's runtime and machine, and this machine's own.

    A part in which both machines agree stands once; NumPy's is of this machine, which makes the frames.
    """
    here = machine_fingerprint()
    parameters = metadata.parameters or {}
    declared: dict[str, Any] = {
        name.removeprefix(oip.FINGERPRINT): str(value)
        for name, value in parameters.items()
        if name.startswith(oip.FINGERPRINT)
    }
    if not declared:
        declared = {"runtime": "not declared", "provider": metadata.platform or "not declared"}
    both = {
        part: value if declared.get(part, value) == value else f"{value}; server: {declared[part]}"
        for part, value in here.items()
        if part != "numpy"
    }
    return {**declared, **here, **both, "protocol": "open inference protocol 2, http"}


def open_oip(url: str, *, graph: bytes, shape: ModelShape) -> OipBackend:
    """Return the backend of a URL.

    Args:
        url: oip://HOST:PORT/MODEL, and ?timeout_ms=N (1 to 30) for one call, ?token=FILE where the
            server asks for one.
        graph: the ONNX file's bytes, already verified.
        shape: sizes of the graph's tensors.

    Raises:
        BadInput: the URL cannot be used, no server answers, or it serves another model.
    """
    parts, options = options_of(url, {"timeout_ms": float, "token": Path})
    host, port = host_port(url, DEFAULT_PORT)
    model = parts.path.removeprefix("/")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", model) or parts.username is not None:
        raise BadInput(f"'{url}' names no model", then=f"like oip://{host}:{port}/mira")
    timeout_ms = options.get("timeout_ms", TIMEOUT_MS)
    if not 1 <= timeout_ms <= LONGEST_MS:
        raise BadInput(f"'{url}' waits {timeout_ms:g} ms", then=f"give 1 to {LONGEST_MS:g}")
    token = None
    if "token" in options:
        try:
            token = options["token"].read_bytes().strip()
        except OSError as error:
            raise BadInput(f"this token cannot be read: {error.strerror}", where=url) from None
        if not re.fullmatch(rb"[!-~]+", token):
            raise BadInput("a token is one word", where=url, then="openssl rand -hex 32 > FILE")
    server = ServerAddress(host, port, model, timeout_s=timeout_ms / 1e3, token=token)
    return OipBackend(server, graph, shape)
