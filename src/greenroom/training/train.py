"""From a dataset's hash to a model's: streams, fit, export, parity, figures, manifest."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load, save
from torch import Tensor

from greenroom import __version__
from greenroom.capture.sequence import mirror_body
from greenroom.consent.gate import initial_weights_refusal, merge_rights, require_rights
from greenroom.contracts import STYLE_TICKS, ModelShape
from greenroom.datasets.build import MIN_TICKS, pose_states
from greenroom.errors import BadInput, Refused
from greenroom.features.conditioning import Vocabulary
from greenroom.features.pipeline import FeatureSpec
from greenroom.features.speech import CHANNELS
from greenroom.frames import LIMBS, Body, Floats
from greenroom.manifests import Dataset, Model, ModelBlobs, ModelParents
from greenroom.networks.motion_net import MotionNet, preset_of
from greenroom.store.objects import canonical, digest
from greenroom.store.workspace import Workspace
from greenroom.training.data_module import SplitData, are_joined, load_splits, make_training_data
from greenroom.training.export import check_parity, export, golden
from greenroom.training.fit import find_rest_state, fit, gap_error, limb_gaps
from greenroom.training.model_parts import publish_parts
from greenroom.training.objectives import GAP
from greenroom.training.preview import make_preview
from greenroom.training.reference_stats import compute_reference_stats
from greenroom.training.rollout import DEFAULT, Progress, Recipe, torch_angles_6d
from greenroom.training.tracking import Journal, Mirrors, Tracker, export_permission

TELL_S = 30.0
"""Seconds between what trackers are told while a run goes on."""


def train(
    workspace: Workspace,
    dataset: str,
    by: str,
    preset: str = "mini",
    recipe: Recipe = DEFAULT,
    progress: Progress = lambda step, steps, figures: None,
    processes: int = 1,
    trackers: Sequence[Tracker] = (),
    warn: Callable[[str], None] = lambda what: None,
    start: str = "",
) -> str:
    """Train on a dataset; return the model's hash. A run that was interrupted goes on where it was.

    Args:
        workspace: where the dataset is and the model goes.
        dataset: its hash.
        by: who trains.
        preset: the model's size, a name in `PRESETS`.
        recipe: how to train.
        progress: called after each step.
        processes: that share each batch; another number gives other bits.
        trackers: told of the run as it goes.
        warn: called with one line where one cannot be reached, or a start is of no use.
        start: hash of a model whose learned weights this one begins with; "" begins afresh.

    Raises:
        Refused: a take's consent, or one behind the start, does not cover training today.
        CheckFailed: the exported graph does not do what the trained one does.
    """
    manifest = workspace.objects.read(dataset, Dataset)
    day = workspace.today()
    for take in manifest.parents.takes:  # what was allowed when it was frozen may be over
        require_rights(workspace, take, "train", day)
    behind = workspace.objects.read(start, Model) if start else None
    if behind and (reason := initial_weights_refusal(behind, day)):
        raise Refused(
            f"nothing may begin with model {start[:12]}: {reason}", then="train without --start"
        )
    spec = FeatureSpec.load(manifest.features)
    size = preset_of(preset)
    splits = load_splits(workspace, manifest, spec)
    _check(splits, size.trunk > 0, recipe)
    material = make_training_data(splits["train"], spec, size, recipe.seed)
    shape = size.shape(
        len(spec.joints),
        spec.state_width,
        len(CHANNELS),
        len(splits["train"].channels) if size.trunk else 0,
        len(splits["train"].styles) if size.trunk else 0,
    )
    words = splits["train"].vocabulary
    shape = replace(shape, phonemes=len(words.phonemes), context=len(words.context))
    settings = {
        "dataset": dataset,
        "preset": preset,
        "recipe": recipe.manifest(),
        "processes": processes,
        "recipe_version": code_version(),
        **({"start": start} if start else {}),
    }
    folder = workspace.home / "runs" / digest(canonical(settings))[:16]
    run = folder.name
    journal = Journal(workspace.home / "tracking" / f"{run}.jsonl")
    mirrors = Mirrors(journal.path, trackers, warn, export_permission(workspace))
    journal.begin(_tags(manifest, settings, spec), {**recipe.manifest(), "preset": preset})
    mirrors.tell()
    last_report_s = time.monotonic()

    clip_recorder = make_preview(
        workspace,
        manifest,
        spec,
        shape,
        splits["train"],
        journal.path.with_suffix(".clips"),
        recipe.steps,
    )

    def note(step: int, steps: int, values: dict[str, float]) -> None:
        nonlocal last_report_s
        journal.figures(step, values)
        if clip_recorder is not None and clip_recorder.path(step).exists():
            journal.clip(step, clip_recorder.path(step), clip_recorder.takes)
        if time.monotonic() - last_report_s > TELL_S:
            mirrors.tell()
            last_report_s = time.monotonic()
        progress(step, steps, values)

    heldout = splits["validation"]
    model, figures = fit(
        material,
        [pose_states(spec, body) for body in splits["train"].bodies],
        [pose_states(spec, b) for body in heldout.bodies for b in (body, mirror_body(body))],
        spec.joints,
        shape,
        size,
        recipe,
        note,
        folder,
        processes,
        initial_weights(workspace, start, words) if start else None,
        clip_recorder,
        warn,
    )
    test = [pose_states(spec, body) for body in splits["test"].bodies]
    figures |= test_figures(model, spec.joints, test)
    normal = compute_reference_stats(
        model, [pose_states(spec, body) for body in _in_control(splits)]
    )
    graph, operations = export(model)  # last: after it torch runs some ten times slower
    check_parity(model, graph, [pose_states(spec, body) for body in heldout.bodies])
    rights = merge_rights(workspace, behind.rights if behind else [], manifest.parents.takes)
    weights = save({n: weight.detach().contiguous() for n, weight in model.named_parameters()})
    trained = Model(
        actor=manifest.actor,
        preset=preset,
        parameters=model.parameters_count,
        recipe={**recipe.manifest(), "processes": processes},
        recipe_version=code_version(),
        features=spec.manifest(),
        feature_spec=spec.hash,
        shape=shape.manifest(),
        operations=operations,
        rest_state=_rounded(find_rest_state(material.streams)),
        offsets=[_offset(row) for row in splits["train"].bodies[0].skeleton.offsets],
        uses_speech=shape.face > 0,
        figures={name: round(value, 4) for name, value in sorted(figures.items())},
        reference=normal.summary(),
        rights=rights,
        parents=ModelParents(dataset=dataset, start=start),
        blobs=ModelBlobs(
            graph=workspace.objects.put(graph),
            golden=workspace.objects.put(golden(graph, shape)),
            weights=workspace.objects.put(weights),
            reference=workspace.objects.put(normal.blob()),
        ),
        rig=list(splits["train"].channels) if shape.face else [],
        styles=list(splits["train"].styles) if shape.styles else [],
        vocabulary=words.manifest(),
    )
    name = workspace.publish(publish_parts(workspace, trained, model, by), by=by)
    metrics = {key: round(value, 6) for key, value in sorted(figures.items())}
    journal.end(
        {"model": name, "performance_metrics": msgspec.json.encode(metrics).decode()}, metrics
    )
    journal.close()
    Mirrors(journal.path, trackers, warn, export_permission(workspace)).tell()
    shutil.rmtree(folder, ignore_errors=True)
    return name


def _check(splits: dict[str, SplitData], direct: bool, recipe: Recipe) -> None:
    """Refuse, before anything is trained, what a lesson or a judge could not cut a window from.

    Raises:
        BadInput: a split has no body, or none of its bodies is long enough.
    """
    history = STYLE_TICKS if direct else ModelShape.history
    need = {"train": GAP + 4 if direct else MIN_TICKS, "validation": history + GAP + 2}
    if not are_joined(splits["train"]):
        need["train"] = history + recipe.rollout + 2
    for split, split_data in splits.items():
        longest = max((len(body) for body in split_data.bodies), default=0)
        least = need.get(split, GAP + 3)
        if longest < least:
            raise BadInput(
                f"the {split} split has no body of {least / 30:.1f} s; the longest lasts "
                f"{longest / 30:.1f} s",
                then="hold out other takes, ingest longer ones, or train 'tokens'",
            )


def _in_control(splits: dict[str, SplitData]) -> list[Body]:
    """Return the held-out bodies of styles that were taught, if styles are labelled: what is usual.

    A style that is held out whole is there to be judged by, and no show is expected to be like it.
    """
    styles = {*splits["train"].styles, ""}
    both = [
        (body, style)
        for split in ("validation", "test")
        for body, style in zip(splits[split].bodies, splits[split].style, strict=True)
    ]
    taught = [body for body, style in both if style in styles or len(styles) == 1]
    long_enough = any(len(body) > STYLE_TICKS + 1 for body in taught)
    return taught if long_enough else [body for body, _ in both]


def _tags(dataset: Dataset, settings: dict[str, Any], spec: FeatureSpec) -> dict[str, str]:
    """Return what every run says of itself."""
    splits = {split: len(takes) for split, takes in dataset.splits.items()}
    return {
        "actor_id": dataset.actor,
        "dataset_split": ", ".join(f"{split} {count}" for split, count in sorted(splits.items())),
        "framework_version": f"greenroom {__version__}, torch {torch.__version__}",
        "hyperparameters": msgspec.json.encode(settings["recipe"]).decode(),
        "dataset": str(settings["dataset"]),
        "feature_spec": spec.hash,
        "recipe_version": str(settings["recipe_version"]),
        "seed": str(settings["recipe"]["seed"]),
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
    }


@cache
def code_version() -> str:
    """Return a hash of the code that decides a model's bits: a run is resumed by the same only."""
    package = Path(__file__).parents[1]
    rooms = ("training", "features", "metrics", "datasets", "capture")
    files = [f for room in rooms for f in (package / room).glob("*.py")]
    files += [package / name for name in ("contracts.py", "frames.py", "rotations.py")]
    texts = {f.relative_to(package).as_posix(): digest(f.read_bytes()) for f in files}
    libraries = {name: version(name) for name in ("torch", "numpy", "scipy")}
    return digest(canonical({**libraries, "files": texts}))[:16]


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 6) for value in values]


