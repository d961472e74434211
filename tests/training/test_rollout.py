"""Roll-outs: one draw of noise stands for a whole generated way."""

import pytest

from tests.networks.example_network import JOINTS, example_network

pytestmark = pytest.mark.train


def test_one_draw_stands_for_the_whole_of_a_way() -> None:
    import torch

    from greenroom.training.rollout import Generation, PosteriorEncoder, roll_out

    model, random = example_network(), torch.Generator().manual_seed(0)
    k, ticks = model.shape.history, 6
    windows = torch.randn(2, k + ticks, model.shape.state, generator=random)
    seen: list[torch.Tensor] = []
    model.trunk.register_forward_pre_hook(lambda module, args: seen.append(args[0].noise.clone()))
    encoder = PosteriorEncoder(model.shape.state, model.shape.noise)
    valid = torch.zeros(2, ticks, len(JOINTS))
    with torch.no_grad():
        generation = Generation(encoder, torch.tensor([True, False]))
        done = roll_out(model, windows, valid, generation)
    draws = torch.stack(seen)
    assert len(draws) == ticks and (draws == draws[0]).all()
    assert draws[0, 0].abs().max() > 0 and (draws[:, 1] == 0).all()  # the mean way has none
    assert done.kl > 0
