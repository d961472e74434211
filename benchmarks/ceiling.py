"""What limits a forecast and a completed gap: takes, windows a step, or the network's width.

Usage: benchmarks/ceiling.py pack HOME DATASET FILE, where the workspace is; then, on any machine with torch,
benchmarks/ceiling.py train FILE [--device cuda] [--width 640] [--depth 2] [--windows 512] [--steps 7000]
[--share 1] [--seed 0] [--most SECONDS]. Trains the body's lesson alone, without roll-outs, and prints a line
of JSON: degrees of what is lost and skill of forecasts on the test takes, with the floors beside them.
"""

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from greenroom.contracts import ModelShape
from greenroom.frames import LIMBS
from greenroom.manifests import Dataset
from greenroom.networks.motion_net import MotionNet, TrunkNet
from greenroom.networks.presets import SMALL
from greenroom.training import residual_gains
from greenroom.training.objectives import GapObjective, run_network
from greenroom.training.rollout import torch_angles_6d
from greenroom.training.training_data import TrainingData

AGES, SKILLS, WINDOWS = (1, 3, 6, 10, 15), (1, 6, 15), 6


def pack(home: Path, dataset: str, file: Path) -> None:
    """Write states, the fitted closed form and the floors' figures to one file without a workspace."""
    from greenroom.datasets.build import pose_states
    from greenroom.features.pipeline import FeatureSpec
    from greenroom.metrics.baselines import Gaussian, Ridge
    from greenroom.store.workspace import Workspace
    from greenroom.training.closed_form import fit_core
    from greenroom.training.data_module import load_splits, make_training_data

    workspace = Workspace(home)
    manifest = workspace.objects.read(workspace.resolve(dataset, "dataset"), Dataset)
    spec = FeatureSpec.load(manifest.features)
    found = load_splits(workspace, manifest, spec)
    takes = make_training_data(found["train"], spec, SMALL, 0).takes
    single = [pose_states(spec, body) for body in found["train"].bodies]
    shape = SMALL.shape(len(spec.joints), spec.state_width, 43)
    model = TrunkNet(shape, SMALL)
    fit_core(model.core, shape, spec.joints, single)
    out: dict[str, Any] = {
        "joints": spec.joints,
        "takes": takes,
        "validation": [pose_states(spec, body) for body in found["validation"].bodies],
        "test": [pose_states(spec, body) for body in found["test"].bodies],
        "style": found["test"].style,
        "core": model.core.state_dict(),
    }
    lost = lost_limbs(spec.joints)
    six = 6 * len(spec.joints)
    ridge = Ridge(single, SKILLS, six)
    gauss = Gaussian(single, np.repeat(lost, 6, 1))
    k = shape.history
    out["baselines"] = judged(
        out,
        k,
        lambda rows, see, age: np.stack(
            [
                gauss.fill(r[-1 - age - 1], r[-1 - age], r[-1:], np.repeat(~s, 6))[0, :six]
                for r, s in zip(rows, see, strict=True)
            ]
        ),
        lambda rows: {h: np.stack([ridge.at(row, h) for row in rows]) for h in SKILLS},
    )
    torch.save(out, file)


def lost_limbs(joints: Any) -> np.ndarray:
    """Return which joints each limb has (L, J)."""
    limbs = np.array([np.isin(joints, list(limb)) for limb in LIMBS.values()])
    return limbs[limbs.any(1)]


def angles(a: Any, b: Any) -> np.ndarray:
    """Return degrees (N, J) between rotations (N, 6 J)."""
    a, b = (torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)) for x in (a, b))
    return torch_angles_6d(a.reshape(len(a), -1, 6), b.reshape(len(b), -1, 6)).numpy()


def judged(data: dict[str, Any], k: int, fill: Any, ahead: Any) -> dict[str, dict[str, float]]:
    """Return group → figure of what completes rows (N, K + 1, D) and forecasts from rows (N, K, D)."""
    groups = {"all": lambda s: True, "no style": lambda s: not s}
    groups |= {name: (lambda s, name=name: s == name) for name in sorted({*data["style"]} - {""})}
    six, out = 6 * len(data["joints"]), {}
    for group, has in groups.items():
        parts = []
        for take, style in zip(data["test"], data["style"], strict=True):
            rows = np.concatenate([np.repeat(take[:1], k - 2, 0), take])
            last = len(rows) - k - 15
            if last >= 0 and has(style):
                at = np.unique(np.linspace(0, last, min(WINDOWS, last + 1)).astype(int))
                parts += [rows[a : a + k + 15] for a in at]
        windows, random, row = np.stack(parts), np.random.default_rng(1), {}
        limbs = lost_limbs(data["joints"])
        for kind in ("joints", "limb"):
            n = len(windows)
            lost = limbs[np.arange(n) % len(limbs)]
            if kind == "joints":
                lost = random.random(lost.shape) < 0.3
                lost[:, 0] = False
            degrees = [
                angles(fill(windows[:, a - 1 : a + k], ~lost, a), windows[:, k + a - 1, :six])[lost]
                for a in AGES
            ]
            row[kind] = float(np.mean(degrees))
        said = ahead(windows[:, :k])
        for h in SKILLS:
            truth = windows[:, k + h - 1, :six]
            hold = (angles(windows[:, k - 1, :six], truth) ** 2).sum()
            row[f"skill_{1000 * h // 30}"] = 1 - float((angles(said[h], truth) ** 2).sum() / hold)
        out[group] = {name: round(value, 4) for name, value in row.items()}
    return out


