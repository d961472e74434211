"""A shortened training, from takes to a release that performs."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import structs

from greenroom.capture.packets import encode_body
from greenroom.capture.readers import read_recording
from greenroom.capture.sample_data import Clip
from greenroom.contracts import Packet
from greenroom.errors import CheckFailed, Refused
from greenroom.live.performer import Performer
from greenroom.manifests import Model
from greenroom.registry.release import load_release
from greenroom.serving.onnx_backend import PORTABLE_OPERATIONS, OnnxBackend, self_test
from greenroom.store.workspace import Workspace
from tests.people import approve

pytestmark = pytest.mark.train


def test_from_takes_to_a_release_that_performs(
    tmp_path: Path, published: list[Clip], four_clips: Callable[[Path], tuple[Workspace, str]]
) -> None:
    from greenroom.training.recipe import Recipe
    from greenroom.training.train import TrainOptions, load_weights, train

    workspace, dataset = four_clips(tmp_path)
    assert len(workspace.objects.read_any(dataset).parents.takes) == 4
    steps = []
    recipe = Recipe(steps=4, batch=4, rollout=8)
    model = train(
        workspace,
        dataset,
        "test",
        recipe=recipe,
        options=TrainOptions(progress=lambda step, total, figures: steps.append((step, total))),
    )
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    manifest = workspace.objects.read(model, Model)
    assert set(manifest.operations) <= PORTABLE_OPERATIONS
    assert manifest.parameters <= 1_200_000
    release = load_release(workspace, approve(workspace, model, "tester"))
    backend = OnnxBackend(release.graph, release.role.shape)
    self_test(backend, release.golden)
    assert release.golden is not None
    moved = (np.frombuffer(release.golden, "<f4") + 1).tobytes()
    with pytest.raises(CheckFailed, match="golden clip"):
        self_test(backend, moved)
    performer = Performer(release.role, backend, 0)
    body = read_recording(published[0].data, published[0].path).body
    assert body is not None
    for tick in range(30):
        packet = encode_body(tick, body.root[tick], body.rotations[tick], body.validity[tick], 0)
        outcome = performer.step(tick, [Packet(0, packet)], late=False)
        assert outcome.rung == "capture" and np.isfinite(outcome.frame.rotations).all()
    assert workspace.fsck().bad == []
    small = Recipe(1, batch=4, rollout=8, rate=1e-4)
    warned: list[str] = []
    ben = structs.replace(manifest.rights[0], participant="ben")
    also = workspace.publish(structs.replace(manifest, rights=[ben]), by="test")  # learned from ben
    begin = TrainOptions(start=also, warn=warned.append)
    begun = train(workspace, dataset, "test", recipe=small, options=begin)
    assert not warned  # all of it was of use
    made = workspace.objects.read(begun, Model)
    assert made.parents.start == also and made.rights == [ben, *manifest.rights]
    over = structs.replace(ben, purposes=["train"], start="2020-01-01", expiry="2020-12-31")
    gone = workspace.publish(structs.replace(manifest, rights=[over]), by="test")
    with pytest.raises(Refused, match="learned from ben: .* expired on 2020-12-31"):
        train(workspace, dataset, "test", recipe=small, options=TrainOptions(start=gone))
    afresh = train(workspace, dataset, "test", recipe=Recipe(1, batch=4, rollout=8))
    ours, theirs, others = (load_weights(workspace, name) for name in (begun, model, afresh))

    def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
        return float(sum(((one[name] - other[name]) ** 2).sum() for name in one))

    assert 0 < apart(ours, theirs) < 0.1 * apart(ours, others)
    few = Recipe(1, batch=2, rollout=4, windows=8)
    begin = TrainOptions(start=model, warn=warned.append)
    train(workspace, dataset, "test", "tokens", few, begin)
    assert len(warned) == 1 and warned[0].startswith("learned afresh") and "joint_in" in warned[0]


def test_the_same_dataset_and_seed_give_the_same_model(
    tmp_path: Path, published: list[Clip]
) -> None:
    import torch

    from greenroom.contracts import ModelShape
    from greenroom.datasets.build import pose_states
    from greenroom.features.pipeline import FeatureSpec
    from greenroom.frames import BONES
    from greenroom.training.fit import FitData, fit
    from greenroom.training.recipe import Recipe
    from greenroom.training.training_data import TrainingData

    torch.set_num_threads(1)
    bodies = [read_recording(c.data, c.path).body for c in published if c.kind == "body"][:4]
    assert bodies[0] is not None
    joints = tuple(b for b, v in zip(BONES, bodies[0].validity[0], strict=True) if v > 0)
    spec = FeatureSpec(joints)
    states = [pose_states(spec, body) for body in bodies if body is not None]
    shape = ModelShape(len(joints), spec.state_width, 43)
    material = TrainingData([torch.from_numpy(take) for take in states])
    both = [
        fit(FitData(material, states, states[:2], joints), shape, recipe=Recipe(2, 2, 4))[0]
        for _ in range(2)
    ]
    others = both[1].state_dict()
    for name, value in both[0].state_dict().items():
        assert torch.equal(value, others[name]), name


RUN = """
import sys
from pathlib import Path
from greenroom.store.workspace import Workspace
from greenroom.training import preview, trainer
from greenroom.training.recipe import Recipe
from greenroom.training.train import TrainOptions, train
trainer.EVERY = preview.LEAST = 2
def show(step, total, figures):
    print("step", step, flush=True)
