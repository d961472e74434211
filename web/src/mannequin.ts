// Draw the performer as one skinned mesh, with attention as light on the joints.

import {
  Bone,
  BufferAttribute,
  Color,
  Matrix4,
  MeshStandardMaterial,
  Quaternion,
  SkinnedMesh,
  Skeleton as BoneSet,
  Vector3,
  Vector4,
} from "three";
import { mergeGeometries } from "three/examples/jsm/utils/BufferGeometryUtils.js";
import { figure, type Part } from "./figure";
import { loft } from "./loft";
import type { Skeleton } from "./protocol";
import { Pose, restRotations } from "./skeleton";

/** Joints that may shine at once. */
const LIGHTS = 24;
/** How far from a joint its light has half gone, metres: it must come out of the thickest parts. */
const REACH: [RegExp, number][] = [
  [/hips|spine|chest/i, 0.11],
  [/head|neck|UpperLeg|Shoulder/, 0.09],
  [/Hand|Foot|Toes/, 0.06],
];
const REACH_ELSE = 0.07;
/** Half the height over which the back bends from one bone to the next, metres. */
const BEND = 0.05;

export class Mannequin {
  readonly mesh: SkinnedMesh;
  private readonly bones: Bone[];
  private readonly lights: Vector4[] = [];
  private readonly reaches: number[] = new Array<number>(LIGHTS).fill(1);
  private readonly glow = { value: new Color(1, 1, 1) };
  private readonly material: MeshStandardMaterial;
  private readonly rest: Pose;

  constructor(private readonly skeleton: Skeleton) {
    for (let i = 0; i < LIGHTS; i++) this.lights.push(new Vector4());
    this.rest = new Pose(skeleton);
    this.rest.set([0, 0, 0], restRotations(skeleton.names.length));
    this.material = this.makeMaterial();
    this.bones = skeleton.names.map(() => {
      const bone = new Bone();
      bone.matrixAutoUpdate = false;
      bone.matrixWorldAutoUpdate = false;
      return bone;
    });
    this.mesh = new SkinnedMesh(this.makeGeometry(), this.material);
    this.mesh.frustumCulled = false;
    this.mesh.castShadow = true;
    this.mesh.receiveShadow = true;
    const undo = this.bones.map((_, j) => {
      const [x, y, z] = this.rest.positions.subarray(j * 3, j * 3 + 3);
      return new Matrix4().makeTranslation(-x, -y, -z);
    });
    this.mesh.bind(new BoneSet(this.bones, undo), new Matrix4());
  }

  /** Take the colours of the page's scheme. */
  paint(body: Color, glow: Color): void {
    this.material.color.copy(body);
    this.glow.value.copy(glow);
  }

  /** Put every bone where the pose has it. */
  set(pose: Pose): void {
    const at = new Vector3();
    const turn = new Quaternion();
    const one = new Vector3(1, 1, 1);
    this.bones.forEach((bone, j) => {
      at.fromArray(pose.positions, j * 3);
      turn.fromArray(pose.rotations, j * 4);
      bone.matrixWorld.compose(at, turn, one);
    });
  }

  /** Light the driven joints by their share of attention; null puts all lights out. */
  light(pose: Pose, joints: readonly number[], attention: ArrayLike<number> | null): void {
    const even = joints.length > 0 ? 1 / joints.length : 1;
    const strongest = joints
      .map((bone, i) => ({ bone, share: attention === null ? 0 : attention[i] }))
      .filter(({ bone, share }) => bone >= 0 && share > even * 0.25)
      .sort((a, b) => b.share - a.share)
      .slice(0, LIGHTS);
    this.lights.forEach((light, i) => {
      if (i >= strongest.length) {
        light.w = 0;
        return;
      }
      const { bone, share } = strongest[i];
      light.set(
        pose.positions[bone * 3],
        pose.positions[bone * 3 + 1],
        pose.positions[bone * 3 + 2],
        Math.min(share / (even * 3), 1),
      );
      const name = this.skeleton.names[bone];
      this.reaches[i] = REACH.find(([pattern]) => pattern.test(name))?.[1] ?? REACH_ELSE;
    });
  }

  dispose(): void {
    this.mesh.geometry.dispose();
    this.mesh.skeleton.dispose();
    this.material.dispose();
  }

  private makeGeometry() {
    const pieces = figure(this.skeleton).map((part) => {
      const piece = loft(part.shape);
      const index = new Uint16Array(piece.getAttribute("position").count * 4);
      const weight = new Float32Array(index.length);
      this.follow(part, piece.getAttribute("position") as BufferAttribute, index, weight);
      piece.translate(...(this.rest.positions.subarray(part.bone * 3, part.bone * 3 + 3) as unknown as [number, number, number]));
      piece.setAttribute("skinIndex", new BufferAttribute(index, 4));
      piece.setAttribute("skinWeight", new BufferAttribute(weight, 4));
      return piece;
    });
    const merged = mergeGeometries(pieces);
    pieces.forEach((piece) => piece.dispose());
    return merged;
  }

  /** Say which bones every point of a part follows: one, or two where a bending part bends. */
  private follow(part: Part, points: BufferAttribute, index: Uint16Array, weight: Float32Array): void {
    const chain = part.bends ?? [part.bone];
    const base = this.rest.positions[part.bone * 3 + 1];
    const heights = chain.map((bone) => this.rest.positions[bone * 3 + 1] - base);
    for (let i = 0; i < points.count; i++) {
      const y = points.getY(i);
      let k = 0;
      while (k + 1 < chain.length && y > heights[k + 1] - BEND) k += 1;
      const on = k === 0 ? 1 : Math.min((y - heights[k] + BEND) / (2 * BEND), 1);
      index[i * 4] = chain[k];
      weight[i * 4] = on * on * (3 - 2 * on);
      index[i * 4 + 1] = chain[Math.max(k - 1, 0)];
      weight[i * 4 + 1] = 1 - weight[i * 4];
    }
  }

  private makeMaterial(): MeshStandardMaterial {
    const material = new MeshStandardMaterial({ roughness: 0.62, metalness: 0 });
    material.onBeforeCompile = (shader) => {
      shader.uniforms.joints = { value: this.lights };
      shader.uniforms.reaches = { value: this.reaches };
      shader.uniforms.glow = this.glow;
      shader.vertexShader = shader.vertexShader
        .replace("#include <common>", "#include <common>\nvarying vec3 vPlace;")
        .replace(
          "#include <project_vertex>",
          "#include <project_vertex>\nvPlace = (modelMatrix * vec4(transformed, 1.0)).xyz;",
        );
      shader.fragmentShader = shader.fragmentShader
        .replace(
          "#include <common>",
          `#include <common>
          varying vec3 vPlace;
          uniform vec4 joints[${LIGHTS}];
          uniform float reaches[${LIGHTS}];
          uniform vec3 glow;`,
        )
        .replace(
          "#include <emissivemap_fragment>",
          `#include <emissivemap_fragment>
          float lit = 0.0;
          for (int i = 0; i < ${LIGHTS}; i++) {
            if (joints[i].w <= 0.0) break;
            vec3 away = vPlace - joints[i].xyz;
            lit += joints[i].w * exp2(-dot(away, away) / (reaches[i] * reaches[i]));
          }
          float facing = clamp(dot(normal, normalize(vViewPosition)), 0.0, 1.0);
          totalEmissiveRadiance += glow * min(lit, 1.1) * (0.12 + 0.62 * facing * facing);`,
        );
    };
    return material;
  }
}
