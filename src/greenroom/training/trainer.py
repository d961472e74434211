"""The training loop: a Lightning module, its optimiser, and checkpoints that survive a crash.

Everything random is drawn from (seed, step, process), never from what was drawn before, so that a run
that was interrupted and resumed ends in the same bits as one that was not.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import multiprocessing
import signal
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader

from greenroom.errors import BadInput
from greenroom.networks.motion_net import MotionNet
from greenroom.store.objects import write_durably
from greenroom.training.objectives import build_objectives, combine_losses
from greenroom.training.preview import Preview
from greenroom.training.recipe import Progress, Recipe
from greenroom.training.rollout import PosteriorEncoder
from greenroom.training.training_data import TrainingData

EVERY = 50
"""Steps between checkpoints."""
_DIGEST = hashlib.sha256().digest_size


class DurableCheckpoints(CheckpointIO):
    """Checkpoints that are written aside, renamed, and checked by their hash."""

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
        """Return a checkpoint.

        Raises:
            ValueError: its bytes are not those that were written.
        """
        data = Path(path).read_bytes()
        if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
            raise ValueError(f"{path} is damaged")
        out: dict[str, Any] = torch.load(io.BytesIO(data[_DIGEST:]), weights_only=True)
        return out

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the undamaged checkpoint with the most steps; None where there is none."""
    candidates = sorted(folder.glob("*.ckpt"), key=lambda path: int(path.stem), reverse=True)
    for path in candidates:
        with suppress(ValueError, OSError):
            DurableCheckpoints().load_checkpoint(path)
            return path
    return None


class ProgressRelay:
    """Forward progress from other processes through a queue."""

    def __init__(self, progress: Progress) -> None:
        """Listen until closed."""
        self.queue: Any = multiprocessing.get_context("spawn").SimpleQueue()
        self.thread = threading.Thread(target=self._listen, args=(progress,), daemon=True)
        self.thread.start()

    def _listen(self, progress: Progress) -> None:
        while (item := self.queue.get()) is not None:
            progress(*item)

    def close(self) -> None:
        """Forward what is left, and end."""
        self.queue.put(None)
        self.thread.join()


def _enqueue(queue: Any, step: int, steps: int, figures: dict[str, float]) -> None:
    queue.put((step, steps, figures))


class StepInterrupt:
    """Ctrl-C ends a training after the step that is going on; a second one ends it at once.

    Args:
        enabled: whether to wait for the step; the default handling of Ctrl-C is put back either way.
    """

    def __init__(self, enabled: bool) -> None:
        """Keep the option."""
        main_thread = threading.current_thread() is threading.main_thread()
        self._before = signal.getsignal(signal.SIGINT) if main_thread else None
        self._enabled = enabled and self._before is signal.default_int_handler
        self.requested = False

    def __enter__(self) -> StepInterrupt:
        """Begin to wait for the step."""
        if self._enabled:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        """Put back what handled Ctrl-C before: Lightning ignores it after the first."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class ProgressCallback(L.Callback):
    """Write checkpoints, of which the last two stay, and previews; report progress.

    Args:
        folder: of the checkpoints; None for none.
        every: steps between checkpoints.
        progress: called with (step, steps, figures), after the clip of the step was written.
        preview: clips of the run; None for none.
        interrupt: asked after each step whether to end here, with a checkpoint.
    """

    def __init__(
        self,
        folder: Path | None,
        every: int,
        progress: Progress,
        preview: Preview | None,
        interrupt: StepInterrupt,
    ) -> None:
        """Keep the options."""
        self.folder, self.every = folder, every
        self.progress, self.preview = progress, preview
        self.interrupt = interrupt

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, n: int
    ) -> None:
        """Write a checkpoint when it is time."""
        step = trainer.global_step
        if trainer.is_global_zero:
            if self.preview is not None:
                self.preview.keep(pl_module.model, step)
            self.progress(
                step, trainer.max_steps, {"loss": float(outputs["loss"]), **pl_module.losses}
            )
        ends = self.interrupt.requested or step >= trainer.max_steps
        trainer.should_stop = trainer.should_stop or self.interrupt.requested
        if self.folder is None or (step % self.every and not ends):
            return
        trainer.save_checkpoint(self.folder / f"{step}.ckpt")
        for old in sorted(self.folder.glob("*.ckpt"), key=lambda path: int(path.stem))[:-2]:
            old.unlink(missing_ok=True)


class MotionTask(L.LightningModule):
    """The gradient training of a network on all of its objectives.

    Args:
        model: with its closed form fitted; trained in place.
        joints: names, in the states' order.
        material: training data.
        recipe: hyperparameters.
    """

    def __init__(
        self, model: MotionNet, joints: Sequence[str], material: TrainingData, recipe: Recipe
    ) -> None:
        """Add the encoder and the objectives' log variances, which exist in training only."""
        super().__init__()
        self.model, self.recipe = model, recipe
        self.encoder = PosteriorEncoder(model.shape.state, model.shape.noise)
        self.objectives = build_objectives(model, material, joints, recipe, encoder=self.encoder)
        log_variances = nn.Parameter(torch.zeros(len(self.objectives)))
        self.log_variances = log_variances if recipe.weights == "learned" else None
        self.losses: dict[str, float] = {}

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        """Return the loss of this step's windows."""
        recipe, step = self.recipe, self.global_step
        seed = (recipe.seed * 1_000_003 + step) * 64 + self.global_rank
        torch.manual_seed(seed + (1 << 40))  # dropout has a stream of its own
        random = torch.Generator().manual_seed(seed)
        due = [i for i, objective in enumerate(self.objectives) if step % objective.every == 0]
        now = [self.objectives[i] for i in due]
        share, size = step / recipe.steps, 1 / self.trainer.world_size
        losses = [objective.loss(self.model, share, size, random) for objective in now]
        for objective, loss in zip(now, losses, strict=True):
            self.losses[f"loss_{objective.name}"] = float(loss.detach())
        log_variances = None if self.log_variances is None else self.log_variances[due]
        return combine_losses(losses, now, log_variances)

    def configure_optimizers(self) -> Any:
        """Return AdamW with a warm-up of 50 steps and then a cosine to 0."""
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
        """Return one item a step; the objectives sample the windows."""
        return DataLoader(range(self.recipe.steps), batch_size=None)


