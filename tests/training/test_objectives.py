"""Training objectives: their windows, masks and losses."""

import pytest

from tests.networks.example_network import JOINTS, example_network

pytestmark = pytest.mark.train


def _gaps(takes):
    from greenroom.training.objectives import GapObjective
    from greenroom.training.training_data import TrainingData

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

    from greenroom.training.objectives import GapObjective
    from greenroom.training.training_data import TrainingData

    random = torch.Generator().manual_seed(5)
    state = 6 * len(JOINTS) + 4
    take = torch.randn(90, state, generator=random)
    words = torch.randint(2, (90, 7), generator=random).float()
    gaps = GapObjective(TrainingData([], [take], conditioning={"takes": [words]}), JOINTS, 400, 30)
    before = gaps.rows.clone()
    drawn = gaps.windows(300, random)
    assert drawn.shape == (300, 46, state + 7)
    assert set(drawn[..., state:].unique().tolist()) == {0.0, 1.0}  # never half a word
    assert torch.equal(gaps.rows, before)


def test_a_lesson_mixes_its_windows_and_not_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from greenroom.training import objectives
    from greenroom.training.training_data import TrainingData

    model = example_network()
    takes = [torch.randn(90, model.shape.state), torch.randn(40, model.shape.state)]
    gaps = objectives.GapObjective(TrainingData([], takes), JOINTS, 50, 30)
    seen = []

    def mixup(windows: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        seen.append(windows.shape)
        return torch.zeros_like(windows)

    monkeypatch.setattr(objectives, "mixup", mixup)
    gaps.loss(model, 0.0, 1.0, torch.Generator().manual_seed(0))
    assert seen == [(50, 46, model.shape.state)]


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
