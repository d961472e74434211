"""What a retraining run needs done: the protocol, and how a run stops early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from greenroom.errors import GreenroomError
from greenroom.retraining.requests import REJECTED, Run
from greenroom.store.workspace import Workspace

StepResults = dict[str, Any]
Progress = Callable[[int, int], None]
BY = "greenroom"
"""Name that signs a run's log entries; who asked for the run stands in its request."""


class PipelineStopped(GreenroomError):
    """A run stops early, without an error.

    Args:
        reason: a sentence.
        outcome: of the run.
    """

    def __init__(self, reason: str, outcome: str = REJECTED) -> None:
        """Keep both."""
        super().__init__(reason)
        self.outcome = outcome


class Work(Protocol):
    """The long steps of a run: training, validation, comparison, canary. The pipeline decides."""

    def train(
        self, workspace: Workspace, run: Run, results: StepResults, progress: Progress
    ) -> str:
        """Return the hash of a model trained on the built dataset from the champion's weights."""

    def update(self, workspace: Workspace, run: Run, results: StepResults) -> str:
        """Return the hash of the champion's model after an online update on the new takes."""

    def validate(self, workspace: Workspace, model: str, progress: Progress) -> str:
        """Return the hash of a validation on the model's own test split."""

    def compare(
        self, workspace: Workspace, challenger: str, champion: str, progress: Progress
    ) -> str:
        """Return the hash of a sandbox's comparison on what neither was trained on."""

    def shadow(self, workspace: Workspace, model: str) -> Mapping[str, Any]:
        """Return figures of a shadow run; `objection` is why the model may not go on stage, or ""."""

    def trial(
        self,
        workspace: Workspace,
        actor: str,
        release: str,
        seconds: float,
        begin: Callable[[], None],
    ) -> str | None:
        """Bring the release on stage by `begin` and watch it; return why it has to leave, or "".

        None where no show is on.
        """
