from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from greenroom.contracts import Alert
from greenroom.monitoring.exporter import FrameMetrics, Metrics, Surveys
from greenroom.monitoring.satisfaction import Answer, keep_survey
from greenroom.store.workspace import Workspace
from tests.examples import published_release

STYLE = Alert("style", "new style", ("left arm",), 2.5, 900, 870, 840, 880, (0, 1))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_every_series_is_there_before_the_first_frame(registry: CollectorRegistry) -> None:
    Metrics(registry, ("capture", "hold"))
    shown = generate_latest(registry).decode()
    for line in (
        'frames_total{rung="hold"} 0.0',
        "frames_late_total 0.0",
        "frame_tick 0.0",
        "model_latency_seconds_count 0.0",
        "prediction_confidence_mean NaN",
        "prediction_confidence_mean_count 0.0",
        "capture_missing_ratio_sum 0.0",
    ):
        assert line in shown.splitlines()


def test_frames_are_counted(registry: CollectorRegistry) -> None:
    metrics, value = Metrics(registry, ("capture", "hold")), registry.get_sample_value
    metrics.frame(FrameMetrics(7, "capture", False, 0.003, 0.8, 0.5))
    metrics.frame(FrameMetrics(8, "capture", True, 0.001, 0.6, 0.0))
    metrics.frame(FrameMetrics(9, "hold", True))
    metrics.frame(FrameMetrics(10, "capture", False, 0.001, float("nan"), 0.0))
    assert value("frames_total", {"rung": "capture"}) == 3
    assert value("frames_late_total") == 2 and value("frame_tick") == 10
    assert value("model_latency_seconds_count") == 3
    assert value("model_latency_seconds_bucket", {"le": "0.002"}) == 2
    assert value("prediction_confidence_mean") == 0.6
    assert value("prediction_confidence_mean_sum") == pytest.approx(1.4)
    assert value("prediction_confidence_mean_count") == 2
    assert value("capture_missing_ratio_sum") == 0.5
    assert (value("frame_last_timestamp_seconds") or 0) > 1.7e9


def test_one_release_is_on_stage_and_an_alert_stands_until_it_is_over(
    registry: CollectorRegistry,
) -> None:
    metrics, value = Metrics(registry, ("capture",)), registry.get_sample_value
    metrics.on_stage("mira", "ab", confidence_base=0.9, ends_s=5.0)
    metrics.on_stage("mira", "cd", confidence_base=0.8, ends_s=6.0)
    assert value("release_info", {"actor": "mira", "release": "ab"}) is None
    assert value("release_info", {"actor": "mira", "release": "cd"}) == 1
    assert value("show_end_timestamp_seconds", {"actor": "mira", "release": "cd"}) == 6
    assert value("prediction_confidence_base") == 0.8
    labels = {"signal": "style", "cause": "new style"}
    for active in (True, False, True):
        metrics.alert(STYLE, active)
        assert value("alert_active", labels) == active
    assert value("alerts_total", labels) == 2


def test_surveys_are_shown_and_a_damaged_log_leaves_the_rest_standing(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    workspace = Workspace(tmp_path)
    registry.register(Surveys(workspace))
    assert registry.get_sample_value("workspace_readable") == 1
    release = published_release(workspace)
    keep_survey(workspace, [Answer("a", 5, release=release), Answer("b", 2, release=release)], "me")
    labels = {"actor": "mira", "release": release, "show": ""}
    assert registry.get_sample_value("user_satisfaction_ratio", labels) == 0.5
    low = registry.get_sample_value("user_satisfaction_low_ratio", labels) or 1
    high = registry.get_sample_value("user_satisfaction_high_ratio", labels) or 0
    assert 0 < low < 0.5 < high < 1
    assert registry.get_sample_value("user_satisfaction_respondents", labels) == 2
    log = tmp_path / "log"
    log.write_bytes(log.read_bytes().replace(b"publish", b"publisk"))
    other = CollectorRegistry()
    other.register(Surveys(Workspace(tmp_path)))
    assert other.get_sample_value("workspace_readable") == 0
    assert other.get_sample_value("user_satisfaction_ratio", labels) is None