def by(model: MotionNet) -> tuple[Any, Any]:
    """Return how a model completes and forecasts, as `judged` wants it."""
    shape, names = model.shape, model.shape.outputs()

    def fill(rows: np.ndarray, see: np.ndarray, age: int) -> np.ndarray:
        known = torch.ones(len(rows), shape.history + 1, shape.joints)
        known[:, shape.history - age + 1 :] = torch.from_numpy(see[:, None].astype(np.float32))
        with torch.no_grad():
            said = run_network(model, torch.from_numpy(rows), known, torch.full((len(rows),), age))
        return said[0][:, : 6 * shape.joints].numpy()

    def ahead(rows: np.ndarray) -> dict[int, np.ndarray]:
        rows = np.concatenate([rows[:, :1], rows], 1)
        known = torch.ones(len(rows), shape.history + 1, shape.joints)
        with torch.no_grad():
            said = run_network(model, torch.from_numpy(rows), known, torch.zeros(len(rows)))
        told = dict(zip(names, said, strict=True))["forecast"].numpy()
        return {h: told[:, n] for n, h in enumerate(shape.horizons)}

    return fill, ahead


def train(data: dict[str, Any], asked: argparse.Namespace) -> tuple[MotionNet, int, float]:
    """Return a model that had the body's lesson, how many steps it had, and the seconds of one."""
    begun = time.monotonic()
    torch.manual_seed(asked.seed)
    torch.set_default_device(asked.device)
    takes = [torch.as_tensor(take).to(asked.device) for take in data["takes"]]
    half = len(takes) // 2  # the mirror images come second
    picked = np.random.default_rng(0).permutation(half)[: max(1, round(half * asked.share))]
    takes = [takes[i + mirror] for mirror in (0, half) for i in sorted(picked)]
    size = replace(SMALL, trunk=asked.width, depth=asked.depth)
    shape: ModelShape = size.shape(len(data["joints"]), takes[0].shape[1], 43)
    model = TrunkNet(shape, size)
    model.core.load_state_dict(data["core"])
    model.trunk.reference_amplitude.copy_(residual_gains.rms_amplitude(model, takes))
    model.trunk.scale.copy_(residual_gains.residual_rms(model, takes))
    lesson = GapObjective(TrainingData([], takes), data["joints"], asked.windows, shape.history)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    random, start, step = torch.Generator(asked.device), time.monotonic(), 0
    while step < asked.steps:
        share = max(step / asked.steps, (time.monotonic() - begun) / asked.most)
        if share >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * share))
        random.manual_seed(step + 1_000_003 * asked.seed)
        optimiser.zero_grad()
        lesson.loss(model, share, 1.0, random).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
    took = (time.monotonic() - start) / max(1, step)
    torch.set_default_device("cpu")
    model = model.cpu().eval()
    residual_gains.fit_residual_gains(model, [torch.as_tensor(take) for take in data["validation"]])
    return model, step, took


def main() -> None:
    """Pack, or train and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    doing = parser.add_subparsers(dest="do", required=True)
    one = doing.add_parser("pack")
    one.add_argument("home", type=Path)
    one.add_argument("dataset")
    one.add_argument("file", type=Path)
    two = doing.add_parser("train")
    two.add_argument("file", type=Path)
    two.add_argument("--device", default="cpu")
    numbers = {"width": 640, "depth": 2, "windows": 512, "steps": 7000, "seed": 0}
    for name, value in (numbers | {"share": 1.0, "most": 1e9}).items():
        two.add_argument(f"--{name}", type=type(value), default=value)
    asked = parser.parse_args()
    if asked.do == "pack":
        return pack(asked.home, asked.dataset, asked.file)
    data = torch.load(asked.file, weights_only=False)
    model, steps, took = train(data, asked)
    said = {key: value for key, value in vars(asked).items() if key not in ("do", "file")}
    said |= {"steps": steps, "seconds_a_step": round(took, 4)}
    print(json.dumps(said | {"model": judged(data, 30, *by(model)), "floors": data["baselines"]}))
    return None


if __name__ == "__main__":
    main()
