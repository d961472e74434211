// The performer's body, measured from the skeleton: which shape hangs on which bone, in metres, in
// the rest pose's axes (+Y up, +Z where the performer faces).

import { Vector3 } from "three";
import type { Shape, Station } from "./loft";
import type { Skeleton } from "./protocol";

export interface Part {
  bone: number;
  shape: Shape;
  /** A part that bends: the bones it follows, each from its own height upwards. */
  bends?: number[];
}

const UP = new Vector3(0, 1, 0);
const FRONT = new Vector3(0, 0, 1);
/** A person of this height is what the shapes below were drawn for. */
const DRAWN_FOR = 1.68;

class Measures {
  private readonly index = new Map<string, number>();

  constructor(readonly skeleton: Skeleton) {
    skeleton.names.forEach((name, i) => this.index.set(name, i));
  }

  bone(name: string): number {
    return this.index.get(name) ?? -1;
  }

  offset(name: string): Vector3 {
    const i = this.bone(name);
    return i < 0 ? new Vector3() : new Vector3(...this.skeleton.offsets[i]);
  }

  length(name: string): number {
    return this.offset(name).length();
  }

  /** Everything but lengths along bones is scaled by this. */
  get scale(): number {
    const leg = this.length("leftLowerLeg") + this.length("leftFoot");
    const back = ["spine", "chest", "upperChest", "neck", "head"];
    const trunk = back.reduce((sum, name) => sum + this.length(name), 0);
    const height = leg + trunk;
    return height > 0.1 ? (height / 1.35) * (DRAWN_FOR / 1.68) : 1;
  }
}

function scaled(stations: Station[], s: number): Station[] {
  return stations.map((station) => station.map((v) => (v ?? 0) * s) as Station);
}

/** Return every part of the body that this skeleton has bones for. */
export function figure(skeleton: Skeleton): Part[] {
  const m = new Measures(skeleton);
  const parts: Part[] = [];
  const add: Add = (name, shape, bends) => {
    const bone = m.bone(name);
    if (bone < 0) return;
    const chain = (bends ?? []).map((bend) => m.bone(bend)).filter((bend) => bend >= 0);
    parts.push(chain.length > 0 ? { bone, shape, bends: chain } : { bone, shape });
  };
  trunk(m, add);
  head(m, add);
  for (const side of ["left", "right"]) {
    arm(m, side, add);
    hand(m, side, add);
    leg(m, side, add);
  }
  return parts;
}

type Add = (name: string, shape: Shape, bends?: string[]) => void;

function trunk(m: Measures, add: Add): void {
  const s = m.scale;
  const hip = Math.max(Math.abs(m.offset("leftUpperLeg").x), 0.05 * s);
  const shoulder = Math.abs(m.offset("leftShoulder").x) + Math.abs(m.offset("leftUpperArm").x);
  const w = Math.max(shoulder, 0.1 * s) / 0.15;
  const back = ["spine", "chest", "upperChest"];
  const [low, mid, top] = back.map((_, i) =>
    back.slice(0, i + 1).reduce((sum, name) => sum + Math.max(m.offset(name).y, 0.02 * s), 0),
  );
  const neck = top + Math.max(m.offset("neck").y, 0.06 * s);
  const shape: Shape = {
    axis: UP,
    front: FRONT,
    square: 2.25,
    along: 44,
    around: 40,
    stations: [
      [-0.135 * s, 0, 0, 0, -0.004 * s],
      [-0.105 * s, hip * 0.7, 0.074 * s, 0, -0.004 * s],
      [-0.05 * s, hip + 0.066 * s, 0.106 * s, 0, -0.008 * s],
      [0.02 * s, hip + 0.056 * s, 0.1 * s, 0, -0.003 * s],
      [(low + mid) / 2, (hip + 0.026 * s + 0.116 * s * w) / 2, 0.084 * s, 0, 0.002 * s],
      [mid + (top - mid) * 0.5, 0.132 * s * w, 0.098 * s, 0, 0.003 * s],
      [top + (neck - top) * 0.22, 0.152 * s * w, 0.108 * s, 0, 0.002 * s],
      [top + (neck - top) * 0.62, 0.138 * s * w, 0.09 * s, 0, -0.006 * s],
      [top + (neck - top) * 0.9, 0.09 * s * w, 0.066 * s, 0, -0.012 * s],
      [neck + 0.012 * s, 0.055 * s, 0.052 * s, 0, -0.012 * s],
      [neck + 0.05 * s, 0, 0, 0, -0.008 * s],
    ],
  };
  add("hips", shape, ["hips", ...back]);
}

