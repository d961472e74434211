"""Commands on shows: `perform`, `replay`, `demo`, `serve`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from prometheus_client import CollectorRegistry

from greenroom import embedded
from greenroom.capture import sample_data
from greenroom.cli.context import Context, Heavy, answer, as_json, meter, short
from greenroom.config import cache
from greenroom.consent.gate import require_rights
from greenroom.consent.records import read_rights
from greenroom.errors import BadInput, CheckFailed
from greenroom.live.fallback import RUNGS
from greenroom.live.inputs import open_inputs
from greenroom.live.playlist import Playlist, open_playlist, show_conditioning
from greenroom.live.replay import export_bvh, verify
from greenroom.live.show import ShowHooks, ShowResult, perform
from greenroom.live.supervisor import ShowSpec
from greenroom.manifests import Show
from greenroom.monitoring.exporter import Metrics, Surveys
from greenroom.monitoring.script import read_script
from greenroom.observers.hub import Hub
from greenroom.observers.page import welcome_message
from greenroom.registry.promote import live_release, previous_of
from greenroom.registry.release import Release, load_release
from greenroom.services.show_results import replay_in_new_process, show_summary
from greenroom.services.show_session import (
    PAGE_PORT,
    ShowSession,
    read_inputs,
    read_outputs,
    warned,
)
from greenroom.serving import DEFAULT_BACKEND
from greenroom.stage.access import read_token, require_token
from greenroom.stage.api import page_server
from greenroom.stage.server import create_app, hosts_for, serve_in_thread
from greenroom.store.attribution import Attribution
from greenroom.store.objects import write_durably
from greenroom.store.workspace import Workspace

TOKEN: dict[str, Any] = {
    "type": click.Path(path_type=Path),
    "metavar": "FILE",
    "help": "File with the token that the page asks for; needed where other machines reach it.",
}
FACE_ONLY = "Speech drives the face, not the body: without capture, it goes on by its own past."
NOT_SPEECH = "Not trained to be driven by speech: when capture is lost, it goes on by its own past."
NOBODYS = "Live input has no recorded rights: the show is recorded, and nothing is learned from it."
NOT_TOGETHER = "Speech and motion were not recorded together."


def _notices(release: Release, playlist: Playlist) -> list[str]:
    notices = [FACE_ONLY if release.role.uses_speech else NOT_SPEECH]
    if playlist.apart:
        notices.append(NOT_TOGETHER)
    if playlist.repeats:
        notices.append("The takes repeat; a repeat is marked.")
    return notices


def _perform(context: Context, order: ShowSpec, stage: ShowSession, as_json: bool) -> ShowResult:
    """Perform a show with a meter in the terminal, and tell the page how it ended."""
    result = perform(
        context.workspace,
        order,
        by=context.user,
        observers=stage.observers,
        hooks=ShowHooks(progress=meter("on air", as_json), warn=warned, staged=stage.staged),
    )
    stage.say("end", {k: result.json[k] for k in ("show", "frames", "late", "rungs")})
    return result


@click.command("perform")
@click.argument("actor")
@click.option(
    "--in", "inputs", multiple=True, required=True, metavar="URL", help="take:HASH; repeatable."
)
@click.option(
    "--out",
    "outputs",
    multiple=True,
    metavar="URL",
    help="vmc://HOST:PORT, ws://HOST:PORT, or of a plug-in; repeatable.",
)
@click.option(
    "--seconds", type=click.FloatRange(min=0.1), help="How long; takes repeat until then."
)
@click.option("--seed", default=0, show_default=True, help="Of how it goes on without capture.")
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
    help="start,end,scene[,emotion,language]: new scenes are no drift; a model is told.",
)
@click.option("--token", **TOKEN)
@as_json
@click.pass_obj
def perform_command(
    context: Context,
    actor: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    seconds: float | None,
    seed: int,
    backend: str,
    watch: bool,
    script: Path | None,
    token: Path | None,
    as_json: bool,
) -> None:
    """Perform live at 30 fps and record the show."""
    scenes = [] if script is None else read_script(script.read_bytes(), str(script))
    out = read_outputs(outputs)
    takes, receivers = read_inputs(context.workspace, inputs)
    if receivers and not seconds:
        raise BadInput(f"'{receivers[0]}' has no end", then="say how long: --seconds 60")
    release = load_release(context.workspace, live_release(context.workspace, actor))
    urls = [*(f"take:{take}" for take in takes), *receivers]
    length = round(seconds * 30) if seconds else None
    playlist = open_inputs(context.workspace, urls, length).playlist
    ticks = round(seconds * 30) if seconds else playlist.ticks
    previous = previous_of(context.workspace, actor)
    order = ShowSpec(
        release,
        takes,
        ticks,
        receivers=receivers,
        sinks=out.sinks,
        seed=seed,
        backend=backend,
        previous=previous,
        conditioning=show_conditioning(playlist, scenes),
    )
    serve = page_server(context.workspace, out.page, None if token is None else read_token(token))
    stage = ShowSession(
        context.workspace, release, playlist=playlist, ticks=ticks, serve=serve, by=context.user
    )
    notices = _notices(release, playlist) + ([NOBODYS] if receivers else [])
    if watch:
        notices += stage.watch(context.workspace, release, scenes)
    if watch and not receivers:
        stage.keep(context.workspace, release, takes, context.user)
    try:
        stage.open(welcome_message(release, ticks, notices, []))
        show_result = _perform(context, order, stage, as_json)
    finally:
        stage.close()
    answer(as_json, show_result.json, show_summary(show_result))


@click.command("replay", cls=Heavy)
@click.argument("show")
@click.option("--verify", "check", is_flag=True, help="Compute every frame again and compare.")
@click.option("--export", "export", type=click.Path(path_type=Path), help="Write the show as BVH.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 64))
@as_json
@click.pass_context
def replay_command(
    ctx: click.Context, show: str, check: bool, export: Path | None, threads: int, as_json: bool
) -> None:
    """Replay a show bit for bit, or export it."""
    context: Context = ctx.obj
    name = context.workspace.resolve(show, "show")
    if not check and export is None:
        raise BadInput("nothing to do", then="give --verify, or --export FILE.bvh")
    result: dict[str, Any] = {}
    lines = []
    failed = False
    if check:
        verdict = verify(context.workspace, name, threads, meter("replay", as_json))
        result |= verdict.json()
        failed = verdict.exact != verdict.frames or verdict.first_difference is not None
        lines.append(f"bit-exact {verdict.exact}/{verdict.frames} ({verdict.kind})")
        if verdict.first_difference:
            first = verdict.first_difference
            lines.append(
                f"  first difference: frame {first['frame']}, {first['what']}: {first['why']}"
            )
    if export is not None:
        for take in context.workspace.objects.read(name, Show).parents.takes:
            require_rights(context.workspace, take, "export", context.workspace.today())
        data = export_bvh(context.workspace, name)
        write_durably(export, data)
        result |= {"file": str(export), "bytes": len(data)}
        lines.append(f"wrote {export}")
    answer(as_json, result, "\n".join(lines))
    if failed:
        ctx.exit(1)


@click.command("demo")
@click.option("--seconds", default=90.0, show_default=True, type=click.FloatRange(3, 3600))
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
    one is told, the other is learned, and the new release comes on stage while the show runs.
    """
    context: Context = ctx.obj
    context.begin()
    if recordings and not (loop and new_style and label_pattern and participant and rights):
        raise BadInput(
            "recordings are played with --loop, --new-style, --label-pattern, --participant and "
            "--rights"
        )
    if loop:
        from greenroom.cli.demo_loop import loop_demo
        from greenroom.demo.program import Program, made_program, recorded_program

        def program(workspace: Workspace, by: str) -> Program:
            if not recordings or new_style is None or label_pattern is None:
                return made_program(workspace, by)
            attribution = Attribution(
                embedded.ACTOR, (participant,), (read_rights(rights, participant),)
            )
            return recorded_program(
                workspace,
                recordings,
                pattern=label_pattern,
                new=new_style,
                attribution=attribution,
                by=by,
            )

        loop_demo(context, None if headless else ("127.0.0.1", port), as_json, program)
        return
    _plain_demo(context, seconds, None if headless else ("127.0.0.1", port), as_json)


