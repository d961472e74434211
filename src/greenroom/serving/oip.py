"""Messages of the Open Inference Protocol, version 2, over HTTP: tensors in JSON or in binary form.

Source: https://github.com/kserve/open-inference-protocol (inference_rest.md), and the extension
`binary_tensor_data` of Triton, by which tensors follow the JSON as raw little-endian numbers. The header
`Inference-Header-Content-Length` says where the JSON ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from greenroom.errors import BadInput
from greenroom.frames import Floats

DATATYPE = "FP32"
BINARY = "binary_tensor_data"
"""Name of the extension, in a server's metadata."""
JSON_LENGTH = "Inference-Header-Content-Length"
"""Header of a message in binary form: bytes of its JSON."""
HASH = "sha256"
"""Parameter that holds the SHA-256 of the model's ONNX file, in metadata and in each answer."""
FINGERPRINT = "fingerprint_"
"""What the parameters begin with that hold a part of the backend's fingerprint."""
METADATA_BYTES = 1 << 20
_OVERHEAD = 1 << 16
_JSON_DIGITS = 32

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor → shape, with the batch of one in front."""


class TensorParameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Parameters of a tensor of a message."""

    binary_data_size: int | None = None
    binary_data: bool | None = None
    classification: int | None = None


class Tensor(msgspec.Struct, omit_defaults=True):
    """One tensor of a message; a requested output has only a name and parameters."""

    name: str
    shape: list[int] = []
    datatype: str = ""
    parameters: TensorParameters | None = None
    data: list[Any] | None = None


class InferRequest(msgspec.Struct, omit_defaults=True):
    """What a client asks."""

    inputs: list[Tensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[Tensor] = []


class InferResponse(msgspec.Struct, omit_defaults=True):
    """What a server answers."""

    outputs: list[Tensor]
    model_name: str = ""
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, Any] | None = None


class MetadataTensor(msgspec.Struct):
    """A tensor as a model's metadata describes it; a size of -1 is any."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, omit_defaults=True):
    """What a server says of a model."""

    name: str
    platform: str = ""
    versions: list[str] | None = None
    inputs: list[MetadataTensor] = []
    outputs: list[MetadataTensor] = []
    parameters: dict[str, Any] | None = None


class ServerMetadata(msgspec.Struct, omit_defaults=True):
    """What a server says of itself."""

    name: str = ""
    version: str = ""
    extensions: list[str] = []


def with_batch(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a model's tensors with the batch of one in front."""
    return {name: (1, *size) for name, size in shapes.items()}


def message_limit(shapes: Shapes) -> int:
    """Return how many bytes a message with these tensors may have, in either form."""
    return _OVERHEAD + _JSON_DIGITS * sum(math.prod(size) for size in shapes.values())


def pack(tensors: Mapping[str, Floats], binary: bool) -> tuple[list[Tensor], bytes]:
    """Return tensors as a message lists them, and the raw numbers that follow its JSON.

    Args:
        tensors: float32 arrays by name.
        binary: whether the numbers follow the JSON; else they stand in it, and must be finite.
    """
    listed, raw = [], []
    for name, values in tensors.items():
        numbers = np.ascontiguousarray(values, dtype="<f4")
        tensor = Tensor(name, list(values.shape), DATATYPE)
        if binary:
            raw.append(numbers.tobytes())
            tensor.parameters = TensorParameters(binary_data_size=numbers.nbytes)
        else:
            tensor.data = numbers.ravel().tolist()
        listed.append(tensor)
    return listed, b"".join(raw)


def split_json(body: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    """Return the JSON of a message and the raw numbers behind it.

    Args:
        body: of the HTTP message.
        json_length: the header `JSON_LENGTH`; None where there is none.

    Raises:
        BadInput: the header is no length of a part of the body.

    >>> split_json(b"{}1234", "2")
    (b'{}', b'1234')
    """
    if json_length is None:
        return body, b""
    if not json_length.isascii() or not json_length.isdigit() or len(json_length) > 12:
        raise BadInput(f"{JSON_LENGTH} is no number", then="send the length of the JSON in bytes")
    length = int(json_length)
    if length > len(body):
        raise BadInput(
            f"{JSON_LENGTH} is {length}, and the body has {len(body)} bytes",
            then="send the length of the JSON in bytes",
        )
    return body[:length], body[length:]


def unpack(tensors: list[Tensor], raw: bytes, shapes: Shapes) -> dict[str, Floats]:
    """Return the arrays of a message's tensors, in the order of `shapes`.

    Args:
        tensors: as the message lists them.
        raw: what follows its JSON.
        shapes: of the tensors that there have to be, each once.

    Raises:
        BadInput: a name, shape, datatype or size is another, or a number in JSON is not finite.
    """
    names = [tensor.name for tensor in tensors]
    if sorted(names) != sorted(shapes):
        raise BadInput(
            f"the message has the tensors {', '.join(names) or 'none'}",
            then=f"send each of these once: {', '.join(shapes)}",
        )
    arrays, at = {}, 0
    for tensor in tensors:
        shape = shapes[tensor.name]
        if tensor.datatype != DATATYPE:
            what = f"the tensor {tensor.name} has the datatype '{tensor.datatype}'"
            raise BadInput(what, then=f"send {DATATYPE}")
        if tuple(tensor.shape) != shape:
            what = f"the tensor {tensor.name} has the shape {tensor.shape}"
            raise BadInput(what, then=f"send {list(shape)}")
        size = None if tensor.parameters is None else tensor.parameters.binary_data_size
        if size is None:
            arrays[tensor.name] = _from_json(tensor, shape)
            continue
        if size != 4 * math.prod(shape) or at + size > len(raw):
            raise BadInput(
                f"the tensor {tensor.name} has {min(size, len(raw) - at)} bytes",
                then=f"send {4 * math.prod(shape)}, 4 for each number, behind the JSON",
            )
        numbers = np.frombuffer(raw, dtype="<f4", count=math.prod(shape), offset=at)
        arrays[tensor.name] = numbers.astype(np.float32).reshape(shape)
        at += size
    if at != len(raw):
        raise BadInput(
            f"{len(raw) - at} bytes behind the JSON belong to no tensor",
            then="give each tensor its parameter binary_data_size",
        )
    return {name: arrays[name] for name in shapes}


def _from_json(tensor: Tensor, shape: tuple[int, ...]) -> Floats:
    """Return the numbers that stand in JSON, nested or in one row."""
    try:
        numbers = np.asarray([] if tensor.data is None else tensor.data)
    except ValueError:
        numbers = np.asarray("ragged")
    if numbers.dtype.kind not in "fiu" or numbers.size != math.prod(shape):
        raise BadInput(
            f"the data of the tensor {tensor.name} are not {math.prod(shape)} numbers",
            then=f"send the numbers of the shape {list(shape)} in one row",
        )
    with np.errstate(over="ignore"):
        floats = numbers.astype(np.float32).reshape(shape)
    if not np.isfinite(floats).all():
        raise BadInput(f"the tensor {tensor.name} has numbers that FP32 cannot hold")
    return floats
