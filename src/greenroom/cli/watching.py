"""Commands on what was seen of shows: `alerts`, `satisfaction`."""

from __future__ import annotations

import datetime
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from greenroom.cli.context import ActorName, Context, answer, as_json, short
from greenroom.contracts import CAUSES
from greenroom.monitoring.alerts import LoggedAlert, alert_json, list_alerts
from greenroom.monitoring.satisfaction import (
    Satisfaction,
    SurveyResult,
    by_release,
    keep_survey,
    read_survey,
    stored_surveys,
)


@click.command("alerts")
@click.argument("actor", type=ActorName(), required=False)
@click.option("--cause", type=click.Choice(CAUSES), help="Only those of one likely cause.")
@as_json
@click.pass_obj
def alerts_command(context: Context, actor: str | None, cause: str | None, as_json: bool) -> None:
    """List the alerts of shows.

    Oldest first: what, where, how much, since when, and why.
    """
    records = list_alerts(context.workspace.log, actor, cause)
    head = f"{'when (UTC)':19} {'actor':10} {'signal':16} {'size':>8} {'since tick':>10}"
    why = "  cause, where, source"
    lines = [head + why, *map(_line, records)] if records else ["no alerts"]
    answer(as_json, {"alerts": [alert_json(record) for record in records]}, "\n".join(lines))


def _line(record: LoggedAlert) -> str:
    timestamp = datetime.datetime.fromtimestamp(record.entry.at_ns / 1e9, datetime.UTC)
    alert = record.alert
    why = ", ".join((alert.cause, *alert.where, record.source))
    return (
        f"{timestamp:%Y-%m-%d %H:%M:%S} {record.actor:10} {alert.signal:16} {alert.size:8.3f}"
        f" {alert.began:10,}  {why}"
    )


@click.command("satisfaction")
@click.argument("csv", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--show", default="", help="The show that the survey is about.")
@as_json
@click.pass_obj
def satisfaction_command(context: Context, csv: Path | None, show: str, as_json: bool) -> None:
    """Keep a survey of an audience.

    Without one, print how satisfied people were, by show and by release.
    """
    workspace = context.workspace
    if csv is None:
        about = workspace.resolve(show, "show") if show else ""
        surveys = [survey for survey in stored_surveys(workspace) if about in ("", survey.show)]
    else:
        surveys = keep_survey(
            workspace, read_survey(csv.read_bytes(), str(csv)), context.user, show
        )
    releases = by_release(surveys)
    result = {
        "surveys": [_survey(survey) for survey in surveys],
        "releases": [{"release": name, **asdict(rate)} for name, rate in releases.items()],
    }
    lines = [f"show {short(s.show)}  {_satisfaction_text(s.satisfaction)}" for s in surveys]
    lines += [
        f"release {short(name)}  {_satisfaction_text(rate)}" for name, rate in releases.items()
    ]
    answer(as_json, result, "\n".join(lines) or "no surveys yet")


def _survey(survey: SurveyResult) -> dict[str, Any]:
    about = {"satisfaction": survey.name, "actor": survey.actor, "release": survey.release}
    return {**about, "show": survey.show or None, **asdict(survey.satisfaction)}


def _satisfaction_text(rate: Satisfaction) -> str:
    return (
        f"{rate.ratio:.0%} satisfied, 95 % interval {rate.low:.0%} to {rate.high:.0%},"
        f" {rate.respondents} answered"
    )


COMMANDS = (alerts_command, satisfaction_command)