def _plain_demo(
    context: Context, seconds: float, page: tuple[str, int] | None, as_json: bool
) -> None:
    """Perform the published clips with the capture cut in the middle, and replay the show."""
    if not sample_data.fetched(cache()):
        click.echo("fetching the published clips, once (about 110 MB)", err=True)
        sample_data.fetch(cache())
    release = load_release(context.workspace, embedded.install(context.workspace))
    clips = embedded.ingest_clips(context.workspace, context.user)
    voices = [clips[clip] for clip in clips if not clip.startswith("humanoid3d_")]
    takes = [clips[name] for name in embedded.TEST] + voices
    ticks = round(seconds * 30)
    playlist = open_playlist(context.workspace, takes, ticks)
    cut = (4 * ticks // 9, 5 * ticks // 9)
    order = ShowSpec(release, takes, ticks, cuts=[cut])
    serve = page_server(context.workspace, page)
    stage = ShowSession(context.workspace, release, playlist=playlist, ticks=ticks, serve=serve)
    try:
        credits = [wheel.credit for wheel in sample_data.WHEELS]
        stage.open(welcome_message(release, ticks, _notices(release, playlist), credits))
        if not as_json:
            notices = " ".join(_notices(release, playlist))
            click.echo(
                f"{release.actor} performs {short(release.name)} for {seconds:g} s. {notices}",
                err=True,
            )
        show_result = _perform(context, order, stage, as_json)
        verdict = replay_in_new_process(context.workspace.home, show_result.show)
        stage.say("verdict", verdict)
        proof = f"bit-exact {verdict['exact']}/{verdict['frames']} ({verdict['class']})"
        text = f"{show_summary(show_result)}\nreplay in a fresh process: {proof}"
        answer(as_json, {**show_result.json, "replay": verdict}, text)
        if verdict["exact"] != show_result.json["frames"]:
            raise CheckFailed(f"the replay differs: {verdict['first_difference']}")
        stage.close(linger_s=2.0)
    except BaseException:
        stage.close()
        raise


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

    Until it is interrupted.
    """
    from greenroom.stage import api, receiver

    workspace = context.workspace
    page_token = None if token is None else read_token(token)
    require_token(host, page_token)
    routes = api.routes(workspace)
    if alertmanager_token is not None:
        routes += receiver.routes(workspace.log, read_token(alertmanager_token))
    registry = CollectorRegistry()
    Metrics(registry, RUNGS)
    registry.register(Surveys(workspace))
    app = create_app(
        Hub(), api_routes=routes, registry=registry, hosts=hosts_for(host), token=page_token
    )
    with serve_in_thread(app, host, port) as handle:
        click.echo(f"stage page: {handle.url}", err=True)
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            click.echo("\nstopped serving; everything in the workspace is kept", err=True)


COMMANDS = (perform_command, replay_command, demo_command, serve_command)
