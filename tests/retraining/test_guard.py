"""A guard sends back what turned and keeps what did not, whatever the order of good and bad seconds."""

import numpy as np
import pytest

from greenroom.contracts import Alert, ModelShape, flat_width
from greenroom.errors import BadInput
from greenroom.observers.model_health import ModelHealth, TickHealth
from greenroom.retraining.guard import BACK, HOLD, KEEP, Guard, Wager

NAN = float("nan")


def _watched(
    before: list[TickHealth],
    after: list[TickHealth],
    alerts: tuple[Alert, ...] = (),
    ticks: int = 1800,
) -> Guard:
    guard = Guard(ticks)
    for figures in before:
        guard.update(figures)
    guard.swap()
    for n, figures in enumerate(after):
        guard.update(figures, alerts if n == 30 else ())
    return guard


def _usual(random: np.random.Generator, ticks: int, mean: float = 0.95) -> list[TickHealth]:
    sure = np.clip(mean + 0.02 * random.normal(size=ticks), 0, 1)
    miss = np.clip(0.35 + 0.1 * random.normal(size=ticks), 0, 1)
    return [TickHealth(float(c), True, float(m)) for c, m in zip(sure, miss, strict=True)]


def _alert(cause: str) -> Alert:
    return Alert("confidence", cause, (), 0.2, 30, 20, 10, 30)


def test_what_is_no_worse_is_kept_when_the_time_is_over() -> None:
    random = np.random.default_rng(0)
    said = [_watched(_usual(random, 900), _usual(random, 1800)).verdict for _ in range(30)]
    assert {(verdict.decision, verdict.tick) for verdict in said} == {(KEEP, 1800)}


def test_until_then_it_is_watched() -> None:
    random = np.random.default_rng(0)
    assert _watched(_usual(random, 900), _usual(random, 1799)).verdict.decision == HOLD


def test_numbers_that_are_none_send_it_back_within_seconds() -> None:
    random = np.random.default_rng(0)
    guard = _watched(_usual(random, 900), [TickHealth(NAN, False)] * 300)
    assert guard.verdict.decision == BACK and guard.verdict.tick <= 150
    assert "no numbers" in guard.verdict.reason


def test_one_bad_second_does_not_send_it_back() -> None:
    random = np.random.default_rng(0)
    after = [*_usual(random, 300), *[TickHealth(NAN, False)] * 20, *_usual(random, 1480)]
    assert _watched(_usual(random, 1800), after).verdict.decision == KEEP


def test_lower_confidence_sends_it_back_and_missing_confidence_does_not() -> None:
    random = np.random.default_rng(0)
    guard = _watched(_usual(random, 900), _usual(random, 1800, 0.6))
    assert guard.verdict.decision == BACK and "confidence" in guard.verdict.reason
    assert _watched(_usual(random, 900), [TickHealth(NAN, True)] * 1800).verdict.decision == KEEP


def test_worse_forecasts_send_it_back() -> None:
    random = np.random.default_rng(0)
    worse = [
        TickHealth(f.confidence, True, min(1, f.forecast_error + 0.3)) for f in _usual(random, 1800)
    ]
    guard = _watched(_usual(random, 900), worse)
    assert guard.verdict.decision == BACK and "forecasts" in guard.verdict.reason


def test_a_chart_s_alert_on_the_model_sends_it_back_and_one_on_the_capture_does_not() -> None:
    random = np.random.default_rng(0)
    before, after = _usual(random, 900), _usual(random, 1800)
    assert _watched(before, after, (_alert("model"),)).verdict.decision == BACK
    assert _watched(before, after, (_alert("capture fault"),)).verdict.decision == KEEP


def test_a_swap_needs_something_to_compare_with() -> None:
    guard = Guard()
    for _ in range(299):
        guard.update(TickHealth(0.9, True))
    with pytest.raises(BadInput, match="9 s were seen"):
        guard.swap()
    with pytest.raises(BadInput, match="risk"):
        Guard(risk=0.0)


def test_a_wager_seldom_wins_where_the_bound_holds() -> None:
    random = np.random.default_rng(0)
    won = 0
    for _ in range(400):
        wager, most = Wager(0.05), 0.0
        for x in (random.random(200) < 0.05).astype(float):
            wager.add(float(x))
            most = max(most, wager.log_capital)
        won += most >= np.log(20)
    assert won <= 400 / 20 + 12  # Ville: at most one in twenty, and three standard errors


def test_a_frame_s_figures_come_from_captured_joints_and_forecasts_that_came_due() -> None:
    shape = ModelShape(2, 16, 3, horizons=(1, 6))
    sizes = shape.inputs()
    sight = ModelHealth(shape)
    names, widths = list(sizes), [int(np.prod(size)) for size in sizes.values()]
    starts = dict(zip(names, np.cumsum([0, *widths[:-1]]), strict=True))
    kind = np.dtype([("asked", "u1"), ("inputs", "<f4", (flat_width(sizes) + 9,))])
    row = np.zeros((), dtype=kind)
    row["asked"] = 1
    row["inputs"][starts["valid"]] = 1  # the first joint alone is captured
    outputs = {"confidence": np.asarray([[0.8, 0.1]]), "forecast": np.zeros((1, 2, 12))}
    found = []
    for tick in range(12):
        row["inputs"][starts["state"] : starts["state"] + 12] = tick
        outputs["forecast"][0, 1] = (
            tick + 4
        )  # of tick + 6: two off, where standing still is six off
        found.append(sight.read(row, outputs))
    assert [figures.confidence for figures in found] == pytest.approx([0.8] * 12)
    assert all(np.isnan(figures.forecast_error) for figures in found[:6])
    assert [figures.forecast_error for figures in found[6:]] == pytest.approx([0.25] * 6)
    outputs["confidence"][0, 1] = np.nan
    assert sight.read(row, outputs).finite is False
    row["asked"] = 0
    late = sight.read(row, {})
    assert late.finite and np.isnan(late.confidence)
