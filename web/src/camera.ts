// Keep the performer in the picture: follow smoothly, frame for any window, orbit by hand.

import { PerspectiveCamera, Vector3 } from "three";
import { calm } from "./theme";

const AZIMUTH = 0.42;
const ELEVATION = 0.1;
/** Seconds in which the camera closes most of a gap. */
const FOLLOW_S = 0.45;
/** Farther than this the performer has not walked but was put elsewhere: cut instead of pan. */
const CUT_M = 1.2;

export class FollowCamera {
  readonly camera = new PerspectiveCamera(26, 1, 0.1, 60);
  private azimuth = AZIMUTH;
  private elevation = ELEVATION;
  private zoom = 1;
  private readonly at = new Vector3();
  private readonly wanted = new Vector3();
  private height = 1.7;
  private placed = false;

  constructor(canvas: HTMLElement, private readonly moved: () => void) {
    this.listen(canvas);
  }

  /** Where the hips are, and how tall the performer is, metres. */
  aim(x: number, z: number, height: number): void {
    this.height = height;
    this.wanted.set(x, height * 0.5, z);
    const gap = Math.hypot(x - this.at.x, z - this.at.z);
    if (!this.placed || gap > CUT_M || calm()) this.at.copy(this.wanted);
    this.placed = true;
  }

  resize(width: number, height: number): void {
    this.camera.aspect = width / Math.max(height, 1);
    this.camera.updateProjectionMatrix();
  }

  reset(): void {
    this.azimuth = AZIMUTH;
    this.elevation = ELEVATION;
    this.zoom = 1;
    this.moved();
  }

  turn(azimuth: number, elevation: number): void {
    this.azimuth += azimuth;
    this.elevation = Math.min(Math.max(this.elevation + elevation, -0.02), 1.35);
    this.moved();
  }

  closer(factor: number): void {
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.4), 2.5);
    this.moved();
  }

  /** Move on by `seconds`; returns whether there is still way to go. */
  step(seconds: number): boolean {
    this.at.lerp(this.wanted, 1 - Math.exp((-2.3 * seconds) / FOLLOW_S));
    const camera = this.camera;
    const half = Math.tan((camera.fov * Math.PI) / 360);
    const tall = (this.height * 1.16) / 2 / half;
    const wide = (this.height * 0.86) / 2 / (half * camera.aspect);
    const away = Math.max(tall, wide) * this.zoom;
    const flat = Math.cos(this.elevation) * away;
    camera.position.set(
      this.at.x + Math.sin(this.azimuth) * flat,
      this.at.y + Math.sin(this.elevation) * away,
      this.at.z + Math.cos(this.azimuth) * flat,
    );
    camera.lookAt(this.at.x, this.at.y, this.at.z);
    return this.at.distanceTo(this.wanted) > 0.002;
  }

  private listen(canvas: HTMLElement): void {
    let from: { x: number; y: number } | null = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      from = { x: event.clientX, y: event.clientY };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const up = event.pointerType === "touch" ? 0 : event.clientY - from.y; // touch scrolls the page
      this.turn(-(event.clientX - from.x) * 0.008, up * 0.006);
      from = { x: event.clientX, y: event.clientY };
    });
    const stop = () => (from = null);
    canvas.addEventListener("pointerup", stop);
    canvas.addEventListener("pointercancel", stop);
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey && document.documentElement.scrollHeight > innerHeight) return;
        event.preventDefault();
        this.closer(Math.exp(event.deltaY * 0.001));
      },
      { passive: false },
    );
  }
}
