"""Train a model on a dataset: training data, fit, export, parity, figures, manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from greenroom.capture.sequence import mirror_body
from greenroom.consent.gate import initial_weights_refusal, merge_rights, require_rights_of_all
from greenroom.contracts import STYLE_TICKS, ModelShape
from greenroom.datasets.build import MIN_TICKS, pose_states
from greenroom.errors import BadInput, Refused
from greenroom.features.conditioning import Vocabulary
from greenroom.features.pipeline import FeatureSpec
from greenroom.features.speech import CHANNELS
from greenroom.frames import Body, Floats
from greenroom.manifests import Dataset, Model, ModelBlobs, ModelParents
from greenroom.networks.motion_net import MotionNet
from greenroom.networks.presets import Preset, preset_of
from greenroom.store.workspace import Workspace
from greenroom.training.calibration import holdout_figures
from greenroom.training.data_module import SplitData, are_joined, load_splits, make_training_data
from greenroom.training.export import check_parity, export, golden
from greenroom.training.fit import FitData, FitOptions, fit
from greenroom.training.free_run_tuning import find_rest_state
from greenroom.training.model_parts import publish_parts
from greenroom.training.objectives import GAP
from greenroom.training.preview import PreviewSource, make_preview
from greenroom.training.recipe import DEFAULT, Progress, Recipe, code_version
from greenroom.training.reference_stats import compute_reference_stats
from greenroom.training.tracking import Tracker
from greenroom.training.trainer import choose_device, newest_checkpoint
from greenroom.training.training_data import TrainingData
from greenroom.training.training_run import TrainingRun, run_tags


@dataclass(frozen=True)
class TrainOptions:
    """How a training runs.

    Attributes:
        progress: called after each step with (step, steps, figures).
        processes: that share each batch; another number gives other bits.
        device: "cpu", "cuda" or "auto" for CUDA where there is one; each gives other bits.
        trackers: that mirror the run as it goes.
        warn: called with one line where a tracker cannot be reached, or initial weights are not used.
        start: hash of a model whose learned weights are the initial ones; "" for random ones.
        phase: called with what begins, a few words: before the first step and after the last.
    """

    progress: Progress = lambda step, steps, figures: None
    processes: int = 1
    device: str = "auto"
    trackers: Sequence[Tracker] = ()
    warn: Callable[[str], None] = lambda message: None
    start: str = ""
    phase: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class _Job:
    """A training that was checked and loaded.

    Attributes:
        workspace: where all is.
        dataset: hash of the dataset.
        manifest: of the dataset.
        by: who trains.
        preset: size of the model.
        recipe: hyperparameters.
        options: with the device chosen.
        spec: the features.
        splits: recordings and labels.
        shape: of the model's tensors.
        material: training data.
    """

    workspace: Workspace
    dataset: str
    manifest: Dataset
    by: str
    preset: Preset
    recipe: Recipe
    options: TrainOptions
    spec: FeatureSpec
    splits: dict[str, SplitData]
    shape: ModelShape
    material: TrainingData

    @property
    def vocabulary(self) -> Vocabulary:
        """Label values that the model knows."""
        return self.splits["train"].vocabulary

    def states(self, *splits: str) -> list[Floats]:
        """Return the states (T, D) of the bodies of splits."""
        return [pose_states(self.spec, body) for s in splits for body in self.splits[s].bodies]

    def settings(self) -> dict[str, Any]:
        """Return all that decides the model, as JSON."""
        options = self.options
        return {
            "dataset": self.dataset,
            "preset": self.preset.name,
            "recipe": self.recipe.manifest(),
            **_run_settings(options),
            "recipe_version": code_version(),
            **({"start": options.start} if options.start else {}),
        }


def train(
    workspace: Workspace,
    dataset: str,
    by: str,
    preset: str = "mini",
    recipe: Recipe = DEFAULT,
    options: TrainOptions | None = None,
) -> str:
    """Train on a dataset; return the model's hash. An interrupted run resumes from its last checkpoint.

    Args:
        workspace: where the dataset is and the model goes.
        dataset: its hash.
        by: who trains.
        preset: the model's size, a name in `PRESETS`.
        recipe: hyperparameters.
        options: how it runs.

    Raises:
        Refused: a take's consent, or one behind the start, does not cover training today.
        CheckFailed: the exported graph's outputs differ from the network's.
        KeyboardInterrupt: it was interrupted; its message says what is kept.
    """
    options = options or TrainOptions()
    options = replace(options, device=choose_device(options.device))
    _require_consent(workspace, dataset, options.start)
    options.phase("reading the dataset's takes")
    job = _prepare(workspace, dataset, by, preset_of(preset), recipe=recipe, options=options)
    run = TrainingRun(workspace, job.settings(), options.trackers, options.warn)
    tags = run_tags(job.manifest, job.settings(), job.spec.hash)
    run.begin(tags, {**recipe.manifest(), "preset": preset})
    try:
        model, figures = _fit(job, run)
        options.phase("measuring on the test split")
        figures |= holdout_figures(model, job.spec.joints, job.states("test"))
        name = workspace.publish(_model_manifest(job, model, figures), by=by)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_kept(run, recipe.steps)) from None
    run.finish(name, figures)
    return name


def _kept(run: TrainingRun, steps: int) -> str:
    """Return what is kept of an interrupted training, and how to resume it."""
    newest = newest_checkpoint(run.checkpoints)
    if newest is None:
        return "interrupted before the first checkpoint; the same command begins again"
    at = "all" if int(newest.stem) >= steps else newest.stem
    return f"interrupted; {at} of {steps} steps are kept, and the same command goes on from there"


def _require_consent(workspace: Workspace, dataset: str, start: str) -> None:
    """Check the rights of all takes today: what they were at the build may be over.

    Raises:
        Refused: one does not cover training.
    """
    takes = workspace.objects.read(dataset, Dataset).parents.takes
    require_rights_of_all(workspace, takes, "train")
    if not start:
        return
    reason = initial_weights_refusal(workspace.objects.read(start, Model), workspace.today())
    if reason:
        raise Refused(
            f"nothing may begin with model {start[:12]}: {reason}", then="train without --start"
        )


def _prepare(
    workspace: Workspace,
    dataset: str,
    by: str,
    preset: Preset,
    recipe: Recipe,
    options: TrainOptions,
) -> _Job:
    """Return the job, with its splits loaded and checked."""
    manifest = workspace.objects.read(dataset, Dataset)
    spec = FeatureSpec.load(manifest.features)
    splits = load_splits(workspace, manifest, spec)
    _check(splits, preset.trunk > 0, recipe)
    vocabulary, has_heads = splits["train"].vocabulary, preset.trunk > 0
    shape = preset.shape(
        len(spec.joints),
        spec.state_width,
        len(CHANNELS),
        face=len(splits["train"].channels) if has_heads else 0,
        styles=len(splits["train"].styles) if has_heads else 0,
    )
    return _Job(
        workspace=workspace,
        dataset=dataset,
        manifest=manifest,
        by=by,
        preset=preset,
        recipe=recipe,
        options=options,
        spec=spec,
        splits=splits,
        shape=replace(shape, phonemes=len(vocabulary.phonemes), context=len(vocabulary.context)),
        material=make_training_data(splits["train"], spec, preset, recipe.seed),
    )


def _fit(job: _Job, run: TrainingRun) -> tuple[MotionNet, dict[str, float]]:
    """Return the trained network and its figures."""
    workspace, options = job.workspace, job.options
    source = PreviewSource(workspace, job.manifest, job.spec, job.shape, split=job.splits["train"])
    preview = make_preview(source, run.previews, job.recipe.steps)
    heldout = job.splits["validation"].bodies
    both_sides = [b for body in heldout for b in (body, mirror_body(body))]
    data = FitData(
        job.material,
        job.states("train"),
        [pose_states(job.spec, body) for body in both_sides],
        job.spec.joints,
    )
    start = options.start
    return fit(
        data,
        job.shape,
        job.preset,
        job.recipe,
        options=FitOptions(
            progress=run.recorder(preview, options.progress),
            checkpoints=run.checkpoints,
            processes=options.processes,
            device=options.device,
            initial_weights=initial_weights(workspace, start, job.vocabulary) if start else {},
            preview=preview,
            warn=options.warn,
            phase=options.phase,
        ),
    )


def _model_manifest(job: _Job, model: MotionNet, figures: dict[str, float]) -> Model:
    """Return a trained model's manifest, its blobs and parts stored."""
    workspace, manifest, spec, shape = job.workspace, job.manifest, job.spec, job.shape
    splits, recipe, start = job.splits, job.recipe, job.options.start
    phase = job.options.phase
    phase("computing reference statistics")
    reference = compute_reference_stats(
        model, [pose_states(spec, body) for body in _in_control(splits)]
    )
    phase("exporting to ONNX")
    graph, operations = export(model)  # last: after it torch runs some ten times slower
    phase("comparing the exported graph with the network")
    check_parity(model, graph, job.states("validation"))
    behind = workspace.objects.read(start, Model).rights if start else []
    weights = save({n: weight.detach().contiguous() for n, weight in model.named_parameters()})
    trained = Model(
        actor=manifest.actor,
        preset=job.preset.name,
        parameters=model.parameters_count,
        recipe={**recipe.manifest(), **_run_settings(job.options)},
        recipe_version=code_version(),
        features=spec.manifest(),
        feature_spec=spec.hash,
        shape=shape.manifest(),
        operations=operations,
        rest_state=_rounded(find_rest_state(job.material.streams)),
        offsets=[_offset(row) for row in splits["train"].bodies[0].skeleton.offsets],
        uses_speech=shape.face > 0,
        figures={name: round(value, 4) for name, value in sorted(figures.items())},
        reference=reference.summary(),
        rights=merge_rights(workspace, behind, manifest.parents.takes),
        parents=ModelParents(dataset=job.dataset, start=start),
        blobs=ModelBlobs(
            graph=workspace.objects.put(graph),
            golden=workspace.objects.put(golden(graph, shape)),
            weights=workspace.objects.put(weights),
            reference=workspace.objects.put(reference.blob()),
        ),
        rig=list(splits["train"].channels) if shape.face else [],
        styles=list(splits["train"].styles) if shape.styles else [],
        vocabulary=job.vocabulary.manifest(),
    )
    return publish_parts(workspace, trained, model, job.by)


