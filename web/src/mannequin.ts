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
import { figure } from "./figure";
import { loft } from "./loft";
import type { Skeleton } from "./protocol";
import type { Pose } from "./skeleton";

/** Joints that may shine at once. */
const LIGHTS = 24;
/** How far the light of a joint reaches, metres. */
const REACH = 0.085;

export class Mannequin {
  readonly mesh: SkinnedMesh;
  private readonly bones: Bone[];
  private readonly lights: Vector4[] = [];
  private readonly glow = { value: new Color(1, 1, 1) };
  private readonly material: MeshStandardMaterial;

  constructor(private readonly skeleton: Skeleton) {
    for (let i = 0; i < LIGHTS; i++) this.lights.push(new Vector4());
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
    // The parts are drawn in their bone's own axes, so there is nothing to undo when binding.
    this.mesh.bind(new BoneSet(this.bones, this.bones.map(() => new Matrix4())), new Matrix4());
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
        Math.min(share / (even * 3.5), 1),
      );
    });
  }

  dispose(): void {
    this.mesh.geometry.dispose();
    this.mesh.skeleton.dispose();
    this.material.dispose();
  }

  private makeGeometry() {
    const pieces = figure(this.skeleton).map(({ bone, shape }) => {
      const piece = loft(shape);
      const n = piece.getAttribute("position").count;
      const index = new Uint16Array(n * 4);
      const weight = new Float32Array(n * 4);
      for (let i = 0; i < n; i++) {
        index[i * 4] = bone;
        weight[i * 4] = 1;
      }
      piece.setAttribute("skinIndex", new BufferAttribute(index, 4));
      piece.setAttribute("skinWeight", new BufferAttribute(weight, 4));
      return piece;
    });
    const merged = mergeGeometries(pieces);
    pieces.forEach((piece) => piece.dispose());
    return merged;
  }

  private makeMaterial(): MeshStandardMaterial {
    const material = new MeshStandardMaterial({ roughness: 0.62, metalness: 0 });
    material.onBeforeCompile = (shader) => {
      shader.uniforms.joints = { value: this.lights };
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
          uniform vec3 glow;`,
        )
        .replace(
          "#include <emissivemap_fragment>",
          `#include <emissivemap_fragment>
          float lit = 0.0;
          for (int i = 0; i < ${LIGHTS}; i++) {
            if (joints[i].w <= 0.0) break;
            vec3 away = vPlace - joints[i].xyz;
            lit += joints[i].w * exp(-dot(away, away) / ${(REACH * REACH * 0.5).toFixed(6)});
          }
          totalEmissiveRadiance += glow * min(lit, 1.2);`,
        );
    };
    return material;
  }
}
