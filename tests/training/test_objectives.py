"""What is taught: gaps without guesses, styles that know what they never saw, one model for all."""

import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.consent.records import read_rights
from greenroom.contracts import ModelShape
from greenroom.datasets.build import build_dataset
from greenroom.errors import BadInput
from greenroom.frames import ARKIT
from greenroom.manifests import Model, Validation
from greenroom.registry.release import load_release
from greenroom.serving.onnx_backend import PORTABLE_OPERATIONS, OnnxBackend
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from greenroom.validation.eval_model import EvalModel
from greenroom.validation.evaluator import validate
from greenroom.validation.report import validation_report
from tests.people import approve

pytestmark = pytest.mark.train
JOINTS = ("hips", "spine", "leftUpperArm", "leftLowerArm", "rightUpperLeg", "rightLowerLeg")


def _performer(styles: int = 0):
    import torch

    from greenroom.networks.motion_net import MINI, MotionNet

    torch.manual_seed(1)
    model = MotionNet(MINI.shape(len(JOINTS), 6 * len(JOINTS) + 4, 43, 0, styles), MINI)
    for name in ("std", "high"):
        getattr(model.core, name).fill_(9.0 if name == "high" else 1.0)
    model.core.low.fill_(-9.0)
    torch.nn.init.normal_(model.trunk.fill.weight, std=0.1)
    pull = torch.randn(model.shape.state, model.shape.state) / 9
    model.core.precision.copy_(torch.eye(model.shape.state) + pull @ pull.T)
    model.core.drift.normal_(std=0.1)
    return model.eval()


def test_what_the_network_adds_fades_before_the_history_has_forgotten_a_gap() -> None:
    import torch

    from greenroom.training.objectives import run_network

    model, k = _performer(), 30
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


def _gaps(takes):
    from greenroom.training.objectives import GapObjective, TrainingData

    return GapObjective(TrainingData([], takes), JOINTS, 400, 30)


def test_a_window_that_is_played_faster_moves_faster_and_stays_in_its_take() -> None:
    import torch

    ticks = torch.arange(70.0)[:, None]
    speeds = torch.tensor([0.5, 0.25, -0.25])
    takes = [
        1000.0 * n + torch.cat([ticks * 0.5, ticks, ticks * speeds * 0 + speeds], -1)
        for n in (0, 1)
    ]
    takes[1][:, -3:] -= 1000.0
    drawn = _gaps(takes).windows(400, torch.Generator().manual_seed(0))
    steps = drawn[:, 1:, 0] - drawn[:, :-1, 0]
    late = steps[:, 30:]  # before tick K a take may not have begun
    pace = drawn[:, :1, 2] / 0.5
    assert torch.allclose(late, 0.5 * pace.expand_as(late), atol=2e-3)
    assert torch.allclose(drawn[..., 3:], pace[..., None] * speeds[1:], atol=1e-6)
    still = (pace == 1).float().mean()
    assert 0.3 < still < 0.7
    assert pace.max() <= 1.36
    assert 0.74 < pace.min() < 0.8
    assert pace.max() > 1.25
    takes_of = (drawn[..., 0] > 500).float()
    assert (takes_of.amin(1) == takes_of.amax(1)).all()
    assert (drawn[..., 1] % 1000).max() <= 69.01


def test_windows_are_mixed_with_another_by_half_at_most() -> None:
    import torch

    from greenroom.training.objectives import mixup

    windows = torch.eye(300)[:, None].expand(-1, 5, -1)
    out = mixup(windows, torch.Generator().manual_seed(0))
    own = torch.diagonal(out[:, 0])
    assert torch.equal(out[:, 0], out[:, -1])
    assert torch.allclose(out.sum(-1), torch.ones(300, 5))
    assert own.min() >= 0.5
    assert own.min() < 0.55
    assert 0.4 < float((own == 1).float().mean()) < 0.6
    assert torch.equal(windows, torch.eye(300)[:, None].expand(-1, 5, -1))


def test_windows_leave_the_takes_and_their_words_as_they_are() -> None:
    import torch

    from greenroom.training.objectives import GapObjective, TrainingData

    random = torch.Generator().manual_seed(5)
    state = 6 * len(JOINTS) + 4
    take = torch.randn(90, state, generator=random)
    words = torch.randint(2, (90, 7), generator=random).float()
    gaps = GapObjective(TrainingData([], [take], words={"takes": [words]}), JOINTS, 400, 30)
    before = gaps.rows.clone()
    drawn = gaps.windows(300, random)
    assert drawn.shape == (300, 46, state + 7)
    assert set(drawn[..., state:].unique().tolist()) == {0.0, 1.0}  # never half a word
    assert torch.equal(gaps.rows, before)


