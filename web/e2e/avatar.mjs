// Pose an avatar with the page's own code: a VRM file, a frame and its skeleton in; bones' positions on
// the stage and the values of expressions out. Or {"error"} where the file is refused.
import { readFileSync } from "node:fs";
import { Vector3 } from "three";
import { runnerImport } from "vite";

const { vrm, skeleton, channels, root, rotations, face } = JSON.parse(readFileSync(0, "utf8"));
const { readAvatar } = (await runnerImport("./src/avatar.ts")).module;
const bytes = Buffer.from(vrm, "base64");
try {
  const data = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const avatar = await readAvatar(data, skeleton, channels);
  avatar.set(root, rotations, face);
  avatar.step(0);
  avatar.scene.updateMatrixWorld(true);
  const places = {};
  for (const name of skeleton.names) {
    const node = avatar.vrm.humanoid.getRawBoneNode(name);
    if (node) places[name] = node.getWorldPosition(new Vector3()).toArray();
  }
  const values = {};
  const manager = avatar.vrm.expressionManager;
  for (const name of Object.keys(manager?.expressionMap ?? {})) values[name] = manager.getValue(name);
  const { yaw, pitch } = avatar.vrm.lookAt ?? { yaw: 0, pitch: 0 };
  console.log(JSON.stringify({ places, values, yaw, pitch, height: avatar.height }));
} catch (problem) {
  console.log(JSON.stringify({ error: String(problem.message ?? problem) }));
}
