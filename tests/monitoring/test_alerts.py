from pathlib import Path

import pytest

from greenroom.contracts import Alert
from greenroom.errors import BadInput
from greenroom.monitoring.alerts import AlertOrigin, list_alerts, record_alert
from greenroom.store.log import Log

STYLE = Alert("style", "new style", ("left arm",), 2.5, 900, 870, 840, 880, (0, 1))


def test_an_alert_is_entered_once_and_read_back_whole(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    first = record_alert(
        log, STYLE, AlertOrigin("mira", key="run:900:style", source="chart", release="ab"), by="me"
    )
    again = record_alert(
        log, STYLE, AlertOrigin("mira", key="run:900:style", source="chart", release="ab"), by="me"
    )
    assert first == again and log.head()[0] == 1
    record_alert(
        log, STYLE, AlertOrigin("mira", key="run:900:style", source="alertmanager"), by="me"
    )
    record_alert(log, STYLE, AlertOrigin("nova", key="other", source="chart"), by="me")
    found = list_alerts(Log(tmp_path / "log"), "mira")
    assert [known.source for known in found] == ["chart", "alertmanager"]
    assert found[0] == first and found[0].alert == STYLE


def test_a_whole_number_of_a_size_is_read_as_it_was_written(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    alert = Alert("held", "capture fault", (), 1.0, 10, 0, 0, 5)
    record_alert(log, alert, AlertOrigin("mira", key="k", source="chart"), by="me")
    (found,) = list_alerts(Log(tmp_path / "log"))
    assert found.alert == alert and type(found.alert.size) is float


def test_a_cause_is_one_of_those_that_there_are(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    with pytest.raises(BadInput, match="cause is not 'weather'"):
        record_alert(
            log,
            Alert("x", "weather", (), 1, 1, 1, 1, 1),
            AlertOrigin("mira", key="k", source="chart"),
            by="m",
        )
    assert log.head()[0] == 0