def test_a_narrow_network_drops_less_and_a_wide_one_no_more() -> None:
    from greenroom.networks.motion_net import MINI
    from greenroom.networks.trunk import Trunk

    shape = MINI.shape(len(JOINTS), 6 * len(JOINTS) + 4, 43)
    for width, share in ((256, 0.04), (640, 0.1), (2048, 0.1)):
        trunk = Trunk(shape, width, 1)
        assert [trunk.blur.p, trunk.blocks[0].drop.p] == pytest.approx([share, share])


def test_a_lesson_mixes_its_windows_and_not_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from greenroom.training import objectives

    model = _performer()
    takes = [torch.randn(90, model.shape.state), torch.randn(40, model.shape.state)]
    gaps = objectives.GapObjective(objectives.TrainingData([], takes), JOINTS, 50, 30)
    seen = []

    def mixup(windows: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        seen.append(windows.shape)
        return torch.zeros_like(windows)

    monkeypatch.setattr(objectives, "mixup", mixup)
    gaps.loss(model, 0.0, 1.0, torch.Generator().manual_seed(0))
    assert seen == [(50, 46, model.shape.state)]


def test_what_is_added_in_a_gap_is_as_large_as_the_movement_around_it() -> None:
    import torch

    from greenroom.networks.trunk import recent_motion
    from greenroom.training.fit import prepare, rms_amplitude
    from greenroom.training.objectives import TrainingData

    model = _performer()
    trunk, j, d = model.trunk, len(JOINTS), model.shape.state
    moving = torch.randn(60, d, generator=torch.Generator().manual_seed(2))
    prepare(model, TrainingData([], [moving, moving[:7]]))
    rotations = moving[:, : 6 * j]
    steps = torch.stack(
        [((rotations[t + 4 : t + 17] - rotations[t : t + 13]) ** 2).mean() for t in range(44)]
    )
    assert float(trunk.usual) == pytest.approx(float(steps.mean() ** 0.5), rel=1e-4)
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
        trunk.enter.weight
    )  # deaf, so that what it says depends on its scale alone
    added = {}
    for size in (0.0, 0.5, 1.0, 9.0):
        rows = size * moving[None, :30]
        for valid in (1.0, 0.0):
            see = torch.full((1, j), valid)
            with torch.no_grad():
                added[size, valid] = trunk(
                    rows[:, -1],
                    rows[:, -1],
                    rows,
                    torch.ones(1, 30, j),
                    see,
                    0 * see,
                    torch.zeros(1, model.shape.noise),
                )[0]
    like = float(recent_motion(moving[None, :30, : 6 * j], torch.ones(1, 30, j))[0] / trunk.usual)
    whole = added[1.0, 0.0]
    for size, share in ((0.0, 0.1), (0.5, like / 2), (1.0, like), (9.0, 2.0)):
        assert torch.allclose(added[size, 1.0], share * whole, rtol=1e-3)
        assert torch.equal(added[size, 0.0], whole)


def test_far_back_the_trunk_sees_what_was_captured_and_nothing_that_was_guessed() -> None:
    import torch

    model = _performer()
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
            return trunk(rows[:, -1], rows[:, -1], recent_motion, known, see, 0 * see, noise)[0]

    assert not torch.equal(said(whole, 0.0, 1.0), said(whole, 2.0, 1.0))
    assert torch.equal(said(known, 0.0, 1.0), said(known, 2.0, 1.0))  # it was not captured then
    assert torch.equal(said(whole, 0.0, 0.0), said(known, 2.0, 0.0))  # nobody is captured now
    assert not torch.equal(said(whole, 0.0, 0.0), said(whole, 0.0, 0.0, near=2.0))


