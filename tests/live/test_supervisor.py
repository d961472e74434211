"""Who performs when a release may not any more: decided without a process."""

from types import SimpleNamespace
from typing import Any

import pytest

from greenroom.live.supervisor import EngineSupervisor


class Named(EngineSupervisor):
    """A cast of releases by name, whose engines are no processes."""

    def __init__(self, *releases: str, on: int | None, coming: int | None = None) -> None:
        self.releases = [SimpleNamespace(name=name) for name in releases]  # type: ignore[misc]
        self._dismissed = set()
        self._active, self._incoming, self._standby = None, None, None
        self._last_active = self._engine(0 if on is None else on, -1)
        self._active = None if on is None else self._last_active
        self._incoming = None if coming is None else self._engine(coming, -1)
        self.dropped: list[int] = []

    def _engine(self, release: int, previous: int) -> Any:
        return SimpleNamespace(release=release, previous=previous)

    def _drop(self, engine: Any) -> None:
        self.dropped.append(engine.release)

    @property
    def comes(self) -> str | None:
        return None if self._incoming is None else self.releases[self._incoming.release].name


def test_a_release_that_comes_is_dropped_and_the_one_on_stage_goes_on() -> None:
    cast = Named("old", "new", on=0, coming=1)
    assert cast.dismiss("new") is False
    assert (cast.comes, cast.dropped) == (None, [1])


@pytest.mark.parametrize(("gone", "comes"), [("new", "old"), ("old", "new")])
def test_while_nobody_performs_somebody_else_is_called(gone: str, comes: str) -> None:
    cast = Named("old", "new", on=None, coming=0 if gone == "old" else 1)
    cast.dismiss(gone)
    assert cast.comes == comes


def test_where_nobody_else_may_the_one_that_comes_still_does() -> None:
    cast = Named("only", on=None, coming=0)
    assert cast.dismiss("only") is True
    assert (cast.comes, cast.dropped) == ("only", [])
