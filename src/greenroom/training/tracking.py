"""Mirror training runs where people look: MLflow, Weights & Biases, TensorBoard, or nowhere.

A run writes what happens to a journal, one JSON line each, under HOME/tracking, and its clips beside
it (`greenroom.training.preview`). A mirror reads on from
where it last was and passes it to a tracker. So a tracker that cannot be reached stops nothing and loses
nothing: `greenroom track` sends it later. The truth is the model's manifest.
"""

from __future__ import annotations

import base64
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from greenroom.consent.gate import refusal_reason
from greenroom.errors import BadInput, GreenroomError
from greenroom.extras import require
from greenroom.plugins import Registry
from greenroom.render.clips import as_gif
from greenroom.store.objects import write_durably
from greenroom.store.workspace import Workspace

Event = dict[str, Any]
EXPERIMENT = "greenroom"


class Journal:
    """What happened in one run, kept line by line; a resumed run goes on in the same file.

    Args:
        path: HOME/tracking/RUN.jsonl.
    """

    def __init__(self, path: Path) -> None:
        """Open it; a line that a crash cut short is dropped."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        complete = content[: content.rfind(b"\n") + 1]
        if complete != content:
            write_durably(path, complete)
        events = [msgspec.json.decode(line) for line in complete.splitlines()]
        self._has_begin = any(event["event"] == "begin" for event in events)
        self._step = max((e["step"] for e in events if e["event"] == "figures"), default=0)
        self._clip = max((e["step"] for e in events if e["event"] == "clip"), default=0)
        self._file = path.open("ab")

    def begin(self, tags: dict[str, str], parameters: dict[str, Any]) -> None:
        """Say what run this is, once."""
        if not self._has_begin:
            self._write({"event": "begin", "tags": tags, "parameters": parameters})
        self._has_begin = True

    def figures(self, step: int, values: dict[str, float]) -> None:
        """Note a step's figures; one that a resumed run repeats is the same and not noted again."""
        if step > self._step:
            self._write({"event": "figures", "step": step, "values": values})
            self._step = step

    def clip(self, step: int, file: Path, takes: Sequence[str]) -> None:
        """Name a step's clip, a file beside the journal, and whose it is; one that is repeated once."""
        if step > self._clip:
            name = file.relative_to(self.path.parent).as_posix()
            self._write({"event": "clip", "step": step, "file": name, "takes": list(takes)})
            self._clip = step

    def end(self, tags: dict[str, str], values: dict[str, float]) -> None:
        """Say how it ended."""
        self._write({"event": "end", "step": self._step, "tags": tags, "values": values})

    def _write(self, event: Event) -> None:
        self._file.write(msgspec.json.encode(event) + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Tracker(Protocol):
    """Where runs are mirrored. `send` may be given an event again, after it failed half-way.

    A clip's event has the whole path of its file.
    """

    name: str

    def send(self, run: str, events: Sequence[Event]) -> None:
        """Pass events on, oldest first; raise whatever happens."""


class Mlflow:
    """MLflow: an SQLite file by default, a server by URL.

    Args:
        uri: of the tracking store.
        artifacts: where the files of a new experiment go, a URL; None for where the store says.
    """

    def __init__(self, uri: str, artifacts: str | None = None) -> None:
        """Keep the addresses; nothing is opened yet."""
        self.name, self.uri, self.artifacts = "mlflow", uri, artifacts

    def send(self, run: str, events: Sequence[Event]) -> None:
        """Log all of it to the run of this name, made where it is not there; clips as artifacts."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
        mlflow = require("mlflow", "track", "tracking by MLflow")
        metric_type = require("mlflow.entities", "track", "tracking by MLflow").Metric
        client = mlflow.MlflowClient(tracking_uri=self.uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = (
            experiment.experiment_id
            if experiment
            else client.create_experiment(EXPERIMENT, artifact_location=self.artifacts)
        )
        existing = client.search_runs([experiment_id], f"tags.greenroom_run = '{run}'")
        run_id = (
            existing[0] if existing else client.create_run(experiment_id, run_name=run)
        ).info.run_id
        client.set_tag(run_id, "greenroom_run", run)
        metrics = []
        for event in events:
            for key, value in event.get("tags", {}).items():
                client.set_tag(run_id, key, value)
            for key, value in event.get("parameters", {}).items():
                client.log_param(run_id, key, value)
            for key, value in event.get("values", {}).items():
                metrics.append(metric_type(key, value, 0, event["step"]))
        for start in range(0, len(metrics), 500):
            client.log_batch(run_id, metrics=metrics[start : start + 500])
        for event in events:
            if "file" in event:
                client.log_artifact(run_id, event["file"], "clips")
        if events and events[-1]["event"] == "end":
            client.set_terminated(run_id)


class Wandb:
    """Weights & Biases, offline under HOME/tracking unless WANDB_MODE says otherwise.

    Args:
        folder: for its files.
    """

    def __init__(self, folder: Path) -> None:
        """Keep the folder."""
        self.name, self.folder = "wandb", folder

    def send(self, run: str, events: Sequence[Event]) -> None:
        """Log events to the run of this name."""
        wandb = require("wandb", "track", "tracking by Weights & Biases")
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        opened = wandb.init(
            project=EXPERIMENT,
            id=run,
            name=run,
            dir=str(self.folder),
            mode=mode,
            resume="allow",
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        for event in events:
            opened.config.update(
                {**event.get("parameters", {}), **event.get("tags", {})}, allow_val_change=True
            )
            if "values" in event:
                opened.log(event["values"], step=event["step"] + (event["event"] == "end"))
            if "file" in event:
                data = base64.b64encode(Path(event["file"]).read_bytes()).decode()
                picture = f'<img src="data:image/webp;base64,{data}">'
                opened.log({"clip": wandb.Html(picture)}, step=event["step"])
        opened.finish()


class TensorBoard:
    """TensorBoard's files, one folder a run.

    Args:
        folder: HOME/tracking/tensorboard.
    """

    def __init__(self, folder: Path) -> None:
        """Keep the folder."""
        self.name, self.folder = "tensorboard", folder

    def send(self, run: str, events: Sequence[Event]) -> None:
        """Add scalars, tags as text, and clips as images that move: a GIF is an image to it."""
        require("tensorboard", "track", "tracking by TensorBoard")
        from tensorboard.compat.proto.summary_pb2 import Summary
        from torch.utils.tensorboard import SummaryWriter

        writer: Any = SummaryWriter(str(self.folder / run))
        for event in events:
            for key, value in event.get("tags", {}).items():
                writer.add_text(key, str(value))
            for key, value in event.get("values", {}).items():
                writer.add_scalar(key, value, event["step"])
            if "file" in event:
                gif, (width, height) = as_gif(Path(event["file"]).read_bytes())
                image = Summary.Image(
                    width=width, height=height, colorspace=3, encoded_image_string=gif
                )
                summary = Summary(value=[Summary.Value(tag="clip", image=image)])
                writer.file_writer.add_summary(summary, event["step"])
        writer.close()


def open_mlflow(where: str, *, folder: Path) -> Mlflow:
    """Return MLflow's tracker: of a tracking URI, or of an SQLite file in a folder."""
    if where:
        return Mlflow(where)
    return Mlflow(f"sqlite:///{folder / 'mlflow.db'}", (folder / "mlflow").absolute().as_uri())


def open_wandb(where: str, *, folder: Path) -> Wandb:
    """Return Weights & Biases' tracker, which takes no address."""
    _require_no_address("wandb", where)
    return Wandb(folder)


def open_tensorboard(where: str, *, folder: Path) -> TensorBoard:
    """Return TensorBoard's tracker, which takes no address."""
    _require_no_address("tensorboard", where)
    return TensorBoard(folder / "tensorboard")


def _require_no_address(name: str, where: str) -> None:
    if where:
        raise BadInput(f"'{name}:{where}' is no tracker", then=f"give {name} alone")


class OpenTracker(Protocol):
    """What a member of `TRACKERS` is: a function or a class."""

    def __call__(self, where: str, *, folder: Path) -> Tracker:
        """Return the tracker at an address (may be empty); its files belong into `folder`."""


_HERE = "greenroom.training.tracking"
TRACKERS: Registry[OpenTracker] = Registry(
    "greenroom.trackers",
    {
        "mlflow": f"{_HERE}:open_mlflow",
        "wandb": f"{_HERE}:open_wandb",
        "tensorboard": f"{_HERE}:open_tensorboard",
    },
)
"""Name → what opens it."""


def open_tracker(text: str, home: Path) -> Tracker:
    """Return the tracker that `--track TEXT` names.

    Args:
        text: a tracker's name, or NAME:ADDRESS.
        home: the workspace's folder.

    Raises:
        BadInput: there is none of that name, or it takes no address.
    """
    name, _, where = text.partition(":")
    return TRACKERS.get(name)(where, folder=home / "tracking")


def journals(home: Path) -> list[Path]:
    """Return every run's journal, oldest first."""
    paths = list((home / "tracking").glob("*.jsonl"))
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns)


