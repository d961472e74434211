"""`list` and `show` of datasets, models, releases and shows, on what the package brings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from greenroom import embedded
from greenroom.cli import main
from greenroom.clock import NS_PER_S
from greenroom.manifests import Model
from greenroom.registry import policy, signing
from greenroom.registry.promote import live_release
from greenroom.services.listing import rows_of
from greenroom.store.workspace import Workspace
from tests import examples
from tests.live.recorded import STARTED, record_show
from tests.people import approve, set_policy


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    embedded.install(Workspace(folder))
    return folder


def run(home: Path, *args: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["--home", str(home), *args])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("kind", ["dataset", "model", "release"])
def test_each_kind_is_listed_and_shown(home: Path, kind: str) -> None:
    code, out, _ = run(home, kind, "list", "--json")
    (row,) = json.loads(out)[f"{kind}s"]
    assert code == 0 and row["actor"] == embedded.ACTOR and len(row[kind]) == 64
    assert len(row["date"]) == len("2026-11-29 21:05")
    line = run(home, kind, "list")[1]
    assert line.startswith(row[kind][:12]) and line.rstrip().endswith(row["name"])
    shown: dict[str, Any] = json.loads(run(home, kind, "show", row[kind][:8], "--json")[1])
    assert shown[kind] == row[kind] and shown["manifest"]["kind"] == kind
    text = run(home, kind, "show", row[kind][:8])[1]
    assert all(len(line) <= 140 for line in text.splitlines()) and "actor" in text


def test_last_nights_show_is_found_by_day_actor_and_length(tmp_path: Path) -> None:
    home = tmp_path / "home"
    workspace = Workspace(home)
    first = record_show(workspace, range(3))
    second = record_show(workspace, range(6), started=STARTED + 86_400 * NS_PER_S)
    rows = json.loads(run(home, "show", "list", "--json")[1])["shows"]
    assert [row["show"] for row in rows] == [first, second]
    facts = {key: rows[1][key] for key in ("actor", "started", "frames", "seconds", "date")}
    assert facts == {
        "actor": "mira",
        "started": "2024-10-05T21:00:00Z",
        "frames": 6,
        "seconds": 0.2,
        "date": "2024-10-05 21:00",
    }
    later = json.loads(run(home, "show", "list", "--since", "2024-10-05", "--json")[1])["shows"]
    assert [row["show"] for row in later] == [second]
    assert run(home, "show", "list", "--since", "2024-10-06")[1].startswith("no shows")
    assert json.loads(run(home, "show", "list", "--actor", "leo", "--json")[1]) == {"shows": []}
    assert run(home, "show", "list", "--since", "yesterday")[0] == 2


def test_a_release_says_whether_it_is_on_stage(home: Path) -> None:
    assert "on stage" in run(home, "release", "list")[1]
    assert run(home, "release", "list", "--actor", "nobody")[1].startswith("no releases yet")


@pytest.mark.parametrize("kind", ["dataset", "model", "release", "show"])
def test_an_unknown_one_is_told_with_the_list_command(home: Path, kind: str) -> None:
    code, _, err = run(home, kind, "show", "123456")
    assert (
        code == 2 and f"greenroom --home {home} {kind} list" in err and len(err.splitlines()) == 1
    )


def test_a_listing_of_releases_reads_keys_and_policy_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    embedded.install(workspace)
    set_policy(workspace, embedded.ACTOR, "Ada")
    live = workspace.objects.read_any(live_release(workspace, embedded.ACTOR))
    model = workspace.objects.read(live.parents.model, Model)  # type: ignore[attr-defined]

    def reads(count: int) -> list[int]:
        for k in range(count):
            other = workspace.publish(examples.noted(model, f"{count}-{k}"), by="test")
            approve(workspace, other, "Ada")
        fresh, calls = Workspace(tmp_path), [0, 0]

        def counting(which: int, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any) -> Any:
                calls[which] += 1
                return function(*args)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(signing, "read_keys", counting(0, signing.read_keys))
            patch.setattr(policy, "_in_force", counting(1, policy._in_force))
            rows = rows_of(fresh, "release")
        assert sum("approved by Ada" in row["name"] for row in rows) == len(rows) - 1
        return calls

    few = reads(1)
    assert reads(4) == few and max(few) <= 2
