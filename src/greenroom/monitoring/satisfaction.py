"""Keep what people said after a show, so that satisfaction can be asked per show and per release.

An answer is 1 (very unsatisfied) to 5 (very satisfied). The figure is the share of answers of 4 and 5
("top two boxes", the usual customer satisfaction score) with Wilson's 95 % interval, which holds for few
answers and near 0 and 1 (Wilson 1927, "Probable inference, the law of succession, and statistical
inference"; Brown, Cai and DasGupta 2001, "Interval estimation for a binomial proportion", advise it).
Who answered becomes a number; a person's name is not kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from greenroom.errors import BadInput
from greenroom.manifests import ReleaseManifest, Show, Survey, SurveyParents, kind_of
from greenroom.metrics.survey_rows import read_answers
from greenroom.store.workspace import Workspace

COLUMNS = ("respondent", "score")
OPTIONAL = ("show", "release")
SATISFIED = 4
"""The lowest score that counts as satisfied."""


@dataclass(frozen=True)
class Answer:
    """One line of a survey.

    Attributes:
        respondent: who, as the survey calls them.
        score: 1 to 5.
        show: which show, as given; "" where the survey does not say.
        release: which release, likewise.
    """

    respondent: str
    score: int
    show: str = ""
    release: str = ""


@dataclass(frozen=True)
class Satisfaction:
    """How satisfied people were.

    Attributes:
        ratio: share of satisfied answers, 0 to 1.
        low: lower end of the 95 % interval.
        high: its upper end.
        respondents: how many answered.
    """

    ratio: float
    low: float
    high: float
    respondents: int


@dataclass(frozen=True)
class SurveyResult:
    """A survey as it is kept.

    Attributes:
        name: its hash.
        actor: who performed.
        release: hash of the release that performed.
        show: hash of the show; "" where the survey is about a release alone.
        scores: of each respondent.
        satisfaction: what they come to.
    """

    name: str
    actor: str
    release: str
    show: str
    scores: tuple[int, ...]
    satisfaction: Satisfaction


def satisfaction(scores: Sequence[int], level: float = 0.95) -> Satisfaction:
    """Return the share of satisfied answers with Wilson's interval.

    Args:
        scores: 1 to 5, one a respondent.
        level: of the interval.

    Raises:
        BadInput: there is none.

    >>> satisfaction([5, 4, 4, 2, 5, 5, 3, 4, 4, 5])
    Satisfaction(ratio=0.8, low=0.4902, high=0.9433, respondents=10)
    """
    n = len(scores)
    if n == 0:
        raise BadInput("a survey has one answer at least")
    p = sum(score >= SATISFIED for score in scores) / n
    z = NormalDist().inv_cdf(0.5 + level / 2)
    below = 1 + z * z / n
    middle = (p + z * z / (2 * n)) / below
    half = z / below * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Satisfaction(round(p, 4), round(low, 4), round(high, 4), n)


def read_survey(data: bytes, where: str) -> list[Answer]:
    """Return the answers of a CSV file: columns `COLUMNS`, and `OPTIONAL` ones.

    Args:
        data: UTF-8 with a header, commas or semicolons.
        where: the file's name, for messages.

    Raises:
        BadInput: a column is missing, a line is no answer, or the second of one person on one show.
    """
    out: list[Answer] = []
    keys: set[tuple[str, str, str]] = set()
    for location, row in read_answers(data, where, COLUMNS, OPTIONAL):
        if row["score"] not in ("1", "2", "3", "4", "5"):
            raise BadInput(f"'{row['score']}' is no score: 1, 2, 3, 4 or 5", where=location)
        answer = Answer(row["respondent"], int(row["score"]), row["show"], row["release"])
        key = (answer.respondent, answer.show, answer.release)
        if key in keys:
            raise BadInput(f"{answer.respondent} answered before", where=location)
        keys.add(key)
        out.append(answer)
    if not out:
        raise BadInput("there is no answer in it", where=where)
    return out


def keep_survey(
    workspace: Workspace, answers: Sequence[Answer], by: str, show: str = ""
) -> list[SurveyResult]:
    """Keep a survey: an object a show, or a release where no show is named; return them.

    Everything is looked up before anything is kept.

    Args:
        workspace: where.
        answers: of the survey.
        by: who brings it.
        show: the show that answers are about which name neither show nor release.

    Raises:
        BadInput: an answer is about no known show or release, two of one person are about the same, or a
            show was another release's.
    """
    about: dict[tuple[str, str, str], dict[str, int]] = {}
    resolved: dict[tuple[str, str], tuple[str, str, str]] = {}
    for answer in answers:
        key = (answer.show, answer.release)
        if key not in resolved:
            resolved[key] = _resolve_answer(
                workspace, answer.show or ("" if answer.release else show), key[1]
            )
        scores = about.setdefault(resolved[key], {})
        if answer.respondent in scores:
            raise BadInput(f"{answer.respondent} answered twice about the same show")
        scores[answer.respondent] = answer.score
    return [_publish_survey(workspace, place, scores, by) for place, scores in about.items()]


def _resolve_answer(workspace: Workspace, show: str, release: str) -> tuple[str, str, str]:
    """Return actor, release and show of an answer, by hash."""
    if not show and not release:
        raise BadInput("which show is this about?", then="give --show SHOW, or a column show")
    release_name = workspace.resolve(release, "release") if release else ""
    if not show:
        return workspace.objects.read(release_name, ReleaseManifest).actor, release_name, ""
    name = workspace.resolve(show, "show")
    manifest = workspace.objects.read(name, Show)
    performed = manifest.parents.releases
    if release_name not in ("", *performed):
        release_list = ", ".join(release[:12] for release in performed)
        raise BadInput(
            f"show {name[:12]} was performed by release {release_list}, not {release_name[:12]}"
        )
    return manifest.actor, release_name or performed[0], name


def _publish_survey(
    workspace: Workspace, subject: tuple[str, str, str], scores: dict[str, int], by: str
) -> SurveyResult:
    actor, release, show = subject
    ordered_scores = [scores[respondent] for respondent in sorted(scores)]
    parents = SurveyParents(release=release, show=show)
    name = workspace.publish(Survey(actor=actor, scores=ordered_scores, parents=parents), by=by)
    return SurveyResult(
        name,
        actor,
        release=release,
        show=show,
        scores=tuple(ordered_scores),
        satisfaction=satisfaction(ordered_scores),
    )


def stored_surveys(workspace: Workspace) -> list[SurveyResult]:
    """Return the surveys that stand, oldest first: of one show, or one release alone, the newest.

    So a corrected or a fuller survey takes the place of the one before, and nobody counts twice.
    """
    newest: dict[tuple[str, str], SurveyResult] = {}
    for row in workspace.catalog.find(kind_of(Survey)):
        manifest = workspace.objects.read(row.object, Survey)
        parents, scores = manifest.parents, tuple(manifest.scores)
        release, show = parents.release, parents.show
        newest.pop((release, show), None)
        newest[release, show] = SurveyResult(
            row.object,
            manifest.actor,
            release=release,
            show=show,
            scores=scores,
            satisfaction=satisfaction(scores),
        )
    return list(newest.values())


def by_release(surveys: Iterable[SurveyResult]) -> dict[str, Satisfaction]:
    """Return release → how satisfied people were over all its shows, each answer counted alike."""
    scores: dict[str, list[int]] = {}
    for survey in surveys:
        scores.setdefault(survey.release, []).extend(survey.scores)
    return {release: satisfaction(values) for release, values in scores.items()}
