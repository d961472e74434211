"""What stands behind a model: what it and all that it started from were taught by, and updated with."""

from __future__ import annotations

from collections.abc import Iterator

from greenroom.errors import BadInput
from greenroom.manifests import Dataset, Model
from greenroom.store.workspace import Workspace


def splits_behind(workspace: Workspace, model: str) -> Iterator[dict[str, list[str]]]:
    """Yield {"train": takes, "validation": takes} of a model and of each that it started from.

    Args:
        workspace: where they are.
        model: its hash.
    """
    name = model
    while name:
        parents = workspace.objects.read(name, Model).parents
        splits = workspace.objects.read(parents.dataset, Dataset).splits
        updated = parents.takes  # of an online update
        yield {"train": [*splits["train"], *updated], "validation": splits["validation"]}
        name = parents.start


def require_trained(workspace: Workspace, model: str) -> None:
    """Pass, or raise: an online update's evidence speaks of the model that it made, and of no other.

    Raises:
        BadInput: the model was updated online; the sentence has the one that was trained.
    """
    trained = model
    while (manifest := workspace.objects.read(trained, Model)).update is not None:
        trained = manifest.parents.start
    if trained != model:
        raise BadInput(
            f"model {model[:12]} was updated online",
            then=f"exchange the part of the model that was trained: {trained[:12]}",
        )
