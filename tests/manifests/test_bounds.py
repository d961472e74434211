"""What a manifest may not hold: no-days, hashes with more behind them, values out of bounds."""

from typing import Any

import msgspec
import pytest

from greenroom.errors import BadInput
from greenroom.manifests import (
    Annotation,
    AnnotationLabel,
    AnnotationParents,
    AutoApproval,
    Gate,
    Rights,
    from_json,
    to_json,
)
from tests import examples

HASH = "ab" * 32


@pytest.mark.parametrize(
    ("day", "valid"),
    [
        ("2026-12-31", True),
        ("2028-02-29", True),
        ("2000-02-29", True),
        ("", True),
        ("2026-02-29", False),
        ("1900-02-29", False),
        ("2026-04-31", False),
        ("2026-99-99", False),
        ("2026-00-10", False),
        ("0000-01-01", False),
        ("2026-12-31\n", False),
        ("\n", False),
        ("20261231", False),
        ("٢٠٢٦-12-31", False),
    ],
)
def test_a_day_is_one_of_the_calendar(day: str, valid: bool) -> None:
    rights = {"participant": "p", "purposes": ["train"], "start": day}
    if valid:
        assert msgspec.convert(rights, Rights).start == day
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(rights, Rights)


@pytest.mark.parametrize("name", [HASH + "\n", HASH.upper(), HASH[1:], "\n" + HASH])
def test_a_hash_is_64_digits_and_nothing_else(name: str) -> None:
    annotation = Annotation(tiers={}, parents=AnnotationParents(take=HASH))
    fields = to_json(annotation)
    assert from_json(fields) == annotation
    with pytest.raises(BadInput, match="parents.take"):
        from_json({**fields, "parents": {"take": name}})


def test_a_span_ends_after_it_begins() -> None:
    with pytest.raises(ValueError, match="before it begins"):
        AnnotationLabel(value="x", span=(6, 5))


@pytest.mark.parametrize(
    "changes",
    [
        {"splits": {"train": [HASH], "test": [HASH]}},
        {"splits": {"train": [HASH, HASH]}},
        {"splits": {"dev": [HASH]}},
        {"weights": {HASH: -1.0}},
        {"weights": {"a name": 1.0}},
        {"features.tick_hz": 0},
        {"features.mel_bands": -1},
    ],
)
def test_a_dataset_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    fields = to_json(examples.dataset([]))
    assert from_json(fields)
    for path, value in changes.items():
        part, _, name = path.rpartition(".")
        (fields[part] if part else fields)[name] = value
    with pytest.raises(BadInput, match="no valid dataset"):
        from_json(fields)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Gate, {"metric": "a.b", "against": "nobody", "margin": 0.0, "level": 0.95}),
        (Gate, {"metric": "a.b", "against": "champion", "margin": 0.0, "level": 1.5}),
        (AutoApproval, {"until": "2026-12-31", "per_day": 1, "kinds": ["anything"]}),
        (AutoApproval, {"until": "2026-02-30", "per_day": 1, "kinds": ["retrain"]}),
    ],
)
def test_a_value_outside_its_set_is_refused(kind: type[Any], fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, kind)
