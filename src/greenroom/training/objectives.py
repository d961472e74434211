"""What a performer is taught, a lesson a task: each draws its own windows and says how far off they are.

A model has the lessons for which its dataset has something; another head joins by another lesson.
`RolloutObjective` rolls the network out on its own past. `GapObjective` needs no roll-out: what
was lost since
stands where it was last seen, so one pass over a window teaches completion, forecast and honesty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from greenroom.errors import BadInput
from greenroom.frames import LIMBS
from greenroom.networks.conditioning_tokens import (
    append_conditioning,
    conditioning_dropout,
    conditioning_inputs,
)
from greenroom.networks.motion_net import MotionNet
from greenroom.networks.trunk import face_windows
from greenroom.training.rollout import (
    PosteriorEncoder,
    Recipe,
    laplace_nll,
    own_values,
    roll_out,
    rollout_loss,
    sample_dropout_mask,
    sample_windows,
)

GAP = 15
"""Ticks of the gaps that count most, and of the longest forecast."""
_PACE, _MIXED = 0.3, 0.5
"""How much faster or slower half of the windows are played (ln), and how many are mixed with another."""
_AHEAD = (12.0, 3.0, 2.0, 2.0, 3.0)
"""Weights of the forecasts; the nearest errs least, the furthest takes longest to learn."""
SPEEDS = 3
"""Of a state's last channels: how fast the root moves and turns."""


@dataclass(frozen=True)
class TrainingData:
    """What a dataset has to teach.

    Attributes:
        streams: states (T, D) of takes one after another, for roll-outs.
        takes: states (T, D) of each take, and of its mirror image.
        faces: (speech (T, F), weights (T, B)) of each take with both.
        styles: (states (T, D), class, content) of each labelled take; the content may be "".
        weights: how often each of `takes` is drawn, against its length; empty: as long as it is.
        words: what is known of each tick (T, P + X) of `streams`, `takes` and `faces`, if any.
    """

    streams: Sequence[Tensor]
    takes: Sequence[Tensor] = ()
    faces: Sequence[tuple[Tensor, Tensor]] = ()
    styles: Sequence[tuple[Tensor, int, str]] = ()
    weights: Sequence[float] = field(default=())
    words: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)

    def beside(self, what: str, rows: Sequence[Tensor]) -> list[Tensor]:
        """Return rows of `streams` or `takes` with what is known of each tick beside them."""
        return append_conditioning(rows, self.words.get(what, ()))


class Objective(Protocol):
    """One task's part of a step.

    Attributes:
        name: of the task.
        every: steps between two of its turns.
        weight: of its loss beside the others'.
    """

    name: str
    every: int
    weight: float

    def loss(self, model: MotionNet, share: float, size: float, random: torch.Generator) -> Tensor:
        """Return how far off the model is.

        Args:
            model: which is taught.
            share: of the training that is over, 0 to 1.
            size: share of a batch that this process has, 1 where it is alone.
            random: the only source of chance.
        """


class RolloutObjective:
    """Go on from its own past, in the mean way and in drawn ones (see `greenroom.training.rollout`)."""

    name, weight = "performing", 1.0

    def __init__(
        self,
        streams: Sequence[Tensor],
        joints: Sequence[str],
        recipe: Recipe,
        encoder: PosteriorEncoder,
    ) -> None:
        """Keep what is given."""
        self.streams, self.joints, self.recipe, self.encoder = streams, joints, recipe, encoder
        self.every, self.alone = 1, False

    def loss(self, model: MotionNet, share: float, size: float, random: torch.Generator) -> Tensor:
        """Return the loss of a roll-out, which grows longer as training goes on."""
        recipe = self.recipe
        ticks = max(4, round(recipe.rollout * min(1.0, 0.25 + 1.2 * share)))
        batch = max(1, round(recipe.batch * size / (2 if self.alone else 1)))
        drawn = sample_windows(self.streams, model.shape.history + ticks, batch, random)
        windows, words = drawn.split_with_sizes(sizes_of(model, drawn), -1)
        valid, generate = sample_dropout_mask(self.joints, batch, ticks, random, self.alone)
        words = conditioning_dropout(model.shape, words, random)
        done = roll_out(model, windows, valid, generate, self.encoder, 0.03, words)
        return rollout_loss(model, windows, valid, done, recipe.kl)


