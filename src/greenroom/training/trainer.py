"""The training loop as Lightning sees it: one task, its optimiser, and checkpoints that survive a crash.

Everything random is drawn from (seed, step, process), never from what was drawn before, so that a run
that was interrupted and resumed ends in the same bits as one that was not.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import multiprocessing
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader

from greenroom.networks.motion_net import MotionNet
from greenroom.store.objects import write_durably
from greenroom.training.objectives import TrainingData, build_objectives, combine_losses
from greenroom.training.preview import Preview
from greenroom.training.rollout import PosteriorEncoder, Progress, Recipe

EVERY = 50
"""Steps between checkpoints."""
_DIGEST = hashlib.sha256().digest_size


class DurableCheckpoints(CheckpointIO):
    """Checkpoints that are whole or not there: written aside, renamed, and known by their hash."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, its SHA-256 in front."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        data = buffer.getvalue()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_durably(Path(path), hashlib.sha256(data).digest() + data)

    def load_checkpoint(self, path: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """Return a checkpoint; ValueError where its bytes are not those that were written."""
        data = Path(path).read_bytes()
        if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
            raise ValueError(f"{path} is damaged")
        out: dict[str, Any] = torch.load(io.BytesIO(data[_DIGEST:]), weights_only=False)
        return out

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint with the most steps whose bytes are whole."""
    candidates = sorted(folder.glob("*.ckpt"), key=lambda path: int(path.stem), reverse=True)
    for path in candidates:
        with suppress(ValueError, OSError):
            DurableCheckpoints().load_checkpoint(path)
            return path
    return None


class ProgressRelay:
    """Progress from other processes: theirs is put into a queue, and told on in this one."""

    def __init__(self, progress: Progress) -> None:
        """Listen until closed."""
        self.queue: Any = multiprocessing.get_context("spawn").SimpleQueue()
        self.thread = threading.Thread(target=self._listen, args=(progress,), daemon=True)
        self.thread.start()

    def _listen(self, progress: Progress) -> None:
        while (item := self.queue.get()) is not None:
            progress(*item)

    def close(self) -> None:
        """Tell what is left, and end."""
        self.queue.put(None)
        self.thread.join()


def _enqueue(queue: Any, step: int, steps: int, figures: dict[str, float]) -> None:
    queue.put((step, steps, figures))


class ProgressCallback(L.Callback):
    """Keep a checkpoint every so many steps, the last two, and a clip an epoch; tell the progress.

    Args:
        folder: of the checkpoints.
        every: steps.
        progress: called with (step, steps, figures); a clip of the step is there by then.
        shown: what clips show; None for none.
    """

    def __init__(
        self, folder: Path | None, every: int, progress: Progress, clip_recorder: Preview | None
    ) -> None:
        """Keep what is given."""
        self.folder, self.every, self.progress, self.clip_recorder = (
            folder,
            every,
            progress,
            clip_recorder,
        )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, n: int
    ) -> None:
        """Write a checkpoint when it is time."""
        step = trainer.global_step
        if trainer.is_global_zero:
            if self.clip_recorder is not None:
                self.clip_recorder.keep(pl_module.model, step)
            self.progress(
                step, trainer.max_steps, {"loss": float(outputs["loss"]), **pl_module.losses}
            )
        if self.folder is None or step % self.every or step >= trainer.max_steps:
            return
        trainer.save_checkpoint(self.folder / f"{step}.ckpt")
        for old in sorted(self.folder.glob("*.ckpt"), key=lambda path: int(path.stem))[:-2]:
            old.unlink(missing_ok=True)


class MotionTask(L.LightningModule):
    """Roll the network out on windows with gaps and mend what it says.

    Args:
        model: with its closed form fitted; trained in place.
        joints: names, in the states' order.
        material: what there is to learn.
        recipe: how to train.
    """

    def __init__(
        self, model: MotionNet, joints: Sequence[str], material: TrainingData, recipe: Recipe
    ) -> None:
        """Add the encoder and the lessons' doubts, which exist in training only."""
        super().__init__()
        self.model, self.recipe = model, recipe
        self.encoder = PosteriorEncoder(model.shape.state, model.shape.noise)
        self.lessons = build_objectives(model, material, joints, recipe, self.encoder)
        learned = recipe.weights == "learned"
        self.doubts = nn.Parameter(torch.zeros(len(self.lessons))) if learned else None
        self.losses: dict[str, float] = {}

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        """Return the loss of this step's windows."""
        recipe, step = self.recipe, self.global_step
        seed = (recipe.seed * 1_000_003 + step) * 64 + self.global_rank
        torch.manual_seed(seed + (1 << 40))  # dropout has a stream of its own
        random = torch.Generator().manual_seed(seed)
        turns = [i for i, lesson in enumerate(self.lessons) if step % lesson.every == 0]
        now = [self.lessons[i] for i in turns]
        size = 1 / self.trainer.world_size
        losses = [lesson.loss(self.model, step / recipe.steps, size, random) for lesson in now]
        for lesson, loss in zip(now, losses, strict=True):
            self.losses[f"loss_{lesson.name}"] = float(loss.detach())
        return combine_losses(losses, now, None if self.doubts is None else self.doubts[turns])

    def configure_optimizers(self) -> Any:
        """Return AdamW, warming up over 50 steps and then a cosine to nothing."""
        steps = self.recipe.steps
        optimiser = torch.optim.AdamW(self.parameters(), lr=self.recipe.rate, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser,
            lambda step: min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps)),
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def train_dataloader(self) -> Any:
        """Return one item a step; the windows are drawn where they are used."""
        return DataLoader(range(self.recipe.steps), batch_size=None)


def run_training(
    task: MotionTask,
    folder: Path | None,
    progress: Progress,
    processes: int = 1,
    clip_recorder: Preview | None = None,
) -> None:
    """Train a task to its end, going on from the newest whole checkpoint.

    Args:
        task: trained in place.
        folder: of the checkpoints; None keeps none.
        progress: called after each step.
        processes: that share each batch, on this machine.
        clip_recorder: what clips show; None for none.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    strategy: Any = "auto"
    if processes > 1:
        strategy = DDPStrategy(
            process_group_backend="gloo",
            start_method="spawn",
            find_unused_parameters=True,  # a lesson has not always its turn
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning advises on workers and loggers
        relay = ProgressRelay(progress) if processes > 1 else None
        trainer = L.Trainer(
            accelerator="cpu",
            devices=processes,
            strategy=strategy,
            max_steps=task.recipe.steps,
            max_epochs=-1,
            plugins=[DurableCheckpoints()],
            callbacks=[
                ProgressCallback(
                    folder,
                    EVERY,
                    partial(_enqueue, relay.queue) if relay else progress,
                    clip_recorder,
                )
            ],
            gradient_clip_val=1.0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        checkpoint = None if folder is None else newest_checkpoint(folder)
        try:
            trainer.fit(task, ckpt_path=checkpoint)
        finally:
            if relay is not None:
                relay.close()
    if trainer.interrupted:
        raise KeyboardInterrupt
