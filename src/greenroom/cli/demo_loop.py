"""`greenroom demo --loop`: what it prints."""

from __future__ import annotations

from typing import Any

import click

from greenroom.cli.context import Context, answer, meter, short
from greenroom.cli.learning import need_extras
from greenroom.clock import TICK_HZ
from greenroom.demo.program import ProgramRequest
from greenroom.live.show import ShowResult
from greenroom.services.demo import DemoHooks
from greenroom.services.demo_loop import perform_loop
from greenroom.services.show_results import replay_line, show_summary
from greenroom.stage.api import page_server


def loop_demo(
    context: Context, page: tuple[str, int] | None, as_json: bool, request: ProgramRequest
) -> None:
    """Perform, watch, retrain, swap and replay; print what came of it.

    Args:
        context: the workspace, and who asks.
        page: host and port of the page; None for none.
        as_json: whether one JSON object is printed.
        request: what plays.

    Raises:
        CheckFailed: the loop did not close, or the replay differs.
    """
    request.check()
    need_extras()
    hooks = DemoHooks(
        progress=meter("on air", as_json),
        open_page=lambda: page_server(context.workspace, page),
        notify=lambda line: click.echo(line, err=True),
    )
    result = perform_loop(context.workspace, request, context.user, hooks)
    result_json = result.json()
    answer(as_json, result_json, _text(result_json, result.demo.show_result))
    result.check()


def _text(result: dict[str, Any], show_result: ShowResult) -> str:
    """Return what came of the loop, as people read it."""
    means = result["confidence"]
    lines = [
        show_summary(show_result),
        f"  alerts ({result['style_second']:g} s: the style changes)",
    ]
    lines += [
        f"    {a['second']:6.1f} s  {a['signal']:8} {a['cause']}: {', '.join(a['where'])}"
        for a in result["alerts"]
    ]
    run = result["run"]
    if run is not None:
        lines.append(f"  run {run['run']}: {run['outcome']}, {run['reason']}")
    lines += [
        f"  swap at {tick / TICK_HZ:.1f} s to {short(name)}" for tick, name in result["swaps"]
    ]
    if result["alert_to_promoted_s"] is not None:
        lines.append(f"  from alert to champion {result['alert_to_promoted_s']:.0f} s")
    lines.append(
        f"  confidence {means['reference']} on the reference, {means['in_the_dark']} in the dark, "
        f"{means['light_back']} after it; {means['new_style']} in the new style, {means['after_swap']} "
        "after the swap"
    )
    return "\n".join([*lines, replay_line(result["replay"])])
