"""Free running: steady, as lively as the actor, at rest where the actor rests."""

from typing import Any

import pytest

from tests.networks.example_network import JOINTS, example_network

pytestmark = pytest.mark.train


def test_a_body_that_nobody_captures_is_given_as_much_as_does_not_tremble() -> None:
    import torch

    from greenroom.metrics.motion import quiet_pace
    from greenroom.training.free_run_tuning import (
        FreeRunReference,
        find_rest_state,
        tune_free_run,
    )
    from greenroom.training.rollout import free_run

    model, random = example_network(), torch.Generator().manual_seed(0)
    d, six = model.shape.state, 6 * len(JOINTS)
    walk = 0.3 * torch.randn(200, d, generator=random).cumsum(0)
    takes = [torch.nn.functional.avg_pool1d(walk.T[None], 9, 1)[0].T.contiguous()]
    for layer in (model.trunk.fill, model.joint_out, model.root_out):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    quiet = find_rest_state(takes)
    pace = quiet_pace(take[:, :six].numpy() for take in takes)
    found = tune_free_run(model, takes, random, FreeRunReference(quiet, pace))
    assert found["free_run_gain"] == 0.75  # it adds nothing, and a quarter is margin
    assert (
        found["free_run_still"] == 1 and found["free_run_noise_scale"] == 1
    )  # too still by any, so as taught
    within = model.rest_state.clamp(model.core.low, model.core.high)
    rest = within * model.core.std + model.core.mean
    assert torch.allclose(model.rest_state * model.core.std + model.core.mean, quiet, atol=1e-4)
    start, draws = takes[0][None, :30], torch.zeros(1, 150, model.shape.noise)
    with torch.no_grad():
        said = free_run(model, start, draws)
    # Half a second as it was, then rest; the core forecasts that all stays as it is.
    assert torch.allclose(said[0, :15], start[0, -1:].expand(15, -1), atol=1e-5)
    assert (said[0, -1, -3:].abs() < 0.01 * start[0, -1, -3:].abs()).all()
    assert torch.allclose(said[0, -1], rest, atol=1e-3)

    class Opposite(torch.nn.Module):
        def __init__(self, much: float) -> None:
            super().__init__()
            self.much = much

        def forward(self, inputs: Any) -> tuple[torch.Tensor, ...]:
            base = inputs.base
            ahead = torch.zeros(len(base), len(model.shape.horizons), six)
            return -self.much * base, ahead, torch.zeros(len(base), len(JOINTS))

    model.trunk = Opposite(2.2)  # a fifth wider with each tick by itself: inertia lets it die out
    assert (
        tune_free_run(model, takes, random, FreeRunReference(quiet, pace))["free_run_gain"] == 0.75
    )
    model.trunk = Opposite(4.0)  # all of it swings ever wider, three quarters of it come to rest
    found = tune_free_run(model, takes, random, FreeRunReference(quiet, pace))
    assert found["free_run_gain"] == 0.75**2 and found["free_run_worst_jerk"] <= 1.5
    model.trunk = Opposite(100.0)
    found = tune_free_run(
        model, takes, random, FreeRunReference(quiet, pace)
    )  # even a quarter of it swings: the least is given
    assert found["free_run_gain"] == 0.75 * 0.25 and found["free_run_worst_jerk"] > 1.5


def test_draws_are_as_wide_as_leaves_a_body_as_lively_as_its_actor() -> None:
    import torch

    from greenroom.metrics.motion import quiet_pace
    from greenroom.training.free_run_tuning import (
        FreeRunReference,
        find_rest_state,
        tune_free_run,
    )

    model, random = example_network(), torch.Generator().manual_seed(0)
    walk = 0.3 * torch.randn(400, model.shape.state, generator=random).cumsum(0)
    takes = [torch.nn.functional.avg_pool1d(walk.T[None], 9, 1)[0].T.contiguous()]

    class Wander(torch.nn.Module):
        """Go where the draws say, by as much."""

        def __init__(self, much: float) -> None:
            super().__init__()
            self.way = much * torch.randn(model.shape.noise, model.shape.state, generator=random)

        def forward(self, inputs: Any) -> tuple[torch.Tensor, ...]:
            n, six = len(inputs.base), 6 * len(JOINTS)
            ahead = torch.zeros(n, len(model.shape.horizons), six)
            return inputs.noise @ self.way, ahead, torch.zeros(n, len(JOINTS))

    pace = quiet_pace(take[:, : 6 * len(JOINTS)].numpy() for take in takes)
    chosen = []
    for much in (0.02, 0.06, 1.0):
        model.trunk = Wander(much)
        found = tune_free_run(model, takes, random, FreeRunReference(find_rest_state(takes), pace))
        chosen.append(found["free_run_noise_scale"])
        assert model.noise_scale == chosen[-1]
        assert found["free_run_still"] <= 0.05 or chosen[-1] == 4
    assert chosen[0] == 4 > chosen[1] > chosen[2] == 1, chosen


def test_draws_are_wider_only_where_nobody_was_captured_for_long() -> None:
    import torch

    from greenroom.training.rollout import free_run

    model, k = example_network(), 30
    torch.nn.init.normal_(model.trunk.input_layer.weight, std=0.3)
    take = 0.1 * torch.randn(1, k + 40, model.shape.state).cumsum(1)
    draws = torch.randn(1, 40, model.shape.noise)

    def said(wider: float) -> torch.Tensor:
        model.noise_scale.fill_(wider)
        with torch.no_grad():
            return free_run(model, take[:, :k], draws)

    ours, theirs = said(1.0), said(3.0)
    assert torch.equal(ours[:, : k // 2], theirs[:, : k // 2])
    assert not torch.allclose(ours[:, k + 5 :], theirs[:, k + 5 :], atol=1e-2)


def test_an_actor_rests_as_it_was_seen_when_it_moved_least() -> None:
    import torch

    from greenroom.training.free_run_tuning import find_rest_state

    random = torch.Generator().manual_seed(1)
    stand = torch.randn(40, generator=random)
    lively = 5 + torch.randn(600, 40, generator=random)
    still = stand + 1e-3 * torch.randn(90, 40, generator=random)
    sat = still - torch.eye(40)[-4]  # as still, with the hips a metre lower
    takes = [lively[:300], torch.cat([lively, still]), torch.cat([lively, sat]), 0 * still[:9]]
    found = find_rest_state(takes)
    assert torch.allclose(found[:-3], stand[:-3], atol=0.01) and (found[-3:] == 0).all()
    short = find_rest_state([lively[:2]])  # where there is no more, two ticks have to do
    assert torch.equal(short[:-3], lively[1, :-3])
