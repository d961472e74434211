import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.consent.gate import initial_weights_refusal, refusal_reason, require_rights
from greenroom.consent.records import PURPOSES
from greenroom.errors import Refused

START, EXPIRY = datetime.date(2026, 3, 1), datetime.date(2026, 9, 30)


def take(**changes: Any) -> dict[str, Any]:
    rights = {
        "participant": "ada",
        "purposes": ["perform", "train"],
        "start": START.isoformat(),
        "expiry": EXPIRY.isoformat(),
        "document_sha256": "0" * 64,
    }
    return {"participant": "ada", "rights": rights, **changes}


@pytest.mark.parametrize("day", [START, EXPIRY, datetime.date(2026, 6, 1)])
def test_within_the_consent_it_passes_first_and_last_day_included(day: datetime.date) -> None:
    assert refusal_reason(take(), "train", day) == ""
    require_rights(take(), "0" * 64, "train", day)


@pytest.mark.parametrize(
    "changes", [{"rights": None}, {"rights": {}}, {"participant": ""}, {"participant": None}]
)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_nobody_vouched_for_is_quarantined(changes: dict[str, Any], purpose: str) -> None:
    assert "quarantined" in refusal_reason(take(**changes), purpose, START)


def test_a_take_without_the_fields_is_quarantined() -> None:
    assert "quarantined" in refusal_reason({}, "train", START)


@pytest.mark.parametrize("purpose", ["export", "publish", "", "Train"])
def test_another_purpose_is_refused(purpose: str) -> None:
    assert "do not cover" in refusal_reason(take(), purpose, START)


@given(st.dates())
def test_only_days_within_pass(day: datetime.date) -> None:
    reason = refusal_reason(take(), "train", day)
    assert (reason == "") == (START <= day <= EXPIRY)
    assert ("starts on" in reason) == (day < START)
    assert ("expired on" in reason) == (day > EXPIRY)


@given(st.dates())
def test_a_licence_does_not_expire(day: datetime.date) -> None:
    rights = {"licence": "MIT", "participant": "ada", "purposes": ["train"]}
    assert refusal_reason(take(rights=rights), "train", day) == ""


def test_require_names_the_take_and_the_reason() -> None:
    with pytest.raises(Refused, match=r"take abcdefabcdef may not be used: the consent of ada"):
        require_rights(take(), "abcdef" * 10 + "abcd", "train", EXPIRY + datetime.timedelta(days=1))


def test_what_was_learned_of_somebody_is_a_start_for_as_long_as_they_allow() -> None:
    ada = take()["rights"]
    ben = {**ada, "participant": "ben", "purposes": ["perform"]}
    assert initial_weights_refusal({"rights": [ada]}, EXPIRY) == ""
    late = initial_weights_refusal({"rights": [ada]}, EXPIRY + datetime.timedelta(1))
    assert "learned from ada" in late and "expired" in late
    assert "learned from ben" in initial_weights_refusal({"rights": [ada, ben]}, START)
    assert (
        initial_weights_refusal({"rights": [{"participant": "cmu", "purposes": ["train"]}]}, START)
        == ""
    )
