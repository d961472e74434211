"""The motion charts on made-up motion: what they see, what they let pass, and how they behave."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.contracts import Alert
from greenroom.errors import BadInput
from greenroom.monitoring import reference as learned
from greenroom.monitoring.charts.motion import MotionChart
from greenroom.monitoring.reference import LEAST

JOINTS = 6
LIMBS = {"arm": (0, 1, 2), "leg": (3, 4, 5)}
CONTENTS = {"walk": (0.21, 25.0, 0.0), "wave": (0.55, 12.0, 30.0), "stand": (0.05, 4.0, -20.0)}


def move(content: str, ticks: int, rng: np.random.Generator, lean: float = 0.0) -> np.ndarray:
    """A take (T, 18) in degrees: joints swing about a pose that belongs to the content."""
    speed, swing, pose = CONTENTS[content]
    channels = np.arange(3 * JOINTS)
    speed *= rng.normal(1, 0.05)
    phase = speed * np.arange(ticks)[:, None] + channels * 0.7 + rng.uniform(0, 6)
    wobble = np.cumsum(rng.normal(0, 0.1, (ticks, 3 * JOINTS)), axis=0)
    turn = pose * np.cos(channels) + lean * np.sin(3 * channels) + rng.normal(0, 1, 3 * JOINTS)
    return turn + swing * rng.normal(1, 0.05) * np.sin(phase) + wobble


def show(
    seconds: int, seed: int, contents: tuple[str, ...] = tuple(CONTENTS), lean: float = 0.0
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    parts, ticks = [], 0
    while ticks < 30 * seconds:
        parts.append(
            move(contents[rng.integers(len(contents))], int(rng.integers(90, 240)), rng, lean)
        )
        ticks += len(parts[-1])
    return np.concatenate(parts)[: 30 * seconds]


def reference(takes: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    names = list(CONTENTS)
    return [move(names[i % 3], int(rng.integers(90, 240)), rng) for i in range(takes)]


@pytest.fixture(scope="module")
def fitted() -> MotionChart:
    return MotionChart(LIMBS).fit(reference(180))


def watched(chart: MotionChart, stream: np.ndarray) -> tuple[Alert, ...]:
    chart.reset()
    for row in stream:
        assert chart.update(row) is None
    return chart.alerts


def test_a_show_like_the_reference_is_quiet(fitted: MotionChart) -> None:
    assert fitted.ready == ("gaps", "texture", "drift") and not fitted.learning
    assert watched(fitted, show(600, seed=1)) == ()


def test_another_mixture_of_known_contents_is_no_drift(fitted: MotionChart) -> None:
    for content in CONTENTS:
        assert watched(fitted, show(120, seed=2, contents=(content,))) == ()


def test_a_new_style_is_drift_and_says_when_it_began(fitted: MotionChart) -> None:
    stream = np.concatenate([show(60, seed=3), show(60, seed=4, lean=25.0)])
    (alert, *_) = watched(fitted, stream)
    assert (alert.signal, alert.cause) == ("style", "new style")
    assert 1800 < alert.tick <= 1800 + 450
    assert alert.began_low <= alert.began <= alert.began_high <= alert.tick
    assert alert.began_low <= 1800 + 240 and alert.began > 1700
    assert alert.size > 1.5


def broken(kind: str, stream: np.ndarray, at: int, rng: np.random.Generator) -> np.ndarray:
    out = stream.copy()
    leg = out[at:, 9:]
    if kind == "missing":
        leg[:] = np.nan
    elif kind == "some missing":
        out[at:][rng.random(len(out) - at) < 0.2] = np.nan
    elif kind == "held":
        leg[:] = out[at, 9:]
    elif kind == "some held":
        for tick in at + np.flatnonzero(rng.random(len(out) - at) < 0.2):
            out[tick] = out[tick - 1]
    elif kind == "freeze":
        leg[:] = out[at, 9:] + rng.normal(0, 0.1, leg.shape)
    else:
        leg += rng.normal(0, 2, leg.shape)
    return out


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        ("missing", 1),
        ("some missing", 4),
        ("held", 1),
        ("some held", 4),
        ("freeze", 6),
        ("jitter", 6),
    ],
)
def test_a_broken_capture_is_seen_within_seconds(
    fitted: MotionChart, kind: str, seconds: float
) -> None:
    for seed in range(3):
        stream = broken(kind, show(60, seed=10 + seed), 1200, np.random.default_rng(seed))
        (alert, *_) = watched(fitted, stream)
        assert alert.signal == kind.removeprefix("some ") and alert.cause == "capture fault"
        assert 1200 < alert.tick <= 1200 + 30 * seconds
        assert alert.began_low <= 1230 and alert.began_high >= 1190
        if not kind.startswith("some"):
            assert "leg" in alert.where and set(alert.joints) & {3, 4, 5}


def test_one_joint_that_is_held_counts_only_after_two_seconds(fitted: MotionChart) -> None:
    """Solvers clamp a knee: again and again for a second is usual, throughout is not."""
    stream = show(120, seed=19)
    for start in range(300, 3000, 60):
        stream[start : start + 30, 9:12] = stream[start, 9:12]
    assert "held" not in {alert.signal for alert in watched(fitted, stream)}
    stream[3000:, 9:12] = stream[3000, 9:12]
    (alert,) = [alert for alert in watched(fitted, stream) if alert.signal == "held"]
    assert alert.joints == (3,) and 3060 <= alert.tick <= 3080


def test_one_episode_is_one_alert_and_the_chart_re_arms(fitted: MotionChart) -> None:
    stream = show(180, seed=20)
    stream[1200:2400, :9] = np.nan
    stream[4200:4500, :9] = np.nan
    alerts = [alert for alert in watched(fitted, stream) if alert.signal == "missing"]
    assert [alert.began for alert in alerts] == [1200, 4200]
    assert all(alert.where == ("arm",) for alert in alerts)


def test_what_goes_on_is_said_again_after_ten_minutes(fitted: MotionChart) -> None:
    stream = show(660, seed=21)
    stream[300:, :9] = np.nan
    ticks = [alert.tick for alert in watched(fitted, stream) if alert.signal == "missing"]
    assert len(ticks) == 2 and ticks[1] - ticks[0] == 18_000


def test_reset_forgets_the_stream_and_keeps_the_fit(fitted: MotionChart) -> None:
    stream = broken("jitter", show(30, seed=22), 300, np.random.default_rng(0))
    first = watched(fitted, stream)
    assert first and watched(fitted, stream) == first
    fitted.reset()
    assert fitted.alerts == () and fitted.ready == ("gaps", "texture", "drift")


def test_the_same_takes_and_seed_give_the_same_limits(fitted: MotionChart) -> None:
    stream = np.concatenate([show(30, seed=23), show(60, seed=24, lean=12.0)])
    again = MotionChart(LIMBS).fit(reference(180))
    assert watched(again, stream) == watched(fitted, stream)


def test_too_small_a_reference_is_learning_and_never_alarms() -> None:
    chart = MotionChart().fit(reference(LEAST["gaps"] // 2))
    assert chart.learning
    stream = show(60, seed=25, lean=60.0)
    stream[600:900] = np.nan
    assert watched(chart, stream) == ()
    half = MotionChart().fit(reference(60))
    assert half.ready == ("gaps", "texture") and not half.learning
    assert {alert.signal for alert in watched(half, show(120, seed=26, lean=25.0))} == set()
    assert watched(half, broken("missing", show(30, seed=27), 300, np.random.default_rng(0)))


def test_a_reference_that_does_not_cover_itself_watches_for_gaps_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learned, "COVERED", -1.0)
    chart = MotionChart().fit(reference(90))
    assert chart.ready == ("gaps",) and not chart.learning
    stream = show(60, seed=9, lean=25.0)
    rng = np.random.default_rng(0)
    assert watched(chart, stream + rng.normal(0, 2, stream.shape)) == ()
    stream[900:, :9] = np.nan
    assert [alert.signal for alert in watched(chart, stream)] == ["missing"]


def test_what_is_missing_or_held_in_the_reference_is_usual() -> None:
    def with_gaps(takes: list[np.ndarray]) -> list[np.ndarray]:
        rng = np.random.default_rng(5)
        for take in takes:
            at = int(rng.integers(len(take) - 40))
            take[at : at + 20, :3] = np.nan
            take[:, 15:] = take[at, 15:]  # a joint that this rig does not move
        return takes

    chart = MotionChart().fit(with_gaps(reference(60)))
    assert watched(chart, np.concatenate(with_gaps(reference(30, seed=6)))) == ()


def test_odd_references_can_be_learned_from() -> None:
    takes = [*reference(40), np.zeros((0, 18)), np.zeros((1, 18)), np.full((90, 18), np.nan)]
    for take in takes:
        take[:, 6:9] = np.nan  # a joint that is never tracked
    chart = MotionChart().fit(takes)
    stream = show(60, seed=30)
    stream[:, 6:9] = np.nan
    assert watched(chart, stream) == ()
    assert watched(chart, broken("held", stream, 600, np.random.default_rng(0)))
    one = MotionChart().fit([take[:, :1] for take in reference(32)])
    assert one.update([0.0]) is None
    assert MotionChart().fit([np.full((90, 3), np.nan)] * 90).learning


def test_one_long_take_is_cut_into_stretches() -> None:
    chart = MotionChart().fit([show(800, seed=31)])
    assert chart.ready == ("gaps", "texture", "drift")
    assert watched(chart, show(120, seed=32)) == ()


def test_scenes_may_be_named() -> None:
    takes = reference(60)
    MotionChart().fit(takes, context=[list(CONTENTS)[i % 3] for i in range(60)])
    with pytest.raises(BadInput, match="2 scenes for 60 takes"):
        MotionChart().fit(takes, context=["a", "b"])


def test_what_cannot_be_charted_is_refused(fitted: MotionChart) -> None:
    with pytest.raises(BadInput, match="one take"):
        MotionChart().fit([])
    with pytest.raises(BadInput, match="same channels"):
        MotionChart().fit([np.zeros((9, 3)), np.zeros((9, 6))])
    with pytest.raises(BadInput, match="limb 'tail' has joints 0 to 5"):
        MotionChart({"tail": (6,)}).fit(reference(3))
    with pytest.raises(BadInput, match=r"a tick is \(18,\)"):
        fitted.update(np.zeros(3))
    with pytest.raises(BadInput, match="fit the chart"):
        MotionChart().update([])


VALUES = st.sampled_from([0.0, 1.0, -45.0, 1e3, 1e300, np.inf, -np.inf, np.nan, 1e-300])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 30), share=st.floats(0, 1), odd=st.lists(VALUES, max_size=18))
def test_no_pattern_of_gaps_and_no_value_stops_a_chart(
    fitted: MotionChart, seed: int, share: float, odd: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    stream = show(20, seed=seed)
    stream[rng.random(stream.shape) < share * rng.random(stream.shape[1])] = np.nan
    rng.shuffle(stream[: int(share * len(stream))])
    for i, value in enumerate(odd):
        stream[rng.integers(len(stream)), i] = value
    ticks = [alert.tick for alert in watched(fitted, stream)]
    assert ticks == sorted(ticks) and all(0 < tick <= len(stream) for tick in ticks)
    for alert in fitted.alerts:
        assert 0 <= alert.began_low <= alert.began_high <= alert.tick
        assert alert.joints and np.isfinite(alert.size)
    quiet = watched(fitted, show(5, seed=seed))
    assert all(alert.tick <= 150 for alert in quiet)


def cost(chart: MotionChart, stream: np.ndarray) -> float:
    best = np.inf
    for _ in range(3):
        chart.reset()
        start = time.perf_counter()
        for row in stream:
            chart.update(row)
        best = min(best, time.perf_counter() - start)
    return best / len(stream)


def test_a_tick_costs_in_proportion_to_its_channels_at_most() -> None:
    def wide(times: int) -> tuple[list[np.ndarray], np.ndarray]:
        takes = [np.tile(take, times) for take in reference(32)]
        return takes, np.tile(show(20, seed=1), times)

    costs = []
    for times in (1, 4):
        takes, stream = wide(times)
        costs.append(cost(MotionChart().fit(takes), stream))
    assert costs[1] < 4 * costs[0]
