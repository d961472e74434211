"""Folds that share nobody, and a cross-validation that is cut off and goes on."""

from pathlib import Path

import pytest

from greenroom.capture.ingest import store_take
from greenroom.capture.readers import read_recording
from greenroom.capture.sample_data import Clip
from greenroom.consent.records import read_rights
from greenroom.datasets.build import build_dataset
from greenroom.errors import BadInput
from greenroom.manifests import CrossValidation, Dataset
from greenroom.store.attribution import Attribution
from greenroom.store.workspace import Workspace

pytestmark = pytest.mark.train
CLIPS = ("walk", "run", "jump", "dance_a", "kick", "punch")


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_share_no_group_and_cover_every_take_once(folds: int) -> None:
    from greenroom.validation.cross_validation import make_folds

    groups = {f"take{i:02d}": f"person{i % 7}" for i in range(23)}
    parts = make_folds(groups, folds)
    assert len(parts) == folds and parts == make_folds(dict(reversed(groups.items())), folds)
    assert sorted(take for _, _, test in parts for take in test) == sorted(groups)
    for three in parts:
        assert sorted(take for takes in three for take in takes) == sorted(groups)
        people = [{groups[take] for take in takes} for takes in three]
        assert all(people) and sum(map(len, people)) == 7
    assert make_folds(groups, folds, seed=1) != parts


@pytest.mark.parametrize(("number", "folds"), [(1, 2), (2, 2), (4, 5)])
def test_too_few_groups_are_said(number: int, folds: int) -> None:
    from greenroom.validation.cross_validation import make_folds

    with pytest.raises(BadInput, match=f"more groups of takes than the {number}"):
        make_folds({f"t{i}": str(i) for i in range(number)}, folds)


def workspace_of(home: Path, published: list[Clip], people: int) -> tuple[Workspace, str]:
    workspace = Workspace(home)
    for clip in published:
        short = clip.name.removeprefix("humanoid3d_")
        if short in CLIPS:
            person = f"p{CLIPS.index(short) % people}"
            who = Attribution("a", (person,), (read_rights(clip.licence, person),))
            store_take(workspace, read_recording(clip.data, clip.path), who, "test")
    return workspace, build_dataset(workspace, "d", "a", "test", workspace.today()).dataset


def test_every_take_is_judged_once_and_a_finished_fold_is_found_again(
    tmp_path: Path, published: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    from functools import partial

    from greenroom.serving.onnx_backend import open_model
    from greenroom.training import train as room
    from greenroom.validation.cross_validation import FoldPlan, cross_validate, take_groups

    workspace, dataset = workspace_of(tmp_path, published, 4)
    takes = workspace.objects.read_any(dataset).parents.takes
    assert len(takes) == 6
    assert take_groups(workspace, takes, 2)[0] == "participant"
    grouped, groups = take_groups(workspace, takes, 5)
    assert grouped == "take" and len(set(groups.values())) == 6
    plan, told, trained = FoldPlan(folds=2, steps=2), [], []
    real = room.train

    def once(*args: object, **more: object) -> str:
        if trained:
            raise KeyboardInterrupt
        trained.append(args)
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "train", once)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(workspace, dataset, "test", partial(open_model, workspace), plan)
    trained.clear()
    found = cross_validate(
        workspace,
        dataset,
        "test",
        partial(open_model, workspace),
        plan,
        lambda *done: told.append(done),
    )
    assert len(trained) == 1 and told[-1] == (2000, 2000) and told == sorted(told)
    manifest = workspace.objects.read(found, CrossValidation)
    assert manifest.grouped_by == "participant" and len(manifest.folds) == 2
    infill = manifest.figures["infill"]["limb_deg"]
    assert infill.takes == 6 and 0 < infill.model < 90
    for fold in manifest.folds:
        part = workspace.objects.read(fold.dataset, Dataset)
        assert part.parents.dataset == dataset
        assert workspace.objects.read_any(fold.model).parents.dataset == fold.dataset
    trained.append(())
    assert (
        cross_validate(workspace, dataset, "again", partial(open_model, workspace), plan) == found
    )
    assert workspace.fsck().bad == []
