"""Spikes of a rare class: told soon, with when they began, and seldom where there is none."""

import numpy as np
import pytest

from greenroom.errors import BadInput
from greenroom.monitoring.detectors.prevalence import PrevalenceShift, with_unknown

CLASSES = ("calm", "glad", "angry")
USUAL = (0.55, 0.4, 0.05)


def _take(style: int, random: np.random.Generator) -> np.ndarray:
    """Five seconds of one style, as a model would say it: unsure, and alike from tick to tick."""
    ticks = 150
    sure = np.clip(0.85 + 0.1 * random.normal() + 0.03 * random.normal(size=ticks), 0.34, 1)
    out = np.repeat((1 - sure)[:, None] / 2, len(CLASSES), axis=1)
    out[:, style] = sure
    return out


def _usual(count: int, random: np.random.Generator) -> list[np.ndarray]:
    return [_take(int(random.choice(3, p=USUAL)), random) for _ in range(count)]


@pytest.fixture(scope="module")
def watch() -> PrevalenceShift:
    return PrevalenceShift(CLASSES).fit(_usual(200, np.random.default_rng(0)))


def test_only_rare_classes_are_watched_and_are_told_with_their_beginning(
    watch: PrevalenceShift,
) -> None:
    random = np.random.default_rng(1)
    delays = []
    for _ in range(10):
        watch.reset()
        for row in np.concatenate(_usual(30, random)):
            watch.update(row)
        began = watch.tick
        for row in np.concatenate([_take(2, random) for _ in range(24)]):
            watch.update(row)
        told = [alert for alert in watch.alerts if alert.tick > began]
        assert [alert.signal for alert in told] == ["spike of angry"]
        assert told[0].began_low <= told[0].began <= told[0].began_high
        assert told[0].size > 0.5 > watch.baseline[2] and watch.lasts("spike of angry")
        delays.append(told[0].tick - began)
    assert np.median(delays) < 30 * 60


def test_false_alarms_keep_to_their_budget(watch: PrevalenceShift) -> None:
    random = np.random.default_rng(2)
    watch.reset()
    for _ in range(8):  # hours
        for row in np.concatenate(_usual(720, random)):
            watch.update(row)
    assert len(watch.alerts) <= 2  # a third of one is what was asked for


def test_a_style_that_is_frequent_anyway_is_no_spike(watch: PrevalenceShift) -> None:
    watch.reset()
    random = np.random.default_rng(3)
    for row in np.concatenate([_take(0, random) for _ in range(60)]):
        watch.update(row)
    assert watch.alerts == ()


def test_with_few_takes_nothing_is_told() -> None:
    few = PrevalenceShift(CLASSES).fit(_usual(29, np.random.default_rng(0)))
    assert few.learning
    for _ in range(3000):
        few.update([0.0, 0.0, 1.0])
    assert few.alerts == ()


def test_what_is_not_said_is_no_evidence(watch: PrevalenceShift) -> None:
    watch.reset()
    for n in range(9000):
        watch.update([np.nan] * 3 if n % 10 else [0.0, 0.0, 1.0])
    assert watch.alerts == ()


def test_what_no_style_explains_is_a_class_of_its_own() -> None:
    said = with_unknown([[0.2] * 5, [1.0, 0, 0, 0, 0]])
    assert said.sum(axis=1) == pytest.approx([1, 1])
    assert said[:, -1] == pytest.approx([1, 0])


def test_shares_that_are_none_are_refused() -> None:
    with pytest.raises(BadInput, match="0 to 1"):
        PrevalenceShift(CLASSES).fit([np.full((30, 3), 1.5)] * 40)
    with pytest.raises(BadInput, match=r"\(T, 3\)"):
        PrevalenceShift(CLASSES).fit([np.zeros((30, 2))])
    with pytest.raises(BadInput, match="a tick is"):
        PrevalenceShift(CLASSES).update([0.5, 0.5])
