from pathlib import Path

import pytest

from greenroom.errors import BadInput
from greenroom.manifests import Survey, SurveyParents
from greenroom.monitoring.satisfaction import (
    Answer,
    by_release,
    keep_survey,
    read_survey,
    satisfaction,
    stored_surveys,
)
from greenroom.store.workspace import Workspace
from tests import examples
from tests.examples import published_release

CSV = "respondent,score\nAda,5\nBob,3\nCy,4\n"


def stage(workspace: Workspace, seed: int = 1) -> tuple[str, str]:
    """A release and a show that it performed, as small as they may be."""
    release = published_release(workspace, str(seed))
    return release, workspace.publish(examples.show(release), by="me")


@pytest.mark.parametrize(
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    ("satisfied", "of", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval(satisfied: int, of: int, low: float, high: float) -> None:
    said = satisfaction([4] * satisfied + [3] * (of - satisfied))
    assert (said.ratio, said.low, said.high) == (round(satisfied / of, 4), low, high)
    assert said.respondents == of


def test_a_survey_is_read_with_commas_semicolons_and_other_columns() -> None:
    plain = read_survey(CSV.encode(), "s.csv")
    assert plain == [Answer("Ada", 5), Answer("Bob", 3), Answer("Cy", 4)]
    other = "\ufeffScore;Age;Respondent;Show\r\n5;31;Ada;abc123\r\n"
    assert read_survey(other.encode(), "s.csv") == [Answer("Ada", 5, "abc123")]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no column respondent, score; give respondent,score"),
        (b"respondent,score\n", "there is no answer in it"),
        (b"respondent,score\nAda,6\n", "s.csv, line 2: '6' is no score: 1, 2, 3, 4 or 5"),
        (b"respondent,score\nAda,4.5\n", "no score"),
        (b"respondent,score\nAda,\n", "line 2: score is empty"),
        (b"respondent,score\nAda,4\nAda,4\n", "line 3: Ada answered before"),
        (b"\xff", "not UTF-8"),
        (b"respondent,score\n\x00", "line 2"),
    ],
)
def test_what_is_no_answer_is_refused_with_its_line(data: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        read_survey(data, "s.csv")


def test_a_survey_is_kept_by_show_and_release_without_names(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    release, show = stage(workspace)
    (kept,) = keep_survey(workspace, read_survey(CSV.encode(), "s"), "me", show[:8])
    assert (kept.actor, kept.release, kept.show) == ("mira", release, show)
    manifest = workspace.objects.read(kept.name, Survey)
    assert manifest.scores == [5, 3, 4]
    assert manifest.parents == SurveyParents(release=release, show=show)
    assert b"Ada" not in workspace.objects.get(kept.name)
    assert keep_survey(workspace, read_survey(CSV.encode(), "s"), "me", show) == [kept]
    assert stored_surveys(workspace) == [kept]


def test_a_fuller_survey_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    release, show = stage(workspace)
    _, other = stage(workspace, 2)
    keep_survey(workspace, [Answer("a", 1)], "me", show)
    keep_survey(workspace, [Answer("a", 1), Answer("b", 5), Answer("c", 5, show=other)], "me", show)
    keep_survey(workspace, [Answer("d", 2, release=release)], "me", show)
    found = stored_surveys(workspace)
    assert [(s.show, s.scores) for s in found] == [(show, (1, 5)), (other, (5,)), ("", (2,))]
    assert by_release(found)[release] == satisfaction([1, 5, 2])


def test_nothing_is_kept_where_one_answer_is_about_nothing_known(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    _, show = stage(workspace)
    other, _ = stage(workspace, 2)
    before = workspace.log.head()
    good = Answer("a", 5, show=show)
    for bad, why in (
        (Answer("b", 5), "which show is this about"),
        (Answer("b", 5, show="ffffff"), "there is no show 'ffffff'"),
        (Answer("b", 5, show=show, release=other), "was performed by release"),
        (Answer("a", 4, show=show[:8]), "a answered twice about the same show"),
    ):
        with pytest.raises(BadInput, match=why):
            keep_survey(workspace, [good, bad], "me")
    assert workspace.log.head() == before
