"""Training objectives, one per task; each samples windows and returns a loss.

A model has the objectives for which its dataset has data; another head is trained by another objective.
`RolloutObjective` rolls the network out on its own past. `GapObjective` needs no roll-out: missing
joints stay at their last observation, so one pass over a window trains completion, forecast and sigma.

Shapes: N batch, K history ticks, D state width, J joints, T ticks, P phonemes, X context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from greenroom.contracts import ModelShape
from greenroom.errors import BadInput
from greenroom.frames import LIMBS
from greenroom.networks.face import face_windows
from greenroom.networks.input_batch import (
    Drivers,
    Observation,
    assemble_batch,
    conditioning_inputs,
)
from greenroom.networks.motion_net import MotionNet, TrunkNet
from greenroom.training.recipe import Recipe
from greenroom.training.rollout import (
    Generation,
    PosteriorEncoder,
    laplace_nll,
    own_values,
    roll_out,
    rollout_loss,
    sample_dropout_mask,
    sample_windows,
)
from greenroom.training.training_data import TrainingData

GAP = 15
"""Ticks of the gaps that count most, and of the longest forecast."""
_PACE, _MIXED = 0.3, 0.5
"""Largest change of pace (ln) of half of the windows, and the share that is mixed with another one."""
_FORECAST_WEIGHTS = (12.0, 3.0, 2.0, 2.0, 3.0)
"""Of the horizons; the nearest errs least, the furthest takes longest to learn."""
SPEEDS = 3
"""Last channels of a state: how fast the root moves and turns."""
_MASKED, _DROPPED = 0.3, 0.2
"""Probabilities that all labels of one kind are hidden, and that one context value is."""


class Objective(Protocol):
    """The objective of one task.

    Attributes:
        name: of the task.
        every: period in steps.
        weight: of its loss in the sum.
    """

    name: str
    every: int
    weight: float

    def loss(self, model: MotionNet, share: float, size: float, random: torch.Generator) -> Tensor:
        """Return the loss on newly sampled windows.

        Args:
            model: in training.
            share: of the training that is over, 0 to 1.
            size: share of the batch that this process has, 0 to 1.
            random: generator on the CPU, the only source of chance.
        """


class RolloutObjective:
    """Continue from the network's own past, in the mean way and in drawn ones.

    Args:
        streams: states and labels (T, D + P + X).
        joints: names, in the states' order.
        recipe: hyperparameters.
        encoder: of the posterior.
        beside_gaps: whether gaps of joints are trained by another objective.
    """

    name, weight = "performing", 1.0

    def __init__(
        self,
        streams: Sequence[Tensor],
        joints: Sequence[str],
        recipe: Recipe,
        encoder: PosteriorEncoder,
        beside_gaps: bool = False,
    ) -> None:
        """Keep the streams."""
        self.streams, self.joints, self.recipe, self.encoder = streams, joints, recipe, encoder
        self.beside_gaps, self.every = beside_gaps, recipe.every if beside_gaps else 1

    def loss(self, model: MotionNet, share: float, size: float, random: torch.Generator) -> Tensor:
        """Return the loss of a roll-out, which grows longer as training goes on."""
        recipe = self.recipe
        ticks = max(4, round(recipe.rollout * min(1.0, 0.25 + 1.2 * share)))
        batch = max(1, round(recipe.batch * size / (2 if self.beside_gaps else 1)))
        drawn = sample_windows(self.streams, model.shape.history + ticks, batch, random)
        windows, labels = split_conditioning(model.shape, drawn)
        valid, generate = sample_dropout_mask(
            self.joints, batch, ticks, random, mostly_all=self.beside_gaps
        )
        labels = conditioning_dropout(model.shape, labels, random)
        device = model.core.mean.device
        windows, valid, labels = windows.to(device), valid.to(device), labels.to(device)
        generation = Generation(self.encoder, generate.to(device))
        rollout = roll_out(model, windows, valid, generation, jitter=0.03, conditioning=labels)
        return rollout_loss(model, windows, valid, rollout, kl=recipe.kl)


class GapObjective:
    """Complete missing joints and forecast, from whole windows at once.

    Args:
        material: training data.
        joints: names, in the states' order.
        batch: windows a step.
        history: K.
    """

    name, every, weight = "gaps", 1, 1.0

    def __init__(
        self, material: TrainingData, joints: Sequence[str], batch: int, history: int
    ) -> None:
        """Lay all takes end to end; a short past repeats its first tick."""
        self.joints, self.batch = joints, batch
        self.state = material.takes[0].shape[-1] if material.takes else 0
        self.length, self.now = history + 1 + GAP, history
        laid, starts, often, rooms, at = [], [], [], [], 0
        weights = material.weights or [1.0] * len(material.takes)
        takes = material.with_conditioning("takes", material.takes)
        for take, weight in zip(takes, weights, strict=True):
            padded = torch.cat([take[:1].expand(history - 2, -1), take])
            room = len(padded) - self.length + 1
            if room > 0:
                laid.append(padded)
                places = torch.arange(room)
                starts.append(at + places)
                often.append(torch.full((room,), weight))
                rooms.append(torch.stack([places, room - 1 - places], -1))
                at += len(padded)
        if not laid:
            seconds = (self.length - history + 2) / 30
            raise BadInput(
                f"no training take lasts {seconds:.1f} s",
                then="ingest longer takes, or train 'tokens'",
            )
        self.rows, self.starts, self.rooms = torch.cat(laid), torch.cat(starts), torch.cat(rooms)
        self.often = torch.cat(often).cumsum(0)

    def windows(self, count: int, random: torch.Generator) -> Tensor:
        """Return windows (N, K + 1 + 15, D + P + X), half played slower or faster about tick K."""
        draws = torch.rand(count, generator=random) * self.often[-1]
        picks = torch.searchsorted(self.often, draws).clamp(max=len(self.starts) - 1)
        turn, pace = torch.rand(2, count, 1, generator=random)
        pace = torch.exp(torch.where(turn < 0.5, _PACE * (2 * pace - 1), torch.zeros(())))
        # Ticks of the take before and after the window.
        before_ticks, after_ticks = self.rooms[picks].split(1, -1)
        pace = torch.minimum(pace, 1 + after_ticks / GAP)
        ticks = (torch.arange(self.length) - self.now) * pace
        ticks = torch.maximum(ticks, -(self.now + before_ticks))
        whole_ticks = torch.floor(ticks)
        index = self.starts[picks][:, None] + self.now + whole_ticks.long()
        fraction = (ticks - whole_ticks)[..., None]
        later = (index + 1).clamp(max=len(self.rows) - 1)
        out, state = self.rows[index], self.state
        after = self.rows[:, :state][later]  # all in place: these are large
        out[..., :state] += after.sub_(out[..., :state]).mul_(fraction)
        out[..., state - SPEEDS : state] *= pace[..., None]
        return out

    def loss(self, model: MotionNet, share: float, size: float, random: torch.Generator) -> Tensor:
        """Return the squared errors of missing joints and of forecasts, and the likelihood of sigma."""
        batch, k = max(1, round(self.batch * size)), model.shape.history
        six, std = 6 * model.shape.joints, model.core.std
        windows, labels = split_conditioning(model.shape, self.windows(batch, random))
        windows = mixup(windows, random)
        labels = conditioning_dropout(model.shape, labels[:, : k + 1], random)
        mask, age = sample_gap_mask(self.joints, batch, k, random)
        windows, mask, age, labels = (x.to(std.device) for x in (windows, mask, age, labels))
        raw_outputs = run_network(model, windows, mask, age, conditioning=labels)
        outputs = dict(zip(model.shape.outputs(), raw_outputs, strict=True))
        truth, captured = windows[:, k], mask[:, k]
        lost = (1 - captured).repeat_interleave(6, -1)
        squared_error = (outputs["pose"] - truth) ** 2
        position_loss = 100 * (squared_error[:, :six] * lost).sum() / lost.sum().clamp(min=1)
        root_loss = ((squared_error / std**2)[:, six:] * (1 - captured[:, :1])).mean()
        forecast_loss = self._forecast_loss(model.shape, outputs["forecast"], windows, captured)
        history = torch.cat([windows[:, 1:k], outputs["pose"][:, None]], 1)
        own = own_values(model, history, captured, outputs["pose"])
        return (
            position_loss
            + 0.3 * root_loss
            + forecast_loss
            + 0.02 * laplace_nll(own, truth[:, :six], outputs["sigma"])
        )

    @staticmethod
    def _forecast_loss(
        shape: ModelShape, forecast: Tensor, windows: Tensor, captured: Tensor
    ) -> Tensor:
        """Return the weighted squared error of forecasts (N, H, 6 J); incomplete bodies count less."""
        k, six = shape.history, 6 * shape.joints
        complete_weight = 0.2 + 0.8 * (captured.amin(-1) > 0).float()
        out = windows.new_zeros(())
        for i, (horizon, weight) in enumerate(zip(shape.horizons, _FORECAST_WEIGHTS, strict=True)):
            error = (forecast[:, i] - windows[:, k + horizon, :six]) ** 2
            out = out + 60 * weight * (error.mean(-1) * complete_weight).mean()
        return out


def mixup(windows: Tensor, random: torch.Generator) -> Tensor:
    """Return windows (N, T, D), half of them mixed with up to as much of another one.

    For styles between those that are trained (Zhang et al. 2018, "mixup: Beyond empirical risk
    minimization", whose shares are drawn from a beta distribution).
    """
    turn, share = torch.rand(2, len(windows), 1, 1, generator=random)
    share = torch.where(turn < _MIXED, share / 2, torch.zeros(()))
    others = windows[torch.randperm(len(windows), generator=random)]
    return others.sub_(windows).mul_(share).add_(windows)


def sample_gap_mask(
    joints: Sequence[str], batch: int, history: int, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return masks of captured joints (N, K + 1, J), this tick last, and the gaps' ages in ticks (N,).

    In a third a limb is missing, in a third a number of joints, in the rest nothing; a gap is 1 to 15
    ticks old, in a tenth up to twice as old. None is older than the history, beyond which the model has
    its own completions only: the truth there would train it to trust them.
    """
    names = [[i for i, name in enumerate(joints) if name in limb] for limb in LIMBS.values()]
    limbs = torch.zeros(len(names), len(joints))
    for limb, members in zip(limbs, names, strict=True):
        limb[members] = 1
    kind = torch.rand(batch, 1, generator=random)
    share = torch.rand(batch, 1, generator=random)
    share = torch.where(share < 0.7, torch.tensor(0.3), 0.6 * (share - 0.7) / 0.3)
    some = (torch.rand(batch, len(joints), generator=random) < share).float()
    limb = limbs[torch.randint(len(limbs), (batch,), generator=random)]
    lost = torch.where(kind < 0.35, limb, torch.where(kind < 0.7, some, torch.zeros(())))
    age = torch.randint(1, GAP + 1, (batch,), generator=random)
    old = torch.rand(batch, generator=random)
    age = torch.where(old < 0.1, age + GAP, age)
    ticks = torch.arange(history, -1, -1)
    hole = (ticks[None] < age[:, None]).float()
    return 1 - hole[:, :, None] * lost[:, None], age


def split_conditioning(shape: ModelShape, windows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states (N, T, D) and the labels (N, T, P + X) of windows (N, T, D + P + X)."""
    states, labels = windows.split_with_sizes([shape.state, windows.shape[-1] - shape.state], -1)
    return states, labels


def conditioning_dropout(shape: ModelShape, labels: Tensor, random: torch.Generator) -> Tensor:
    """Return labels (N, T, P + X) with some of them hidden, the same in all ticks of a window.

    Without labels nothing is drawn.
    """
    n, width = len(labels), labels.shape[-1]
    if not width:
        return labels
    phonemes = torch.rand(n, 1, 1, generator=random) >= _MASKED
    keep_phonemes = phonemes.expand(-1, -1, shape.phonemes)
    keep_all = torch.rand(n, 1, 1, generator=random) >= _MASKED
    keep_each = torch.rand(n, 1, shape.context, generator=random) >= _DROPPED
    return labels * torch.cat([keep_phonemes, keep_all & keep_each], -1)


def run_network(
    model: MotionNet,
    windows: Tensor,
    mask: Tensor,
    age: Tensor,
    conditioning: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Return a network's outputs at tick K of windows (N, K + 1 + …, D).

    Args:
        model: to run.
        windows: complete states.
        mask: joints that were captured (N, K + 1, J).
        age: ticks of the gaps (N,).
        conditioning: labels of each tick until K (N, K + 1, P + X); None for none.
    """
    k = model.shape.history
    now = Observation(
        windows[:, k],
        windows[:, k - 1],
        valid=mask[:, k],
        previous_valid=mask[:, k - 1],
        gap_ticks=age[:, None],
    )
    inputs = assemble_batch(
        model.shape,
        windows[:, :k],
        mask[:, :k],
        now,
        drivers=Drivers(conditioning=conditioning),
    )
    out: tuple[Tensor, ...] = model(*inputs.tensors)
    return out


class FaceObjective:
    """Predict a face's weights from speech and labels.

    Args:
        material: training data.
        ticks: S.
        batch: windows a step.
    """

    name, every, weight = "face", 2, 10.0

    def __init__(self, material: TrainingData, ticks: int, batch: int) -> None:
        """Cut all takes into windows."""
        rows = material.with_conditioning("faces", [speech for speech, _ in material.faces])
        faces = [face for _, face in material.faces]
        cut = [face_windows(face, speech, ticks) for speech, face in zip(rows, faces, strict=True)]
        self.speech = torch.cat([speech for speech, _ in cut])
        self.face = torch.cat([face for _, face in cut])
        self.batch = batch

    def loss(self, model: MotionNet, share: float, size: float, random: torch.Generator) -> Tensor:
        """Return the squared error summed over channels, with speech augmented in level and spectrum."""
        assert isinstance(model, TrunkNet) and model.face is not None
        count, device = max(1, round(self.batch * size)), model.core.mean.device
        picks = torch.randint(len(self.speech), (count,), generator=random)
        channels = model.shape.speech_channels
        rows = self.speech[picks]
        labels = conditioning_dropout(model.shape, rows[..., channels:], random).to(device)
        speech = model.normalise_speech(rows[..., :channels].to(device))
        speech = speech + (0.15 * torch.randn(speech.shape, generator=random)).to(device)
        bands = speech.shape[-1] - 3  # the mel bands come first
        level, tilt = 0.15 * torch.randn(2, count, 1, 1, generator=random)
        slope = torch.linspace(-1, 1, bands)
        augmentation = torch.cat([level + tilt * slope, torch.zeros(count, 1, 3)], -1)
        truth = self.face[picks].to(device)
        is_labelled = torch.isfinite(truth)
        prediction = model.face.weights(
            speech + augmentation.to(device), conditioning_inputs(model.shape, labels, count)
        )
        error = torch.where(is_labelled, prediction - truth.nan_to_num(), 0.0)
        return (error**2).sum(-1).mean()


def build_objectives(
    model: MotionNet,
    material: TrainingData,
    joints: Sequence[str],
    recipe: Recipe,
    encoder: PosteriorEncoder,
) -> list[Objective]:
    """Return the objectives for which a model has an output and the data has samples."""
    streams = material.with_conditioning("streams", material.streams)
    if not isinstance(model, TrunkNet):
        return [RolloutObjective(streams, joints, recipe, encoder)]
    out: list[Objective] = [
        RolloutObjective(streams, joints, recipe, encoder, beside_gaps=True),
        GapObjective(material, joints, recipe.windows, model.shape.history),
    ]
    if model.face is not None:
        out.append(FaceObjective(material, model.shape.speech, max(1, recipe.windows // 2)))
    return out


def combine_losses(
    losses: Sequence[Tensor], objectives: Sequence[Objective], log_variances: Tensor | None
) -> Tensor:
    """Return the weighted sum of losses.

    Args:
        losses: of the objectives of this step.
        objectives: these.
        log_variances: of each where the weights are learned (Kendall, Gal and Cipolla 2018, "Multi-task
            learning using uncertainty"): e^(-s) loss + s; None for fixed weights.
    """
    total = losses[0].new_zeros(()) if losses else torch.zeros(())
    for i, (loss, objective) in enumerate(zip(losses, objectives, strict=True)):
        if log_variances is None:
            total = total + objective.weight * loss
        else:
            precision = torch.exp(-log_variances[i])
            total = total + precision * objective.weight * loss + log_variances[i]
    return total
