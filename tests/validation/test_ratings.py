"""Ratings as files bring them, and what becomes of them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from greenroom import embedded
from greenroom.cli import main
from greenroom.errors import BadInput
from greenroom.manifests import Study, to_json
from greenroom.store.workspace import Workspace
from greenroom.validation.ratings import (
    keep_study,
    lines_of,
    ratings_section,
    read_ratings,
    summary,
)

CSV = """clip,rater,condition,rating
a,Ada,truth,5
a,Ada,model,3
a,Bob,truth,4
a,Bob,model,2
b,Ada,truth,5
b,Ada,model,4
b,Bob,truth,4
"""


def test_ratings_are_read_with_commas_semicolons_and_other_columns() -> None:
    rows = read_ratings(CSV.encode(), "r.csv")
    assert len(rows) == 7 and rows[1].value == 3 and rows[1].condition == "model"
    other = CSV.replace(",", "; ").replace("clip", "Clip").replace("\n", ";x\r\n")
    assert read_ratings(b"\xef\xbb\xbf" + other.encode(), "r.csv") == rows


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no column clip, rater, condition, rating; give clip,rater,condition,rating"),
        (b"clip,rater,rating\n", "no column condition"),
        (b"clip,rater,condition,rating\n", "there is no rating in it"),
        (CSV.encode() + b"b,Bob,model,6\n", "line 9: '6' is no rating from 1 to 5"),
        (CSV.encode() + b"b,Bob,model,nan\n", "line 9: 'nan' is no rating"),
        (CSV.encode() + b"b,Bob,model\n", "line 9: rating is empty"),
        (CSV.encode() + b"a,Bob,model,3\n", "line 9: Bob rated a as model before"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_what_is_no_rating_is_refused_with_its_line(data: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        read_ratings(data, "r.csv")


def test_a_study_is_told_in_json_words_and_on_the_page() -> None:
    told = summary(read_ratings(CSV.encode(), "r.csv"))
    assert told["conditions"]["truth"]["mos"] == 4.5
    assert told["conditions"]["model"]["mos"] == 3
    assert told["conditions"]["model"]["to_truth"]["mean"] == -1.5
    assert "to_truth" not in told["conditions"]["truth"]
    assert (told["clips"], told["raters"]) == (2, 2)
    text = "\n".join(lines_of(told))
    assert "4.500" in text and "2 raters on 2 clips" in text
    page = ratings_section(told)
    assert "What people said" in page and "-1.500" in page
    one = summary(read_ratings(CSV.encode()[: CSV.index("a,Bob")], "r.csv"))
    assert one["conditions"]["model"]["ci"] == [None, None] and "–" in ratings_section(one)
    assert json.loads(json.dumps(one)) == one


def test_the_command_prints_a_study(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(CSV)
    done = CliRunner().invoke(main, ["--home", str(tmp_path / "h"), "ratings", str(path), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["conditions"]["truth"]["mos"] == 4.5
    done = CliRunner().invoke(main, ["--home", str(tmp_path / "h"), "ratings", str(path)])
    assert "truth" in done.stdout and "Krippendorff" in done.stdout
    path.write_text("clip\n")
    done = CliRunner().invoke(main, ["--home", str(tmp_path / "h"), "ratings", str(path)])
    assert done.exit_code == 2 and "r.csv: there is no column" in done.stderr


def test_a_study_is_kept_beside_a_validation_without_names(
    tmp_path: Path, published: list[object]
) -> None:
    workspace = Workspace(tmp_path / "home")
    release = embedded.install(workspace)
    embedded.ingest_clips(workspace, "test")
    model = workspace.objects.read_any(release).parents.model
    ratings, page = tmp_path / "r.csv", tmp_path / "report.html"
    ratings.write_text(CSV)
    args = ["--home", str(workspace.home), "validate", model, "--task", "infill", "--json"]
    args += ["--ratings", str(ratings), "--report", str(page)]
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["study"]["conditions"]["model"]["mos"] == 3 and "infill" in said
    assert "What people said" in page.read_text()
    (row,) = workspace.catalog.find("study")
    study = to_json(workspace.objects.read(row.object, Study))
    (validation,) = workspace.catalog.find("validation")
    assert study["parents"]["validation"] == validation.object
    assert "Ada" not in json.dumps(study) and list(study["ratings"][0]) == ["a", 1, "model", 3.0]
    again = keep_study(workspace, validation.object, read_ratings(CSV.encode(), "r"), "me")
    assert again == row.object and workspace.fsck().bad == []
