"""Motion networks: a closed-form core, and a learned residual that attends to joints and speech.

One graph does three things with the same weights. With capture it passes on what is trusted and
completes what is missing; without, it continues from its own past; with a draw of `noise` it does so in
one of many ways, without it in the mean way. `TokenNet` is attention alone; `TrunkNet` adds a whole-body
network, forecasts, a face and styles. `build_network` makes the one that a preset asks for.

Shapes: N batch, K history ticks, D state width, J joints, S speech ticks, F speech channels, Z noise,
H horizons, W width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from greenroom.contracts import RIDGE_HORIZON, ModelShape
from greenroom.networks.attention import CLOSED, AttentionStack, attention_of_joints
from greenroom.networks.conditioning_tokens import ConditioningTokens
from greenroom.networks.core import (
    Core,
    LastObserved,
    rows_without_guesses,
    share_captured,
    some,
)
from greenroom.networks.face import FaceNet
from greenroom.networks.input_batch import InputBatch, joint_mask_to_state
from greenroom.networks.presets import Preset
from greenroom.networks.style import StyleHead
from greenroom.networks.trunk import Trunk, TrunkInputs

_INERTIA = 0.25
"""Share of the last step that is repeated in free running: a swing from tick to tick dies out."""
_RECENT = 8
"""Ticks of the history that a joint's token reads beside a trunk, which reads all of it."""


class Estimate(NamedTuple):
    """What a network knows of a tick before its learned residual.

    Attributes:
        inputs: of the model.
        past: normalised history (N, K, D).
        trust: of each state channel (N, D), 0 missing to 1 trusted.
        now: normalised capture (N, D), 0 where missing.
        last_seen: of :meth:`Core.last_seen`.
        core: closed-form completion, normalised (N, D).
    """

    inputs: InputBatch
    past: Tensor
    trust: Tensor
    now: Tensor
    last_seen: LastObserved
    core: Tensor


class Residual(NamedTuple):
    """What the learned part adds.

    Attributes:
        state: to the core's completion, normalised (N, D).
        log_sigma: ln of the degrees that each joint is expected to be off (N, J).
        attention: rolled out (N, T, T).
    """

    state: Tensor
    log_sigma: Tensor
    attention: Tensor


