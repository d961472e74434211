"""Say what a workspace has and what to do next, for somebody who typed `greenroom` alone."""

from __future__ import annotations

from greenroom.datasets.build import LEAST_BODIES, usable_bodies
from greenroom.registry.promote import live_ref
from greenroom.registry.signing import root_key
from greenroom.store.workspace import Workspace

KINDS = ("take", "dataset", "model", "release", "show")


def overview(workspace: Workspace) -> str:
    """Return what a workspace has, a line each, and the next command."""
    if not workspace.log.path.exists():
        return "\n".join(
            (
                f"the workspace {workspace.home} is empty"
                if workspace.home.exists()
                else f"there is no workspace in {workspace.home} yet",
                "next: greenroom demo              (a show of 90 seconds, nothing to prepare)",
                "  or: greenroom ingest PATH --actor NAME --participant PERSON --rights FILE",
                "all commands: greenroom --help",
            )
        )
    counts = {kind: len(workspace.catalog.find(kind)) for kind in KINDS}
    had = ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items())
    lines = [f"workspace {workspace.home}: {had}"]
    for ref, release in workspace.log.refs("actors/").items():
        _, actor, name = ref.split("/", 2)
        if name == "live":
            lines.append(f"  {actor}: release {release[:12]} is on stage")
    lines.append(f"next: {_next(workspace, counts)}")
    lines.append("all commands: greenroom --help")
    return "\n".join(lines)


def _next(workspace: Workspace, counts: dict[str, int]) -> str:
    """Return the command that goes one step further from takes to a show."""
    if not counts["take"]:
        return "greenroom ingest PATH --actor NAME --participant PERSON --rights FILE"
    newest = {kind: workspace.catalog.find(kind)[-1] for kind, count in counts.items() if count}
    actor = newest["take"].actor or "ACTOR"
    if not counts["dataset"]:
        usable = usable_bodies(workspace, actor, workspace.today())
        if usable < LEAST_BODIES:
            return (
                f"greenroom ingest PATH --actor {actor} --participant PERSON --rights FILE  "
                f"(a dataset needs {LEAST_BODIES} takes with a body that may be used; there "
                f"{'is' if usable == 1 else 'are'} {usable})"
            )
        return f"greenroom dataset build NAME --actor {actor}"
    if not counts["model"]:
        return f"greenroom train {newest['dataset'].object[:12]}"
    model = newest["model"]
    if not counts["release"]:
        if root_key(workspace) is None:
            return (
                "greenroom key new YOUR-NAME, then approve: greenroom approve MODEL --by YOUR-NAME"
            )
        return f"greenroom validate {model.object[:12]}, then approve it with --by NAME"
    release = newest["release"]
    if workspace.log.ref(live_ref(release.actor or "")) is None:
        return f"greenroom promote {release.actor} {release.object[:12]}"
    take = newest["take"].object[:12]
    if not counts["show"]:
        return f"greenroom perform {release.actor} --in take:{take} --out ws://127.0.0.1:8030"
    return f"greenroom replay {newest['show'].object[:12]} --verify"
