"""Compute a recorded show again and compare, or write it as one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from greenroom.errors import BadInput
from greenroom.live.replay import ReplayVerdict, verify
from greenroom.services.show_export import export_file, export_kind
from greenroom.store.workspace import Workspace

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ReplayResult:
    """What a replay found and wrote.

    Attributes:
        verdict: the comparison of every frame; None where none was asked for.
        file: that was written; None for none.
        bytes: size of the file.
    """

    verdict: ReplayVerdict | None
    file: Path | None
    bytes: int = 0

    @property
    def differs(self) -> bool:
        """Whether a frame differs from the recorded one."""
        verdict = self.verdict
        return verdict is not None and (
            verdict.exact != verdict.frames or verdict.first_difference is not None
        )


def replay_show(
    workspace: Workspace,
    show: str,
    progress: Progress | None,
    file: Path | None = None,
    threads: int = 1,
) -> ReplayResult:
    """Compute a show again and compare, or export it.

    Args:
        workspace: the workspace.
        show: its hash, or the beginning of it.
        progress: called with (frames compared, total); None for no comparison.
        file: to write, of a kind that its ending names; None for none.
        threads: of the model's runtime.

    Raises:
        BadInput: neither is asked for, or no kind of file ends so.
        Refused: a take's rights do not cover an export.
    """
    name = workspace.resolve(show, "show")
    if progress is None and file is None:
        raise BadInput("nothing to do", then="give --verify, or --export FILE.bvh")
    if file is not None:
        export_kind(file)  # before minutes are spent on a comparison
    verdict = None if progress is None else verify(workspace, name, threads, progress)
    if file is None:
        return ReplayResult(verdict, None)
    return ReplayResult(verdict, file, export_file(workspace, name, file))
