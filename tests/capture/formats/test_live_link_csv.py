"""The CSV of Live Link Face, against one that the app wrote."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from greenroom.capture.formats.live_link_csv import write_live_link_csv
from greenroom.clock import NS_PER_S, Timecode
from greenroom.frames import ARKIT, Face
from tests.capture.formats.performed import driven_face

START = Timecode(NS_PER_S * 3600 * 23 + NS_PER_S * 59 * 60 + NS_PER_S * 59)


def rows(face: Face) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(write_live_link_csv(face, START).decode())))


def test_the_columns_are_the_apps(shared_data: Path) -> None:
    files = sorted((shared_data / "live_link_face_arkit").rglob("*.csv"))
    if not files:
        pytest.skip("no recording of the app here")
    (header,) = {file.read_text("utf-8-sig").splitlines()[0] for file in files[:1]}
    assert write_live_link_csv(driven_face(), START).decode().splitlines()[0] == header


def test_weights_are_read_by_their_names_with_a_key_a_tick() -> None:
    face = driven_face(40)
    read = rows(face)
    assert len(read) == 40 and {row["BlendShapeCount"] for row in read} == {"61"}
    for b, name in enumerate(ARKIT):
        column = [float(row[name[0].upper() + name[1:]]) for row in read]
        assert np.allclose(column, face.weights[:, b], atol=1e-9)
    assert {row["HeadYaw"] for row in read} == {"0.0000000000"}


def test_timecode_counts_two_of_sixty_a_tick_and_begins_again_at_midnight() -> None:
    codes = [row["Timecode"] for row in rows(driven_face(40))]
    assert codes[:2] == ["23:59:59:00.000", "23:59:59:02.000"]
    assert codes[29:31] == ["23:59:59:58.000", "00:00:00:00.000"]


def test_cells_of_what_nothing_drives_are_empty() -> None:
    face = driven_face(4)
    face.weights[0] = np.nan
    face.weights[1, ARKIT.index("jawOpen")] = np.nan
    read = rows(face)
    assert not any(read[0][name] for name in read[0] if name not in ("Timecode", "BlendShapeCount"))
    assert read[1]["JawOpen"] == "" and read[1]["JawLeft"] and read[1]["HeadYaw"]
