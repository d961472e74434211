"""Control charts of a show: mean and variance of each joint's angle beside its release's reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from greenroom.errors import BadInput
from greenroom.frames import Doubles
from greenroom.live.recorder import read_ledger
from greenroom.live.replay import opening_release
from greenroom.live.ring import samples_of
from greenroom.manifests import Show
from greenroom.monitoring.angles import JOINTS, mean_pose, rotation_vectors
from greenroom.monitoring.charts.angles import SUBGROUP, JointCharts, joint_charts
from greenroom.observers.drift_channels import load_training_reference
from greenroom.render.html import render_html
from greenroom.store.workspace import Workspace


@dataclass(frozen=True)
class ControlCharts:
    """The charts of one show.

    Attributes:
        show: its hash.
        actor: who performed.
        release: hash of the release that opened it.
        joints: both charts of each joint.
    """

    show: str
    actor: str
    release: str
    joints: list[JointCharts]

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per joint, as JSON."""
        return [
            {
                "joint": row.joint,
                "mean_deg": round(row.mean, 3),
                "sd_deg": round(row.sd, 3),
                "independent_ticks": round(row.effective, 2),
                "mean_out": round(row.mean_chart.independent_share, 4),
                "mean_out_corrected": round(row.mean_chart.corrected_share, 4),
                "variance_out": round(row.variance_chart.independent_share, 4),
                "variance_out_corrected": round(row.variance_chart.corrected_share, 4),
            }
            for row in self.joints
        ]

    def report(self) -> str:
        """Return the charts as one HTML page."""
        return render_html(
            "control_charts.html",
            show=self.show,
            actor=self.actor,
            release=self.release,
            subgroup=SUBGROUP,
            points=len(self.joints[0].mean_chart.values),
            joints=self.joints,
        )


def control_charts(workspace: Workspace, show: str) -> ControlCharts:
    """Return the control charts of a show.

    Args:
        workspace: the workspace.
        show: its hash.

    Raises:
        BadInput: what its release was trained on is not in this workspace, or the show is too short.
    """
    manifest = workspace.objects.read(show, Show)
    release = opening_release(workspace, manifest)
    bodies = load_training_reference(workspace, release).bodies
    if not bodies:
        raise BadInput(
            f"the takes that release {release.name[:12]} was trained on are not in this workspace",
            then="ingest them again; for the embedded release: greenroom demo",
        )
    joints = tuple(joint for joint in JOINTS if joint in release.role.spec.joints) or JOINTS
    mean = mean_pose((body.rotations for body in bodies.values()), joints)

    def angles(rotations: Any) -> Doubles:
        vectors = rotation_vectors(rotations, mean, joints)
        lengths: Doubles = np.linalg.norm(vectors.reshape(*vectors.shape[:-1], -1, 3), axis=-1)
        return lengths

    reference = [
        angles(np.where(body.validity[..., None] > 0, body.rotations, np.nan))
        for body in bodies.values()
    ]
    captured = []
    nothing = np.full(len(joints), np.nan)
    for row in read_ledger(workspace, manifest, release.role.shape):
        sample = samples_of(row).body
        if sample is None:
            captured.append(nothing)
        else:
            captured.append(
                angles(np.where(sample.validity[:, None] > 0, sample.rotations, np.nan))
            )
    charts = joint_charts(reference, np.stack(captured), joints)
    return ControlCharts(show, release.actor, release.name, charts)
