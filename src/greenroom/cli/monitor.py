"""Commands that look at a show's motion statistically: `monitor charts`."""

from __future__ import annotations

from pathlib import Path

import click

from greenroom.cli.context import Context, Heavy, answer, as_json


@click.group("monitor")
def monitor_group() -> None:
    """Look at a show's statistics."""


@monitor_group.command("charts", cls=Heavy)
@click.argument("show")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw the charts into one HTML file.",
)
@as_json
@click.pass_obj
def charts_command(context: Context, show: str, report: Path | None, as_json: bool) -> None:
    """Chart mean and variance of each joint's angle.

    Limits are 3σ, for independent ticks and for autocorrelated ones. They are for looking; the charts
    that raise alerts in a show are others.
    """
    from greenroom.services.control_charts import control_charts
    from greenroom.store.objects import write_durably

    charts = control_charts(context.workspace, context.workspace.resolve(show, "show"))
    if report is not None:
        write_durably(report, charts.report().encode())
    rows = charts.rows()
    lines = [
        "out of 3σ limits, share of seconds: ticks taken for independent, and corrected",
        f"{'joint':16}{'mean °':>8}{'σ °':>7}{'indep.':>8}"
        f"{'mean':>8}{'corr.':>7}{'var.':>8}{'corr.':>7}",
    ]
    lines += [
        f"{row['joint']:16}{row['mean_deg']:8.1f}{row['sd_deg']:7.1f}{row['independent_ticks']:8.1f}"
        f"{row['mean_out']:8.0%}{row['mean_out_corrected']:7.0%}"
        f"{row['variance_out']:8.0%}{row['variance_out_corrected']:7.0%}"
        for row in rows
    ]
    lines.append(f"wrote {report}" if report else "to look at them: --report FILE.html")
    result = {"show": charts.show, "actor": charts.actor, "release": charts.release, "joints": rows}
    answer(as_json, result, "\n".join(lines))
