"""The networks: what they add, what they read, and their sizes."""

from dataclasses import replace

import pytest

from tests.networks.example_network import JOINTS, example_network

pytestmark = pytest.mark.train


def test_what_the_network_adds_fades_before_the_history_has_forgotten_a_gap() -> None:
    import torch

    from greenroom.training.objectives import run_network

    model, k = example_network(), 30
    assert model.shape.history == k
    windows = torch.randn(4, k + 16, model.shape.state, generator=torch.Generator().manual_seed(0))
    added = []
    for age in (1, k // 2, k - 5, k, k + 1):
        known = torch.ones(4, k + 1, len(JOINTS))
        known[:, max(0, k - age + 1) :, 2:4] = 0
        told = torch.full((4,), min(age, k))
        with torch.no_grad():
            model.residual.fill_(1.0)
            whole = run_network(model, windows, known, told)[0]
            model.residual.fill_(0.0)
            plain = run_network(model, windows, known, told)[0]
        added.append(float((whole - plain).abs().mean()))
    assert min(added[:2]) > 0.02
    assert added[2] < 0.7 * added[1]
    assert added[3] < 0.2 * added[1]
    assert added[4] == 0


def test_a_narrow_network_drops_less_and_a_wide_one_no_more() -> None:
    from greenroom.networks.presets import MINI
    from greenroom.networks.trunk import Trunk

    shape = MINI.shape(len(JOINTS), 6 * len(JOINTS) + 4, 43)
    for width, share in ((256, 0.04), (640, 0.1), (2048, 0.1)):
        trunk = Trunk(shape, width, 1)
        assert [trunk.input_dropout.p, trunk.blocks[0].drop.p] == pytest.approx([share, share])


def test_what_is_added_in_a_gap_is_as_large_as_the_movement_around_it() -> None:
    import torch

    from greenroom.networks.trunk import TrunkInputs, recent_motion
    from greenroom.training.fit import fit_closed_form
    from greenroom.training.residual_gains import rms_amplitude
    from greenroom.training.training_data import TrainingData

    model = example_network()
    trunk, j, d = model.trunk, len(JOINTS), model.shape.state
    moving = torch.randn(60, d, generator=torch.Generator().manual_seed(2))
    fit_closed_form(model, TrainingData([], [moving, moving[:7]]))
    rotations = moving[:, : 6 * j]
    steps = torch.stack(
        [((rotations[t + 4 : t + 17] - rotations[t : t + 13]) ** 2).mean() for t in range(44)]
    )
    assert float(trunk.reference_amplitude) == pytest.approx(float(steps.mean() ** 0.5), rel=1e-4)
    assert float(rms_amplitude(model, [moving[:16]])) == 1
    known = torch.ones(1, 30, j)
    known[:, -9:, 2] = 0
    gone = moving[None, :30, : 6 * j].clone()
    gone[:, -9:, 12:18] = 1e3  # whatever stands where a joint was not captured
    like = recent_motion(moving[None, :30, : 6 * j], known)[0]
    assert torch.equal(recent_motion(gone, known)[0], like)
    late = moving[None, :30, : 6 * j].clone()
    late[:, :20] = late[:, 20:21]  # before it there was nothing
    whole = torch.ones(1, 30, j)
    steps = [late[:, t] - late[:, t - 4] for t in range(21, 30)]
    assert float(recent_motion(late, whole)[0]) == pytest.approx(
        float(torch.stack(steps).pow(2).mean().sqrt()), rel=1e-4
    )
    assert float(like) != float(recent_motion(moving[None, :30, : 6 * j], torch.ones(1, 30, j))[0])
    torch.nn.init.zeros_(
        trunk.input_layer.weight
    )  # deaf, so that what it says depends on its scale alone
    added = {}
    for size in (0.0, 0.5, 1.0, 9.0):
        rows = size * moving[None, :30]
        for valid in (1.0, 0.0):
            see = torch.full((1, j), valid)
            with torch.no_grad():
                inputs = TrunkInputs(
                    rows[:, -1],
                    rows[:, -1],
                    rows,
                    torch.ones(1, 30, j),
                    see,
                    0 * see,
                    torch.zeros(1, model.shape.noise),
                )
                added[size, valid] = trunk(inputs)[0]
    like = float(
        recent_motion(moving[None, :30, : 6 * j], torch.ones(1, 30, j))[0]
        / trunk.reference_amplitude
    )
    whole = added[1.0, 0.0]
    for size, share in ((0.0, 0.1), (0.5, like / 2), (1.0, like), (9.0, 2.0)):
        assert torch.allclose(added[size, 1.0], share * whole, rtol=1e-3)
        assert torch.equal(added[size, 0.0], whole)


def test_far_back_the_trunk_sees_what_was_captured_and_nothing_that_was_guessed() -> None:
    import torch

    from greenroom.networks.trunk import TrunkInputs

    model = example_network()
    trunk = model.trunk
    rows = torch.randn(1, 30, trunk.fill.out_features, generator=torch.Generator().manual_seed(3))
    whole, known = torch.ones(1, 30, len(JOINTS)), torch.ones(1, 30, len(JOINTS))
    known[:, -28, 1] = 0

    def said(known: torch.Tensor, far: float, captured: float, near: float = 0.0) -> torch.Tensor:
        recent_motion = rows.clone()
        recent_motion[:, -28, 6:12] += far
        recent_motion[:, -5, 6:12] += near
        see = torch.full((1, len(JOINTS)), captured)
        with torch.no_grad():
            noise = torch.zeros(1, model.shape.noise)
            base = rows[:, -1]
            inputs = TrunkInputs(base, base, recent_motion, known, see, 0 * see, noise)
            return trunk(inputs)[0]

    assert not torch.equal(said(whole, 0.0, 1.0), said(whole, 2.0, 1.0))
    assert torch.equal(said(known, 0.0, 1.0), said(known, 2.0, 1.0))  # it was not captured then
    assert torch.equal(said(whole, 0.0, 0.0), said(known, 2.0, 0.0))  # nobody is captured now
    assert not torch.equal(said(whole, 0.0, 0.0), said(whole, 0.0, 0.0, near=2.0))


def test_what_was_guessed_in_a_gap_changes_nothing() -> None:
    import torch

    from greenroom.training.objectives import GAP, run_network, sample_gap_mask

    model, random = example_network(), torch.Generator().manual_seed(0)
    k = model.shape.history
    known, age = sample_gap_mask(JOINTS, 64, k, random)
    windows = torch.randn(64, k + 1 + GAP, model.shape.state, generator=random)
    wide = torch.cat([known.repeat_interleave(6, -1), known[..., :1].expand(-1, -1, 4)], -1)
    others = windows.clone()
    others[:, : k + 1] += (1 - wide) * torch.randn(64, k + 1, model.shape.state, generator=random)
    plain = known[:, k].mean(1) >= 0.5  # with less, its own past counts too
    assert plain.sum() > 30
    with torch.no_grad():
        a, b = (run_network(model, w, known, age)[0] for w in (windows, others))
    assert torch.allclose(a[plain], b[plain], atol=1e-5)
    assert not torch.allclose(windows[plain], others[plain])


def test_sizes_keep_to_their_bounds() -> None:
    from greenroom.networks.motion_net import build_network
    from greenroom.networks.presets import MINI, SMALL

    for preset, most in ((MINI, 1_200_000), (SMALL, 4_000_000)):
        shape = replace(preset.shape(21, 130, 43, 116, 20), phonemes=45, context=20)
        assert build_network(shape, preset).parameters_count <= most