def _run_settings(options: TrainOptions) -> dict[str, Any]:
    """Return the options that decide a model's bits: processes, and the device unless it is the CPU."""
    device = {"device": options.device} if options.device != "cpu" else {}
    return {"processes": options.processes, **device}


def _check(splits: dict[str, SplitData], direct: bool, recipe: Recipe) -> None:
    """Check that objectives and calibration can cut a window from each split.

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
    """Return the held-out bodies of trained styles, or all without style labels, for the reference.

    A style that is held out as a whole is for evaluation; shows are not expected to be like it.
    """
    styles = {*splits["train"].styles, ""}
    both = [
        (body, style)
        for split in ("validation", "test")
        for body, style in zip(splits[split].bodies, splits[split].style, strict=True)
    ]
    trained = [body for body, style in both if style in styles or len(styles) == 1]
    long_enough = any(len(body) > STYLE_TICKS + 1 for body in trained)
    return trained if long_enough else [body for body, _ in both]


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 6) for value in values]


def _offset(row: Any) -> tuple[float, float, float]:
    x, y, z = _rounded(row)
    return x, y, z


def initial_weights(workspace: Workspace, start: str, vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Return a model's learned weights, by name, for one with a vocabulary.

    Weights of labels are left out unless both vocabularies are the same: else a column is another label.
    """
    learned = load_weights(workspace, start)
    if workspace.objects.read(start, Model).vocabulary == vocabulary.manifest():
        return learned
    labels = ("conditioning.", "face.conditioning.")
    return {name: weight for name, weight in learned.items() if not name.startswith(labels)}


def load_weights(workspace: Workspace, model: str) -> dict[str, Tensor]:
    """Return a model's learned weights, by name.

    Raises:
        BadInput: the model has none.
    """
    blob = workspace.objects.read(model, Model).blobs.weights
    if not blob:
        raise BadInput(
            f"model {model[:12]} kept no weights to begin with", then="train without a start"
        )
    return load(workspace.objects.get(blob))