@dataclass(frozen=True)
class TrainerOptions:
    """How a training runs.

    Attributes:
        checkpoints: folder; None for none.
        progress: called after each step with (step, steps, figures).
        processes: that share each batch, on this machine.
        device: "cpu" or "cuda".
        preview: clips of the run; None for none.
    """

    checkpoints: Path | None
    progress: Progress
    processes: int = 1
    device: str = "cpu"
    preview: Preview | None = None


def choose_device(name: str = "auto") -> str:
    """Return "cpu" or "cuda"; "auto" is "cuda" where there is one.

    Raises:
        BadInput: the name is unknown, or torch finds no such device.
    """
    has_cuda = torch.cuda.is_available()
    if name not in ("auto", "cpu", "cuda"):
        raise BadInput(f"there is no device '{name}'", then="use auto, cpu or cuda")
    if name == "cuda" and not has_cuda:
        raise BadInput("torch finds no CUDA device", then="use --device cpu")
    if name == "auto":
        return "cuda" if has_cuda else "cpu"
    return name


def run_training(task: MotionTask, options: TrainerOptions) -> None:
    """Train a task to its end from the newest undamaged checkpoint, and move it to the CPU.

    Raises:
        KeyboardInterrupt: it was interrupted; in one process, a checkpoint of its last step is kept.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings(), StepInterrupt(options.processes == 1) as interrupt:
        warnings.simplefilter("ignore")  # Lightning advises on workers and loggers
        relay = ProgressRelay(options.progress) if options.processes > 1 else None
        progress = partial(_enqueue, relay.queue) if relay else options.progress
        trainer = _trainer(task, options, progress, interrupt)
        folder = options.checkpoints
        checkpoint = None if folder is None else newest_checkpoint(folder)
        try:
            trainer.fit(task, ckpt_path=checkpoint)
        except SystemExit:  # how Lightning ends where it was interrupted
            if not trainer.interrupted:
                raise
        finally:
            if relay is not None:
                relay.close()
    if trainer.interrupted or interrupt.requested:
        raise KeyboardInterrupt
    task.to("cpu")


def _trainer(
    task: MotionTask, options: TrainerOptions, progress: Progress, interrupt: StepInterrupt
) -> L.Trainer:
    """Return Lightning's trainer."""
    relay = ProgressCallback(
        options.checkpoints, EVERY, progress, preview=options.preview, interrupt=interrupt
    )
    strategy: Any = "auto"
    if options.processes > 1:
        strategy = DDPStrategy(
            process_group_backend="gloo",
            start_method="spawn",
            find_unused_parameters=True,  # an objective is not due at each step
        )
    return L.Trainer(
        accelerator="gpu" if options.device == "cuda" else "cpu",
        devices=options.processes,
        strategy=strategy,
        max_steps=task.recipe.steps,
        max_epochs=-1,
        plugins=[DurableCheckpoints()],
        callbacks=[relay],
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
