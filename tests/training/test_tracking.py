"""Trackers, opened by their own tools; and a tracker that cannot be reached."""

import base64
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from greenroom.errors import BadInput, GreenroomError

pytestmark = pytest.mark.train
TAGS = {"actor_id": "mira", "dataset_split": "train 3", "hardware": "a machine"}


def moving() -> bytes:
    """Return a clip of three frames."""
    frames = [Image.new("RGB", (32, 24), (n * 90, 0, 0)) for n in range(3)]
    held = io.BytesIO()
    frames[0].save(held, "WEBP", save_all=True, append_images=frames[1:], duration=100)
    return held.getvalue()


def make_journal(home: Path, steps: int = 5, ended: bool = True, clip: bool = True) -> Path:
    from greenroom.training.tracking import Journal

    path = home / "tracking" / "0123abcd.jsonl"
    journal = Journal(path)
    journal.begin(TAGS, {"steps": steps, "preset": "mini"})
    for step in range(1, steps + 1):
        journal.figures(step, {"loss": 1 / step})
    if clip:
        file = path.with_suffix(".clips") / "000005.webp"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(moving())
        journal.clip(5, file, ())
    if ended:
        journal.end({"model": "feed"}, {"limb_model": 19.5})
    journal.close()
    return path


def test_a_resumed_run_notes_nothing_twice_and_a_cut_line_is_dropped(tmp_path: Path) -> None:
    from greenroom.training.tracking import Journal

    path = make_journal(tmp_path, ended=False)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event":"figu')
    journal = Journal(path)
    journal.begin(TAGS, {"steps": 9})
    journal.clip(5, path.with_suffix(".clips") / "000005.webp", ())
    journal.figures(4, {"loss": 9.0})
    journal.figures(6, {"loss": 0.1})
    journal.close()
    lines = path.read_bytes().splitlines()
    assert path.read_bytes().startswith(whole) and len(lines) == 8
    assert b'"step":6' in lines[-1]


def test_mlflow_shows_tags_parameters_curves_and_clips(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from greenroom.training.tracking import mirror, open_tracker

    journal = make_journal(tmp_path, ended=False)
    tracker = open_tracker("mlflow", tmp_path)
    assert mirror(journal, tracker) == 7 and mirror(journal, tracker) == 0
    make_journal(tmp_path)  # the run goes on and ends
    assert mirror(journal, tracker) == 1
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'tracking' / 'mlflow.db'}")
    place = client.get_experiment_by_name("greenroom")
    assert place is not None
    (run,) = client.search_runs([place.experiment_id])
    assert TAGS.items() <= run.data.tags.items() and run.data.tags["model"] == "feed"
    assert run.data.params == {"steps": "5", "preset": "mini"}
    curve = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in curve] == [(n, pytest.approx(1 / n)) for n in range(1, 6)]
    assert run.info.status == "FINISHED" and run.data.metrics["limb_model"] == 19.5
    (clip,) = client.list_artifacts(run.info.run_id, "clips")  # sent once, though the run went on
    assert clip.path == "clips/000005.webp" and clip.file_size == len(moving())
    assert list((tmp_path / "tracking" / "mlflow").rglob("000005.webp"))


def test_a_server_that_is_not_there_stops_nothing_and_is_told_later(tmp_path: Path) -> None:
    from greenroom.training.tracking import Mirrors, Mlflow, mirror, open_tracker

    journal = make_journal(tmp_path)
    said: list[str] = []
    absent = Mlflow("http://127.0.0.1:9")
    mirrors = Mirrors(journal, [absent], said.append)
    mirrors.send_new()
    mirrors.send_new()
    assert len(said) == 1 and "nothing is lost: greenroom track --to mlflow" in said[0]
    with pytest.raises(GreenroomError, match="could not be reached"):
        mirror(journal, absent)
    assert mirror(journal, open_tracker("mlflow", tmp_path)) == 8


def test_a_clip_that_somebody_removed_is_left_out(tmp_path: Path) -> None:
    from greenroom.training.tracking import mirror, open_tracker

    journal = make_journal(tmp_path)
    (journal.with_suffix(".clips") / "000005.webp").unlink()
    assert mirror(journal, open_tracker("tensorboard", tmp_path)) == 8


def test_tensorboard_shows_the_curves_and_a_clip_that_moves(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from greenroom.training.tracking import mirror, open_tracker

    assert mirror(make_journal(tmp_path), open_tracker("tensorboard", tmp_path)) == 8
    seen: Any = EventAccumulator(str(tmp_path / "tracking" / "tensorboard" / "0123abcd"))
    seen.Reload()
    assert [(e.step, e.value) for e in seen.Scalars("loss")] == [
        (n, pytest.approx(1 / n)) for n in range(1, 6)
    ]
    assert "actor_id/text_summary" in seen.Tags()["tensors"]
    (shown,) = seen.Images("clip")
    with Image.open(io.BytesIO(shown.encoded_image_string)) as image:
        assert (image.format, getattr(image, "n_frames", 1)) == ("GIF", 3)
    assert (shown.step, shown.width, shown.height) == (5, 32, 24)


def records_of(data: bytes) -> Iterator[bytes]:
    """Yield the records of a log in LevelDB's format, as an offline run is."""
    part, at = b"", 7  # W&B's own header
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or last part
            yield part
            part = b""


def test_an_offline_run_of_weights_and_biases_holds_tags_curves_and_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wandb.proto.wandb_internal_pb2 import Record

    from greenroom.training.tracking import mirror, open_tracker

    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert mirror(make_journal(tmp_path), open_tracker("wandb", tmp_path)) == 8
    (path,) = (tmp_path / "tracking" / "wandb").glob("offline-run-*/*.wandb")
    keys, config = set(), set()
    for data in records_of(path.read_bytes()):
        record: Any = Record()
        record.ParseFromString(data)
        keys |= {i.key or "/".join(i.nested_key) for i in record.history.item}
        config |= {u.key for u in record.config.update} | {u.key for u in record.run.config.update}
    assert {"loss", "limb_model", "clip"} <= {key.split("/")[0] for key in keys}
    (page,) = path.parent.rglob("*.html")
    assert base64.b64encode(moving()).decode() in page.read_text()
    assert {"actor_id", "preset", "model"} <= config


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "there is no tracker ''; known: mlflow, wandb, tensorboard"),
        ("paper", "there is no tracker 'paper'; known: mlflow, wandb, tensorboard"),
        ("wandb:x", "'wandb:x' is no tracker; give wandb alone"),
        ("tensorboard:/x", "'tensorboard:/x' is no tracker; give tensorboard alone"),
    ],
)
def test_what_is_no_tracker_is_refused(text: str, line: str, tmp_path: Path) -> None:
    from greenroom.training.tracking import open_tracker

    with pytest.raises(BadInput, match=line):
        open_tracker(text, tmp_path)


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "wandb"])
@pytest.mark.filterwarnings("ignore")  # the trackers' libraries warn of each other
def test_own_trackers_pass_the_published_suite(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    from greenroom.testing import check_tracker
    from greenroom.training.tracking import open_tracker

    (tmp_path / "tracking").mkdir()
    tracker = open_tracker(name, tmp_path)

    def count_runs() -> int:
        if name == "mlflow":
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=tracker.uri)
            return sum(
                len(client.search_runs([e.experiment_id])) for e in client.search_experiments()
            )
        if name == "wandb":
            return len({path.name for path in tmp_path.glob("tracking/**/run-*.wandb")})
        return len(list((tmp_path / "tracking" / "tensorboard").iterdir()))

    check_tracker(lambda: open_tracker(name, tmp_path), received=count_runs)