def _offset(row: Any) -> tuple[float, float, float]:
    x, y, z = _rounded(row)
    return x, y, z


def initial_weights(workspace: Workspace, start: str, words: Vocabulary) -> dict[str, Tensor]:
    """Return what a model had learned, by name, for one that knows these words.

    What was learned of words counts only where they are the same: else a column means another one.
    """
    learned = load_weights(workspace, start)
    if workspace.objects.read(start, Model).vocabulary == words.manifest():
        return learned
    return {n: w for n, w in learned.items() if not n.startswith(("words.", "face.told."))}


def load_weights(workspace: Workspace, model: str) -> dict[str, Tensor]:
    """Return what a model had learned, by name.

    Raises:
        BadInput: it kept no weights.
    """
    blob = workspace.objects.read(model, Model).blobs.weights
    if not blob:
        raise BadInput(
            f"model {model[:12]} kept no weights to begin with", then="train without a start"
        )
    return load(workspace.objects.get(blob))


def test_figures(
    model: MotionNet, joints: Sequence[str], test: Sequence[Floats]
) -> dict[str, float]:
    """Return figures on takes that neither training nor any choice has seen.

    Degrees of error of a limb's joints, the limb removed for 0.5 s: hold, closed form, model.
    """
    takes = [torch.from_numpy(take) for take in test]
    windows, valid = limb_gaps(model, joints, takes)
    earned = float(model.residual)
    ours = gap_error(model, windows, valid)
    model.residual.fill_(0.0)
    core = gap_error(model, windows, valid)
    model.residual.fill_(earned)
    k, six = model.shape.history, 6 * model.shape.joints
    last = windows[:, k - 1 : k, :six].reshape(len(windows), 1, -1, 6)
    truth = windows[:, k:, :six].reshape(*valid.shape, 6)
    hold = torch_angles_6d(last.expand_as(truth), truth)[valid == 0]
    speeds = torch.cat([_speeds(take, six) for take in takes])
    return {
        "test_takes": float(len(test)),
        "test_windows": float(len(windows)),
        "test_limbs": float(len(LIMBS)),
        "test_limb_hold_degrees": float(hold.mean()),
        "test_limb_core_degrees": float(core.mean()),
        "test_limb_model_degrees": float(ours.mean()),
        "test_median_joint_speed": float(speeds.median()),
    }


def _speeds(take: torch.Tensor, six: int) -> torch.Tensor:
    """Return joint speeds in degrees a second."""
    turns = take[:, :six].reshape(len(take), -1, 6)
    return (torch_angles_6d(turns[1:], turns[:-1]) * 30).flatten()
