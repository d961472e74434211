from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from greenroom.stage import Hub, create_app, serve_in_thread
from greenroom.stage.server import PAGE
from tests.stage.page_tools import node
from tests.stage.synthetic_show import (
    NEXT_RELEASE,
    NOTICE,
    RELEASE,
    SHOW,
    SIMULATED,
    STEPS,
    SyntheticShow,
)

CHROMIUM = os.environ.get("GREENROOM_CHROMIUM") or shutil.which("chromium")
PICTURES = os.environ.get("GREENROOM_SCREENSHOTS")
OUTAGE_S = 1.5

pytestmark = pytest.mark.slow

Report = dict[str, Any]


@pytest.fixture(scope="module")
def report() -> Report:
    """Play the synthetic show to headless Chromium and return what it saw."""
    if not (PAGE / "index.html").is_file():
        pytest.skip("the stage page is not built: run `npm ci && npm run build` in web/")
    if CHROMIUM is None:
        pytest.skip("no Chromium: install chromium, or set GREENROOM_CHROMIUM to its binary")
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
    hub = Hub()
    show = SyntheticShow(hub)
    app = create_app(hub, api_routes=show.routes)
    server = serve_in_thread(app)
    over = threading.Event()

    def tend() -> None:
        """Take the server away for a moment when the test asks for an outage."""
        nonlocal server
        while not over.is_set():
            if show.outage.wait(0.1):
                show.outage.clear()
                server.stop()
                time.sleep(OUTAGE_S)
                server = serve_in_thread(app, port=server.port)

    tender = threading.Thread(target=tend)
    tender.start()
    show.start()
    try:
        folder = [str(Path(PICTURES).resolve())] if PICTURES else []
        seen: Report = node("page.mjs", server.url, CHROMIUM, *folder, limit_s=600)
    finally:
        over.set()
        tender.join()
        show.close()
        server.stop()
    return seen


def test_without_a_show_the_page_says_how_to_start_one(report: Report) -> None:
    idle = report["said"]["idle"]
    assert idle["word"] == "IDLE" and "greenroom perform ACTOR" in idle["sentence"]


def test_live_the_performer_is_drawn_and_time_goes_on(report: Report) -> None:
    live = report["said"]["capture"]
    assert (live["state"], live["rung"], live["cue"]) == ("live", "capture", "fine")
    before, after = report["ticks"]
    assert after > before + 10
    assert report["painted"] > 12
    assert NOTICE in report["notice"] and SIMULATED in report["notice"]
    assert RELEASE in report["release"]


def test_any_recent_moment_can_be_looked_at(report: Report) -> None:
    look = report["look"]
    assert look["at"] == look["paused"] - 2 and look["mode"] == "paused at"
    assert look["help"] and look["hovered"] <= look["paused"]


def test_reloading_brings_back_what_went_by(report: Report) -> None:
    seen = report["reload"]
    assert seen["last"] > 60 and seen["first"] == "0"
    assert seen["clip"] == "synthetic walk"
    assert "synthetic walk · capture · confidence" in seen["told"]


def test_ticks_that_the_show_missed_are_not_frames_that_the_page_skipped(report: Report) -> None:
    assert report["missed"]["line"].startswith("The show missed 12 of ")
    assert report["missed"]["figure"].endswith("12") and not report["missed"]["skipped"]
    assert report["missed"]["verdict"].startswith("EXACT, 12 of ")
    assert "12 of" in report["said"]["gaps"]["sentence"] and report["said"]["gaps"]["cue"] == "act"
    said = report["said"]["missed"]
    assert said["cue"] == "act" and "The show missed 12 of" in said["sentence"]


def test_a_swap_changes_the_release_and_its_baseline_and_marks_the_axis(report: Report) -> None:
    swap = report["swap"]
    assert (swap["first"], swap["then"]) == (RELEASE, NEXT_RELEASE)
    assert NEXT_RELEASE in swap["shown"]
    assert swap["bases"] == ["0.91", "0.82"]
    assert f"release {RELEASE[:6]} → {NEXT_RELEASE[:6]}" in swap["hovered"]


