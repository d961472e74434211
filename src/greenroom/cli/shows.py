"""Commands on shows: `perform`, `replay`, `demo`, `serve`."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from prometheus_client import CollectorRegistry

from greenroom.cli.context import (
    ActorName,
    Context,
    FiniteRange,
    Heavy,
    answer,
    as_json,
    meter,
    short,
)
from greenroom.demo.program import RECORDINGS_NEED
from greenroom.errors import BadInput
from greenroom.live.control import ACTS, Act
from greenroom.live.recovery import clean_up
from greenroom.live.show import interruptible
from greenroom.live.sources import RUNGS, LostCapture
from greenroom.monitoring.exporter import Metrics, Surveys
from greenroom.observers.relay import ShowRelay
from greenroom.platform import run_in_background
from greenroom.registry.release import Release
from greenroom.services.demo import DemoHooks, DemoResult, perform_demo
from greenroom.services.operator import operator_token, print_addresses
from greenroom.services.show_results import replay_line, require_no_missed_tick, show_summary
from greenroom.services.show_session import PAGE_PORT, warned
from greenroom.services.shows import (
    PerformRequest,
    control_show,
    perform_actor,
    read_avatar,
)
from greenroom.serving import DEFAULT_BACKEND
from greenroom.stage.access import read_token, require_token
from greenroom.stage.api import page_server
from greenroom.stage.server import create_app, hosts_for, serve_in_thread

LONGEST_S = 7 * 24 * 3600.0
"""Of one show."""
TOKEN: dict[str, Any] = {
    "type": click.Path(path_type=Path),
    "metavar": "FILE",
    "help": "File with the token that the page asks for; needed where other machines reach it.",
}


@click.command("perform")
@click.argument("actor", type=ActorName())
@click.option(
    "--in",
    "inputs",
    multiple=True,
    required=True,
    metavar="URL",
    help="take:HASH, vmc://:39540, livelink://:11111, ifacialmocap://PHONE, mvn://:9763, wav:FILE, "
    "mic:// or of a plug-in, each with ?use=body,root,face,voice; repeatable, the first one wins.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="NETWORK",
    help="Who may send to a live input at an address of the network: 192.168.1.0/24; repeatable.",
)
@click.option(
    "--out",
    "outputs",
    multiple=True,
    metavar="URL",
    help="vmc://HOST:PORT, ws://HOST:PORT, null:, or of a plug-in; repeatable.",
)
@click.option(
    "--seconds",
    type=FiniteRange(min=0.1, max=LONGEST_S),
    help="How long; takes repeat until then.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**53 - 1),
    help="Of how it goes on without capture.",
)
@click.option(
    "--backend",
    default=DEFAULT_BACKEND,
    show_default=True,
    metavar="URL",
    help="What runs the model; ?threads=N for more threads.",
)
@click.option(
    "--watch/--no-watch", default=True, help="Chart the capture against what was trained on."
)
@click.option(
    "--script",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="CSV",
    help="start,end,scene[,emotion,language]: new scenes are no drift; models get them as input.",
)
@click.option(
    "--lost",
    type=click.Choice(["idle", "free", "hold"]),
    default="idle",
    show_default=True,
    help="When nothing is captured: stand at ease, move freely by the model, or return to rest.",
)
@click.option(
    "--avatar",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="VRM",
    help="Avatar that every viewer of the page sees; without one, each may drop their own.",
)
@click.option("--token", **TOKEN)
@as_json
@click.pass_obj
def perform_command(
    context: Context,
    actor: str,
    inputs: tuple[str, ...],
    allow: tuple[str, ...],
    outputs: tuple[str, ...],
    seconds: float | None,
    seed: int,
    backend: str,
    watch: bool,
    script: Path | None,
    lost: LostCapture,
    avatar: Path | None,
    token: Path | None,
    as_json: bool,
) -> None:
    """Perform live at 30 fps and record the show."""
    request = PerformRequest(
        actor,
        inputs,
        outputs,
        seconds=seconds,
        seed=seed,
        backend=backend,
        watch=watch,
        script=script,
        lost=lost,
        avatar=avatar,
        allow=allow,
    )
    _perform(context, request, None if token is None else read_token(token), as_json)


def _perform(context: Context, request: PerformRequest, token: bytes | None, as_json: bool) -> None:
    """Perform a show, and print what it came to.

    From the first frame on, the show and its record are finished however often the end is asked for.
    """
    avatar = None if request.avatar is None else read_avatar(request.avatar)
    show = meter("on air", as_json)
    with interruptible() as interrupted:

        def progress(done: int, total: int) -> None:
            interrupted.arm()
            show(done, total)

        show_result = perform_actor(
            context.workspace,
            request,
            context.user,
            open_page=lambda address: page_server(context.workspace, address, token, avatar=avatar),
            progress=progress,
        )
        answer(as_json, show_result.json, show_summary(show_result))
    require_no_missed_tick(show_result.json)


@click.command("control")
@click.argument("actor", type=ActorName())
@click.argument("act", type=click.Choice(ACTS))
@as_json
@click.pass_obj
def control_command(context: Context, actor: str, act: Act, as_json: bool) -> None:
    """Hold or cut a running show, within two frames.

    hold: the pose eases to rest. resume: perform again. cut: take body and face as lost. restore: take
    them as captured again. Each act is in the log and in the show's record.
    """
    control_show(context.workspace, actor, act, context.user)
    answer(as_json, {"actor": actor, "act": act}, f"{actor}: {act}")


@click.command("replay", cls=Heavy)
@click.argument("show")
@click.option("--verify", "check", is_flag=True, help="Compute every frame again and compare.")
@click.option(
    "--export",
    "export",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the show as FILE.bvh, .vrma, .glb, .csv or .wav.",
)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 64))
@as_json
@click.pass_context
def replay_command(
    ctx: click.Context, show: str, check: bool, export: Path | None, threads: int, as_json: bool
) -> None:
    """Replay a show bit for bit, or export it."""
    from greenroom.services.replays import replay_show

    context: Context = ctx.obj
    replayed = replay_show(
        context.workspace,
        show,
        progress=meter("replay", as_json) if check else None,
        file=export,
        threads=threads,
    )
    result: dict[str, Any] = {}
    lines = []
    if replayed.verdict is not None:
        verdict = replayed.verdict
        result |= verdict.json()
        lines.append(replay_line(verdict.json()).removeprefix("replay in a fresh process: "))
        if verdict.first_difference:
            first = verdict.first_difference
            lines.append(
                f"  first difference: frame {first['frame']}, {first['what']}: {first['why']}"
            )
    if replayed.file is not None:
        result |= {"file": str(replayed.file), "bytes": replayed.bytes}
        lines.append(f"wrote {replayed.file}")
    answer(as_json, result, "\n".join(lines))
    nothing = replayed.verdict is not None and not replayed.verdict.frames
    if replayed.differs or nothing:
        ctx.exit(1)


@click.command("demo")
@click.option("--seconds", default=90.0, show_default=True, type=FiniteRange(3, 3600))
@click.option("--headless", is_flag=True, help="No page, for scripts.")
@click.option("--port", default=PAGE_PORT, show_default=True, help="Of the page.")
@click.option("--loop", is_flag=True, help="Let the light fail and the style change; learn it.")
@click.option(
    "--takes",
    "recordings",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    help="With --loop: recordings to play instead of made ones.",
)
@click.option("--new-style", metavar="STYLE", help="Of the recordings, the one that is new.")
@click.option("--label-pattern", metavar="PATTERN", help="Of file names: 'x_{style}_{n}'.")
@click.option("--participant", default="", help="The person in the recordings, or a pseudonym.")
@click.option("--rights", default="", metavar="FILE|LICENCE", help="A JSON record, or a licence.")
@as_json
@click.pass_context
def demo_command(
    ctx: click.Context,
    seconds: float,
    headless: bool,
    port: int,
    loop: bool,
    recordings: tuple[Path, ...],
    new_style: str | None,
    label_pattern: str | None,
    participant: str,
    rights: str,
    as_json: bool,
) -> None:
    """Perform the embedded release, lose the capture, replay the show.

    With --loop (needs `train,loop`): a show in which the light fails and later the style changes; the
    one raises an alert, the other is learned, and the new release comes on stage while the show runs.
    """
    context: Context = ctx.obj
    context.begin()
    page = None if headless else ("127.0.0.1", port)
    if loop:
        from greenroom.cli.demo_loop import loop_demo
        from greenroom.demo.program import ProgramRequest

        request = ProgramRequest(recordings, new_style, label_pattern, participant, rights=rights)
        loop_demo(context, page, as_json, request)
        return
    if recordings:
        raise BadInput(RECORDINGS_NEED)
    _plain_demo(context, seconds, page, as_json)


def _plain_demo(
    context: Context, seconds: float, page: tuple[str, int] | None, as_json: bool
) -> None:
    """Perform the published clips, replay the show, and print what came of it."""

    def announce(release: Release, notices: list[str]) -> None:
        if not as_json:
            headline = f"{release.actor} performs {short(release.name)} for {seconds:g} s."
            click.echo(f"{headline} {' '.join(notices)}", err=True)

    def finish(result: DemoResult) -> None:
        text = f"{show_summary(result.show_result)}\n{replay_line(result.replay)}"
        answer(as_json, {**result.show_result.json, "replay": result.replay}, text)
        if page is not None and not as_json and sys.stdout.isatty():
            click.echo("The page stays, with the show to look back at, until Ctrl-C.", err=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()

    hooks = DemoHooks(
        progress=meter("on air", as_json),
        open_page=lambda: page_server(context.workspace, page),
        notify=lambda line: click.echo(line, err=True),
        starts=announce,
        finish=finish,
    )
    perform_demo(context.workspace, seconds, context.user, hooks).check()


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=PAGE_PORT, show_default=True)
@click.option(
    "--alertmanager-token",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the token that Alertmanager shows; without it nobody may send alerts.",
)
@click.option("--token", **TOKEN)
@click.pass_obj
def serve_command(
    context: Context, host: str, port: int, alertmanager_token: Path | None, token: Path | None
) -> None:
    """Serve page, API and metrics over this workspace.

    The page shows whatever show is on, in any process of this machine; /?actor=NAME shows one actor's.
    Until it is interrupted.
    """
    from greenroom.stage import api, control, receiver, replays

    workspace = context.workspace
    page_token = None if token is None else read_token(token)
    require_token(host, page_token)
    operator = operator_token(workspace.home)
    routes = api.routes(workspace) + control.routes(workspace, operator)
    if alertmanager_token is not None:
        routes += receiver.routes(workspace.log, read_token(alertmanager_token))
    registry = CollectorRegistry()
    Metrics(registry, RUNGS)
    registry.register(Surveys(workspace))
    relay = ShowRelay(workspace.home, warn=warned)
    routes += [*replays.routes(relay, operator, warned), api.relayed_avatar(relay)]
    app = create_app(
        relay.hubs,
        api_routes=routes,
        registry=registry,
        hosts=hosts_for(host),
        token=page_token,
    )
    clean_up(workspace, warned)
    with serve_in_thread(app, host, port) as handle, relay:
        run_in_background()  # a show comes first
        print_addresses(workspace.home, handle.url)
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            click.echo("\nstopped serving; everything in the workspace is kept", err=True)


COMMANDS = (perform_command, control_command, replay_command, demo_command, serve_command)
