"""Gains of forecasts, fitted on held-out takes."""

import pytest

from tests.networks.example_network import JOINTS, example_network

pytestmark = pytest.mark.train


def test_what_a_forecast_is_given_is_what_it_earned_on_other_takes() -> None:
    import torch

    from greenroom.training.residual_gains import fit_residual_gains, residual_rms

    model, random = example_network(), torch.Generator().manual_seed(0)
    takes = [
        torch.randn(60, model.shape.state, generator=random).cumsum(0) * 0.05 for _ in range(4)
    ]
    left = residual_rms(model, takes)
    assert left.shape == (len(model.shape.horizons), 6 * len(JOINTS))
    # The core is empty: what is left over is how far a walk goes, which grows as the root of time.
    assert (left[4] / left[2]).median() == pytest.approx((15 / 6) ** 0.5, rel=0.25)
    torch.nn.init.normal_(model.trunk.ahead.weight, std=1.0)  # an addition that knows nothing
    found = fit_residual_gains(model, takes)
    assert set(found) == {f"forecast_gain_{h}" for h in model.shape.horizons}
    assert all(value < 0.05 for value in found.values())
    # A past shorter than the model's, and a take without a future, are no error.
    assert fit_residual_gains(model, [takes[0][:20], takes[0][:3]]).keys() == found.keys()


def test_an_addition_earns_by_how_much_a_body_moves() -> None:
    import torch

    from greenroom.networks.trunk import SIZES
    from greenroom.training.objectives import run_network
    from greenroom.training.residual_gains import fit_residual_gains

    model = example_network()
    trunk, six, step = model.trunk, 6 * len(JOINTS), 0.01
    torch.nn.init.zeros_(trunk.ahead.weight)
    far = torch.tensor(model.shape.horizons).repeat_interleave(six) * step
    trunk.ahead.bias.data.copy_(far)  # all that it says is how a lively body goes on
    trunk.reference_amplitude.fill_(4 * step / 0.8)
    ticks = torch.arange(90.0)[:, None].expand(-1, model.shape.state)
    lively, quiet = step * ticks, -0.01 * step * ticks
    found = fit_residual_gains(model, [lively, quiet])
    at = dict(zip(SIZES, trunk.forecast_gain.T, strict=True))
    assert (at[0.8] > 0.99).all() and (at[0.05] < 0.02).all()
    whole = [found[f"forecast_gain_{h}"] for h in model.shape.horizons]
    assert torch.allclose(at[1.6], torch.tensor(whole), atol=0.01)  # which nobody has shown
    said = []
    for take in (lively, quiet):
        windows = take[None, 40:71]
        out = run_network(model, windows, torch.ones(1, 31, len(JOINTS)), torch.zeros(1))
        forecast = dict(zip(model.shape.outputs(), out, strict=True))["forecast"]
        said.append((forecast - windows[:, -1:, :six]).abs().detach() / far.reshape(1, -1, six))
    assert torch.allclose(said[0], torch.ones(()), atol=0.02) and said[1].max() < 0.02
    still, whole = lively[:1].expand(30, -1)[None, :, :six], torch.ones(1, 30, len(JOINTS))
    size, there = trunk.amplitude(still, whole)
    assert float(size) < 0.05 and float(there) == 0  # it was not there yet, and counts as usual
    assert torch.equal(
        trunk.amplitude_weights(size, there),
        trunk.amplitude_weights(torch.ones(1, 1), torch.ones(1, 1)),
    )
    assert (
        float(trunk.amplitude(lively[None, :30, :six], 0 * whole)[0]) == 1
    )  # nothing was captured


def test_at_one_tick_a_few_lively_moments_do_not_decide_of_a_quiet_body() -> None:
    import torch

    from greenroom.networks.trunk import SIZES
    from greenroom.training.residual_gains import fit_residual_gains

    model = example_network()
    trunk, six, step = model.trunk, 6 * len(JOINTS), 0.01
    torch.nn.init.zeros_(trunk.ahead.weight)
    far = torch.tensor(model.shape.horizons).repeat_interleave(six) * step
    trunk.ahead.bias.data.copy_(0.05 * far)  # a little of how a lively body goes on
    ticks = torch.arange(330.0)[:, None].expand(-1, model.shape.state)
    lively, quiet, still = step * ticks[:60], -0.01 * step * ticks, 0 * ticks

    def earned(usual: float, takes: list[torch.Tensor], size: float) -> torch.Tensor:
        trunk.forecast_gain.fill_(1.0)
        trunk.reference_amplitude.fill_(usual)
        fit_residual_gains(model, takes)
        assert trunk.forecast_gain.dtype == torch.float32
        return trunk.forecast_gain[:, SIZES.index(size)].clone()

    one = torch.tensor(model.shape.horizons) == 1
    assert one.sum() == 1
    together = earned(1e3, [lively, quiet], SIZES[0])  # all are of one amplitude
    assert together[one] < 0.1 and (together[~one] > 0.99).all()
    assert torch.equal(together, earned(1e3, [lively, quiet], SIZES[0]))
    assert earned(1e3, [lively], SIZES[0])[one] > 0.99
    unknown = earned(4 * step, [lively, still], 0.8)  # who was not there yet may be lively
    assert (unknown > 0.99).all()
    assert (earned(4 * step, [still], 0.8) == 0).all()


def test_where_no_take_is_long_enough_nothing_is_earned() -> None:
    import torch

    from greenroom.training.residual_gains import fit_residual_gains

    model = example_network()
    for takes in ([], [torch.zeros(2, model.shape.state)]):
        model.trunk.forecast_gain.fill_(1.0)
        assert fit_residual_gains(model, takes) == {
            f"forecast_gain_{h}": 0 for h in model.shape.horizons
        }
        assert (model.trunk.forecast_gain == 0).all()
