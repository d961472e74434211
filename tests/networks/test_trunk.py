"""The whole-body network: of a captured body it says the same whichever hand is left."""

import pytest

from greenroom.features.pose import mirror_of

pytestmark = pytest.mark.train
JOINTS = ("hips", "spine", "leftUpperArm", "rightUpperArm", "rightUpperLeg", "leftUpperLeg")


def _trunk():
    import torch

    from greenroom.networks.presets import MINI
    from greenroom.networks.trunk import Trunk

    torch.manual_seed(0)
    shape = MINI.shape(len(JOINTS), 6 * len(JOINTS) + 4, 43)
    trunk = Trunk(shape, 64, 1)
    for layer in (trunk.fill, trunk.ahead, trunk.spread):
        torch.nn.init.normal_(layer.weight, std=0.1)
    mean, std = torch.randn(shape.state), 0.5 + torch.rand(shape.state)
    trunk.reflect(JOINTS, mean, std)
    return trunk.eval(), shape, mean, std


def _inputs(shape, captured: bool):
    import torch

    from greenroom.networks.trunk import TrunkInputs

    random = torch.Generator().manual_seed(1)
    n, k, d, j = 8, shape.history, shape.state, shape.joints
    walk = 0.1 * torch.randn(n, k + 1, d, generator=random).cumsum(1)
    known = (torch.rand(n, k, j, generator=random) < 0.9).float()
    valid = (torch.rand(n, j, generator=random) < 0.7).float() * captured
    valid[:, 0] = float(captured)
    noise = torch.randn(n, shape.noise, generator=random)
    core = walk[:, -1] + 0.05 * torch.randn(n, d, generator=random)
    return TrunkInputs(walk[:, -1], core, walk[:, :-1], known, valid, 0.2 * (1 - valid), noise)


def test_a_mirror_image_gets_the_mirror_image_of_what_is_said() -> None:
    import torch

    trunk, shape, mean, std = _trunk()
    order, signs = mirror_of(JOINTS)
    turns, sides = torch.from_numpy(signs), [at // 6 for at in order[: 6 * len(JOINTS) : 6]]
    inputs = _inputs(shape, captured=True)
    seen = [((x * std + mean)[..., order] * turns - mean) / std for x in inputs[:3]]
    with torch.no_grad():
        fill, ahead, spread = trunk(inputs)
        one_side = trunk.predict(inputs)
        other = trunk(type(inputs)(*seen, *(x[..., sides] for x in inputs[3:6]), inputs[6]))
    six = slice(0, 6 * len(JOINTS))
    wide = 1e-4  # what single precision leaves of a hundred inputs
    assert torch.allclose(other[0] * std, (fill * std)[:, order] * turns, atol=wide)
    turned = (ahead * std[six])[..., order[six]] * turns[six]
    assert torch.allclose((other[1] * std[six])[:, 1:], turned[:, 1:], atol=wide)
    assert torch.allclose(ahead[:, 0], one_side[1][:, 0], atol=1e-5)  # what is added to a ridge
    assert torch.allclose(other[2], spread[:, sides], atol=wide)
    free = (one_side[0], one_side[1][:, 1:], one_side[2])
    for mean_, single in zip((fill, ahead[:, 1:], spread), free, strict=True):
        assert not torch.allclose(mean_, single, atol=0.01)  # a network alone knows no mirror


def test_who_goes_on_alone_or_learns_keeps_to_one_side() -> None:
    import torch

    trunk, shape, *_ = _trunk()
    inputs = _inputs(shape, captured=False)
    with torch.no_grad():
        for said, single in zip(trunk(inputs), trunk.predict(inputs), strict=True):
            assert torch.allclose(said, single, atol=1e-5)
        inputs = _inputs(shape, captured=True)
        torch.manual_seed(2)
        single = trunk.train().predict(inputs)
        torch.manual_seed(2)
        for said, one in zip(trunk(inputs), single, strict=True):
            assert torch.equal(said, one)
