"""Run a model's graph: the registry of backends, opened by URL."""

from __future__ import annotations

from typing import Protocol

from greenroom.contracts import Backend, ModelShape
from greenroom.plugins import Registry, scheme_of

DEFAULT_BACKEND = "onnxruntime://cpu"


class ShapedBackend(Backend, Protocol):
    """A backend that knows the sizes of its model's tensors."""

    shape: ModelShape


class OpenBackend(Protocol):
    """What a member of `BACKENDS` is: a function or a class."""

    def __call__(self, url: str, *, graph: bytes, shape: ModelShape) -> ShapedBackend:
        """Return the backend of a URL with a graph loaded."""


BACKENDS: Registry[OpenBackend] = Registry(
    "greenroom.backends",
    {
        "onnxruntime": "greenroom.serving.onnx_backend:open_onnxruntime",
        "oip": "greenroom.serving.oip_backend:open_oip",
    },
)
"""Scheme → what opens it."""
REMOTE = ("oip",)
"""Schemes of backends that ask a server, which has one model."""


def fallback_backend(url: str) -> str:
    """Return the URL of what runs the release that stands behind a show's own.

    Where a server runs the show's model, this machine runs the other one.

    >>> fallback_backend("oip://10.0.0.7:9000/mira"), fallback_backend("onnxruntime://cpu?threads=2")
    ('onnxruntime://cpu', 'onnxruntime://cpu?threads=2')
    """
    return DEFAULT_BACKEND if scheme_of(url) in REMOTE else url


def open_backend(url: str, graph: bytes, shape: ModelShape) -> ShapedBackend:
    """Return the backend of a URL with a graph loaded.

    Args:
        url: such as "onnxruntime://cpu?threads=1".
        graph: the ONNX file's bytes, already verified.
        shape: sizes of the graph's tensors.

    Raises:
        BadInput: the scheme is not known, or the graph cannot be loaded.
    """
    return BACKENDS.get(scheme_of(url) or url)(url, graph=graph, shape=shape)
