"""What the tests of validation share: a workspace with the embedded release and its clips."""

import pytest

from greenroom import embedded
from greenroom.store.workspace import Workspace


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    embedded.install(workspace)
    embedded.ingest_clips(workspace, "test")
    return workspace
