"""The commands as a new user types them: real process boundaries, real files."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from greenroom.capture.formats.wav import write_wav
from greenroom.cli import main


def run(home: Path, *args: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["--home", str(home), *args])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def clip(tmp_path: Path, person: object) -> Path:
    path = tmp_path / "walk.bvh"
    path.write_bytes(person() if callable(person) else person)  # type: ignore[arg-type]
    return path


def test_ingest_lists_shows_and_exports(tmp_path: Path, clip: Path) -> None:
    home = tmp_path / "home"
    code, out, _ = run(
        home, "ingest", str(clip), "--actor", "a", "--participant", "p", "--rights", "MIT", "--json"
    )
    assert code == 0
    (take,) = json.loads(out)["takes"]
    code, out, _ = run(home, "take", "list", "--json")
    assert [t["take"] for t in json.loads(out)["takes"]] == [take]
    assert json.loads(out)["takes"][0]["usable"]
    code, out, _ = run(home, "take", "show", take[:8], "--json")
    assert json.loads(out)["facts"]["humanoid_error_mm_mean"] < 5
    exported = tmp_path / "out.bvh"
    assert run(home, "take", "export", take, str(exported))[0] == 0
    assert exported.read_bytes().startswith(b"HIERARCHY")
    for ending, start in (("png", b"\x89PNG"), ("webp", b"RIFF"), ("gif", b"GIF89a")):
        drawn = tmp_path / f"out.{ending}"
        assert run(home, "take", "export", take, str(drawn))[0] == 0
        assert drawn.read_bytes().startswith(start)
    code, out, _ = run(home, "fsck", "--json")
    assert code == 0 and json.loads(out)["bad"] == []


def test_without_rights_a_take_is_quarantined_and_performed_by_nobody(
    tmp_path: Path, clip: Path
) -> None:
    home = tmp_path / "home"
    code, out, _ = run(home, "ingest", str(clip), "--actor", "mira", "--json")
    (take,) = json.loads(out)["takes"]
    code, out, err = run(home, "perform", "mira", "--in", f"take:{take}")
    assert code == 2 and "quarantined" in err and len(err.strip().splitlines()) == 1
    code, _, err = run(home, "dataset", "build", "d", "--actor", "mira")
    assert code == 2 and "0 takes" in err
    code, _, err = run(home, "take", "export", take, str(tmp_path / "out.bvh"))
    assert code == 2 and "quarantined" in err and not (tmp_path / "out.bvh").exists()


def test_an_expired_consent_is_refused_with_what_to_do(tmp_path: Path, clip: Path) -> None:
    record = {
        "participant": "p",
        "purposes": ["train"],
        "start": "2020-01-01",
        "expiry": "2020-12-31",
        "document_sha256": "0" * 64,
    }
    home, file = tmp_path / "home", tmp_path / "rights.json"
    args = ("ingest", str(clip), "--actor", "a", "--participant", "p", "--rights", str(file))
    file.write_text(json.dumps(record))
    code, out, err = run(home, *args)
    assert code == 2 and not out and not home.exists()
    assert "the consent of p expired on 2020-12-31; nothing was taken; get a new consent" in err
    file.write_text(json.dumps({**record, "start": "2998-01-01", "expiry": "2999-01-01"}))
    code, out, _ = run(home, *args)
    assert code == 0 and "nothing uses them before 2998-01-01" in out


def test_too_few_takes_are_told_alone_and_a_take_is_shown_in_words(
    tmp_path: Path, clip: Path
) -> None:
    home = tmp_path / "home"
    options = ("--actor", "a", "--participant", "p", "--rights", "MIT")
    out = run(home, "ingest", str(clip), *options)[1]
    assert out.startswith("1 take, 0 refused\n")
    out = run(home)[1]
    assert "dataset build" not in out and "ingest PATH --actor a" in out
    assert "a dataset needs 3 takes with a body that may be used; there is 1" in out
    assert "1 take of 'a' with a body" in run(home, "dataset", "build", "d", "--actor", "a")[2]
    (take,) = json.loads(run(home, "take", "list", "--json")[1])["takes"]
    shown = run(home, "take", "show", take["take"])[1]
    assert not set("{}[]'") & set(shown) and "True" not in shown and "None" not in shown
    assert "train, perform, export, publish" in shown
    code, _, err = run(home, "take", "show", take["take"][:5])
    assert code == 2 and "too short for a hash" in err and "at least 6 digits" in err


def test_a_server_ends_calmly_and_a_port_in_use_has_two_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        @staticmethod
        def sleep(seconds: float) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("greenroom.cli.shows.time", Interrupted)
    code, _, err = run(tmp_path, "serve", "--port", "0")
    assert code == 0 and err.splitlines()[-1].startswith("stopped serving")
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        code, _, err = run(tmp_path, "serve", "--port", str(port))
    assert code == 2 and "stop the other program" in err and f"--port {port}" not in err
    assert "another port: --port" in err


def test_what_a_licence_does_not_cover_is_not_exported(tmp_path: Path, clip: Path) -> None:
    home = tmp_path / "home"
    options = ("--actor", "a", "--participant", "p", "--rights", "CC-BY-NC-ND-4.0", "--json")
    (take,) = json.loads(run(home, "ingest", str(clip), *options)[1])["takes"]
    code, _, err = run(home, "take", "export", take, str(tmp_path / "out.bvh"))
    assert code == 2 and "do not cover 'export'" in err


def test_the_same_recording_is_the_same_take(tmp_path: Path, clip: Path) -> None:
    home = tmp_path / "home"
    args = ("ingest", str(clip), "--actor", "a", "--json")
    first, second = run(home, *args)[1], run(home, *args)[1]
    assert json.loads(first) == json.loads(second)
    assert len(json.loads(run(home, "take", "list", "--json")[1])["takes"]) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.bvh", b"HIERARCHY\nROOT hips\n{\n"),
        ("noise.wav", b"RIFF\x00\x00"),
        ("empty.bvh", b""),
        ("what.xyz", b"hello"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_and_nothing_is_kept(
    tmp_path: Path, name: str, content: bytes
) -> None:
    home, path = tmp_path / "home", tmp_path / name
    home.mkdir()
    path.write_bytes(content)
    code, out, _ = run(home, "ingest", str(path), "--actor", "a", "--json")
    assert code == 2
    (refused,) = json.loads(out)["refused"]
    assert name in refused["path"] and refused["reason"]
    assert run(home, "fsck")[0] == 0


def test_one_good_file_among_bad_ones_is_success(tmp_path: Path, clip: Path) -> None:
    bad = tmp_path / "bad.bvh"
    bad.write_bytes(b"HIERARCHY")
    code, out, _ = run(tmp_path / "h", "ingest", str(bad), str(clip), "--actor", "a", "--json")
    assert code == 0 and len(json.loads(out)["takes"]) == 1 == len(json.loads(out)["refused"])


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    folder = tmp_path / "talk"
    folder.mkdir()
    np.save(folder / "face_one_happy.npy", np.float32([[0.25, np.nan]] * 30))
    (folder / "one_happy.wav").write_bytes(write_wav(np.full(24_000, 0.25, dtype=np.float32)))
    (folder / "channel_names.txt").write_text("jaw open\nblink\n")
    return folder


def test_a_face_and_its_voice_are_one_take_with_labels(tmp_path: Path, talk: Path) -> None:
    home = tmp_path / "home"
    args = ("ingest", str(talk), "--actor", "a", "--label-pattern", "{_}_{style}", "--json")
    code, out, _ = run(home, *args, "--participant", "p", "--rights", "MIT")
    done = json.loads(out)
    assert code == 0 and set(done) == {"takes", "refused"} and done["refused"] == []
    (take,) = done["takes"]
    (row,) = json.loads(run(home, "take", "list", "--json")[1])["takes"]
    assert (row["medium"], row["tiers"], row["name"]) == (
        "face+audio",
        {"style": "happy"},
        "one_happy",
    )
    assert "style=happy" in run(home, "take", "list")[1]
    shown = json.loads(run(home, "take", "show", take, "--json")[1])
    assert shown["tiers"] == {"style": "happy"}
    assert shown["facts"]["face_channels"] == 2 and shown["facts"]["source_rate"] == 24_000
    csv, wav = tmp_path / "out.csv", tmp_path / "out.wav"
    assert run(home, "take", "export", take, str(csv))[0] == 0
    assert csv.read_text().splitlines()[:2] == ["tick,jaw open,blink", "0,0.25,"]
    assert run(home, "take", "export", take, str(wav))[0] == 0
    assert wav.read_bytes() == (talk / "one_happy.wav").read_bytes()
    code, _, err = run(home, "take", "export", take, str(tmp_path / "out.bvh"))
    assert code == 2 and "face and audio" in err
    code, _, err = run(home, "take", "export", take, str(tmp_path / "out.webp"))
    assert code == 2 and "no body to draw" in err


def test_labels_come_from_a_file(tmp_path: Path, clip: Path) -> None:
    home, labels = tmp_path / "home", tmp_path / "l.json"
    labels.write_text('{"walk": {"emotion": "glad", "phase": [[0, 0.2, "rest"]]}}')
    args = ("ingest", str(clip), "--actor", "a", "--labels", str(labels), "--json")
    (take,) = json.loads(run(home, *args)[1])["takes"]
    shown = json.loads(run(home, "take", "show", take, "--json")[1])
    assert shown["tiers"] == {"emotion": "glad", "phase": [[0, 6, "rest"]]}
    assert "emotion=glad phase[1]" in run(home, "take", "list")[1]
    labels.write_text("{")
    code, out, err = run(home, *args)
    assert code == 2 and out == "" and "l.json" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("perform", "nobody", "--in", "take:abcdef"), "take"),
        (("perform", "mira", "--in", "midi:1"), "take:HASH"),
        (("replay", "123456", "--verify"), "show"),
        (("approve", "123456", "--by", "me"), "model"),
        (("promote", "mira", "123456"), "release"),
        (("train", "123456"), ""),
        (("ingest", "x.bvh", "--actor", "a", "--participant", "p"), "--rights"),
        (("take", "show", "zz"), "take"),
        (("perform", "mira"), "see: greenroom perform --help"),
        (("take", "nothing"), "see: greenroom take --help"),
        (("demo", "--seconds", "many"), "--seconds"),
        (("--nothing",), "see: greenroom --help"),
        (("perform", "mira", "--in", "take:abcdef", "--out", "vmc://127.0.0.1:0"), "1 to 65535"),
        (("ingest", "x.bvh", "--actor", ""), "such as mira"),
        (("ingest", "x.bvh", "--actor", "../up"), "such as mira"),
        (("ingest", "x.bvh", "--actor", "a", "--label-pattern", "walk"), "--label-pattern"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(
    tmp_path: Path, args: tuple[str, ...], word: str
) -> None:
    (tmp_path / "home").mkdir()
    code, out, err = run(tmp_path / "home", *args)
    assert code == 2
    assert out == "" and word in err and len(err.strip().splitlines()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_name_that_is_no_utf8_stops_nothing(tmp_path: Path, clip: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.bvh"))
    odd.write_bytes(clip.read_bytes())
    bad = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xfe.bvh"))
    bad.write_bytes(b"HIERARCHY")
    done = subprocess.run(
        [sys.executable, "-m", "greenroom", "--home", str(tmp_path / "h"), "ingest"]
        + [str(odd), str(bad), "--actor", "a", "--json"],
        capture_output=True,
        check=False,
    )
    said = json.loads(done.stdout.decode("utf-8"))
    assert done.returncode == 0 and len(said["takes"]) == 1 == len(said["refused"])


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "greenroom", "--home", str(tmp_path), "fsck", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"objects": 0, "bad": []}


def test_nothing_taken_is_said_on_stderr_too(tmp_path: Path) -> None:
    (tmp_path / "bad.bvh").write_bytes(b"HIERARCHY")
    code, out, err = run(
        tmp_path / "home", "ingest", str(tmp_path / "bad.bvh"), "--actor", "a", "--json"
    )
    assert code == 2 and len(json.loads(out)["refused"]) == 1
    assert "nothing was taken: 1 refused" in err and len(err.strip().splitlines()) == 1
    code, _, err = run(tmp_path / "bad.bvh", "take", "list")
    assert code == 2 and "is a file; give a folder" in err


def test_keys_policies_and_revocations(tmp_path: Path) -> None:
    home = tmp_path / "home"
    code, out, _ = run(home, "key", "new", "Ada", "--expires", "2999-01-01", "--json")
    assert code == 0
    first = json.loads(out)
    code, out, _ = run(home, "key", "list", "--json")
    (key,) = json.loads(out)["keys"]
    assert code == 0 and (key["owner"], key["revoked"]) == ("Ada", False)
    assert key["trust"] == "root"
    assert "Ada has 2 keys now: they count as one approver" in run(home, "key", "new", "Ada")[1]
    second = json.loads(run(home, "key", "new", "Ada", "--json")[1])
    assert second["trust"] == "signed" and second["file"] != first["file"]
    code, _, err = run(home, "approve", "123456", "--by", "Bob")
    assert code == 2 and not list((home / "keys").glob("Bob*"))
    options = ("--by", "Ada", "--needed", "2", "--approver", "Ada", "--approver", "Bob", "--json")
    code, out, _ = run(home, "policy", "mira", *options)
    assert code == 0 and len(json.loads(out)["policy"]) == 64
    assert run(home, "key", "revoke", "Ada")[0] == 0
    assert "revoked" in run(home, "key", "list")[1]
    code, _, err = run(home, "revoke", "123456", "--reason", "no")
    assert code == 2 and "no release" in err


@pytest.mark.parametrize("data", [b"\xff\xfe", b'{"a": "\xff"}', b"[" * 100_000, b"{"])
@pytest.mark.parametrize("option", ["--gates", "--auto-approval", "--learning", "--rights"])
def test_a_json_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, option: str, data: bytes
) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(data)
    command = ["policy", "mira", "--by", "Ada", option, str(file)]
    if option == "--rights":
        take = tmp_path / "take.bvh"
        take.write_text("HIERARCHY")
        command = [
            "ingest",
            str(take),
            "--actor",
            "mira",
            "--participant",
            "ada",
            option,
            str(file),
        ]
    refused = CliRunner().invoke(main, ["--home", str(tmp_path / "home"), *command])
    assert refused.exit_code == 2 and "file.json: not readable as JSON" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
