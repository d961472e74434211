"""One show of an actor at a time: a second one is refused, a killed one leaves the stage free."""

import subprocess
import sys
from pathlib import Path

import pytest

from greenroom.errors import Refused
from greenroom.live.show_notice import ShowNotice

HOLDER = """
import sys
from pathlib import Path
from greenroom.live.show_notice import ShowNotice
with ShowNotice(Path(sys.argv[1]), "mira"):
    print("on", flush=True)
    sys.stdin.read()
"""


def test_a_second_show_of_one_actor_is_refused_and_of_another_is_not(tmp_path: Path) -> None:
    with ShowNotice(tmp_path, "mira"):
        with pytest.raises(Refused, match="mira is on stage already"):
            ShowNotice(tmp_path, "mira").__enter__()
        with ShowNotice(tmp_path, "ada"):
            pass
    with ShowNotice(tmp_path, "mira"):
        pass


def test_a_show_that_fails_to_begin_leaves_the_stage(tmp_path: Path) -> None:
    with pytest.raises(OSError), ShowNotice(tmp_path, "mira"):
        raise OSError("no sink")
    with ShowNotice(tmp_path, "mira"):
        pass


def test_a_show_that_was_killed_leaves_the_stage(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None and holder.stdout.readline() == "on\n"
    with pytest.raises(Refused):
        ShowNotice(tmp_path, "mira").__enter__()
    holder.kill()
    holder.communicate()
    with ShowNotice(tmp_path, "mira"):
        pass
