// A drawn figure for a browser without WebGL: the same bones, from the same side, in two dimensions.

import type { Skeleton } from "./protocol";
import { Pose } from "./skeleton";
import type { Moment, Picture } from "./stage";
import type { Theme } from "./theme";

export class Sketch implements Picture {
  private readonly context: CanvasRenderingContext2D;
  private pose: Pose | null = null;
  private ghost: Pose | null = null;
  private moment: Moment | null = null;
  private azimuth = 0.42;
  private zoom = 1;
  private pending = 0;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private theme: Theme,
  ) {
    this.context = canvas.getContext("2d")!;
    new ResizeObserver(() => this.redraw()).observe(canvas.parentElement!);
  }

  cast(skeleton: Skeleton): void {
    this.pose = new Pose(skeleton);
    this.ghost = new Pose(skeleton);
    this.moment = null;
    this.redraw();
  }

  wear(): void {
    // A flat figure wears nothing.
  }

  show(moment: Moment | null): void {
    this.moment = moment;
    this.redraw();
  }

  paint(theme: Theme): void {
    this.theme = theme;
    this.redraw();
  }

  turn(azimuth: number): void {
    this.azimuth += azimuth;
    this.redraw();
  }

  closer(factor: number): void {
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.4), 2.5);
    this.redraw();
  }

  reset(): void {
    this.azimuth = 0.42;
    this.zoom = 1;
    this.redraw();
  }

  private redraw(): void {
    if (this.pending === 0) this.pending = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.pending = 0;
    const { clientWidth: w, clientHeight: h } = this.canvas.parentElement!;
    const ratio = window.devicePixelRatio;
    this.canvas.width = w * ratio;
    this.canvas.height = h * ratio;
    if (this.pose === null || this.moment === null) return;
    const c = this.context;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.lineCap = "round";
    const scale = Math.min(h / 2.15, w / 1.5) / this.zoom;
    this.pose.set(this.moment.root, this.moment.rotations);
    const [x0, z0] = [this.pose.positions[0], this.pose.positions[2]];
    const at = (pose: Pose, j: number): [number, number] => {
      const [x, y, z] = pose.positions.subarray(j * 3, j * 3 + 3);
      const across = (x - x0) * Math.cos(this.azimuth) - (z - z0) * Math.sin(this.azimuth);
      return [w / 2 + across * scale, h / 2 + (0.88 - y) * scale];
    };
    this.lines(this.pose, at, this.theme.body, 0.045 * scale, () => true);
    const head = this.pose.skeleton.names.indexOf("head");
    if (head >= 0) {
      const [x, y] = at(this.pose, head);
      c.fillStyle = this.theme.body;
      c.beginPath();
      c.ellipse(x, y - 0.08 * scale, 0.075 * scale, 0.11 * scale, 0, 0, 2 * Math.PI);
      c.fill();
    }
    const { ghost, attention, joints } = this.moment;
    if (ghost !== null) {
      this.ghost!.set(ghost.root, ghost.rotations);
      const valid = ghost.valid;
      this.lines(this.ghost!, at, this.theme.ghost, 1.5, (j) => valid[j] > 0);
    }
    c.fillStyle = this.theme.glow;
    joints.forEach((bone, i) => {
      const share = attention === null || bone < 0 ? 0 : attention[i] * joints.length;
      if (share < 0.3) return;
      const [x, y] = at(this.pose!, bone);
      c.beginPath();
      c.arc(x, y, Math.min(2 + share * 2, 9), 0, 2 * Math.PI);
      c.fill();
    });
  }

  private lines(
    pose: Pose,
    at: (pose: Pose, j: number) => [number, number],
    colour: string,
    width: number,
    shown: (j: number) => boolean,
  ): void {
    const c = this.context;
    c.strokeStyle = colour;
    c.lineWidth = Math.max(width, 1);
    c.beginPath();
    pose.skeleton.parents.forEach((parent, j) => {
      if (parent < 0 || !shown(j) || !shown(parent)) return;
      c.moveTo(...at(pose, parent));
      c.lineTo(...at(pose, j));
    });
    c.stroke();
  }
}
