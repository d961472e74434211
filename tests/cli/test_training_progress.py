"""Progress of a training where standard error is no terminal."""

import pytest

from greenroom.cli import training_progress
from greenroom.cli.training_progress import TrainingProgress


def test_a_line_every_few_seconds_from_the_first_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(training_progress.time, "monotonic", lambda: now[0])
    progress = TrainingProgress(quiet=False)
    progress.phase("reading the dataset's takes")
    for step in range(1, 31):
        now[0] = float(step)
        progress.step(step, 30, {"loss": 0.12345})
    progress.phase("exporting to ONNX")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading the dataset's takes" and lines[-1] == "exporting to ONNX"
    assert lines[1] == "training: step 1 of 30, loss 0.123"
    assert lines[2] == "training: step 6 of 30, loss 0.123, 24 s left"
    assert lines[-2] == "training: step 30 of 30, loss 0.123, 0 s left" and len(lines) == 9


def test_with_json_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TrainingProgress(quiet=True)
    progress.phase("exporting to ONNX")
    progress.step(1, 2, {})
    assert capsys.readouterr().err == ""
