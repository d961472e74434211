"""Takes as a service: kept, listed, described and exported without a command."""

from pathlib import Path

import pytest

from greenroom.errors import BadInput, Refused
from greenroom.services.takes import (
    IngestRequest,
    describe_take,
    export_take,
    ingest_recordings,
    list_takes,
)
from greenroom.store.workspace import Workspace


def ingest_one(workspace: Workspace, path: Path, **rights: str) -> str:
    seen: list[tuple[int, int]] = []
    request = IngestRequest([path], "mira", **rights)
    result = ingest_recordings(workspace, request, "test", lambda *done: seen.append(done))
    assert seen[0] == (0, 0) and seen[-1] == (1, 1)
    (take,) = result.takes
    return take


@pytest.fixture
def clip(tmp_path: Path, person) -> Path:
    path = tmp_path / "walk.bvh"
    path.write_bytes(person() if callable(person) else person)
    return path


def test_a_take_is_listed_described_and_exported(tmp_path: Path, clip: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    take = ingest_one(workspace, clip, participant="p", rights="MIT")
    (row,) = list_takes(workspace, "mira")
    assert (row.take, row.medium, row.usable, row.participants) == (take, "body", True, ["p"])
    assert list_takes(workspace, "another") == []
    assert describe_take(workspace, take[:8]).take == take
    written = export_take(workspace, take, tmp_path / "out.bvh", humanoid=True)
    assert written.bytes == (tmp_path / "out.bvh").stat().st_size
    with pytest.raises(Refused, match="quarantined") as refused:
        other = tmp_path / "other.bvh"
        other.write_bytes(clip.read_bytes() + b"\n")
        export_take(workspace, ingest_one(workspace, other), tmp_path / "no.bvh", humanoid=False)
    assert refused.value.exit_code == 2 and not (tmp_path / "no.bvh").exists()


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (IngestRequest([], "a/b"), "has no usable name"),
        (IngestRequest([], "mira", participant="p"), "belong together"),
        (IngestRequest([], "mira", rights="MIT"), "belong together"),
    ],
)
def test_an_unusable_attribution_is_refused(request_: IngestRequest, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        request_.attribution()