def test_a_body_that_nobody_captures_is_given_as_much_as_does_not_tremble() -> None:
    import torch

    from greenroom.metrics.motion import quiet_pace
    from greenroom.training.fit import find_rest_state, tune_free_run
    from greenroom.training.rollout import free_run

    model, random = _performer(), torch.Generator().manual_seed(0)
    d, six = model.shape.state, 6 * len(JOINTS)
    walk = 0.3 * torch.randn(200, d, generator=random).cumsum(0)
    takes = [torch.nn.functional.avg_pool1d(walk.T[None], 9, 1)[0].T.contiguous()]
    for layer in (model.trunk.fill, model.joint_out, model.root_out):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    quiet = find_rest_state(takes)
    pace = quiet_pace(take[:, :six].numpy() for take in takes)
    found = tune_free_run(model, takes, random, quiet, pace)
    assert found["free_run"] == 0.75  # it adds nothing, and a quarter is margin
    assert (
        found["free_run_still"] == 1 and found["free_run_wider"] == 1
    )  # too still by any, so as taught
    within = model.rest.clamp(model.core.low, model.core.high)
    rest = within * model.core.std + model.core.mean
    assert torch.allclose(model.rest * model.core.std + model.core.mean, quiet, atol=1e-4)
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

        def forward(self, base: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
            ahead = torch.zeros(len(base), len(model.shape.horizons), six)
            return -self.much * base, ahead, torch.zeros(len(base), len(JOINTS))

    model.trunk = Opposite(2.2)  # a fifth wider with each tick by itself: inertia lets it die out
    assert tune_free_run(model, takes, random, quiet, pace)["free_run"] == 0.75
    model.trunk = Opposite(4.0)  # all of it swings ever wider, three quarters of it come to rest
    found = tune_free_run(model, takes, random, quiet, pace)
    assert found["free_run"] == 0.75**2 and found["free_run_worst_jerk"] <= 1.5
    model.trunk = Opposite(100.0)
    found = tune_free_run(
        model, takes, random, quiet, pace
    )  # even a quarter of it swings: the least is given
    assert found["free_run"] == 0.75 * 0.25 and found["free_run_worst_jerk"] > 1.5


def test_draws_are_as_wide_as_leaves_a_body_as_lively_as_its_actor() -> None:
    import torch

    from greenroom.metrics.motion import quiet_pace
    from greenroom.training.fit import find_rest_state, tune_free_run

    model, random = _performer(), torch.Generator().manual_seed(0)
    walk = 0.3 * torch.randn(400, model.shape.state, generator=random).cumsum(0)
    takes = [torch.nn.functional.avg_pool1d(walk.T[None], 9, 1)[0].T.contiguous()]

    class Wander(torch.nn.Module):
        """Go where the draws say, by as much."""

        def __init__(self, much: float) -> None:
            super().__init__()
            self.way = much * torch.randn(model.shape.noise, model.shape.state, generator=random)

        def forward(self, base: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
            six = 6 * len(JOINTS)
            ahead = torch.zeros(len(base), len(model.shape.horizons), six)
            return rest[-1] @ self.way, ahead, torch.zeros(len(base), len(JOINTS))

    pace = quiet_pace(take[:, : 6 * len(JOINTS)].numpy() for take in takes)
    chosen = []
    for much in (0.02, 0.06, 1.0):
        model.trunk = Wander(much)
        found = tune_free_run(model, takes, random, find_rest_state(takes), pace)
        chosen.append(found["free_run_wider"])
        assert model.wider == chosen[-1]
        assert found["free_run_still"] <= 0.05 or chosen[-1] == 4
    assert chosen[0] == 4 > chosen[1] > chosen[2] == 1, chosen


def test_draws_are_wider_only_where_nobody_was_captured_for_long() -> None:
    import torch

    from greenroom.training.rollout import free_run

    model, k = _performer(), 30
    torch.nn.init.normal_(model.trunk.enter.weight, std=0.3)
    take = 0.1 * torch.randn(1, k + 40, model.shape.state).cumsum(1)
    draws = torch.randn(1, 40, model.shape.noise)

    def said(wider: float) -> torch.Tensor:
        model.wider.fill_(wider)
        with torch.no_grad():
            return free_run(model, take[:, :k], draws)

    ours, theirs = said(1.0), said(3.0)
    assert torch.equal(ours[:, : k // 2], theirs[:, : k // 2])
    assert not torch.allclose(ours[:, k + 5 :], theirs[:, k + 5 :], atol=1e-2)


def test_an_actor_rests_as_it_was_seen_when_it_moved_least() -> None:
    import torch

    from greenroom.training.fit import find_rest_state

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


def test_a_part_of_another_size_begins_afresh_as_a_whole() -> None:
    import torch

    from greenroom.training.fit import load_matching_weights

    one, other = _performer(), _performer()
    start = {name: torch.full_like(w, 7.0) for name, w in one.named_parameters()}
    start["trunk.enter.weight"] = start["trunk.enter.weight"][:, 1:]
    assert load_matching_weights(other, start) == ["trunk"]
    assert load_matching_weights(
        _performer(), {n: w for n, w in start.items() if n != "place"}
    ) == [
        "place",
        "trunk",
    ]
    mine = dict(one.named_parameters())
    for name, weight in other.named_parameters():
        new = torch.equal(weight, mine[name])
        assert new == name.startswith("trunk."), name


def test_what_was_guessed_in_a_gap_changes_nothing() -> None:
    import torch

    from greenroom.training.objectives import GAP, run_network, sample_gap_mask

    model, random = _performer(), torch.Generator().manual_seed(0)
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


def test_gaps_are_as_old_as_it_is_said() -> None:
    import torch

    from greenroom.training.objectives import sample_gap_mask

    known, age = sample_gap_mask(JOINTS, 400, 30, torch.Generator().manual_seed(2))
    for row, ticks in zip(known, age.tolist(), strict=True):
        lost = row[-1] == 0
        assert (row[:, ~lost] == 1).all()
        hole = ticks
        assert (row[31 - hole :, lost] == 0).all() and (row[: 31 - hole, lost] == 1).all()
    share = float((known[:, -1] == 1).all(1).float().mean())
    assert 0.2 < share < 0.6 and (age > 15).any() and age.max() <= 30


def test_what_a_forecast_is_given_is_what_it_earned_on_other_takes() -> None:
    import torch

    from greenroom.training.fit import fit_residual_gains, residual_rms

    model, random = _performer(), torch.Generator().manual_seed(0)
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
    from greenroom.training.fit import fit_residual_gains
    from greenroom.training.objectives import run_network

    model = _performer()
    trunk, six, step = model.trunk, 6 * len(JOINTS), 0.01
    torch.nn.init.zeros_(trunk.ahead.weight)
    far = torch.tensor(model.shape.horizons).repeat_interleave(six) * step
    trunk.ahead.bias.data.copy_(far)  # all that it says is how a lively body goes on
    trunk.usual.fill_(4 * step / 0.8)
    ticks = torch.arange(90.0)[:, None].expand(-1, model.shape.state)
    lively, quiet = step * ticks, -0.01 * step * ticks
    found = fit_residual_gains(model, [lively, quiet])
    at = dict(zip(SIZES, trunk.earned.T, strict=True))
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
    size, there = trunk.size(still, whole)
    assert float(size) < 0.05 and float(there) == 0  # it was not there yet, and counts as usual
    assert torch.equal(trunk.near(size, there), trunk.near(torch.ones(1, 1), torch.ones(1, 1)))
    assert float(trunk.size(lively[None, :30, :six], 0 * whole)[0]) == 1  # nothing was captured


def test_at_one_tick_a_few_lively_moments_do_not_decide_of_a_quiet_body() -> None:
    import torch

    from greenroom.networks.trunk import SIZES
    from greenroom.training.fit import fit_residual_gains

    model = _performer()
    trunk, six, step = model.trunk, 6 * len(JOINTS), 0.01
    torch.nn.init.zeros_(trunk.ahead.weight)
    far = torch.tensor(model.shape.horizons).repeat_interleave(six) * step
    trunk.ahead.bias.data.copy_(0.05 * far)  # a little of how a lively body goes on
    ticks = torch.arange(330.0)[:, None].expand(-1, model.shape.state)
    lively, quiet, still = step * ticks[:60], -0.01 * step * ticks, 0 * ticks

    def earned(usual: float, takes: list[torch.Tensor], size: float) -> torch.Tensor:
        trunk.earned.fill_(1.0)
        trunk.usual.fill_(usual)
        fit_residual_gains(model, takes)
        assert trunk.earned.dtype == torch.float32
        return trunk.earned[:, SIZES.index(size)].clone()

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

    from greenroom.training.fit import fit_residual_gains

    model = _performer()
    for takes in ([], [torch.zeros(2, model.shape.state)]):
        model.trunk.earned.fill_(1.0)
        assert fit_residual_gains(model, takes) == {
            f"forecast_gain_{h}": 0 for h in model.shape.horizons
        }
        assert (model.trunk.earned == 0).all()


def test_one_draw_stands_for_the_whole_of_a_way() -> None:
    import torch

    from greenroom.training.rollout import PosteriorEncoder, roll_out

    model, random = _performer(), torch.Generator().manual_seed(0)
    k, ticks = model.shape.history, 6
    windows = torch.randn(2, k + ticks, model.shape.state, generator=random)
    seen: list[torch.Tensor] = []
    model.trunk.register_forward_pre_hook(lambda module, args: seen.append(args[-1].clone()))
    encoder = PosteriorEncoder(model.shape.state, model.shape.noise)
    valid = torch.zeros(2, ticks, len(JOINTS))
    with torch.no_grad():
        done = roll_out(model, windows, valid, torch.tensor([True, False]), encoder)
    draws = torch.stack(seen)
    assert len(draws) == ticks and (draws == draws[0]).all()
    assert draws[0, 0].abs().max() > 0 and (draws[:, 1] == 0).all()  # the mean way has none
    assert done.kl > 0


@pytest.mark.parametrize("preset", ["mini", "small"])
def test_one_model_does_every_task_and_is_judged_on_it(
    studio: tuple[Workspace, str], preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greenroom.training.rollout import Recipe
    from greenroom.training.train import train

    workspace, dataset = studio
    recipe = Recipe(steps=3, batch=4, rollout=8, windows=16, every=2, weights="learned")
    said: dict[str, float] = {}
    model = train(
        workspace, dataset, "t", preset, recipe, lambda step, steps, figures: said.update(figures)
    )
    assert set(said) == {"loss", "loss_performing", "loss_gaps", "loss_face"}
    manifest = workspace.objects.read(model, Model)
    assert set(manifest.operations) <= PORTABLE_OPERATIONS
    assert manifest.styles == ["calm", "wild"] and manifest.rig[0] == "jawOpen"
    shape = ModelShape.load(manifest.shape)
    assert (shape.face, shape.styles, shape.horizons) == (3, 2, (1, 3, 6, 10, 15))
    backend = OnnxBackend(workspace.objects.get(manifest.blobs.graph), shape)
    asked: list[int] = []
    forecast = EvalModel.forecast
    monkeypatch.setattr(
        EvalModel, "forecast", lambda self, past: asked.append(len(past)) or forecast(self, past)
    )
    found = workspace.objects.read(validate(workspace, model, backend, "t"), Validation)
    figures = found.figures
    assert set(figures) == {"infill", "forecast", "face", "style"}
    assert asked and set(asked) == {shape.history}  # its own forecasts are judged, no roll-out
    # There is one test take of two seconds and a half: a single stretch, and its rig rounds the lips.
    assert set(figures["face"]) == {"r2w", "opening_r", "rounding_r"}
    assert "r2w_adapted" not in figures["face"]  # that is too short to adapt
    assert set(figures["style"]) == {"accuracy", "ece"}  # and there is no style it never saw
    assert "style" in validation_report("0" * 64, found)
    release = load_release(workspace, approve(workspace, model, "tester"))
    assert release.role.rig[1] == "mouthFunnel" and "jawOpen" in ARKIT
    assert workspace.fsck().bad == []


def test_a_preset_that_is_not_there_and_takes_that_are_too_short_are_said(
    tmp_path: Path, person: Callable[..., bytes]
) -> None:
    from greenroom.training.rollout import Recipe
    from greenroom.training.train import train

    workspace = Workspace(tmp_path)
    who = Attribution("mira", ("p",), (read_rights("MIT", "p"),))
    for k in range(4):
        store_take(workspace, read_recording(person(frames=14, seed=k), f"{k}.bvh"), who, "test")
    dataset = build_dataset(workspace, "d", "mira", "t", datetime.date(2026, 1, 1)).dataset
    with pytest.raises(BadInput, match="no preset 'huge'; use one of tokens, mini, small"):
        train(workspace, dataset, "t", "huge")
    with pytest.raises(BadInput, match="the test split has no body of 0.6 s"):
        train(workspace, dataset, "t", "mini", Recipe(steps=2))


def test_sizes_keep_to_their_bounds() -> None:
    from greenroom.networks.motion_net import MINI, SMALL, MotionNet

    for preset, most in ((MINI, 1_200_000), (SMALL, 4_000_000)):
        shape = replace(preset.shape(21, 130, 43, 116, 20), phonemes=45, context=20)
        assert MotionNet(shape, preset).parameters_count <= most
