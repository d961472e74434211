"""Make the release that ships in the package; about ten minutes on one core, no GPU.

    make setup EXTRAS=train && .venv/bin/python runs/embedded.py

It fetches the pinned PyBullet wheel (15 DeepMimic clips, zlib licence), ingests them, holds four out of
all training and choosing (test) and three out of training (validation), trains the `tokens` preset, and
packs the release with everything it names into `src/greenroom/embedded`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from greenroom.capture import sample_data
from greenroom.config import cache
from greenroom.datasets.build import build_dataset
from greenroom.embedded import ACTOR, HELD, embedded_card, ingest_clips, pack
from greenroom.manifests import Model
from greenroom.platform import run_in_background
from greenroom.registry.release import approve
from greenroom.registry.signing import make_key
from greenroom.store.workspace import Workspace
from greenroom.training.recipe import Recipe
from greenroom.training.train import TrainOptions, train

RECIPE = Recipe(steps=1500, rollout=16)
APPROVER = "The Greenroom developers"


def main() -> None:
    """Fetch, ingest, build, train, approve, pack."""
    run_in_background()
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else RECIPE.steps
    sample_data.fetch(cache())
    workspace = Workspace(Path(tempfile.mkdtemp(prefix="embedded-")))
    ingest_clips(workspace, "embedded")
    day = workspace.today()
    built = build_dataset(workspace, "deepmimic", ACTOR, "embedded", day, HELD)

    def show(step: int, total: int, figures: dict[str, float]) -> None:
        if step % 50 == 0 or step == total:
            print(f"step {step}/{total} loss {figures['loss']:.3f}", flush=True)

    recipe = Recipe(steps=steps, rollout=RECIPE.rollout)
    model = train(
        workspace,
        built.dataset,
        "embedded",
        "tokens",
        recipe=recipe,
        options=TrainOptions(progress=show, device="cpu"),
    )
    make_key(workspace, APPROVER)
    release = approve(workspace, model, APPROVER)
    pack(workspace, release)
    Path("docs/reference/card.md").write_text(embedded_card(workspace, release))
    print(workspace.objects.read(model, Model).figures)


if __name__ == "__main__":
    main()