def export_permission(workspace: Workspace) -> Callable[[Sequence[str]], bool]:
    """Return what tells whether the rights of all of some takes cover `export` today."""

    def may(takes: Sequence[str]) -> bool:
        day = workspace.today()
        return not any(refusal_reason(workspace, take, "export", day) for take in takes)

    return may


def mirror(
    journal: Path, tracker: Tracker, may: Callable[[Sequence[str]], bool] = lambda takes: True
) -> int:
    """Send what a tracker has not seen of a run; return how many events that was.

    Args:
        journal: of the run.
        tracker: that is told.
        may: tells whether a clip of some takes may leave; one that may not is passed over.

    Raises:
        GreenroomError: it could not be sent, and stays in the journal for another time.
    """
    mark = journal.with_suffix(f".{tracker.name}")
    start = int(mark.read_text()) if mark.exists() else 0
    data = journal.read_bytes()[start:]
    complete = data[: data.rfind(b"\n") + 1]
    events: list[Event] = [msgspec.json.decode(line) for line in complete.splitlines()]
    if not events:
        return 0
    for event in events:
        if "file" in event:
            event["file"] = str(journal.parent / event["file"])
    allowed = [
        event
        for event in events
        if "file" not in event or (Path(event["file"]).exists() and may(event.get("takes", ())))
    ]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the trackers' libraries warn of each other
            tracker.send(journal.stem, allowed)
    except GreenroomError:
        raise
    except Exception as error:  # each tracker has errors of its own
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GreenroomError(
            f"{tracker.name} could not be reached: {message[:200]}",
            then=f"nothing is lost: greenroom track --to {tracker.name}",
        ) from error
    write_durably(mark, str(start + len(complete)).encode())
    return len(events)


class Mirrors:
    """The trackers of a run in progress: told now and then, and at the end; never in its way.

    Args:
        journal: of the run.
        trackers: to tell.
        warn: called with one line where one cannot be reached.
        may: see :func:`mirror`.
    """

    def __init__(
        self,
        journal: Path,
        trackers: Sequence[Tracker],
        warn: Callable[[str], None],
        may: Callable[[Sequence[str]], bool] = lambda takes: True,
    ) -> None:
        """Begin with every tracker."""
        self.journal, self.trackers, self.warn, self.may = journal, list(trackers), warn, may

    def send_new(self) -> None:
        """Send what is new; who cannot be reached is not asked again before the end."""
        for tracker in list(self.trackers):
            try:
                mirror(self.journal, tracker, self.may)
            except GreenroomError as error:
                self.trackers.remove(tracker)
                self.warn(str(error))
