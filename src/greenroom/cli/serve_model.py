"""`greenroom serve-model`: a release's model by the Open Inference Protocol."""

from __future__ import annotations

import time
from pathlib import Path

import click

from greenroom.cli.context import ActorName, Context, short
from greenroom.platform import run_ahead
from greenroom.registry.promote import live_release
from greenroom.registry.release import load_release
from greenroom.serving.oip_backend import DEFAULT_PORT
from greenroom.serving.oip_server import ServedModel
from greenroom.stage.access import read_token, require_token
from greenroom.stage.model_server import create_model_app
from greenroom.stage.server import hosts_for, serve_in_thread


@click.command("serve-model")
@click.argument("actor", type=ActorName())
@click.option("--release", help="Another release than the one on stage; it has to be approved too.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--token",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the token that a show sends; needed where other machines reach it.",
)
@click.pass_obj
def serve_model_command(
    context: Context, actor: str, release: str | None, host: str, port: int, token: Path | None
) -> None:
    """Serve a release's model to other machines' shows.

    By the Open Inference Protocol, version 2, over HTTP. The model keeps its release until the command
    is interrupted: after a promotion, start it again.
    """
    workspace = context.workspace
    secret = None if token is None else read_token(token)
    require_token(host, secret)
    name = (
        live_release(workspace, actor) if release is None else workspace.resolve(release, "release")
    )
    loaded = load_release(workspace, name)
    served = ServedModel(actor, loaded)
    run_ahead()
    app = create_model_app(served, hosts_for(host), secret)
    with serve_in_thread(app, host, port) as handle:
        click.echo(f"{actor}, release {short(name)}, model {short(served.hash)}")
        click.echo(f"serving {handle.url}v2/models/{actor}")
        url = f"oip://{handle.url.removeprefix('http://')}{actor}"
        click.echo(f"next: greenroom perform {actor} --in take:TAKE --backend {url}", err=True)
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            click.echo("\nstopped serving the model", err=True)


COMMANDS = (serve_model_command,)
