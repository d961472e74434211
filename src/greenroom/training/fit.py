"""Fit a network to states: closed form, gradient training, calibration on held-out takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from greenroom.contracts import ModelShape
from greenroom.frames import Floats
from greenroom.metrics.motion import quiet_pace
from greenroom.networks.motion_net import MotionNet, TrunkNet, build_network
from greenroom.networks.presets import TOKENS, Preset
from greenroom.training.calibration import calibrate
from greenroom.training.closed_form import fit_core
from greenroom.training.free_run_tuning import FreeRunReference, find_rest_state, tune_free_run
from greenroom.training.preview import Preview
from greenroom.training.recipe import DEFAULT, Progress, Recipe
from greenroom.training.residual_gains import fit_residual_gains, residual_rms, rms_amplitude
from greenroom.training.style_fit import LabelledTakes, fit_styles
from greenroom.training.trainer import MotionTask, TrainerOptions, run_training
from greenroom.training.training_data import TrainingData


@dataclass(frozen=True)
class FitData:
    """What a network is fitted to.

    Attributes:
        material: training data of the network, without missing joints.
        takes: states (T, D) of its single takes, for the closed form.
        validation: states (T, D) of held-out takes, for calibration.
        joints: names, in the states' order.
    """

    material: TrainingData
    takes: Sequence[Floats]
    validation: Sequence[Floats]
    joints: Sequence[str]


@dataclass(frozen=True)
class FitOptions:
    """How a fit runs; none of it but `processes`, `device` and `initial_weights` changes the result.

    Attributes:
        progress: called after each step with (step, steps, figures).
        checkpoints: folder from which an interrupted run resumes; None for none.
        processes: that share each batch.
        device: "cpu" or "cuda".
        initial_weights: learned weights of another model, by name; those of other shapes are not used.
            The closed form is fitted anew in any case.
        preview: clips of the run; None for none.
        warn: called with one line for initial weights that are not used.
        phase: called with what begins: a few words.
    """

    progress: Progress = lambda step, steps, figures: None
    checkpoints: Path | None = None
    processes: int = 1
    device: str = "cpu"
    initial_weights: Mapping[str, Tensor] = field(default_factory=dict)
    preview: Preview | None = None
    warn: Callable[[str], None] = lambda message: None
    phase: Callable[[str], None] = lambda text: None


def fit(
    data: FitData,
    shape: ModelShape,
    preset: Preset = TOKENS,
    recipe: Recipe = DEFAULT,
    options: FitOptions | None = None,
) -> tuple[MotionNet, dict[str, float]]:
    """Return a trained and calibrated network, and its figures.

    Args:
        data: takes.
        shape: of the model's tensors.
        preset: its size.
        recipe: hyperparameters.
        options: how it runs.
    """
    options = options or FitOptions()
    options.phase("fitting the closed form")
    torch.manual_seed(recipe.seed)
    model = build_network(shape, preset)
    _initialise(model, options)
    figures = fit_core(model.core, shape, data.joints, data.takes)
    figures |= fit_closed_form(model, data.material)
    if isinstance(model, TrunkNet):
        model.trunk.reflect(data.joints, model.core.mean, model.core.std)
    task = MotionTask(model, data.joints, data.material, recipe)
    run_training(
        task,
        TrainerOptions(
            options.checkpoints,
            options.progress,
            processes=options.processes,
            device=options.device,
            preview=options.preview,
        ),
    )
    return model, figures | _tune(model, data, recipe.seed, options.phase)


def _initialise(model: MotionNet, options: FitOptions) -> None:
    """Load the initial weights, and warn of parts that have none."""
    if options.initial_weights:
        fresh = load_matching_weights(model, options.initial_weights)
        if fresh:
            options.warn(
                f"learned afresh, as the start has none of these sizes: {', '.join(fresh)}"
            )


def _tune(
    model: MotionNet, data: FitData, seed: int, phase: Callable[[str], None]
) -> dict[str, float]:
    """Choose on held-out takes what is not trained by gradient, in place; return the figures."""
    heldout = [torch.from_numpy(np.ascontiguousarray(take)) for take in data.validation]
    random = torch.Generator().manual_seed(seed)
    model.eval()
    phase("calibrating on held-out takes")
    figures = calibrate(model, data.joints, heldout, random)
    if isinstance(model, TrunkNet):
        phase("tuning how it goes on without capture")
        figures |= fit_residual_gains(model, heldout)
        quiet = quiet_pace(take[:, : 6 * len(data.joints)].numpy() for take in data.material.takes)
        reference = FreeRunReference(find_rest_state(data.material.streams), quiet)
        figures |= tune_free_run(model, heldout, random, reference)
    return figures


def load_matching_weights(model: MotionNet, start: Mapping[str, Tensor]) -> list[str]:
    """Copy another model's weights into a model, in place; return the parts that keep random weights.

    A part with any weight of another shape keeps random weights as a whole.
    """
    mine = dict(model.named_parameters())
    others = {
        _part(name) for name in mine if name in start and start[name].shape != mine[name].shape
    }
    with torch.no_grad():
        for name, weight in mine.items():
            if name in start and _part(name) not in others:
                weight.copy_(start[name])
    return sorted(others | {_part(name) for name in mine} - {_part(name) for name in start})


def _part(name: str) -> str:
    """Return the part of a network that a parameter belongs to."""
    return name.split(".")[0]


def fit_closed_form(model: MotionNet, material: TrainingData) -> dict[str, float]:
    """Fit the closed-form numbers of trunk, face and styles, in place; return the figures."""
    if not isinstance(model, TrunkNet):
        return {}
    model.trunk.reference_amplitude.copy_(rms_amplitude(model, material.takes))
    model.trunk.scale.copy_(residual_rms(model, material.takes))
    if model.face is not None:
        speech = torch.cat([speech for speech, _ in material.faces])
        model.speech_mean.copy_(speech.mean(0))
        model.speech_std.copy_(speech.std(0) + 1e-3)
        faces = torch.cat([face for _, face in material.faces])
        model.face.mean_face.copy_(faces.nanmean(0).nan_to_num())
    if model.style is None:
        return {}
    rows = [(take - model.core.mean) / model.core.std for take, _, _ in material.styles]
    kinds, contents = zip(*((kind, content) for _, kind, content in material.styles), strict=True)
    return fit_styles(model.style, LabelledTakes(rows, kinds, contents))
