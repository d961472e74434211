// Build one smooth closed body part out of a few elliptical cross-sections, so that a limb can have
// a calf and a torso a waist instead of being a pipe.

import { BufferAttribute, BufferGeometry, Vector3 } from "three";

/**
 * A cross-section: where on the axis (metres), half-width, half-depth, and how far its centre lies off
 * the axis. The first and the last have no size: the part is rounded off between them and the next.
 */
export type Station = [t: number, wide: number, deep: number, offWide?: number, offDeep?: number];

export interface Shape {
  /** Direction along the part. */
  axis: Vector3;
  /** Direction of depth; made perpendicular to the axis. */
  front: Vector3;
  stations: Station[];
  /** Points around, and rings along. */
  around?: number;
  along?: number;
  /** 2 is an ellipse; more is squarer. */
  square?: number;
}

/** Monotone cubic interpolation (Fritsch and Carlson 1980): never overshoots its points. */
function monotone(xs: number[], ys: number[]): (x: number) => number {
  const n = xs.length;
  const slope = xs.slice(1).map((x, i) => (ys[i + 1] - ys[i]) / Math.max(x - xs[i], 1e-9));
  const tangent = ys.map((_, i) => {
    if (i === 0) return slope[0];
    if (i === n - 1) return slope[n - 2];
    const [a, b] = [slope[i - 1], slope[i]];
    return a * b <= 0 ? 0 : (2 * a * b) / (a + b);
  });
  return (x) => {
    let i = 0;
    while (i < n - 2 && x > xs[i + 1]) i++;
    const h = Math.max(xs[i + 1] - xs[i], 1e-9);
    const t = Math.min(Math.max((x - xs[i]) / h, 0), 1);
    const [t2, t3] = [t * t, t * t * t];
    return (
      ys[i] * (2 * t3 - 3 * t2 + 1) +
      h * tangent[i] * (t3 - 2 * t2 + t) +
      ys[i + 1] * (-2 * t3 + 3 * t2) +
      h * tangent[i + 1] * (t3 - t2)
    );
  };
}

/** Return the closed surface through the stations, without texture coordinates. */
export function loft(shape: Shape): BufferGeometry {
  const { stations, around = 28, along = 22, square = 2 } = shape;
  const axis = shape.axis.clone().normalize();
  const front = shape.front.clone().addScaledVector(axis, -shape.front.dot(axis)).normalize();
  const side = new Vector3().crossVectors(front, axis);
  const ts = stations.map((s) => s[0]);
  // Squared sizes are interpolated: a size that falls to zero then ends in a round cap, not a cone.
  const wide = monotone(ts, stations.map((s) => s[1] ** 2));
  const deep = monotone(ts, stations.map((s) => s[2] ** 2));
  const offWide = monotone(ts, stations.map((s) => s[3] ?? 0));
  const offDeep = monotone(ts, stations.map((s) => s[4] ?? 0));
  const points: number[] = [];
  const [start, end] = [ts[0], ts[ts.length - 1]];
  const at = (t: number, a: number, b: number) => {
    const u = a + offWide(t);
    const v = b + offDeep(t);
    points.push(
      axis.x * t + side.x * u + front.x * v,
      axis.y * t + side.y * u + front.y * v,
      axis.z * t + side.z * u + front.z * v,
    );
  };
  at(start, 0, 0);
  for (let i = 1; i < along; i++) {
    const t = start + ((end - start) * (1 - Math.cos((Math.PI * i) / along))) / 2;
    const [a, b] = [Math.sqrt(Math.max(wide(t), 0)), Math.sqrt(Math.max(deep(t), 0))];
    for (let j = 0; j < around; j++) {
      const angle = (2 * Math.PI * j) / around;
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      at(t, a * Math.sign(c) * Math.abs(c) ** (2 / square), b * Math.sign(s) * Math.abs(s) ** (2 / square));
    }
  }
  at(end, 0, 0);
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(points), 3));
  geometry.setIndex(triangles(around, along));
  geometry.computeVertexNormals();
  return geometry;
}

function triangles(around: number, along: number): number[] {
  const out: number[] = [];
  const last = 1 + (along - 1) * around;
  for (let j = 0; j < around; j++) {
    const k = (j + 1) % around;
    out.push(0, 1 + k, 1 + j);
    for (let i = 0; i < along - 2; i++) {
      const [a, b] = [1 + i * around, 1 + (i + 1) * around];
      out.push(a + j, a + k, b + j, a + k, b + k, b + j);
    }
    const r = 1 + (along - 2) * around;
    out.push(last, r + j, r + k);
  }
  return out;
}
