// Forward kinematics: from a frame's rotations to where every bone is, as `Skeleton.world` in
// frames.py computes it.
//
// Convention: right-handed, +Y up, metres; quaternions x, y, z, w, local to the parent, relative to
// the T-pose, so in the rest pose every bone's axes are the world's.

import type { Skeleton } from "./protocol";

/** World positions (3 a bone) and rotations (4 a bone) of one pose. */
export class Pose {
  readonly positions: Float32Array;
  readonly rotations: Float32Array;

  constructor(readonly skeleton: Skeleton) {
    this.positions = new Float32Array(skeleton.names.length * 3);
    this.rotations = new Float32Array(skeleton.names.length * 4);
  }

  /** Place every bone. `root` is where the first bone is; `local` has 4 numbers a bone. */
  set(root: ArrayLike<number>, local: ArrayLike<number>): void {
    const { parents, offsets } = this.skeleton;
    for (let j = 0; j < parents.length; j++) {
      const parent = parents[j];
      if (parent < 0) {
        const at = j === 0 ? root : offsets[j];
        for (let k = 0; k < 3; k++) this.positions[j * 3 + k] = at[k];
        for (let k = 0; k < 4; k++) this.rotations[j * 4 + k] = local[j * 4 + k];
      } else {
        this.place(j, parent, offsets[j]);
        this.turn(j, parent, local);
      }
    }
  }

  private place(j: number, parent: number, offset: readonly number[]): void {
    const q = this.rotations;
    const p = parent * 4;
    const [x, y, z, w] = [q[p], q[p + 1], q[p + 2], q[p + 3]];
    const tx = 2 * (y * offset[2] - z * offset[1]);
    const ty = 2 * (z * offset[0] - x * offset[2]);
    const tz = 2 * (x * offset[1] - y * offset[0]);
    const at = this.positions;
    at[j * 3] = at[parent * 3] + offset[0] + w * tx + (y * tz - z * ty);
    at[j * 3 + 1] = at[parent * 3 + 1] + offset[1] + w * ty + (z * tx - x * tz);
    at[j * 3 + 2] = at[parent * 3 + 2] + offset[2] + w * tz + (x * ty - y * tx);
  }

  private turn(j: number, parent: number, local: ArrayLike<number>): void {
    const q = this.rotations;
    const p = parent * 4;
    const [ax, ay, az, aw] = [q[p], q[p + 1], q[p + 2], q[p + 3]];
    const l = j * 4;
    const [bx, by, bz, bw] = [local[l], local[l + 1], local[l + 2], local[l + 3]];
    q[l] = aw * bx + ax * bw + ay * bz - az * by;
    q[l + 1] = aw * by - ax * bz + ay * bw + az * bx;
    q[l + 2] = aw * bz + ax * by - ay * bx + az * bw;
    q[l + 3] = aw * bw - ax * bx - ay * by - az * bz;
  }
}

/** Rotations of the rest pose: the T-pose. */
export function restRotations(bones: number): Float32Array {
  const out = new Float32Array(bones * 4);
  for (let j = 0; j < bones; j++) out[j * 4 + 3] = 1;
  return out;
}

/** "leftUpperArm" → "left upper arm". */
export function spoken(bone: string): string {
  return bone.replace(/([A-Z])/g, " $1").toLowerCase();
}
