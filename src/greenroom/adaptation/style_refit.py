"""Refit the style head of a model alone; all other outputs of its graph keep their bits.

The head is fitted in closed form, so this takes a minute where a training takes an hour. The result is a
part, and a model of its own that is judged, approved, promoted and revoked like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs

from greenroom.adaptation.graph_adapter import predict_window
from greenroom.adaptation.replay_reservoir import BEFORE
from greenroom.capture.fingerprint import take_fingerprints
from greenroom.capture.sequence import mirror_body
from greenroom.consent.gate import merge_rights, require_rights_of_all
from greenroom.contracts import ModelShape, golden_clip
from greenroom.datasets.build import pose_states
from greenroom.errors import BadInput, CheckFailed
from greenroom.extras import require
from greenroom.features.pipeline import FeatureSpec
from greenroom.frames import Body, Floats
from greenroom.manifests import Dataset, Model, ModelParents, ModelPart, PartParents
from greenroom.registry.lineage import require_trained, splits_behind
from greenroom.serving.onnx_backend import OnnxBackend
from greenroom.store.workspace import Workspace
from greenroom.training.model_parts import STYLE, publish_style, tensors_of

if TYPE_CHECKING:
    from torch import Tensor

    from greenroom.networks.style import StyleHead
    from greenroom.training.data_module import SplitData


class _GraphRunner:
    """A graph as a function of batches, run a tick at a time."""

    def __init__(self, graph: bytes, shape: ModelShape) -> None:
        self.shape, self.backend = shape, OnnxBackend(graph, shape)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        import torch

        names = self.shape.inputs()
        outputs = [
            self.backend.run(
                {n: value[t : t + 1].numpy() for n, value in zip(names, inputs, strict=True)}
            )
            for t in range(len(inputs[0]))
        ]
        return tuple(
            torch.from_numpy(np.concatenate(rows))
            for rows in zip(*map(dict.values, outputs), strict=True)
        )


def refit_style_head(workspace: Workspace, model: str, dataset: str, by: str) -> str:
    """Fit the style part of a model on a dataset; return the hash of the model that has it.

    It is fitted on the training split with the model's own features; styles are those of the dataset.

    Args:
        workspace: where all is.
        model: hash of the initial model.
        dataset: hash of the labelled takes.
        by: name of who asks.

    Raises:
        MissingExtra: the extra `train` is not installed.
        BadInput: model and dataset do not belong together, or nothing would change.
        Refused: a take's rights do not cover training.
        CheckFailed: the new graph's style differs from the fitted head's, or another output changed.
    """
    require("torch", "train", "fitting a part")
    from greenroom.training.data_module import load_splits

    before = workspace.objects.read(model, Model)
    dataset_manifest = workspace.objects.read(dataset, Dataset)
    _check(workspace, model, before, dataset)
    spec = FeatureSpec.load(before.features)
    splits = load_splits(workspace, dataset_manifest, spec)
    shape = replace(ModelShape.load(before.shape), styles=len(splits["train"].styles))
    mean, std = _normalisation(workspace.objects.get(before.blobs.graph))
    style, figures = _fit_style(splits["train"], spec, shape, [mean, std])
    manifest = _part_manifest(workspace, before, dataset, splits["train"].styles, figures=figures)
    part = publish_style(workspace, manifest, tensors_of(style, mean, std), by)
    _require_change(model, before, part)
    bodies = [body for split in ("validation", "test") for body in splits[split].bodies]
    head = _FittedHead(style, shape, mean, std)
    refitted = structs.replace(
        _with_graph(workspace, before, head, _states(spec, bodies)),
        styles=manifest.styles,
        figures={n: round(v, 4) for n, v in sorted(figures.items())},
        rights=merge_rights(workspace, before.rights, dataset_manifest.parents.takes),
        parents=ModelParents(dataset=dataset, start=model),
        parts={**before.parts, STYLE: part},
    )
    return workspace.publish(refitted, by=by)


def _part_manifest(
    workspace: Workspace,
    model: Model,
    dataset: str,
    styles: Sequence[str],
    figures: dict[str, float],
) -> ModelPart:
    """Return a style part's manifest but for its tensors.

    Args:
        workspace: where the takes are.
        model: manifest of the initial model.
        dataset: hash.
        styles: names.
        figures: of the fit.
    """
    from greenroom.training.recipe import code_version

    takes = workspace.objects.read(dataset, Dataset).parents.takes
    return ModelPart(
        part=STYLE,
        actor=model.actor,
        styles=list(styles),
        features=model.features,
        feature_spec=model.feature_spec,
        figures=figures,
        recipe_version=code_version(),
        rights=merge_rights(workspace, [], takes),
        parents=PartParents(dataset=dataset),
        blobs={},
    )


def _require_change(name: str, model: Model, part: str) -> None:
    """Check that a style part is not the model's already.

    Raises:
        BadInput: it is.
    """
    if part == model.parts.get(STYLE):
        raise BadInput(
            f"model {name[:12]} has this style part already: {part[:12]}",
            then="give another dataset",
        )


@dataclass(frozen=True)
class _FittedHead:
    """A fitted style head.

    Attributes:
        style: the head.
        shape: of the model's tensors with it.
        mean: of the states that it reads (D,).
        std: of these (D,).
    """

    style: StyleHead
    shape: ModelShape
    mean: Floats
    std: Floats

    def predict(self, past: Floats) -> Floats:
        """Return the style probabilities (C,) of a past (K, D)."""
        import torch

        rows = torch.from_numpy((past - self.mean) / self.std)
        probabilities: Floats = self.style(rows[None])[0].numpy()
        return probabilities


def _check(workspace: Workspace, name: str, model: Model, dataset: str) -> None:
    """Check that a model's style head can be fitted on a dataset, and judged after that.

    Args:
        workspace: where both are.
        name: hash of the model.
        model: its manifest.
        dataset: hash of the dataset.

    Raises:
        BadInput: the two do not belong together.
        Refused: a take's rights do not cover training.
    """
    dataset_manifest = workspace.objects.read(dataset, Dataset)
    if not model.shape.styles:
        raise BadInput(
            f"model {name[:12]} has no head for styles",
            then="train one: greenroom train, on takes of two styles",
        )
    if dataset_manifest.actor != model.actor:
        raise BadInput(f"dataset {dataset[:12]} is {dataset_manifest.actor}'s, not {model.actor}'s")
    require_trained(workspace, name)
    require_rights_of_all(workspace, dataset_manifest.parents.takes, "train")
    recordings_by_split: dict[str, set[str]] = {"train": set(), "validation": set()}
    for splits in splits_behind(workspace, name):
        for split, recordings in recordings_by_split.items():
            recordings |= _recordings(workspace, splits[split])
    # What fits a style has no face in it, but a test judges all of the model that comes out.
    chosen = {
        "validation": recordings_by_split["train"],
        "test": recordings_by_split["train"] | recordings_by_split["validation"],
    }
    kinds = {"validation": ("body",), "test": ("body", "face")}
    for split, recordings in chosen.items():
        overlap = recordings & _recordings(workspace, dataset_manifest.splits[split], kinds[split])
        if overlap:
            raise BadInput(
                f"{len(overlap)} takes of the {split} split are among those that model {name[:12]} "
                "learned from or was chosen by, so that nothing could be judged on them",
                then="hold out the takes that its own dataset holds out: greenroom dataset build --held",
            )


def _recordings(
    workspace: Workspace, takes: Sequence[str], kinds: Sequence[str] = ("body", "face")
) -> set[str]:
    """Return the fingerprints of bodies and faces in takes; two files may hold the same recording."""
    media = tuple(kinds)
    return set().union(*(take_fingerprints(workspace, take, media) for take in takes))


def _normalisation(graph: bytes) -> tuple[Floats, Floats]:
    """Return mean and spread (D,) by which a graph normalises states."""
    import onnx

    initializers = {
        initializer.name: initializer
        for initializer in onnx.load_from_string(graph).graph.initializer
    }
    mean, std = (
        onnx.numpy_helper.to_array(initializers[f"core.{name}"]) for name in ("mean", "std")
    )
    return mean, std


def _states(spec: FeatureSpec, bodies: Sequence[Body]) -> list[Floats]:
    """Return the states (T, D) of bodies.

    Raises:
        BadInput: one of them lacks a joint that the model drives.
    """
    states_by_body = [pose_states(spec, body) for body in bodies]
    lacking = sum(not np.isfinite(states).all() for states in states_by_body)
    if lacking:
        raise BadInput(
            f"{lacking} of {len(states_by_body)} bodies lack a joint that the model drives",
            then="build the dataset from takes with all of them, or train",
        )
    return states_by_body


def _fit_style(
    split: SplitData, spec: FeatureSpec, shape: ModelShape, normalisation: Sequence[Floats]
) -> tuple[StyleHead, dict[str, float]]:
    """Return the head, fitted on a training split as in a training, and its figures.

    Args:
        split: training takes.
        spec: the features.
        shape: of the model's tensors.
        normalisation: mean and spread of the states (D,).
    """
    import torch

    from greenroom.networks.style import StyleHead
    from greenroom.training.data_module import labelled_states, tensor
    from greenroom.training.style_fit import LabelledTakes, fit_styles

    if not shape.styles:
        raise BadInput(
            "the training takes show fewer than two styles", then="label whole takes: tier 'style'"
        )
    states = _states(spec, split.bodies)
    states += [pose_states(spec, mirror_body(body)) for body in split.bodies]
    takes = labelled_states(split, [tensor(rows) for rows in states])
    middle, spread = (torch.from_numpy(values.copy()) for values in normalisation)
    style = StyleHead(shape).eval()
    labelled = LabelledTakes(
        [(rows - middle) / spread for rows, _, _ in takes],
        [kind for _, kind, _ in takes],
        [content for _, _, content in takes],
    )
    figures = fit_styles(style, labelled)
    return style, figures


def _with_graph(
    workspace: Workspace, model: Model, head: _FittedHead, heldout: Sequence[Floats]
) -> Model:
    """Return a model's manifest with another head in its graph, its blobs stored.

    Args:
        workspace: where blobs are stored.
        model: manifest of the initial model.
        head: the new one.
        heldout: states (T, D) to check the graph on.
    """
    import onnx

    from greenroom.adaptation.onnx_surgery import replace_style_head
    from greenroom.networks.style import StyleHead
    from greenroom.training.export import golden
    from greenroom.training.reference_stats import compute_reference_stats

    old, shape = ModelShape.load(model.shape), head.shape
    graph = workspace.objects.get(model.blobs.graph)
    new = replace_style_head(graph, head.style, shape)
    runner = _GraphRunner(new, shape)
    _check_graph(runner.backend, OnnxBackend(graph, old), head.predict, heldout)
    normal = compute_reference_stats(runner, heldout)
    ours, theirs = (sum(b.numel() for b in StyleHead(s).buffers()) for s in (shape, old))
    return structs.replace(
        model,
        shape=shape.manifest(),
        operations=sorted({node.op_type for node in onnx.load_from_string(new).graph.node}),
        parameters=model.parameters + ours - theirs,
        reference=normal.summary(),
        blobs=structs.replace(
            model.blobs,
            graph=workspace.objects.put(new),
            golden=workspace.objects.put(golden(new, shape)),
            reference=workspace.objects.put(normal.blob()),
        ),
    )


def _check_graph(
    new: OnnxBackend,
    old: OnnxBackend,
    predict: Callable[[Floats], Floats],
    heldout: Sequence[Floats],
) -> None:
    """Pass, or raise.

    Args:
        new: runs the graph with another head.
        old: the one before.
        predict: what the head itself says (C,) of a past (K, D).
        heldout: states (T, D).

    Raises:
        CheckFailed: on the golden clip or a held take an output other than the style differs by a bit,
            or the style is not what the head says.
    """
    from greenroom.training.export import STYLE_PARITY

    long = [states for states in heldout if len(states) > BEFORE]
    pairs = [(new.run(tick), old.run(tick)) for tick in golden_clip(new.shape)]
    pairs += [(predict_window(new, states), predict_window(old, states)) for states in long]
    for ours, theirs in pairs:
        for name in theirs:
            if name != STYLE and not np.array_equal(ours[name], theirs[name], equal_nan=True):
                raise CheckFailed(f"with another head for styles the graph's {name} is another")
    error = max(
        float(np.abs(ours[STYLE][0] - predict(states[:BEFORE])).max())
        for (ours, _), states in zip(pairs[-len(long) :], long, strict=True)
    )
    if error > STYLE_PARITY:
        raise CheckFailed(f"the new graph's style differs from the fitted head's by {error:.2g}")
