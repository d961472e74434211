"""A small network with a whole body's outputs, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greenroom.networks.motion_net import TrunkNet

JOINTS = ("hips", "spine", "leftUpperArm", "leftLowerArm", "rightUpperLeg", "rightLowerLeg")


def example_network(styles: int = 0) -> TrunkNet:
    """Return an untrained network of the preset mini whose outputs depend on its inputs."""
    import torch

    from greenroom.networks.motion_net import build_network
    from greenroom.networks.presets import MINI

    torch.manual_seed(1)
    model = build_network(MINI.shape(len(JOINTS), 6 * len(JOINTS) + 4, 43, 0, styles), MINI)
    for name in ("std", "high"):
        getattr(model.core, name).fill_(9.0 if name == "high" else 1.0)
    model.core.low.fill_(-9.0)
    torch.nn.init.normal_(model.trunk.fill.weight, std=0.1)
    pull = torch.randn(model.shape.state, model.shape.state) / 9
    model.core.precision.copy_(torch.eye(model.shape.state) + pull @ pull.T)
    model.core.drift.normal_(std=0.1)
    return model.eval()
