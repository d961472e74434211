"""`show export` as it is typed."""

import json
from pathlib import Path

from click.testing import CliRunner

from greenroom.cli import main
from greenroom.store.workspace import Workspace
from tests.live.recorded import record_show


def test_a_show_is_exported_as_typed(tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    show = record_show(Workspace(home), range(40))

    def run(*args: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(main, ["--home", str(home), "show", "export", *args])
        return done.exit_code, done.stdout, done.stderr

    span = ("--from", "00:00:00.500", "--to", "00:00:01", "--humanoid")
    code, text, _ = run(show[:8], str(out), *span, "--as", "bvh,wav", "--json")
    assert code == 0
    files = json.loads(text)["files"]
    assert [(file["kind"], file["frames"]) for file in files] == [("bvh", 15), ("wav", 15)]
    assert all(Path(file["path"]).is_file() for file in files)
    code, text, _ = run(show[:8], str(out), "--as", "csv")
    assert code == 0 and "40 frames" in text
    for wrong in (("--as", "fbx"), ("--from", "noon"), ("--to", "41"), ("--from", "40")):
        code, _, error = run(show[:8], str(tmp_path / "none"), *wrong)
        assert code == 2 and len(error.splitlines()) == 1 and error.startswith("greenroom: ")
    assert not (tmp_path / "none").exists()
