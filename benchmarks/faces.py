"""The voice's lesson by itself, each take judged once by a network that did not hear it: means and intervals.

Usage: benchmarks/faces.py HOME DATASET, a dataset with faces and voices. Preset `small`'s face, its seed and
as many turns as it has in a whole training; what bodies teach it does not hear. One in five takes is kept
aside in each fold, as a training keeps one to choose with; nothing is chosen here.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from greenroom.features.pipeline import FeatureSpec
from greenroom.frames import Floats
from greenroom.manifests import Dataset
from greenroom.networks.motion_net import TrunkNet
from greenroom.networks.presets import SMALL
from greenroom.store.workspace import Workspace
from greenroom.training.data_module import load_splits, tensor
from greenroom.training.fit import fit_closed_form
from greenroom.training.objectives import FaceObjective
from greenroom.training.recipe import DEFAULT
from greenroom.training.training_data import TrainingData
from greenroom.validation.face_evaluator import FaceEvaluator
from greenroom.validation.sufficient_stats import StatsByTask, aggregate_figures


class Voiced:
    """A graph's place taken by the one network that is judged."""

    def __init__(self, model: TrunkNet) -> None:
        self.model = model.eval()

    def run(self, inputs: dict[str, Floats]) -> dict[str, Floats]:
        with torch.no_grad():
            heard = self.model.normalise_speech(torch.from_numpy(inputs["speech"]))
            return {"face": self.model.face(heard).numpy()}


def taught(faces: list[tuple[Floats, Floats]], joints: int, state: int) -> TrunkNet:
    """Return a performer whose face has had its lesson."""
    torch.manual_seed(0)
    size = faces[0][0].shape[1], faces[0][1].shape[1]
    model = TrunkNet(SMALL.shape(joints, state, *size), SMALL)
    material = TrainingData([], faces=[(tensor(speech), tensor(face)) for speech, face in faces])
    fit_closed_form(model, material)
    lesson = FaceObjective(material, model.shape.speech, DEFAULT.windows // 2)
    optimiser = torch.optim.AdamW(model.face.parameters(), lr=DEFAULT.rate, weight_decay=1e-2)
    turns, random = SMALL.steps // lesson.every, torch.Generator()
    for turn in range(turns):
        share = turn / turns
        for group in optimiser.param_groups:
            rise = min(1, (turn * lesson.every + 1) / 50)
            group["lr"] = DEFAULT.rate * rise * 0.5 * (1 + math.cos(math.pi * share))
        random.manual_seed(turn)
        optimiser.zero_grad()
        (lesson.weight * lesson.loss(model, share, 1.0, random)).backward()
        torch.nn.utils.clip_grad_norm_(model.face.parameters(), 1.0)
        optimiser.step()
    return model


def main() -> None:
    """Teach and judge a network a take, and print the figures of all takes."""
    workspace = Workspace(Path(sys.argv[1]))
    dataset = workspace.objects.read(workspace.resolve(sys.argv[2], "dataset"), Dataset)
    spec = FeatureSpec.load(dataset.features)
    found = load_splits(workspace, dataset, spec)
    faces = [pair for split in sorted(found) for pair in found[split].faces]
    channels = next(one.channels for one in found.values() if one.channels)
    tallies: StatsByTask = {"face": {}}
    for n, (speech, face) in enumerate(faces):
        others = [pair for i, pair in enumerate(faces) if i not in (n, (n - 1) % len(faces))]
        model = taught(others, len(spec.joints), spec.state_width)
        judge = FaceEvaluator(Voiced(model), model.shape, others, channels)
        for metric, tally in judge.take(str(n), speech, face).items():
            tallies["face"].setdefault(metric, {})[str(n)] = tally
        said: dict[str, Any] = {
            m: t[str(n)].sums for m, t in tallies["face"].items() if str(n) in t
        }
        print(n, len(face), {m: np.round(list(s.values()), 3) for m, s in said.items()}, flush=True)
    print(json.dumps(aggregate_figures(tallies), indent=1))


if __name__ == "__main__":
    main()