def test_a_fault_asks_for_somebody_and_a_new_style_is_watched(report: Report) -> None:
    assert report["causes"]["listed"] == [["act", "capture fault"], ["watch", "new style"]]
    assert report["causes"]["legend"] == ["new style", "capture fault"]


@pytest.mark.parametrize(
    ("name", "cue", "done", "stage", "said"),
    [
        ("running", "fine", 2, "here", "the loss still falls"),
        ("rejected", "watch", 4, "stopped", "Feet slide 12 % more"),
        ("failed", "act", 2, "stopped", "ran out of memory"),
        ("promoted", "fine", 8, "done", "Better on 9 of 10 gates"),
    ],
)
def test_learning_is_told_step_by_step(
    report: Report, name: str, cue: str, done: int, stage: str, said: str
) -> None:
    told = report["learning"][name]
    assert told["cue"] == cue and said in told["text"]
    assert told["steps"] == ["done"] * done + [stage] + ["ahead"] * (len(STEPS) - done - 1)
    assert told["elapsed"].endswith(" s") and "at least" not in told["elapsed"]
    assert (NEXT_RELEASE[:6] in told["release"]) == (name == "promoted")


def test_learning_says_how_far_it_is_and_when_there_is_nothing(report: Report) -> None:
    line = report["learning"]["running"]["line"]
    assert "train, step 3 of 9" in line and "42 %" in line
    none = report["learning"]["none"]
    assert none["cue"] == "unknown" and "Nothing to do" in none["text"] and not none["elapsed"]


@pytest.mark.parametrize(
    ("name", "cue", "word", "sentence"),
    [
        ("fault", "act", "LIVE", "Check the camera on the left."),
        ("swapped", "fine", "LIVE", "Release 7be204 took over"),
        (
            "speech",
            "watch",
            "SPEECH",
            "ago; standing at ease, driven by the voice. Check the camera.",
        ),
        ("previous", "watch", "PREVIOUS", "playing from the one before it"),
        ("hold", "act", "HOLD", "holding the pose. Check the capture"),
        ("speech", "watch", "SPEECH", "Confidence is low: 0."),
        ("stale", "act", "STALE", "No frame for 2 s"),
        ("error", "act", "ERROR", "frame.rotations is 4 values, expected 220 numbers"),
        ("offline", "act", "OFFLINE", "Connection lost"),
        ("back", "fine", "LIVE", "Playing from capture"),
        ("ended", "unknown", "ENDED", "Replaying it"),
        ("differs", "act", "ENDED", "The replay differs"),
        ("verdict", "fine", "ENDED", "The replay is bit-exact"),
    ],
)
def test_every_state_has_a_word_a_cue_and_a_sentence(
    report: Report, name: str, cue: str, word: str, sentence: str
) -> None:
    said = report["said"][name]
    assert (said["cue"], said["word"]) == (cue, word)
    assert sentence in said["sentence"]
    assert word.lower() in said["announced"]


def test_the_verdict_is_told_in_full(report: Report) -> None:
    assert report["verdict"].startswith("Replayed bit-exactly: ")
    assert "first difference at frame 41: the model's output differs" in report["differs"]
    assert SHOW in report["show"]


@pytest.mark.parametrize(
    "name",
    ["phone-dark", "phone-light", "phone-ended", "small-dark", "laptop-light", "wide-dark"],
)
def test_it_fits_the_window_in_both_schemes(report: Report, name: str) -> None:
    fit = report["fits"][name]
    assert fit["overflow"] == [0]
    assert fit["hidden"] is None  # of the word `simulated`, near the performer
    assert fit["painted"] > 12


def test_without_webgl_the_performer_is_drawn_flat(report: Report) -> None:
    assert report["flat"]["told"] and report["flat"]["painted"] > 8


def test_the_page_asks_nobody_but_its_server(report: Report) -> None:
    assert {urlsplit(url).hostname for url in report["requests"]} == {"127.0.0.1"}
    assert len(report["requests"]) > 4


def test_the_browser_has_nothing_to_complain_of(report: Report) -> None:
    assert report["problems"] == []
