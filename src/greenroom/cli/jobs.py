"""See, await and interrupt the long runs that nobody waits for: `jobs`."""

from __future__ import annotations

import time

import click
import msgspec

from greenroom.cli.context import Context, answer, as_json
from greenroom.services.jobs import Job, all_jobs, find_job, stop

_TAIL = 4000


@click.command("jobs")
@click.argument("name", required=False)
@click.option("--stop", "stops", is_flag=True, help="Interrupt it; what was finished is kept.")
@click.option("--wait", "waits", is_flag=True, help="Until it ends; exits as it did.")
@as_json
@click.pass_obj
def jobs_command(
    context: Context, name: str | None, stops: bool, waits: bool, as_json: bool
) -> None:
    """List what `--detach` started.

    Of one job, show what it printed.
    """
    home = context.workspace.home
    if name is None:
        jobs = all_jobs(home)
        document = {"jobs": msgspec.to_builtins(jobs)}
        answer(as_json, document, "\n".join(map(_line, jobs)) or "no jobs")
        return
    if stops:
        stop(home, name)
    while (job := find_job(home, name)).state == "running" and (waits or stops):
        time.sleep(0.1)
    folder = home / "jobs" / job.job
    out, err = ((folder / n).read_bytes().decode("utf-8", "replace") for n in ("out", "err"))
    lines = [_line(job), out[-_TAIL:].rstrip(), err[-_TAIL:].rstrip()]
    answer(
        as_json,
        {**msgspec.to_builtins(job), "out": out, "err": err},
        "\n".join(filter(None, lines)),
    )
    code = job.exit
    if waits and code != 0:  # a signal's number as a shell gives it; a lost job failed
        click.get_current_context().exit(1 if code is None else code if code > 0 else 128 - code)


def _line(job: Job) -> str:
    progress = job.progress
    progress_text = progress.label if progress else ""
    if progress and (progress.done or progress.total):
        progress_text += f" {progress.done:,}/{progress.total:,}"
    head = f"{job.job}  {job.state:8}{job.started[:19]}"
    return f"{head}  {' '.join(job.command)}  {progress_text}".rstrip()


COMMANDS = (jobs_command,)
