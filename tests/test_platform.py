"""Heavy work keeps its memory and comes last, and so do the processes that it starts."""

import os
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

from greenroom.cli.context import Heavy
from greenroom.platform import NICE

ASK = """
import ctypes, os, resource
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # no huge pages
import numpy as np
from greenroom.platform import {call}
{call}()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(8_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults(), os.nice(0), "MALLOC_MMAP_MAX_" in os.environ, flush=True)
"""
PLAIN = ASK.replace("from greenroom.platform import {call}\n{call}()\n", "")


def _asked(text: str) -> list[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    env["NUMPY_MADVISE_HUGEPAGE"] = "0"
    done = subprocess.run(
        [sys.executable, "-c", text], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_what_is_freed_is_used_again() -> None:
    fetched = int(_asked(PLAIN)[0])
    assert fetched > 15 * 64_000_000 / resource.getpagesize()  # most arrays anew
    kept, _, told = _asked(ASK.format(call="retain_freed_memory"))
    assert int(kept) < fetched / 20 and told == "False"
    child = (
        "import subprocess, sys; from greenroom.platform import run_in_background as background\n"
    )
    child += "background()\n"
    kept, nice, told = _asked(
        child + f"subprocess.run([sys.executable, '-c', {PLAIN!r}], check=True)"
    )
    assert int(kept) < fetched / 20 and told == "True" and int(nice) >= NICE


def test_a_heavy_command_stands_back(tmp_path: Path) -> None:
    asked = f"CliRunner().invoke(main, ['--home', {str(tmp_path)!r}, 'fsck'])"
    text = (
        f"import os; from click.testing import CliRunner; from greenroom.cli import main; {asked}"
    )
    assert int(_asked(f"{text}; print(os.nice(0))")[0]) >= NICE


def test_heavy_work_comes_last_and_never_before_others() -> None:
    assert int(_asked(ASK.format(call="run_in_background"))[1]) >= NICE
    again = ASK.format(call="run_in_background").replace(
        "run_in_background()\n", "run_in_background()\nrun_in_background()\n"
    )
    assert _asked(again)[1] == _asked(ASK.format(call="run_in_background"))[1]


def test_what_may_take_long_beside_a_show_is_heavy() -> None:
    from greenroom.cli import main

    def commands(group: click.Group, name: str = "") -> dict[str, object]:
        found = {}
        context = click.Context(group)
        for key in group.list_commands(context):
            command = group.get_command(context, key)
            whole = f"{name} {key}".strip()
            found |= (
                commands(command, whole) if isinstance(command, click.Group) else {whole: command}
            )
        return found

    heavy = {name for name, command in commands(main).items() if isinstance(command, Heavy)}
    said = (Path(__file__).parents[1] / "docs" / "learning.md").read_text()
    said = said[said.index("Work that may take long while a show is on (") :]
    assert heavy == set(re.findall(r"`([^`]+)`", said[: said.index(")")].replace("\n", " ")))
    assert not {"perform", "demo", "promote", "rollback"} & heavy


def test_what_the_environment_says_of_the_allocator_stays() -> None:
    asked = "print(os.environ['MALLOC_TOP_PAD_'])"
    text = (
        f"import os; from greenroom.platform import run_in_background; run_in_background(); {asked}"
    )
    env = {**os.environ, "MALLOC_TOP_PAD_": "77"}
    done = subprocess.run([sys.executable, "-c", text], env=env, capture_output=True, check=True)
    assert done.stdout.split() == [b"77"]
