import json
from pathlib import Path
from typing import Any

import pytest

from greenroom.consent.records import PUBLISHED, PURPOSES, read_rights
from greenroom.errors import BadInput
from greenroom.manifests import to_json

RECORD = {
    "participant": "ada",
    "purposes": ["train", "perform"],
    "start": "2026-03-01",
    "expiry": "2026-09-30",
    "document_sha256": "0f" * 32,
}


def written(folder: Path, record: Any) -> str:
    path = folder / "rights.json"
    path.write_text(json.dumps(record))
    return str(path)


def test_a_record_is_read_with_its_purposes_in_order(tmp_path: Path) -> None:
    record = read_rights(written(tmp_path, RECORD), "ada")
    assert to_json(record) == {**RECORD, "purposes": ["perform", "train"]}


@pytest.mark.parametrize("name", [name for name, _ in PUBLISHED.values()])
def test_a_licence_is_known_in_any_case(name: str) -> None:
    record = read_rights(name.upper(), "ada")
    assert record == read_rights(name.lower(), "ada")
    assert record.licence == name and record.participant == "ada"
    assert record.purposes and set(record.purposes) <= set(PURPOSES)


@pytest.mark.parametrize("name", ["CC-BY-NC-4.0", "CC-BY-NC-ND-4.0", "CC-BY-SA-4.0", "CMU"])
def test_what_may_not_be_sold_on_may_not_be_published(name: str) -> None:
    assert "publish" not in read_rights(name, "ada").purposes


def test_no_derivatives_means_no_training() -> None:
    assert read_rights("CC-BY-NC-ND-4.0", "ada").purposes == ["perform"]


def test_an_unknown_licence_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="neither a file nor a known licence.*CC0-1.0"):
        read_rights("WTFPL", "ada")
    with pytest.raises(BadInput, match="neither a file"):
        read_rights(str(tmp_path), "ada")


@pytest.mark.parametrize("missing", sorted(RECORD))
def test_every_field_is_needed(tmp_path: Path, missing: str) -> None:
    record = {key: value for key, value in RECORD.items() if key != missing}
    with pytest.raises(BadInput, match="exactly"):
        read_rights(written(tmp_path, record), "ada")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("participant", "bob", "of 'bob', not of 'ada'"),
        ("purposes", [], "purposes are"),
        ("purposes", "train", "purposes are"),
        ("purposes", ["train", "sell"], "purposes are"),
        ("purposes", ["train", ["perform"]], "purposes are"),
        ("purposes", [1], "purposes are"),
        ("purposes", None, "purposes are"),
        ("start", "1 March 2026", "dates like"),
        ("start", None, "dates like"),
        ("expiry", "2026-02-30", "dates like"),
        ("expiry", 20260930, "dates like"),
        ("expiry", "2026-02-28", "expires before"),
        ("document_sha256", "", "64 hexadecimal"),
        ("document_sha256", "0F" * 32, "64 hexadecimal"),
        ("document_sha256", None, "64 hexadecimal"),
        ("note", "anything more", "exactly"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, field: str, value: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_rights(written(tmp_path, {**RECORD, field: value}), "ada")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[1]", b'"text"', b"null"])
def test_a_file_that_is_no_record_is_bad_input(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rights.json"
    path.write_bytes(data)
    with pytest.raises(BadInput, match="rights.json"):
        read_rights(str(path), "ada")


def test_one_day_is_a_consent(tmp_path: Path) -> None:
    record = {**RECORD, "expiry": RECORD["start"]}
    assert read_rights(written(tmp_path, record), "ada").expiry == RECORD["start"]
