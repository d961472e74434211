"""What a show came to, as people read it, and whether it replays in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from greenroom.errors import CheckFailed
from greenroom.live.show import ShowResult

_FAULTS = ("lost", "duplicated", "reordered", "malformed", "refused")


def show_summary(show_result: ShowResult) -> str:
    """Return what a show came to, as people read it."""
    lines = [
        f"show {show_result.show}",
        f"  {show_result.json['frames']:,} frames, {missed_text(show_result.json)}"
        + f"{show_result.json['late']} late, "
        + ", ".join(f"{name} {count:,}" for name, count in show_result.json["rungs"].items()),
        "  milliseconds      p50      p99      max",
    ]
    for name, values in show_result.ledger.items():
        row = "".join(f"{values[key]:9.3f}" for key in ("p50", "p99", "max"))
        lines.append(f"  {name.removesuffix('_ms'):12}{row}")
    lines += [f"  {line}" for line in link_faults(show_result.json)]
    if show_result.json.get("unrecorded"):
        lines.append(f"  {show_result.json['unrecorded']:,} frames were performed and not recorded")
    return "\n".join(lines)


def missed_text(result: dict[str, Any]) -> str:
    """Return how many of a show's ticks nobody performed; "" where none was missed.

    >>> missed_text({"missed": 68, "ticks": 900}), missed_text({"missed": 0, "ticks": 900})
    ('68 of 900 ticks missed, ', '')
    """
    return f"{result['missed']} of {result['ticks']} ticks missed, " if result["missed"] else ""


def require_no_missed_tick(result: dict[str, Any]) -> None:
    """Pass where every tick of a show was performed.

    Raises:
        CheckFailed: the stage was dark at some.
    """
    if result["missed"]:
        raise CheckFailed(
            f"{missed_text(result).removesuffix(', ')}: the stage was dark",
            then="stop other work on this machine; the frames that are there are kept",
        )


def link_faults(result: dict[str, Any]) -> list[str]:
    """Return a line for each input and output of a show of which something was lost.

    Args:
        result: what `perform --json` prints.
    """
    lines = []
    for sink in result["sinks"]:
        if sink["failed"]:
            total = sink["sent"] + sink["failed"]
            lines.append(f"{sink['url']}: {sink['failed']:,} of {total:,} were not sent")
    for receiver in result["receivers"]:
        faults = [f"{receiver[name]:,} {name}" for name in _FAULTS if receiver[name]]
        if not receiver["received"]:
            lines.append(f"{receiver['url']}: nothing was received{_listed(faults)}")
        elif faults:
            lines.append(f"{receiver['url']}: {receiver['received']:,} received{_listed(faults)}")
    return lines


def _listed(faults: list[str]) -> str:
    return "".join(f", {fault}" for fault in faults)


def replay_line(verdict: dict[str, Any]) -> str:
    """Return the verdict of a replay in a process of its own, as people read it."""
    missed = missed_text(verdict).removesuffix(", ")
    differs = verdict["exact"] != verdict["frames"]
    kind = "DIFFERENT" if differs else verdict["class"]
    kind = f"{kind}, {missed}" if missed else kind
    proof = f"bit-exact {verdict['exact']}/{verdict['frames']} ({kind})"
    return f"replay in a fresh process: {proof}"


def replay_in_new_process(home: Path, show: str) -> dict[str, Any]:
    """Return the verdict of a replay in a process of its own, as `replay --verify --json` prints it.

    Args:
        home: folder of the workspace.
        show: its hash.

    Raises:
        CheckFailed: the replay could not run.
    """
    command = [sys.executable, "-m", "greenroom", "--home", str(home)]
    process = subprocess.run(
        [*command, "replay", show, "--verify", "--json"], capture_output=True, check=False
    )
    if not process.stdout:
        reason = process.stderr.decode("utf-8", "replace").strip()
        raise CheckFailed(f"the replay could not run: {reason}")
    verdict: dict[str, Any] = msgspec.json.decode(process.stdout)
    return verdict