class GapObjective:
    """Complete what is lost and forecast what comes, from whole windows at once."""

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
        takes = material.beside("takes", material.takes)
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
        before_ticks, after_ticks = self.rooms[picks].split(
            1, -1
        )  # ticks of the take before the window and after
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
        """Return the squared error of lost joints and of forecasts, and sigma's honesty."""
        batch, k = max(1, round(self.batch * size)), model.shape.history
        six, std = 6 * model.shape.joints, model.core.std
        drawn = self.windows(batch, random)
        windows, words = drawn.split_with_sizes(sizes_of(model, drawn), -1)
        windows = mixup(windows, random)
        words = conditioning_dropout(model.shape, words[:, : k + 1], random)
        mask, age = sample_gap_mask(self.joints, batch, k, random)
        raw_outputs = run_network(model, windows, mask, age, words)
        outputs = dict(zip(model.shape.outputs(), raw_outputs, strict=True))
        truth, captured = windows[:, k], mask[:, k]
        lost = (1 - captured).repeat_interleave(6, -1)
        squared_error = (outputs["pose"] - truth) ** 2
        position_loss = 100 * (squared_error[:, :six] * lost).sum() / lost.sum().clamp(min=1)
        root_loss = ((squared_error / std**2)[:, six:] * (1 - captured[:, :1])).mean()
        complete_weight = 0.2 + 0.8 * (captured.amin(-1) > 0).float()
        forecast_loss = torch.zeros(())
        for i, (horizon, weight) in enumerate(zip(model.shape.horizons, _AHEAD, strict=True)):
            error = (outputs["forecast"][:, i] - windows[:, k + horizon, :six]) ** 2
            forecast_loss = forecast_loss + 60 * weight * (error.mean(-1) * complete_weight).mean()
        history = torch.cat([windows[:, 1:k], outputs["pose"][:, None]], 1)
        own = own_values(model, history, captured, outputs["pose"])
        return (
            position_loss
            + 0.3 * root_loss
            + forecast_loss
            + 0.02 * laplace_nll(own, truth[:, :six], outputs["sigma"])
        )


def mixup(windows: Tensor, random: torch.Generator) -> Tensor:
    """Return windows (N, T, D), half of them with up to as much of another one in them.

    For styles that lie between those that are taught (Zhang et al. 2018, "mixup: Beyond empirical risk
    minimization", whose shares are drawn from a beta distribution).
    """
    turn, share = torch.rand(2, len(windows), 1, 1, generator=random)
    share = torch.where(turn < _MIXED, share / 2, torch.zeros(()))
    others = windows[torch.randperm(len(windows), generator=random)]
    return others.sub_(windows).mul_(share).add_(windows)


