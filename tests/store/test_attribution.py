import datetime
from pathlib import Path

import pytest

from greenroom.clock import NS_PER_S, VirtualClock
from greenroom.errors import CheckFailed
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests.examples import MIT, NOTHING

TAKE = "a" * 64


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, VirtualClock())


def test_the_newest_entry_of_a_take_and_actor_counts(home: Workspace) -> None:
    mira, noor = Attribution("mira", name="walk"), Attribution("noor", ("p",), (MIT,))
    assert home.attributions.of(TAKE) == Attribution("") and home.attributions.actors(TAKE) == ()
    for attribution in (mira, noor):
        home.attributions.ingest(TAKE, attribution, "ada")
    assert home.attributions.of(TAKE) == noor and home.attributions.of(TAKE, "mira") == mira
    assert home.attributions.actors(TAKE) == ("mira", "noor")
    assert home.attributions.name(TAKE) == TAKE[:12]
    renamed = Attribution("mira", name="stroll", session="monday", group="a")
    home.attributions.ingest(TAKE, renamed, "ada")
    assert home.attributions.of(TAKE) == renamed and home.attributions.name(TAKE) == "stroll"
    assert home.attributions.of(TAKE, "noor") == noor
    fresh = Workspace(home.home)
    assert fresh.attributions.of(TAKE) == renamed and fresh.attributions.of(NOTHING).name == ""


def test_the_newest_annotation_of_each_annotator_counts(home: Workspace) -> None:
    for annotation, annotator in (
        ("1", "bob"),
        ("2", ""),
        ("3", "bob"),
        ("3", "bob"),
        ("1", "bob"),
    ):
        home.attributions.annotate(TAKE, annotation, annotator, "ada")
    assert home.attributions.annotations(TAKE) == ("2", "1")
    assert Workspace(home.home).attributions.annotations(TAKE) == ("2", "1")
    assert len(home.log.entries()) == 4


def test_an_entry_of_another_form_is_one_clear_error(home: Workspace) -> None:
    home.log.append("ingest", {"take": TAKE, "actor": 7}, by="mallory")
    with pytest.raises(CheckFailed, match="entry 0 of the log is no valid ingest"):
        home.attributions.of(TAKE)


def test_what_day_it_is_is_asked_of_the_logs_clock_in_utc(home: Workspace) -> None:
    assert home.today() == datetime.date(1970, 1, 1)
    noon = datetime.datetime(2026, 11, 29, 23, 59, 59, tzinfo=datetime.UTC)
    ns = int(noon.timestamp()) * NS_PER_S
    assert home.day_of(ns + NS_PER_S - 1) == datetime.date(2026, 11, 29)
    assert home.day_of(ns + NS_PER_S) == datetime.date(2026, 11, 30)
    home.log.clock.advance(ns)  # type: ignore[attr-defined]
    assert home.today() == datetime.date(2026, 11, 29)