function head(m: Measures, add: Add): void {
  const s = m.scale;
  const neck = Math.max(m.length("head"), 0.04 * s);
  add("neck", {
    axis: UP,
    front: FRONT,
    stations: [
      [-0.07 * s, 0, 0, 0, -0.012 * s],
      [-0.03 * s, 0.062 * s, 0.06 * s, 0, -0.01 * s],
      [neck * 0.4, 0.05 * s, 0.054 * s],
      [neck + 0.03 * s, 0.05 * s, 0.055 * s, 0, 0.008 * s],
      [neck + 0.07 * s, 0, 0, 0, 0.01 * s],
    ],
  });
  add("head", {
    axis: UP,
    front: FRONT,
    along: 34,
    around: 36,
    stations: scaled(
      [
        [-0.042, 0, 0, 0, 0.062],
        [-0.034, 0.03, 0.026, 0, 0.06],
        [-0.008, 0.052, 0.055, 0, 0.038],
        [0.035, 0.066, 0.082, 0, 0.017],
        [0.085, 0.075, 0.096, 0, 0.006],
        [0.13, 0.074, 0.094, 0, -0.001],
        [0.17, 0.059, 0.074, 0, -0.004],
        [0.205, 0, 0, 0, -0.006],
      ],
      s,
    ),
  });
  // A nose, no more: enough to see which way the face looks from any seat.
  add("head", {
    axis: new Vector3(0, -1, 0.3),
    front: FRONT,
    along: 14,
    around: 14,
    stations: scaled(
      [
        [-0.056, 0, 0, 0, 0.1085],
        [-0.043, 0.006, 0.007, 0, 0.1075],
        [-0.012, 0.0095, 0.0115, 0, 0.1065],
        [0.002, 0.0115, 0.0115, 0, 0.105],
        [0.012, 0, 0, 0, 0.099],
      ],
      s,
    ),
  });
}

function limb(axis: Vector3, profile: Station[], length: number, s: number, front = FRONT): Shape {
  const stations = profile.map(
    ([t, wide, deep, offWide = 0, offDeep = 0]) =>
      [t * length, wide * s, deep * s, offWide * s, offDeep * s] as Station,
  );
  return { axis, front, stations };
}

function arm(m: Measures, side: string, add: Add): void {
  const s = m.scale;
  const across = new Vector3(side === "left" ? 1 : -1, 0, 0);
  const upper = m.offset(`${side}UpperArm`);
  if (upper.length() > 0.01) {
    const l = upper.length();
    add(`${side}Shoulder`, limb(upper, [[-0.35, 0, 0], [0, 0.05, 0.052, 0, -0.006], [0.6, 0.058, 0.056, 0, -0.004], [1, 0.052, 0.05], [1.4, 0, 0]], l, s));
  }
  const lower = m.offset(`${side}LowerArm`);
  const elbow = lower.length() > 0.01 ? lower : across.clone().multiplyScalar(0.26 * s);
  add(`${side}UpperArm`, limb(elbow, [[-0.21, 0, 0], [-0.08, 0.05, 0.052], [0.12, 0.056, 0.056], [0.45, 0.046, 0.05], [0.85, 0.037, 0.04], [1, 0.036, 0.038], [1.13, 0, 0]], elbow.length(), s));
  const wristAt = m.offset(`${side}Hand`);
  const wrist = wristAt.length() > 0.01 ? wristAt : across.clone().multiplyScalar(0.24 * s);
  add(`${side}LowerArm`, limb(wrist, [[-0.14, 0, 0], [0, 0.035, 0.037], [0.25, 0.039, 0.042], [0.6, 0.031, 0.034], [0.92, 0.022, 0.028], [1.02, 0.021, 0.027], [1.1, 0, 0]], wrist.length(), s));
}