def sample_gap_mask(
    joints: Sequence[str], batch: int, history: int, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return which joints were captured (N, K + 1, J), now last, and the gaps' ages (N,), ticks.

    A third lost a limb, a third a number of joints, the rest nothing; a gap is 1 to 15 ticks old, now
    and then up to twice as old. None is older than the history: there the model has guesses only, and
    the truth would teach it to trust them.
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


def sizes_of(model: MotionNet, drawn: Tensor) -> list[int]:
    """Return how many columns of windows are states, and how many what is known of each tick."""
    return [model.shape.state, drawn.shape[-1] - model.shape.state]


def run_network(
    model: MotionNet, windows: Tensor, mask: Tensor, age: Tensor, words: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Return a model's outputs at tick K of windows (N, K + 1 + …, D).

    Args:
        model: who performs.
        windows: states, complete.
        mask: which joints were captured (N, K + 1, J).
        age: how old the gaps are (N,), ticks.
        words: what is told of each tick until K (N, K + 1, P + X); None for nothing.
    """
    shape, n, k = model.shape, len(windows), model.shape.history
    captured, before = mask[:, k], mask[:, k - 1]
    trust = torch.cat([captured.repeat_interleave(6, -1), captured[:, :1].expand(-1, 4)], -1)
    truth, last, six = windows[:, k], windows[:, k - 1], 6 * shape.joints
    silence = torch.zeros(n, shape.speech, shape.speech_channels)
    out: tuple[Tensor, ...] = model(
        windows[:, :k],
        mask[:, :k],
        truth * trust,
        (truth - last)[:, :six] * 30 * (captured * before).repeat_interleave(6, -1),
        captured,
        torch.log1p(age[:, None] * (1 - captured)) / 6,
        silence,
        silence[..., 0],
        torch.zeros(n, shape.noise),
        *conditioning_inputs(shape, words, n),
    )
    return out


class FaceObjective:
    """Say a face's weights from the voice."""

    name, every, weight = "face", 2, 10.0

    def __init__(self, material: TrainingData, ticks: int, batch: int) -> None:
        """Cut all takes into windows."""
        voices = material.beside("faces", [speech for speech, _ in material.faces])
        faces = [face for _, face in material.faces]
        cut = [face_windows(face, rows, ticks) for rows, face in zip(voices, faces, strict=True)]
        self.speech = torch.cat([speech for speech, _ in cut])
        self.face = torch.cat([face for _, face in cut])
        self.batch = batch

    def loss(self, model: MotionNet, share: float, size: float, random: torch.Generator) -> Tensor:
        """Return the squared error summed over channels, of speech that is louder, duller, noisier."""
        assert model.face is not None
        count = max(1, round(self.batch * size))
        picks = torch.randint(len(self.speech), (count,), generator=random)
        channels = model.shape.speech_channels
        rows = self.speech[picks]
        words = conditioning_dropout(model.shape, rows[..., channels:], random)
        speech = model.hear(rows[..., :channels])
        speech = speech + 0.15 * torch.randn(speech.shape, generator=random)
        bands = speech.shape[-1] - 3  # the mel bands come first
        level, tilt = 0.15 * torch.randn(2, count, 1, 1, generator=random)
        slope = torch.linspace(-1, 1, bands)
        augmentation = torch.cat([level + tilt * slope, torch.zeros(count, 1, 3)], -1)
        truth = self.face[picks]
        labelled = torch.isfinite(truth)
        prediction = model.face.weights(
            speech + augmentation, conditioning_inputs(model.shape, words, count)
        )
        error = torch.where(labelled, prediction - truth.nan_to_num(), 0.0)
        return (error**2).sum(-1).mean()


def build_objectives(
    model: MotionNet,
    material: TrainingData,
    joints: Sequence[str],
    recipe: Recipe,
    encoder: PosteriorEncoder,
) -> list[Objective]:
    """Return the lessons for which a model has an output and the material something to say."""
    streams = material.beside("streams", material.streams)
    performing = RolloutObjective(streams, joints, recipe, encoder)
    out: list[Objective] = [performing]
    if model.trunk is not None:
        performing.every, performing.alone = recipe.every, True
        out.append(GapObjective(material, joints, recipe.windows, model.shape.history))
    if model.face is not None:
        out.append(FaceObjective(material, model.shape.speech, max(1, recipe.windows // 2)))
    return out


def combine_losses(
    losses: Sequence[Tensor], lessons: Sequence[Objective], doubts: Tensor | None
) -> Tensor:
    """Return one loss of several, each with its weight.

    Args:
        losses: of the lessons that have their turn.
        lessons: these.
        doubts: ln of each one's variance where the weights are learned (Kendall, Gal and Cipolla
            2018, "Multi-task learning using uncertainty"): e^(-s) loss + s.
    """
    total = torch.zeros(())
    for i, (loss, lesson) in enumerate(zip(losses, lessons, strict=True)):
        if doubts is None:
            total = total + lesson.weight * loss
        else:
            total = total + torch.exp(-doubts[i]) * lesson.weight * loss + doubts[i]
    return total
