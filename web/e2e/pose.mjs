// Compute a pose with the page's own forward kinematics: a JSON object in, world positions out.
import { readFileSync } from "node:fs";
import { runnerImport } from "vite";

const { skeleton, root, rotations } = JSON.parse(readFileSync(0, "utf8"));
const { Pose } = (await runnerImport("./src/skeleton.ts")).module;
const pose = new Pose(skeleton);
pose.set(root, rotations);
console.log(JSON.stringify({ positions: [...pose.positions], rotations: [...pose.rotations] }));
