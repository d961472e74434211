"""Exchange the head for styles in an exported graph, and touch nothing else of it.

The exporter folds a head's smaller numbers into constants without a name, which others may share, so
that putting other numbers in their place is not enough. The head's nodes are cut out instead, and those
of the new head, exported alone, grow on the same states. So another number of styles fits as well.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from greenroom.contracts import ModelShape
from greenroom.errors import BadInput
from greenroom.networks.style import StyleHead
from greenroom.training.export import clear_metadata

_ROWS, _SAID, _OWN = "rows", "style", "style."
_NEW = "style_part."


class _StyleHead(nn.Module):
    """A head by itself; in its graph its numbers are called as in a whole model's."""

    def __init__(self, style: StyleHead) -> None:
        super().__init__()
        self.style = style

    def forward(self, rows: Tensor) -> Tensor:
        return self.style(rows)


def replace_style_head(graph: bytes, style: StyleHead, shape: ModelShape) -> bytes:
    """Return a graph with another head for styles.

    Args:
        graph: the ONNX file's bytes, of a model with such a head.
        style: the new one, fitted.
        shape: of the model with it.

    Raises:
        BadInput: the graph's own head cannot be found, or is of another exporter's version.
    """
    import onnx

    proto = onnx.load_from_string(graph)
    new = _exported(style, shape)
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    if any(versions.get(entry.domain) != entry.version for entry in new.opset_import):
        raise BadInput("this graph was exported for other operations", then="train the model again")
    rows = _read_by_head(proto.graph)
    _cut(proto.graph)
    for kind in ("node", "initializer"):
        for entry in getattr(new.graph, kind):
            getattr(proto.graph, kind).append(_renamed(entry, rows))
    for index, output in enumerate(proto.graph.output):
        if output.name == _SAID:
            proto.graph.output[index].CopyFrom(new.graph.output[0])
    onnx.checker.check_model(proto)
    out: bytes = proto.SerializeToString()
    return out


def _exported(style: StyleHead, shape: ModelShape) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            _StyleHead(style),
            (torch.zeros(1, shape.history, shape.state),),
            input_names=[_ROWS],
            output_names=[_SAID],
            opset_version=18,
            dynamo=True,
            verbose=False,
        )
    proto = program.model_proto
    clear_metadata(proto)
    return proto


def _read_by_head(graph: Any) -> str:
    """Return the name of the normalised states that the head reads; their mean it takes first."""
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if f"{_OWN}mean" in node.input:
            producer = producers.get(node.input[0])
            reduction = producers.get(producer.input[0]) if producer is not None else None
            if reduction is not None and reduction.op_type == "ReduceMean":
                return str(reduction.input[0])
    raise BadInput("no head for styles is found in this graph", then="train the model again")


def _cut(graph: Any) -> None:
    """Take the head out: nodes and numbers that no other output needs."""
    needed = {output.name for output in graph.output} - {_SAID}
    alive = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            alive.append(node)
    for field, entries in (
        ("node", alive[::-1]),
        ("initializer", [entry for entry in graph.initializer if entry.name in needed]),
        ("value_info", [entry for entry in graph.value_info if entry.name in needed]),
    ):
        entries = [type(entry).FromString(entry.SerializeToString()) for entry in entries]
        graph.ClearField(field)
        getattr(graph, field).extend(entries)


def _renamed(entry: Any, rows: str) -> Any:
    """Return a node or an initializer of the head by names that nothing else in the graph has."""

    def name(old: str) -> str:
        if old in ("", _SAID) or old.startswith(_OWN):
            return old
        return rows if old == _ROWS else _NEW + old

    new = type(entry)()
    new.CopyFrom(entry)
    new.name = name(entry.name)
    if hasattr(entry, "op_type"):
        new.name = _NEW + entry.name
        for field in ("input", "output"):
            names = [name(old) for old in getattr(entry, field)]
            new.ClearField(field)
            getattr(new, field).extend(names)
    return new
