"""Do a run's steps so that a crash at any point loses none and repeats none that was done.

The steps are those of a workflow of DBOS, in a SQLite file of the workspace or a PostgreSQL by URL; the
run's name is the workflow's, so that it is started once, whoever starts it. One process at a time works.
A run's end is an entry of the log, made after the workflow has said what it is: a disk that is full then
loses nothing, and whoever works next makes the entry.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from greenroom.errors import GreenroomError, Refused
from greenroom.extras import require
from greenroom.retraining.pipeline import RetrainingPipeline
from greenroom.retraining.requests import FAILED, PROMOTED, Run, runs
from greenroom.retraining.work import Work
from greenroom.store.workspace import Workspace

DATABASE = "GREENROOM_WORKFLOWS"
"""Environment: a PostgreSQL URL; without it a file of the workspace."""
FORM = "1"
"""Of the steps: a run is only gone on with by the form that began it."""
_GIVEN_UP = ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
"""What the engine says of a workflow that it goes on with no more."""
_GOES_ON = ("PENDING", "ENQUEUED", "DELAYED")
_LOOK_S = 0.05
_PATIENCE_S = 60.0
Tell = Callable[[str, str, int, int], None]


@contextmanager
def single_worker(home: Path) -> Iterator[None]:
    """Be the one process that works for a workspace.

    Raises:
        Refused: another is.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / "learning.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Refused(
            "another process works on the runs of this workspace",
            then="see them: greenroom run list",
        ) from None
    try:
        yield
    finally:
        lock.release()


def run_pending(
    workspace: Workspace,
    work: Work | None = None,
    tell: Tell = lambda run, step, done, total: None,
) -> list[Run]:
    """Bring every run that was asked for to its end; return them as they ended.

    Args:
        workspace: where they are.
        work: does what takes long.
        tell: called with a run's name, a step's name, and how far it is (done, total).

    Raises:
        Refused: another process does.
        MissingExtra: the extra `loop` is not installed.
        GreenroomError: the database of the journal cannot be used.
    """
    with single_worker(workspace.home):
        waiting = [run for run in runs(workspace.log) if not run.outcome]
        if not waiting:
            return []
        with _engine(workspace, work, tell) as start:
            for run in waiting:
                outcome, reason, release = start(run.name)
                RetrainingPipeline(workspace, run, work).close(outcome, reason, release)
        names = {run.name for run in waiting}
        return [run for run in runs(workspace.log) if run.name in names]


@contextmanager
def _engine(
    workspace: Workspace, work: Work | None, tell: Tell
) -> Iterator[Callable[[str], list[str]]]:
    """Launch the workflow engine, which contacts nobody but its database; yield what starts a run.

    Runs that a crash left go on by themselves when it is launched; starting one of these waits for it.
    """
    require("dbos", "train,loop", "greenroom retrain")
    from dbos import DBOS, SetWorkflowID

    crashes: list[BaseException] = []
    workspace_id = workspace.log.leaves()[0].hex()[:16]
    config = _engine_config(workspace, workspace_id)

    @DBOS.workflow(name="retrain")  # type: ignore[untyped-decorator]  # an extra, seen as Any
    def retrain(name: str) -> list[str]:
        # Workflows have threads of their own, and a log is read by one.
        own = type(workspace)(workspace.home, workspace.log.clock)
        try:
            return _run_steps(own, name, work, tell, do=DBOS.run_step)
        except Exception:
            raise
        except BaseException as error:  # the engine takes it for a crash: nobody else would tell
            crashes.append(error)
            raise

    try:
        with _database_errors(workspace):
            DBOS(config=config)
            DBOS.launch()

        def start(name: str) -> list[str]:
            try:
                with SetWorkflowID(f"{workspace_id}-{name}"):
                    handle = DBOS.start_workflow(retrain, name)
                while _retry(handle.get_status).status in _GOES_ON:
                    if crashes:
                        raise crashes[0]
                    time.sleep(_LOOK_S)
                return list(_retry(handle.get_result))
            except Exception as error:
                status = DBOS.get_workflow_status(f"{workspace_id}-{name}")
                if status is None or status.status not in _GIVEN_UP:
                    raise
                return [FAILED, f"the workflow ended: {error}", ""]

        yield start
    finally:
        DBOS.destroy(destroy_registry=True)


def _engine_config(workspace: Workspace, workspace_id: str) -> dict[str, Any]:
    """Return the settings of the workflow engine.

    Args:
        workspace: whose runs it does.
        workspace_id: unique name of the workspace.
    """
    return {
        "name": "greenroom",
        "system_database_url": os.environ.get(DATABASE) or f"sqlite:///{_file(workspace)}",
        "application_version": FORM,
        "executor_id": workspace_id,
        # Workspaces may share a database, but no queue: what a crash left goes into one, and whoever
        # takes it would do it in another workspace.
        "dbos_system_schema": f"greenroom_{workspace_id}",
        "enable_otlp": False,
        "notification_listener_polling_interval_sec": 0.05,  # nobody waits for notices
        "log_level": "ERROR",
    }


def _retry(query: Callable[[], Any]) -> Any:
    """Return what the engine says; a database that is gone for a while is waited for."""
    from sqlalchemy.exc import DBAPIError

    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return query()
        except DBAPIError:
            if time.monotonic() > end:
                raise
        time.sleep(_LOOK_S)


def _file(workspace: Workspace) -> Path:
    return (workspace.home / "workflows.sqlite").resolve()


@contextmanager
def _database_errors(workspace: Workspace) -> Iterator[None]:
    """Say in a sentence that the journal's database cannot be used; its URL may hold a password."""
    try:
        yield
    except Exception as error:
        where, then = str(_file(workspace)), "free space or mend the disk"
        if os.environ.get(DATABASE):
            where, then = DATABASE, "start it, or correct the URL; the runs wait"
        message = (str(error) or type(error).__name__).splitlines()[0]
        sentence = f"the journal of the runs cannot be used: {message}"
        raise GreenroomError(sentence, where=where, then=then) from error


def _run_steps(
    workspace: Workspace, name: str, work: Work | None, tell: Tell, do: Callable[..., Any]
) -> list[str]:
    """Do the steps of a run one after another, each through the engine's journal.

    Returns:
        How the run ends, why, and the release that it made ("" for none).
    """
    (run,) = [candidate for candidate in runs(workspace.log) if candidate.name == name]
    pipeline = RetrainingPipeline(
        workspace, run, work, lambda step, done, total: tell(name, step, done, total)
    )
    results: dict[str, Any] = {}
    for step in pipeline.steps:
        step_result = do({"name": step}, pipeline.do, step, dict(results))
        if "stop" in step_result:
            return [*step_result["stop"], results.get("approve", {}).get("release", "")]
        results[step] = step_result["found"]
    return [PROMOTED, "it is on stage", results["promote"]["release"]]
