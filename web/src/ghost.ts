// Draw the capture as a thin ghost: a light line with a dark edge, so that it reads on the performer
// and beside it. A joint that the capture does not have is passed over: its children hang from the
// nearest joint above that was captured.

import {
  CylinderGeometry,
  Group,
  InstancedMesh,
  Matrix4,
  MeshBasicMaterial,
  Quaternion,
  Vector3,
  type Color,
} from "three";
import type { Skeleton } from "./protocol";
import type { Pose } from "./skeleton";

const UP = new Vector3(0, 1, 0);
const THIN = 0.0032;
const EDGE = 0.0064;
const FACE = /Eye$|^jaw$/;
const FINGER = /Thumb|Index|Middle|Ring|Little/;

export class GhostLines {
  readonly group = new Group();
  private readonly line: InstancedMesh;
  private readonly edge: InstancedMesh;

  constructor(private readonly skeleton: Skeleton) {
    const make = (radius: number, order: number) => {
      const geometry = new CylinderGeometry(radius, radius, 1, 6, 1, true).translate(0, 0.5, 0);
      const material = new MeshBasicMaterial({ transparent: true, depthTest: false, depthWrite: false });
      const mesh = new InstancedMesh(geometry, material, skeleton.names.length);
      mesh.frustumCulled = false;
      mesh.renderOrder = order;
      mesh.count = 0;
      this.group.add(mesh);
      return mesh;
    };
    this.edge = make(EDGE, 10);
    this.line = make(THIN, 11);
  }

  paint(line: Color, edge: Color): void {
    const set = (mesh: InstancedMesh, color: Color, opacity: number) => {
      const material = mesh.material as MeshBasicMaterial;
      material.color.copy(color);
      material.opacity = opacity;
    };
    set(this.line, line, 0.95);
    set(this.edge, edge, 0.5);
  }

  hide(): void {
    this.group.visible = false;
  }

  /** Draw a line from every captured joint to the nearest captured one above it. */
  set(pose: Pose, valid: ArrayLike<number>): void {
    const { parents, names } = this.skeleton;
    const [a, b, way] = [new Vector3(), new Vector3(), new Vector3()];
    const [turn, size, matrix] = [new Quaternion(), new Vector3(), new Matrix4()];
    let n = 0;
    for (let j = 0; j < names.length; j++) {
      if (valid[j] <= 0 || FACE.test(names[j])) continue;
      let parent = parents[j];
      while (parent >= 0 && valid[parent] <= 0) parent = parents[parent];
      if (parent < 0) continue;
      a.fromArray(pose.positions, parent * 3);
      b.fromArray(pose.positions, j * 3);
      const length = way.subVectors(b, a).length();
      if (length < 1e-4) continue;
      const thick = FINGER.test(names[j]) ? 0.45 : 1;
      turn.setFromUnitVectors(UP, way.divideScalar(length));
      matrix.compose(a, turn, size.set(thick, length, thick));
      this.line.setMatrixAt(n, matrix);
      this.edge.setMatrixAt(n, matrix);
      n += 1;
    }
    for (const mesh of [this.line, this.edge]) {
      mesh.count = n;
      mesh.instanceMatrix.needsUpdate = true;
    }
    this.group.visible = n > 0;
  }

  dispose(): void {
    for (const mesh of [this.line, this.edge]) {
      mesh.geometry.dispose();
      (mesh.material as MeshBasicMaterial).dispose();
      mesh.dispose();
    }
  }
}
