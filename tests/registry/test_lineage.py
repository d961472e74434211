"""Lineage: all that a model was taught by counts, however many models ago."""

from pathlib import Path
from typing import Any

import pytest

from greenroom.errors import BadInput
from greenroom.manifests import ModelParents
from greenroom.registry.lineage import require_trained, splits_behind
from greenroom.store.workspace import Workspace
from tests import examples


def test_what_the_models_before_it_learned_from_is_behind_it_too(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    take = {n: workspace.publish(examples.take(workspace, n.encode()), by="t") for n in "abcde"}

    def dataset(train: str, validation: str) -> str:
        splits = {"train": [take[n] for n in train], "validation": [take[n] for n in validation]}
        return workspace.publish(examples.dataset([], splits), by="t")

    def model(**parents: Any) -> str:
        update = examples.UPDATE if "takes" in parents else None
        own = ModelParents(**parents)
        manifest = examples.model(workspace, own.dataset, parents=own, update=update)
        return workspace.publish(manifest, by="t")

    first = dataset("a", "b")
    trained = model(dataset=first)
    updated = model(dataset=first, start=trained, takes=[take["c"]])
    again = model(dataset=dataset("d", "e"), start=updated)
    names = {name: n for n, name in take.items()}

    def behind(name: str) -> list[list[str]]:
        return [
            ["".join(names[t] for t in splits[kind]) for kind in ("train", "validation")]
            for splits in splits_behind(workspace, name)
        ]

    assert behind(trained) == [["a", "b"]]
    assert behind(again) == [["d", "e"], ["ac", "b"], ["a", "b"]]
    require_trained(workspace, trained)
    require_trained(workspace, again)
    with pytest.raises(BadInput, match=f"that was trained: {trained[:12]}"):
        require_trained(workspace, updated)
