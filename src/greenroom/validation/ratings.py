"""Read a study's ratings, say what they come to, and keep them beside a validation."""

from __future__ import annotations

import math
from typing import Any

from greenroom.errors import BadInput
from greenroom.manifests import Study, StudyParents, Validation
from greenroom.metrics.study import (
    HIGHEST,
    LEVELS,
    LOWEST,
    Rating,
    agreement,
    difference,
    opinions,
)
from greenroom.metrics.survey_rows import read_answers
from greenroom.render.html import format_number, render_html
from greenroom.store.workspace import Workspace

COLUMNS = ("clip", "rater", "condition", "rating")
TRUTH = "truth"
"""The condition that others are compared with, where there is one of this name."""


def read_ratings(data: bytes, where: str) -> list[Rating]:
    """Return the ratings of a CSV file with a column each of `COLUMNS`; others are passed over.

    Args:
        data: UTF-8, with commas or semicolons.
        where: the file's name, for messages.

    Raises:
        BadInput: a column is missing, or a line is no rating or the second of its kind.
    """
    out: list[Rating] = []
    keys: set[tuple[str, str, str]] = set()
    for location, row in read_answers(data, where, COLUMNS):
        rating = _rating(row, location)
        key = (rating.clip, rating.rater, rating.condition)
        if key in keys:
            raise BadInput(
                f"{rating.rater} rated {rating.clip} as {rating.condition} before", where=location
            )
        keys.add(key)
        out.append(rating)
    if not out:
        raise BadInput("there is no rating in it", where=where)
    return out


def _rating(row: dict[str, str], location: str) -> Rating:
    try:
        value = float(row["rating"])
    except ValueError:
        value = math.nan
    if not LOWEST <= value <= HIGHEST:
        raise BadInput(f"'{row['rating']}' is no rating from 1 to 5", where=location)
    return Rating(row["clip"], row["rater"], row["condition"], value)


def summary(ratings: list[Rating]) -> dict[str, Any]:
    """Return what a study comes to, as JSON: opinions, differences to the truth, agreement.

    {"conditions": {name: {"mos", "ci", "ratings", "raters", "to_truth": {"mean", "ci"}}}, "agreement":
    {"ordinal", "interval"}, "clips", "raters"}. What cannot be said, such as the interval of one
    rater, is null.
    """
    conditions: dict[str, Any] = {}
    opinions_by_condition = opinions(ratings)
    for name, opinion in opinions_by_condition.items():
        conditions[name] = {
            "mos": _rounded(opinion.mean),
            "ci": [_rounded(opinion.low), _rounded(opinion.high)],
            "ratings": opinion.ratings,
            "raters": opinion.raters,
        }
        if TRUTH in opinions_by_condition and name != TRUTH:
            mean, low, high = difference(ratings, name, TRUTH)
            conditions[name]["to_truth"] = {
                "mean": _rounded(mean),
                "ci": [_rounded(low), _rounded(high)],
            }
    return {
        "conditions": conditions,
        "agreement": {level: _rounded(agreement(ratings, level)) for level in LEVELS},
        "clips": len({r.clip for r in ratings}),
        "raters": len({r.rater for r in ratings}),
    }


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def keep_study(workspace: Workspace, validation: str, ratings: list[Rating], by: str) -> str:
    """Keep a study beside a validation; return its hash.

    Raters become numbers, in the order of their names: who they are is not kept.

    Args:
        workspace: where.
        validation: hash of how the model was judged by figures.
        ratings: of people.
        by: who brings them.
    """
    manifest = workspace.objects.read(validation, Validation)
    numbers: dict[str, int] = {}
    for rater in sorted({r.rater for r in ratings}):
        numbers[rater] = len(numbers) + 1
    study = Study(
        actor=manifest.actor,
        ratings=sorted((r.clip, numbers[r.rater], r.condition, r.value) for r in ratings),
        summary=summary(ratings),
        parents=StudyParents(validation=validation, model=manifest.parents.model),
    )
    return workspace.publish(study, by=by)


def lines_of(study: dict[str, Any]) -> list[str]:
    """Return a summary as people read it in a terminal."""
    lines = [f"{'':24}{'opinion':>9}   95 % interval     ratings  raters"]
    for name, row in study["conditions"].items():
        low, high = (format_number(end) for end in row["ci"])
        between = f"{low:>8} … {high:<8}"
        lines.append(
            f"{name[:24]:24}{format_number(row['mos']):>9}   {between}"
            f"{row['ratings']:8}{row['raters']:8}"
        )
    agree = study["agreement"]
    lines.append(
        f"{study['raters']} raters on {study['clips']} clips; agreement (Krippendorff's α) "
        f"ordinal {format_number(agree['ordinal'])}, interval {format_number(agree['interval'])}"
    )
    return lines


def ratings_section(study: dict[str, Any]) -> str:
    """Return a summary as a part of the validation's page."""
    return render_html("ratings.html", study=study)