function hand(m: Measures, side: string, add: Add): void {
  const s = m.scale;
  const across = new Vector3(side === "left" ? 1 : -1, 0, 0);
  const knuckle = m.offset(`${side}MiddleProximal`);
  const palm = knuckle.length() > 0.02 ? knuckle.length() : 0.09 * s;
  const wrist = m.offset(`${side}Hand`);
  const along = knuckle.length() > 0.02 ? knuckle : wrist.length() > 0.01 ? wrist : across;
  add(`${side}Hand`, {
    ...limb(along, [[-0.3, 0, 0], [-0.08, 0.02, 0.026], [0.3, 0.019, 0.036], [0.8, 0.016, 0.042], [1.02, 0.012, 0.038], [1.18, 0, 0]], palm, s),
    square: 2.5,
  });
  let fingers = 0;
  for (const finger of ["Thumb", "Index", "Middle", "Ring", "Little"]) {
    const names = finger === "Thumb" ? ["Metacarpal", "Proximal", "Distal"] : ["Proximal", "Intermediate", "Distal"];
    const thick = (finger === "Thumb" ? 0.0115 : finger === "Little" ? 0.0085 : 0.0098) * s;
    names.forEach((joint, i) => {
      const name = `${side}${finger}${joint}`;
      const next = i < 2 ? m.offset(`${side}${finger}${names[i + 1]}`) : m.offset(name).multiplyScalar(0.9);
      const length = next.length();
      if (length < 0.004 || m.length(name) < 0.004) return;
      fingers += 1;
      const r = thick * (1 - 0.1 * i);
      add(name, {
        axis: next,
        front: FRONT,
        along: 10,
        around: 12,
        stations: [[-r, 0, 0], [-r * 0.3, r, r], [length, r * 0.92, r * 0.92], [length + r, 0, 0]],
      });
    });
  }
  if (fingers === 0) mitten(m, side, along, palm, add);
}

/** A hand without finger bones gets closed fingers in one piece. */
function mitten(m: Measures, side: string, along: Vector3, palm: number, add: Add): void {
  const s = m.scale;
  add(`${side}Hand`, {
    ...limb(along, [[0.5, 0, 0], [0.8, 0.014, 0.038], [1.4, 0.012, 0.036], [1.8, 0.01, 0.026], [1.98, 0, 0]], palm, s),
    square: 2.6,
  });
  add(`${side}Hand`, {
    ...limb(along.clone().normalize().addScaledVector(FRONT, 0.75), [[0.1, 0, 0], [0.3, 0.012, 0.013], [0.85, 0.01, 0.01], [1.0, 0, 0]], palm, s),
  });
}

function leg(m: Measures, side: string, add: Add): void {
  const s = m.scale;
  const down = new Vector3(0, -0.41 * s, 0);
  const kneeAt = m.offset(`${side}LowerLeg`);
  const knee = kneeAt.length() > 0.01 ? kneeAt : down;
  add(`${side}UpperLeg`, limb(knee, [[-0.2, 0, 0], [-0.07, 0.066, 0.074], [0.1, 0.086, 0.094], [0.4, 0.074, 0.083], [0.85, 0.053, 0.058], [1, 0.05, 0.053], [1.13, 0, 0]], knee.length(), s));
  const ankleAt = m.offset(`${side}Foot`);
  const ankle = ankleAt.length() > 0.01 ? ankleAt : down;
  add(`${side}LowerLeg`, limb(ankle, [[-0.12, 0, 0], [0, 0.048, 0.052], [0.28, 0.053, 0.06, 0, -0.012], [0.6, 0.041, 0.046, 0, -0.009], [0.9, 0.031, 0.036], [1.02, 0.032, 0.037], [1.12, 0, 0]], ankle.length(), s));
  foot(m, side, add);
}

function foot(m: Measures, side: string, add: Add): void {
  const s = m.scale;
  const toes = m.offset(`${side}Toes`);
  const long = toes.length() > 0.02;
  const [sole, reach] = long ? [toes.y - 0.012 * s, toes.z] : [-0.08 * s, 0.13 * s];
  // Half-heights that keep the sole flat on the floor: the centre lies as far above it.
  const at = (z: number, wide: number, high: number): Station => [z, wide * s, high * s, 0, sole + high * s];
  add(`${side}Foot`, {
    axis: FRONT,
    front: UP,
    square: 2.6,
    along: 24,
    stations: [
      [-0.07 * s, 0, 0, 0, sole + 0.024 * s],
      at(-0.045 * s, 0.027, 0.028),
      at(0.0, 0.03, 0.043),
      at(reach * 0.35, 0.034, 0.037),
      at(reach * 0.7, 0.041, 0.026),
      at(reach, 0.043, 0.02),
      [reach + 0.035 * s, 0, 0, 0, sole + 0.018 * s],
    ],
  });
  const name = long ? `${side}Toes` : `${side}Foot`;
  const [z0, y0] = long ? [0, -0.012 * s] : [reach, sole];
  const tip = (z: number, wide: number, high: number): Station => [z0 + z * s, wide * s, high * s, 0, y0 + high * s];
  add(name, {
    axis: FRONT,
    front: UP,
    square: 2.6,
    along: 14,
    stations: [
      [z0 - 0.045 * s, 0, 0, 0, y0 + 0.018 * s],
      tip(-0.015, 0.042, 0.02),
      tip(0.03, 0.042, 0.016),
      tip(0.055, 0.034, 0.013),
      [z0 + 0.075 * s, 0, 0, 0, y0 + 0.01 * s],
    ],
  });
}
