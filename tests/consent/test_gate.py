import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.consent.gate import (
    initial_weights_refusal,
    merge_rights,
    refusal_reason,
    require_rights,
    rights_refusal,
)
from greenroom.consent.records import PURPOSES
from greenroom.errors import Refused
from greenroom.manifests import Rights
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests import examples

START, EXPIRY = datetime.date(2026, 3, 1), datetime.date(2026, 9, 30)
TAKE = "abcdef" * 10 + "abcd"


def consent(participant: str = "ada", *purposes: str) -> Rights:
    return Rights(
        participant=participant,
        purposes=list(purposes or ("perform", "train")),
        start=START.isoformat(),
        expiry=EXPIRY.isoformat(),
        document_sha256="0" * 64,
    )


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def ingest(home: Workspace, *rights: Rights, people: tuple[str, ...] = ("ada",)) -> None:
    home.attributions.ingest(TAKE, Attribution("mira", people, rights), "test")


@pytest.mark.parametrize("day", [START, EXPIRY, datetime.date(2026, 6, 1)])
def test_within_the_consent_it_passes_first_and_last_day_included(
    home: Workspace, day: datetime.date
) -> None:
    ingest(home, consent())
    assert refusal_reason(home, TAKE, "train", day) == ""
    require_rights(home, TAKE, "train", day)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_nobody_vouched_for_is_quarantined(home: Workspace, purpose: str) -> None:
    assert "quarantined" in refusal_reason(home, TAKE, purpose, START)
    ingest(home)
    assert "quarantined" in refusal_reason(home, TAKE, purpose, START)
    ingest(home, consent(), people=())
    assert "quarantined" in refusal_reason(home, TAKE, purpose, START)


@pytest.mark.parametrize("purpose", ["export", "publish", "", "Train"])
def test_another_purpose_is_refused(purpose: str) -> None:
    assert "do not cover" in rights_refusal(consent(), purpose, START)


@given(st.dates())
def test_only_days_within_pass(day: datetime.date) -> None:
    reason = rights_refusal(consent(), "train", day)
    assert (reason == "") == (START <= day <= EXPIRY)
    assert ("starts on" in reason) == (day < START)
    assert ("expired on" in reason) == (day > EXPIRY)


@given(st.dates())
def test_a_licence_does_not_expire(day: datetime.date) -> None:
    assert rights_refusal(examples.MIT, "train", day) == ""


def test_renewed_rights_count_and_do_not_make_another_take(home: Workspace) -> None:
    ingest(home, consent())
    late = EXPIRY + datetime.timedelta(days=1)
    assert "expired" in refusal_reason(home, TAKE, "train", late)
    ingest(home, examples.MIT, people=("p",))
    assert refusal_reason(home, TAKE, "train", late) == ""
    ingest(home, consent())  # what was said last counts, though it is less
    assert "expired" in refusal_reason(home, TAKE, "train", late)
    ingest(home, consent())
    assert len(home.log.entries()) == 3


def test_of_several_people_all_must_allow(home: Workspace) -> None:
    ingest(home, consent("ada"), people=("ada", "ben"))
    assert refusal_reason(home, TAKE, "train", START) == "nobody recorded what ben allows"
    ingest(home, consent("ada"), consent("ben", "perform"), people=("ada", "ben"))
    assert "do not cover 'train'" in refusal_reason(home, TAKE, "train", START)
    assert refusal_reason(home, TAKE, "perform", START) == ""
    ingest(home, consent("ada"), consent("ben"), people=("ada", "ben"))
    assert refusal_reason(home, TAKE, "train", START) == ""


def test_require_names_the_take_and_the_reason(home: Workspace) -> None:
    ingest(home, consent())
    with pytest.raises(Refused, match=r"take abcdefabcdef may not be used: the consent of ada"):
        require_rights(home, TAKE, "train", EXPIRY + datetime.timedelta(days=1))


def test_merged_rights_are_each_there_once(home: Workspace) -> None:
    ingest(home, consent())
    assert merge_rights(home, [examples.MIT], [TAKE, TAKE]) == [examples.MIT, consent()]
    assert merge_rights(home, [consent()], [TAKE]) == [consent()]


def test_what_was_learned_of_somebody_is_a_start_for_as_long_as_they_allow(home: Workspace) -> None:
    def refusal(day: datetime.date, *rights: Rights) -> str:
        model = examples.model(home, examples.NOTHING, rights=list(rights))
        return initial_weights_refusal(model, day)

    ada, ben = consent("ada"), consent("ben", "perform")
    assert refusal(EXPIRY, ada) == refusal(START, examples.MIT) == ""
    late = refusal(EXPIRY + datetime.timedelta(1), ada)
    assert "learned from ada" in late and "expired" in late
    assert "learned from ben" in refusal(START, ada, ben)


def test_another_actor_launders_no_consent(home: Workspace) -> None:
    ingest(home, consent("ann"), people=("ann",))
    bob = Rights(participant="bob", purposes=["train"], licence="MIT")
    home.attributions.ingest(TAKE, Attribution("leo", ("bob",), (bob,)), "test")
    late = EXPIRY + datetime.timedelta(days=1)
    assert refusal_reason(home, TAKE, "train", EXPIRY) == ""
    assert "the consent of ann expired" in refusal_reason(home, TAKE, "train", late)
    assert {rights.participant for rights in merge_rights(home, [], [TAKE])} == {"ann", "bob"}
    home.attributions.ingest(TAKE, Attribution("eve"), "test")  # nobody said; it changes nothing
    assert refusal_reason(home, TAKE, "train", EXPIRY) == ""
