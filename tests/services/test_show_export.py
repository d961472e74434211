"""A show for post-production: all of its files or none, the same ticks in each, rights asked."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from greenroom.capture.formats.bvh import read_bvh
from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.consent.records import read_rights
from greenroom.errors import BadInput, GreenroomError, MissingExtra, Refused
from greenroom.frames import BONES
from greenroom.manifests import ShowParents
from greenroom.services import show_export
from greenroom.services.replays import replay_show
from greenroom.services.show_export import (
    KINDS,
    ExportRequest,
    export_file,
    export_show,
    parse_kinds,
    parse_tick,
)
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace
from tests.live.recorded import record_show, voice

PLAIN = ("bvh", "vrma", "glb", "csv", "wav")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


def test_a_show_is_a_file_a_kind_beside_each_other(workspace: Workspace, tmp_path: Path) -> None:
    show = record_show(workspace, range(8))
    files = export_show(workspace, show, tmp_path / "out", ExportRequest((*PLAIN, "png")))
    assert [(file.kind, file.frames) for file in files] == [(kind, 8) for kind in (*PLAIN, "png")]
    stem = f"mira_2024-10-04_{show[:6]}"
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted([f"{stem}.{kind}" for kind in PLAIN] + [f"{stem}_png"])
    motion = read_bvh(files[0].path.read_bytes(), where="show")
    assert len(motion) == 8 and set(motion.skeleton.names) == set(BONES)
    assert motion.metres_per_unit == 0.01
    sound, rate = soundfile.read(files[4].path)
    assert rate == 24_000 and len(sound) == 8 * 800
    heard = np.concatenate([voice(tick) for tick in range(8)])
    assert np.abs(sound - heard).max() <= 1 / 32768
    pictures = sorted(files[5].path.iterdir())
    assert len(pictures) == 8
    with Image.open(io.BytesIO(pictures[7].read_bytes())) as image:
        assert image.info["Timecode"] == "21:00:00:10" and image.size[0] % 2 == 0


def test_a_stretch_is_named_and_timed(workspace: Workspace, tmp_path: Path) -> None:
    show = record_show(workspace, range(40))
    request = ExportRequest(("csv", "wav"), parse_tick("00:00:01"), 36)
    csv_file, wav_file = export_show(workspace, show, tmp_path, request)
    assert csv_file.path.name.endswith("_30-36.csv") and csv_file.frames == 6
    lines = csv_file.path.read_text().splitlines()
    assert len(lines) == 7 and lines[1].startswith("21:00:01:06.000,61,")
    assert soundfile.info(wav_file.path).frames == 6 * 800


def test_exporting_again_replaces(workspace: Workspace, tmp_path: Path) -> None:
    show = record_show(workspace, range(3))
    for _ in range(2):
        files = export_show(workspace, show, tmp_path / "out", ExportRequest(("bvh", "png")))
    assert len(list((tmp_path / "out").iterdir())) == 2 and len(list(files[1].path.iterdir())) == 3


@pytest.mark.parametrize("existing", [False, True])
def test_where_one_kind_fails_nothing_is_written_and_it_is_named(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    show = record_show(workspace, range(3))
    out = tmp_path / "out"
    if existing:
        export_show(workspace, show, out, ExportRequest(("bvh",)))
    before = {path: path.read_bytes() for path in out.glob("*")}

    def fails(*_: Any) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(show_export._WRITERS, "glb", fails)
    with pytest.raises(GreenroomError, match="glb could not be written.*No space left"):
        export_show(workspace, show, out, ExportRequest(PLAIN))
    assert {path: path.read_bytes() for path in out.glob("*")} == before
    assert out.exists() == existing


def test_a_place_that_is_taken_gives_back_what_was_there(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = record_show(workspace, range(3))
    files = export_show(workspace, show, tmp_path / "out", ExportRequest(("bvh", "csv")))
    before, replace = files[0].path.read_bytes(), show_export.os.replace

    def fails(source: Path, target: Path) -> None:
        if Path(source).name == files[1].path.name and Path(source).parent.name.startswith(".new"):
            raise OSError(5, "Input/output error", str(target))
        replace(source, target)

    monkeypatch.setattr(show_export.os, "replace", fails)
    files[0].path.write_bytes(b"earlier")
    with pytest.raises(GreenroomError, match="nothing was written"):
        export_show(workspace, show, tmp_path / "out", ExportRequest(("bvh", "csv")))
    assert files[0].path.read_bytes() == b"earlier" and before != b"earlier"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        file.path.name for file in files
    )


def test_an_mp4_lies_beside_its_voice(workspace: Workspace, tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    show = record_show(workspace, range(4))
    drawn: list[int] = []
    request = ExportRequest(("wav", "mp4"))
    files = export_show(
        workspace, show, tmp_path, request, progress=lambda done, total: drawn.append(done)
    )
    assert [file.path.suffix for file in files] == [".wav", ".mp4"] and drawn == [1, 2, 3, 4]
    film = files[1].path.read_bytes()
    drawn.clear()
    request = ExportRequest(("mp4", "png"))
    both = export_show(
        workspace, show, tmp_path, request, progress=lambda done, total: drawn.append(done)
    )
    assert [file.kind for file in both] == ["mp4", "png"] and drawn == [1, 2, 3, 4]
    assert both[0].path.read_bytes() == film
    assert files[1].path.read_bytes()[4:8] == b"ftyp" and files[1].frames == 4


def test_without_the_extra_an_mp4_is_refused_before_anything_is_written(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = record_show(workspace, range(3))

    def missing() -> str:
        raise MissingExtra("mp4", "video")

    monkeypatch.setattr(show_export, "find_encoder", missing)
    with pytest.raises(MissingExtra, match="mp4 needs the extra 'video'"):
        export_show(workspace, show, tmp_path / "out", ExportRequest(("wav", "mp4")))
    assert not (tmp_path / "out").exists()


def test_a_show_of_a_take_that_may_not_be_exported_is_refused(
    workspace: Workspace, tmp_path: Path, person: Any
) -> None:
    rights = Attribution("mira", ("p",), (read_rights("CC-BY-NC-ND-4.0", "p"),))
    take = store_take(workspace, read_recording(person(), "walk.bvh"), rights, "test")
    release = workspace.objects.read_any(record_show(workspace, [0])).parents.releases[0]  # type: ignore[attr-defined]
    parents = ShowParents(releases=[release], takes=[take])
    show = record_show(workspace, range(3), parents=parents)
    with pytest.raises(Refused, match="do not cover 'export'"):
        export_show(workspace, show, tmp_path / "out", ExportRequest(("wav",)))
    with pytest.raises(Refused, match="do not cover 'export'"):
        export_file(workspace, show, tmp_path / "out.wav")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("name", ["show.fbx", "show", "show.png"])
def test_a_replay_is_exported_as_what_its_name_says_or_not_at_all(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    show = record_show(workspace, range(3))
    with pytest.raises(BadInput, match="end it in .bvh, .vrma, .glb, .csv, .wav"):
        replay_show(workspace, show, progress=None, file=tmp_path / name)
    assert not (tmp_path / name).exists()
    starts = {
        "bvh": b"HIERARCHY",
        "vrma": b"glTF",
        "glb": b"glTF",
        "csv": b"Timecode",
        "wav": b"RIFF",
    }
    for kind, start in starts.items():
        result = replay_show(workspace, show, progress=None, file=tmp_path / f"show.{kind}")
        data = (tmp_path / f"show.{kind}").read_bytes()
        assert data.startswith(start) and result.bytes == len(data)


@pytest.mark.parametrize("text", ["fbx", "bvh,fbx", "", " , "])
def test_kinds_that_are_not_known_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="bvh, vrma, glb, csv, wav, png, mp4"):
        parse_kinds(text)
    assert parse_kinds(",".join(KINDS)) == KINDS


@pytest.mark.parametrize("text", ["-1", "1.5", "00:60:00", "00:00:61", "0:1", "noon", "²"])
def test_times_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="HH:MM:SS"):
        parse_tick(text)


def test_a_folder_that_is_a_file_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(BadInput, match="name a folder"):
        export_show(
            workspace, record_show(workspace, [0]), tmp_path / "out", ExportRequest(("csv",))
        )


def test_a_live_show_is_exported_only_with_somebodys_rights(
    workspace: Workspace, tmp_path: Path
) -> None:
    show, out = record_show(workspace, range(3), receivers=["vmc://:39540"]), tmp_path / "out"
    with pytest.raises(Refused, match="the person of vmc://:39540 allows; .*--participant NAME"):
        export_show(workspace, show, out, ExportRequest(("bvh",)))
    with pytest.raises(Refused, match="greenroom show export"):
        export_file(workspace, show, tmp_path / "a.bvh")
    with pytest.raises(BadInput, match="belong together"):
        export_show(workspace, show, out, ExportRequest(("bvh",), participant="ann"))
    record = tmp_path / "ann.json"
    for purposes in (["perform"], ["perform", "export"]):
        days = {"start": "2020-01-01", "expiry": "2099-01-01"}
        facts = {"participant": "ann", "purposes": purposes, "document_sha256": "ab" * 32}
        record.write_text(json.dumps(facts | days))
        request = ExportRequest(("bvh",), participant="ann", rights=str(record))
        if "export" not in purposes:
            with pytest.raises(Refused, match="do not cover 'export'"):
                export_show(workspace, show, out, request)
            assert not out.exists()
    assert len(export_show(workspace, show, out, request)) == 1
