"""Own detectors pass the published suite, and the suites name what faulty members do wrong."""

from collections.abc import Sequence

import numpy as np
import pytest

from greenroom.contracts import Alert
from greenroom.frames import Doubles
from greenroom.monitoring.detectors import DETECTORS
from greenroom.observers.page import MetricsObserver
from greenroom.testing import check_detector, check_observer, check_tracker
from greenroom.testing.live import OBSERVER_SHAPE
from greenroom.testing.watching import LIMBS, in_control


def freeze_arm(rows: Doubles) -> Doubles:
    rows[:, 6:12] = rows[0, 6:12]
    return rows


def test_the_motion_chart_passes() -> None:
    check_detector(lambda limbs: DETECTORS.get("motion")(limbs), fault=freeze_arm)


class Shouting:
    """Alerts at every tick."""

    learning = True

    def __init__(self, limbs: object) -> None:
        self.alerts: Sequence[Alert] = ()
        self.tick = 0

    def fit(self, takes):
        self.learning = False
        return self

    def update(self, x, *, excused=False):
        self.tick += 1
        at = self.tick
        self.alerts = (*self.alerts[-20:], Alert("noise", "model", (), 1.0, at, at, at, at))

    def lasts(self, signal):
        return False

    def reset(self):
        self.alerts, self.tick = (), 0


class Deaf(Shouting):
    def update(self, x, *, excused=False):
        pass


class Spread(Deaf):
    """Alerts where a value is five times as far off as any in the reference."""

    def fit(self, takes):
        self.learning, self.most = False, max(float(np.abs(rows).max()) for rows in takes)
        return self

    def update(self, x, *, excused=False):
        self.tick += 1
        if np.nanmax(np.abs(x), initial=0) > 5 * self.most and not self.alerts:
            at = self.tick
            self.alerts = (Alert("spread", "model", (), 1.0, at, at, at, at),)


def test_without_a_fault_of_its_own_a_detector_is_checked_with_common_ones() -> None:
    check_detector(lambda limbs: DETECTORS.get("motion")(limbs))
    with pytest.raises(AssertionError, match="of any fault .frozen, shifted, shaken."):
        check_detector(Deaf)


def test_takes_of_the_caller_are_what_is_streamed() -> None:
    far = [100 + rows for rows in in_control(20)]  # as wide as the made-up takes, but elsewhere
    steps: list[float] = []

    class Keeping(Spread):
        def update(self, x, *, excused=False):
            steps.extend(x[np.isfinite(x)])
            super().update(x)

    check_detector(Keeping, takes=far, fault=lambda rows: 10 * rows)
    assert min(steps) > 90


class Backwards(Shouting):
    def update(self, x, *, excused=False):
        self.alerts = (Alert("noise", "model", (), 1.0, 1, 5, 5, 5),)


@pytest.mark.parametrize(
    ("detector", "sentence"),
    [
        (Shouting, "alerts in ten minutes"),
        (Deaf, "no alert within a minute"),
        (Backwards, "out of order"),
    ],
)
def test_a_faulty_detector_is_named(detector, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_detector(detector, fault=freeze_arm)


def test_made_up_data_fits_the_limbs() -> None:
    joints = sorted(index for indices in LIMBS.values() for index in indices)
    assert joints == list(range(6)) and in_control(1, 30)[0].shape == (30, 18)
    assert np.isfinite(in_control(1, 30)[0]).all()


def test_the_metrics_observer_passes() -> None:
    from prometheus_client import CollectorRegistry, generate_latest

    from greenroom.live.sources import RUNGS
    from greenroom.monitoring.exporter import Metrics

    registry = CollectorRegistry()
    check_observer(
        lambda: MetricsObserver(Metrics(registry, RUNGS), OBSERVER_SHAPE),
        recorded=lambda observer: generate_latest(registry),
    )


class Remembering:
    """A tracker that keeps runs in memory."""

    name = "memory"
    runs: dict[str, set[str]] = {}

    def send(self, run, events):
        self.runs.setdefault(run, set()).update(str(event) for event in events)


class Doubling(Remembering):
    runs = {}
    sent = 0

    def send(self, run, events):
        type(self).sent += 1
        super().send(f"{run}-{self.sent}", events)


def test_a_tracker_that_shows_one_run_passes_and_one_that_doubles_it_is_named() -> None:
    check_tracker(Remembering, received=lambda: len(Remembering.runs))
    with pytest.raises(AssertionError, match="it shows 4 runs"):
        check_tracker(Doubling, received=lambda: len(Doubling.runs))


class Forgetful(Remembering):
    runs = {}

    def send(self, run, events):
        pass


def test_a_tracker_that_sends_nothing_is_named() -> None:
    with pytest.raises(AssertionError, match="it shows 0 runs"):
        check_tracker(Forgetful, received=lambda: len(Forgetful.runs))


def test_an_observer_that_does_nothing_is_named() -> None:
    class Asleep:
        frames = 0

        def frame(self, row, outputs):
            pass

    with pytest.raises(AssertionError, match="frame does nothing"):
        check_observer(Asleep, recorded=lambda observer: observer.frames)
