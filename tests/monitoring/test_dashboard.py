import json
from pathlib import Path

from greenroom.monitoring.dashboard import ROWS, dashboard, queries

KEPT = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboard.json"


def test_the_dashboard_that_is_kept_is_what_the_code_builds() -> None:
    built = dashboard()
    assert built == KEPT.read_text(), "python -m greenroom.monitoring.dashboard > " + str(KEPT)
    panels = [panel for panel in json.loads(built)["panels"] if panel["type"] != "row"]
    assert len(panels) == sum(len(row) for _, row in ROWS)
    assert [t["expr"] for panel in panels for t in panel["targets"]] == list(queries())
    assert all(panel["datasource"]["uid"] == "${source}" for panel in panels)
    width = {panel["gridPos"]["y"]: 0 for panel in panels}
    for panel in panels:
        width[panel["gridPos"]["y"]] += panel["gridPos"]["w"]
    assert set(width.values()) == {24}