class MotionNet(nn.Module):
    """The base of all motion networks: core, attention, and the outputs that every model has.

    Args:
        shape: of the model's tensors.
        preset: its size.
        recent: ticks of the history that a joint's token reads.
    """

    body_attends_speech = True
    """Whether the body's tokens attend to speech."""

    def __init__(self, shape: ModelShape, preset: Preset, recent: int) -> None:
        """Make the layers; the learned residual is 0 at first."""
        super().__init__()
        self.shape, self.preset, self.recent = shape, preset, recent
        j, w = shape.joints, preset.width
        self.core = Core(shape)
        self.joint_in = nn.Linear(7 * recent + 6 + 6 + 6 + 2, w)
        self.root_in = nn.Linear(4 * recent + 4 + 4, w)
        self.speech_in = nn.Linear(2 * shape.speech_channels, w)
        self.noise_in = nn.Linear(shape.noise, w)
        self.position = nn.Parameter(torch.randn(j + 2 + shape.speech // 2, w) * 0.02)
        self.blocks = AttentionStack(w, preset.heads, preset.layers)
        self.norm = nn.LayerNorm(w)
        self.joint_out = nn.Linear(w, 6)
        self.sigma_out = nn.Linear(w + 2, 1)
        self.root_out = nn.Linear(w, 4)
        self.register_buffer("calibration", torch.tensor([0.0, 1.0, 0.0]))
        self.register_buffer("residual", torch.ones(()))
        self.register_buffer("speech_mean", torch.zeros(shape.speech_channels))
        self.register_buffer("speech_std", torch.ones(shape.speech_channels))
        nn.init.zeros_(self.joint_out.weight)
        nn.init.zeros_(self.root_out.weight)
        has_labels = bool(shape.phonemes or shape.context)
        self.conditioning = ConditioningTokens(shape, w) if has_labels else None

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return (pose (N, D), sigma (N, J) degrees, confidence (N, J), attention (N, J, J + 1), …).

        After these come the task heads' outputs, in the order of `ModelShape.outputs`. Sigma and
        confidence are of the network's own value of a joint: its completion where the joint is missing,
        its forecast where it is captured.

        Args:
            tensors: in the order of `ModelShape.inputs`, in raw units, 0 where missing.
        """
        raise NotImplementedError

    def normalise_speech(self, speech: Tensor) -> Tensor:
        """Return speech (N, S, F) of zero mean and unit spread."""
        out: Tensor = (speech - self.speech_mean) / self.speech_std
        return out

    def _observe(self, inputs: InputBatch) -> tuple[Tensor, Tensor, Tensor, LastObserved]:
        """Return the normalised history, the trust, the normalised capture and the last observation."""
        past = (inputs.history - self.core.mean) / self.core.std
        trust = joint_mask_to_state(inputs.valid)
        now = some(trust) * (inputs.state - self.core.mean) / self.core.std
        return past, trust, now, self.core.last_seen(past, inputs.captured, trust)

    def _residual(self, estimate: Estimate) -> Residual:
        """Return what attention over the body's tokens adds."""
        inputs, j = estimate.inputs, self.shape.joints
        tokens, bias = self._tokens(estimate), self._attention_bias(inputs)
        if self.conditioning is not None:
            labels, label_bias = self.conditioning(inputs.conditioning)
            tokens, bias = torch.cat([tokens, labels], 1), torch.cat([bias, label_bias], -1)
        tokens, attention = self.blocks(tokens, bias[:, None, None])
        tokens = self.norm(tokens)
        state = torch.cat(
            [self.joint_out(tokens[:, :j]).flatten(1), self.root_out(tokens[:, j])], -1
        )
        sigma_inputs = [tokens[:, :j], inputs.valid.unsqueeze(-1), inputs.age.unsqueeze(-1)]
        log_sigma = self.sigma_out(torch.cat(sigma_inputs, -1)).squeeze(-1)
        return Residual(state, log_sigma, attention)

    def _attention_bias(self, inputs: InputBatch) -> Tensor:
        """Return what is added to the scores of joints, root, noise and speech (N, T)."""
        is_open = inputs.speech_mask * float(self.body_attends_speech)
        speech = (1 - is_open.reshape(len(is_open), -1, 2).amax(-1)) * CLOSED
        return torch.cat([speech.new_zeros(len(speech), self.shape.joints + 2), speech], -1)

    def _tokens(self, estimate: Estimate) -> Tensor:
        """Return the tokens of joints, root, noise and speech (N, T, W)."""
        inputs, now, core = estimate.inputs, estimate.now, estimate.core
        past = estimate.past[:, -self.recent :]
        n, j, k = len(past), self.shape.joints, past.shape[1]
        six = 6 * j
        joint_past = past[:, :, :six].reshape(n, k, j, 6).transpose(1, 2).reshape(n, j, 6 * k)
        joint = torch.cat(
            [
                joint_past,
                inputs.captured[:, -self.recent :].transpose(1, 2),
                now[:, :six].reshape(n, j, 6),
                inputs.velocity.reshape(n, j, 6) * 0.2,
                core[:, :six].reshape(n, j, 6),
                inputs.valid.unsqueeze(-1),
                inputs.age.unsqueeze(-1),
            ],
            -1,
        )
        root = torch.cat([past[:, :, six:].reshape(n, 4 * k), now[:, six:], core[:, six:]], -1)
        speech = self.normalise_speech(inputs.speech)
        speech = speech.reshape(n, self.shape.speech // 2, 2 * self.shape.speech_channels)
        noise = self.noise_in(inputs.noise).unsqueeze(1)
        tokens = [self.joint_in(joint), self.root_in(root).unsqueeze(1), noise]
        return torch.cat([*tokens, self.speech_in(speech)], 1) + self.position + noise

    def _pose(self, estimate: Estimate, completed: Tensor) -> Tensor:
        """Return the pose (N, D) in raw units: what is trusted, else what was completed."""
        trust, now = estimate.trust, estimate.now
        completed = torch.minimum(torch.maximum(completed, self.core.low), self.core.high)
        return (trust * now + (1 - trust) * completed) * self.core.std + self.core.mean

    def _outputs(
        self, estimate: Estimate, completed: Tensor, residual: Residual
    ) -> tuple[Tensor, ...]:
        """Return pose, sigma, confidence and attention."""
        a, b, c = self.calibration.unbind()
        confidence = torch.sigmoid(a - b * residual.log_sigma + c * estimate.inputs.valid)
        return (
            self._pose(estimate, completed),
            torch.exp(residual.log_sigma),
            confidence,
            attention_of_joints(residual.attention, self.shape.joints),
        )

    def _residual_weight(self, estimate: Estimate) -> Tensor:
        """Return the weight of the residual (N, D).

        With nothing captured the residual is all that moves. In a gap it has its fitted weight, and
        fades before the history no longer reaches back to the last observation.
        """
        fitted = self.residual * estimate.last_seen.memory
        return 1 - (1 - fitted) * share_captured(estimate.trust)

    @property
    def parameters_count(self) -> int:
        """Number of parameters, those of the closed form included."""
        learned = sum(p.numel() for p in self.parameters())
        return int(learned + sum(b.numel() for b in self.buffers()))


class TokenNet(MotionNet):
    """Attention alone: completes and continues a body, and hears."""

    def __init__(self, shape: ModelShape, preset: Preset) -> None:
        """Make the layers."""
        super().__init__(shape, preset, shape.history)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of :meth:`MotionNet.forward`."""
        inputs = InputBatch.of(tensors)
        past, trust, now, last_seen = self._observe(inputs)
        core = self.core(past, last_seen, now, trust)
        estimate = Estimate(inputs, past, trust, now, last_seen=last_seen, core=core)
        residual = self._residual(estimate)
        completed = core + self._residual_weight(estimate) * (1 - trust) * residual.state
        return self._outputs(estimate, completed, residual)


class TrunkNet(MotionNet):
    """Attention and a whole-body network, with forecasts, a face and styles where the shape has them."""

    body_attends_speech = False  # no objective trains the body on speech yet

    def __init__(self, shape: ModelShape, preset: Preset) -> None:
        """Make the layers."""
        super().__init__(shape, preset, _RECENT)
        self.register_buffer("free_run_gain", torch.ones(()))
        self.register_buffer("noise_scale", torch.ones(()))
        self.register_buffer("rest_pull", torch.zeros(shape.state))
        self.register_buffer("rest_state", torch.zeros(shape.state))
        self.trunk = Trunk(shape, preset.trunk, preset.depth)
        self.face = FaceNet(shape, preset.trunk * 2 // 5) if shape.face else None
        self.style = StyleHead(shape) if shape.styles else None

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of :meth:`MotionNet.forward`."""
        inputs = InputBatch.of(tensors)
        past, trust, now, last_seen = self._observe(inputs)
        past = rows_without_guesses(past, inputs.captured, last_seen.state, trust)
        # 1 where nothing has been captured for long.
        uncaptured = (1 - last_seen.memory) * (1 - share_captured(trust))
        scale = 1 + (self.noise_scale - 1) * uncaptured.mean(-1, keepdim=True)
        inputs = inputs._replace(noise=inputs.noise * scale)
        core = self.core(past, last_seen, now, trust)
        estimate = Estimate(inputs, past, trust, now, last_seen=last_seen, core=core)
        residual, forecast = self._with_trunk(estimate)
        weight = self._residual_weight(estimate) - (1 - self.free_run_gain) * uncaptured
        completed = core + weight * (1 - trust) * residual.state
        step_change = completed - 2 * past[:, -1] + past[:, -2]
        completed = completed - _INERTIA * uncaptured * step_change
        completed = completed - self.rest_pull * uncaptured * (completed - self.rest_state)
        outputs = [*self._outputs(estimate, completed, residual), forecast]
        if self.face is not None:
            outputs.append(self.face(self.normalise_speech(inputs.speech), inputs.conditioning))
        if self.style is not None:
            outputs.append(self.style(past))
        return tuple(outputs)

    def plain_forecast(self, past: Tensor) -> Tensor:
        """Return the forecasts (N, H, 6 J) before the trunk adds to them, normalised.

        The ridge's over one tick, the current pose over more.

        Args:
            past: normalised states (N, K, D), the newest last.
        """
        six = 6 * self.shape.joints
        base = past[:, -1]
        step = (self.core.ahead(past) - base)[:, None, :six]
        horizons = torch.tensor(self.shape.horizons, device=past.device)
        is_ridge = (horizons == RIDGE_HORIZON).float()[None, :, None]
        return base[:, None, :six] + is_ridge * step

    def _with_trunk(self, estimate: Estimate) -> tuple[Residual, Tensor]:
        """Return what attention and trunk add together, and the forecasts (N, H, 6 J)."""
        inputs, past, trust, now, last_seen, core = estimate
        residual = self._residual(estimate)
        captured = share_captured(trust)
        last_pose = trust * now + (1 - trust) * (
            captured * last_seen.state + (1 - captured) * past[:, -1]
        )
        pose_addition, ahead, log_sigma = self.trunk(
            TrunkInputs(
                last_pose,
                core,
                past,
                inputs.captured,
                valid=inputs.valid,
                age=inputs.age,
                noise=inputs.noise,
            )
        )
        residual = residual._replace(
            state=residual.state + pose_addition, log_sigma=residual.log_sigma + log_sigma
        )
        return residual, self._forecast(last_pose, past, ahead)

    def _forecast(self, base: Tensor, past: Tensor, ahead: Tensor) -> Tensor:
        """Return the 6D rotations (N, H, 6 J) at each horizon, in raw units."""
        six = 6 * self.shape.joints
        forecast = self.plain_forecast(torch.cat([past[:, 1:], base[:, None]], 1)) + ahead
        out: Tensor = forecast * self.core.std[:six] + self.core.mean[:six]
        return out


def build_network(shape: ModelShape, preset: Preset) -> TokenNet | TrunkNet:
    """Return an untrained network of a preset's family and size."""
    return TrunkNet(shape, preset) if preset.trunk else TokenNet(shape, preset)
