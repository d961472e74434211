// Let an avatar of the viewer's own perform: a VRM file that was dropped on the page and stays in the
// browser. Both versions are posed by three-vrm's normalised bones, whose rest is the T-pose.
//
// Convention: VRM 1.0 faces +Z as we do; VRM 0.x faces -Z, so its model is turned round and x and z of
// rotations change their sign.

import { VRM, VRMLoaderPlugin, VRMUtils, type VRMHumanBoneName } from "@pixiv/three-vrm";
import { Box3, type Object3D } from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
import type { Skeleton } from "./protocol";

/** ARKit's weights → VRM's presets, for avatars that have no ARKit names of their own. */
const PRESETS: Record<string, [string, number][]> = {
  aa: [["jawOpen", 1]],
  ou: [["mouthPucker", 0.8]],
  oh: [["mouthFunnel", 0.8]],
  ih: [["mouthStretchLeft", 0.5], ["mouthStretchRight", 0.5]],
  blinkLeft: [["eyeBlinkLeft", 1]],
  blinkRight: [["eyeBlinkRight", 1]],
  happy: [["mouthSmileLeft", 0.5], ["mouthSmileRight", 0.5]],
  sad: [["mouthFrownLeft", 0.5], ["mouthFrownRight", 0.5]],
};
/** How far an eye turns at a weight of 1, degrees. */
const EYE_YAW = 30;
const EYE_PITCH = 20;

export class Avatar {
  /** From its soles to its crown in the T-pose, metres. */
  readonly height: number;
  private readonly turned: boolean;
  private readonly hips: number;
  private readonly names: (VRMHumanBoneName | null)[];
  private readonly arkit: Map<string, string>;
  private last = 0;

  constructor(
    readonly vrm: VRM,
    skeleton: Skeleton,
    private readonly channels: readonly string[],
  ) {
    this.turned = vrm.meta.metaVersion === "0";
    if (this.turned) VRMUtils.rotateVRM0(vrm);
    vrm.humanoid.autoUpdateHumanBones = true;
    if (vrm.lookAt) vrm.lookAt.autoUpdate = false;
    vrm.scene.traverse((part) => {
      part.frustumCulled = false;
      part.castShadow = true;
    });
    const box = new Box3().setFromObject(vrm.scene);
    this.height = box.isEmpty() ? 1.7 : Math.max(box.max.y - Math.min(box.min.y, 0), 0.2);
    // As tall as the avatar is: our hips' height in its own proportions.
    const rest = vrm.humanoid.normalizedRestPose.hips?.position?.[1] ?? skeleton.offsets[0][1];
    this.hips = rest / Math.max(skeleton.offsets[0][1], 0.1);
    this.names = skeleton.names.map((name) =>
      vrm.humanoid.getNormalizedBoneNode(name as VRMHumanBoneName) ? (name as VRMHumanBoneName) : null,
    );
    const own = Object.keys(vrm.expressionManager?.expressionMap ?? {});
    this.arkit = new Map(own.map((name) => [name.toLowerCase(), name]));
  }

  get scene(): Object3D {
    return this.vrm.scene;
  }

  /** Put every bone where the frame has it, and the face as far as it is driven. */
  set(root: ArrayLike<number>, rotations: ArrayLike<number>, face: readonly (number | null)[] | null): void {
    const sign = this.turned ? -1 : 1;
    this.names.forEach((name, j) => {
      if (name === null || name === "leftEye" || name === "rightEye") return;
      const node = this.vrm.humanoid.getNormalizedBoneNode(name)!;
      const at = j * 4;
      node.quaternion.set(sign * rotations[at], rotations[at + 1], sign * rotations[at + 2], rotations[at + 3]);
    });
    const hips = this.vrm.humanoid.getNormalizedBoneNode("hips");
    if (hips) hips.position.set(0, root[1] * this.hips, 0);
    this.vrm.scene.position.set(root[0], 0, root[2]);
    this.express(face);
  }

  /** Let hair and clothes swing, and settle what was set; `now` in milliseconds. */
  step(now: number): void {
    const seconds = Math.min(Math.max(now - this.last, 0) / 1000, 0.1);
    this.last = now;
    this.vrm.update(seconds);
  }

  dispose(): void {
    VRMUtils.deepDispose(this.vrm.scene);
  }

  private express(face: readonly (number | null)[] | null): void {
    const manager = this.vrm.expressionManager;
    const weight = (name: string): number | null => {
      const i = this.channels.indexOf(name);
      return face === null || i < 0 ? null : (face[i] ?? null);
    };
    if (manager) {
      for (const name of this.channels) {
        const own = this.arkit.get(name.toLowerCase());
        if (own !== undefined) manager.setValue(own, weight(name) ?? 0);
      }
      for (const [preset, parts] of Object.entries(PRESETS)) {
        if (parts.some(([name]) => this.arkit.has(name.toLowerCase()))) continue; // drawn by itself
        if (manager.getExpression(preset) === null) continue;
        const sum = parts.reduce((all, [name, share]) => all + share * (weight(name) ?? 0), 0);
        manager.setValue(preset, Math.min(sum, 1));
      }
    }
    const lookAt = this.vrm.lookAt;
    if (!lookAt) return;
    const eye = (name: string) => weight(name) ?? 0;
    const left = eye("eyeLookOutLeft") - eye("eyeLookInLeft") + eye("eyeLookInRight") - eye("eyeLookOutRight");
    const down = eye("eyeLookDownLeft") + eye("eyeLookDownRight") - eye("eyeLookUpLeft") - eye("eyeLookUpRight");
    lookAt.yaw = (left / 2) * EYE_YAW;
    lookAt.pitch = (down / 2) * EYE_PITCH;
  }
}

/** Read a VRM file. Throws an Error with one sentence where it is none. */
export async function readAvatar(
  data: ArrayBuffer,
  skeleton: Skeleton,
  channels: readonly string[],
): Promise<Avatar> {
  const loader = new GLTFLoader();
  loader.register((parser) => new VRMLoaderPlugin(parser));
  let vrm: VRM | undefined;
  try {
    const gltf = await loader.parseAsync(data, "");
    vrm = gltf.userData.vrm as VRM | undefined;
  } catch (problem) {
    throw new Error(`This file cannot be read as VRM: ${problem instanceof Error ? problem.message : problem}`);
  }
  if (vrm === undefined) throw new Error("This file is a GLB without a VRM humanoid. Export it as VRM.");
  VRMUtils.removeUnnecessaryVertices(vrm.scene);
  return new Avatar(vrm, skeleton, channels);
}