def phase(text):
    print("phase", text, flush=True)
try:
    print("model", train(Workspace(Path(sys.argv[1])), sys.argv[2], "test", recipe=Recipe(9, 4, 8),
          options=TrainOptions(progress=show, processes=int(sys.argv[3]), phase=phase)))
except KeyboardInterrupt as error:
    print(error, flush=True)
"""


def _train(home: Path, dataset: str, kill_after: int = 0, processes: int = 1) -> list[str]:
    """Train in a process of its own, killed after a step; return the lines it printed."""
    command = [sys.executable, "-c", RUN, str(home), dataset, str(processes)]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            if lines[-1] == f"step {kill_after}":
                process.kill()
    return lines


def _steps(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("step ")]


def _interrupt(home: Path, dataset: str, at: str) -> list[str]:
    """Train in a process of its own, with Ctrl-C at a line that it prints; return its lines."""
    command = [sys.executable, "-c", RUN, str(home), dataset, "1"]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            if lines[-1] == at:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    return lines


def _clips(home: Path) -> list[int]:
    """Return the steps of the clips that a run told of, each of which is there."""
    (journal,) = (home / "tracking").glob("*.jsonl")
    told = [msgspec.json.decode(line) for line in journal.read_bytes().splitlines()]
    told = [event for event in told if event["event"] == "clip"]
    assert all((journal.parent / event["file"]).exists() for event in told)
    return [event["step"] for event in told]


def test_an_interrupted_run_says_what_it_keeps_and_goes_on_from_there(
    tmp_path: Path, four_clips: Callable[[Path], tuple[Workspace, str]]
) -> None:
    _, dataset = four_clips(tmp_path / "whole")
    whole = _train(tmp_path / "whole", dataset)
    phases = [line.removeprefix("phase ") for line in whole if line.startswith("phase ")]
    assert phases[0] == "reading the dataset's takes" and "exporting to ONNX" in phases
    four_clips(tmp_path / "cut")
    first = _interrupt(tmp_path / "cut", dataset, "step 3")
    step = int([line for line in first if line.startswith("step ")][-1].removeprefix("step "))
    kept = "interrupted; {} of 9 steps are kept, and the same command goes on from there"
    assert 3 <= step < 9 and first[-1] == kept.format(step)
    second = _interrupt(tmp_path / "cut", dataset, "phase calibrating on held-out takes")
    assert f"step {step}" not in second and f"step {step + 1}" in second
    assert second[-1] == kept.format("all")
    last = _train(tmp_path / "cut", dataset)
    assert not any(line.startswith("step ") for line in last)
    assert whole[-1].startswith("model ") and last[-1] == whole[-1]


def test_a_killed_run_goes_on_and_ends_in_the_same_model(
    tmp_path: Path, four_clips: Callable[[Path], tuple[Workspace, str]]
) -> None:
    _, dataset = four_clips(tmp_path / "whole")
    whole = _train(tmp_path / "whole", dataset)
    workspace, again = four_clips(tmp_path / "cut")
    assert again == dataset
    assert not _train(tmp_path / "cut", dataset, kill_after=3)[-1].startswith("model")
    killed = _train(tmp_path / "cut", dataset, kill_after=7)
    assert _steps(killed)[0] == "step 3"  # from the checkpoint at 2
    (folder,) = (tmp_path / "cut" / "runs").iterdir()
    newest = max(folder.glob("*.ckpt"), key=lambda path: int(path.stem))
    newest.write_bytes(newest.read_bytes()[:-7])  # as a crash of the machine might leave it
    (folder / "8.ckpt").write_bytes(b"")
    last = _train(tmp_path / "cut", dataset)
    assert _steps(last)[0] == f"step {int(newest.stem) - 1}"  # the one before the damaged one
    assert whole[-1].startswith("model ") and last[-1] == whole[-1]
    assert not folder.exists() and workspace.fsck().bad == []
    assert _clips(tmp_path / "whole") == _clips(tmp_path / "cut") == [2, 4, 6, 8]


def test_two_processes_share_a_batch(
    tmp_path: Path, four_clips: Callable[[Path], tuple[Workspace, str]]
) -> None:
    workspace, dataset = four_clips(tmp_path)
    model = _train(tmp_path, dataset, processes=2)[-1].removeprefix("model ")
    assert workspace.objects.read(model, Model).recipe["processes"] == 2
    assert _clips(tmp_path) == [2, 4, 6, 8]
