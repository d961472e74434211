// Remember the last two minutes, so that any recent moment can be looked at again. One slot a tick in
// typed arrays: nothing is allocated while a show runs.

import type { Frame } from "./protocol";

/** Two minutes at 30 Hz. */
export const KEPT_TICKS = 3600;

export type Series = "frame" | "model" | "features" | "post" | "confidence" | "energy" | "f0";

export class History {
  /** First and last tick ever seen since the show began; -1 before the first frame. */
  first = -1;
  latest = -1;
  readonly rungs: string[] = [];
  readonly low = new Float32Array(KEPT_TICKS);
  readonly high = new Float32Array(KEPT_TICKS);
  private readonly ticks = new Float64Array(KEPT_TICKS).fill(-1);
  private readonly rung = new Uint8Array(KEPT_TICKS);
  private readonly late = new Uint32Array(KEPT_TICKS);
  private readonly frames = new Uint32Array(KEPT_TICKS);
  private readonly missed = new Uint32Array(KEPT_TICKS);
  private readonly clips = new Array<string | null>(KEPT_TICKS).fill(null);
  private readonly series: Record<Series, Float32Array>;
  private readonly root = new Float32Array(KEPT_TICKS * 3);
  private readonly rotations: Float32Array;
  private readonly hasGhost = new Uint8Array(KEPT_TICKS);
  private readonly ghostRoot = new Float32Array(KEPT_TICKS * 3);
  private readonly ghostRotations: Float32Array;
  private readonly ghostValid: Float32Array;
  /** A release drives some of the bones, and the next one others: room for all, and for speech. */
  private readonly attention: Float32Array;
  private readonly driven = new Int16Array(KEPT_TICKS);
  private readonly faces = new Array<Frame["face"]>(KEPT_TICKS).fill(null);

  constructor(private readonly bones: number) {
    const empty = () => new Float32Array(KEPT_TICKS).fill(NaN);
    this.series = {
      frame: empty(),
      model: empty(),
      features: empty(),
      post: empty(),
      confidence: empty(),
      energy: empty(),
      f0: empty(),
    };
    this.rotations = new Float32Array(KEPT_TICKS * bones * 4);
    this.ghostRotations = new Float32Array(KEPT_TICKS * bones * 4);
    this.ghostValid = new Float32Array(KEPT_TICKS * bones);
    this.attention = new Float32Array(KEPT_TICKS * (bones + 1));
  }

  /** Remember a frame, the newest or an earlier one; returns whether it was new and not too old. */
  push(frame: Frame): boolean {
    const i = frame.tick % KEPT_TICKS;
    if (this.ticks[i] >= frame.tick || frame.tick <= this.latest - KEPT_TICKS) return false;
    this.ticks[i] = frame.tick;
    this.first = this.first < 0 ? frame.tick : Math.min(this.first, frame.tick);
    this.latest = Math.max(this.latest, frame.tick);
    this.rung[i] = this.rungNumber(frame.rung);
    this.late[i] = frame.late;
    this.frames[i] = frame.frames;
    this.missed[i] = frame.missed;
    this.clips[i] = frame.clip;
    this.low[i] = frame.audio?.[0] ?? NaN;
    this.high[i] = frame.audio?.[1] ?? NaN;
    this.series.frame[i] = frame.ms.frame ?? NaN;
    this.series.model[i] = frame.ms.model ?? NaN;
    this.series.features[i] = frame.ms.features ?? NaN;
    this.series.post[i] = frame.ms.post ?? NaN;
    this.series.confidence[i] = frame.confidence ?? NaN;
    this.series.energy[i] = frame.energy_db ?? NaN;
    this.series.f0[i] = frame.voiced === false ? NaN : (frame.f0_hz ?? NaN);
    this.root.set(frame.root, i * 3);
    this.rotations.set(frame.rotations, i * this.bones * 4);
    this.faces[i] = frame.face;
    this.hasGhost[i] = frame.ghost === null ? 0 : 1;
    if (frame.ghost !== null) {
      this.ghostRoot.set(frame.ghost.root, i * 3);
      this.ghostRotations.set(frame.ghost.rotations, i * this.bones * 4);
      this.ghostValid.set(frame.ghost.valid, i * this.bones);
    }
    this.keepAttention(frame, i);
    return true;
  }

  /** Whether `tick` was received and is still remembered. */
  has(tick: number): boolean {
    return tick >= 0 && this.ticks[tick % KEPT_TICKS] === tick;
  }

  /** The oldest tick that may still be remembered. */
  get oldest(): number {
    return Math.max(this.first, this.latest - KEPT_TICKS + 1);
  }

  /** The remembered tick nearest to `tick`, or -1 when there is none. */
  nearest(tick: number): number {
    if (this.latest < 0) return -1;
    const from = Math.min(Math.max(Math.round(tick), this.oldest), this.latest);
    for (let away = 0; away <= KEPT_TICKS; away++) {
      if (from - away >= this.oldest && this.has(from - away)) return from - away;
      if (from + away <= this.latest && this.has(from + away)) return from + away;
    }
    return -1;
  }

  /** A figure at a tick; NaN where it is missing. */
  value(name: Series, tick: number): number {
    return this.has(tick) ? this.series[name][tick % KEPT_TICKS] : NaN;
  }

  rungAt(tick: number): string | null {
    return this.has(tick) ? this.rungs[this.rung[tick % KEPT_TICKS]] : null;
  }

  lateAt(tick: number): number {
    return this.has(tick) ? this.late[tick % KEPT_TICKS] : 0;
  }

  framesAt(tick: number): number {
    return this.has(tick) ? this.frames[tick % KEPT_TICKS] : 0;
  }

  /** Ticks that nobody had performed until a tick. */
  missedAt(tick: number): number {
    return this.has(tick) ? this.missed[tick % KEPT_TICKS] : 0;
  }

  /** Name of what played; null where it is not known. */
  clipAt(tick: number): string | null {
    return this.has(tick) ? this.clips[tick % KEPT_TICKS] : null;
  }

  /** Ticks right before `tick` at which nobody performed, as far as its neighbours are remembered. */
  gapBefore(tick: number): number {
    if (!this.has(tick) || this.has(tick - 1)) return 0;
    let before = tick - 1;
    while (before > this.oldest && !this.has(before)) before -= 1;
    const known = this.has(before) ? this.missedAt(before) : tick === this.first ? this.missedAt(tick) : 0;
    return Math.min(this.missedAt(tick) - known, tick - before - 1);
  }

  /** The first tick of the stretch on one rung that ends at `tick`; null where it began too early. */
  rungStart(tick: number): number | null {
    const rung = this.rungAt(tick);
    let start = tick;
    for (let t = tick; t >= this.oldest; t--) {
      if (!this.has(t)) continue;
      if (this.rungAt(t) !== rung) return start;
      start = t;
    }
    return start === 0 ? 0 : null;
  }

  poseAt(tick: number): { root: Float32Array; rotations: Float32Array } {
    const i = tick % KEPT_TICKS;
    return {
      root: this.root.subarray(i * 3, i * 3 + 3),
      rotations: this.rotations.subarray(i * this.bones * 4, (i + 1) * this.bones * 4),
    };
  }

  /** Weights of the face; null where nothing drove one. */
  faceAt(tick: number): Frame["face"] {
    return this.has(tick) ? this.faces[tick % KEPT_TICKS] : null;
  }

  ghostAt(tick: number): {
    root: Float32Array;
    rotations: Float32Array;
    valid: Float32Array;
  } | null {
    const i = tick % KEPT_TICKS;
    if (!this.has(tick) || this.hasGhost[i] === 0) return null;
    return {
      root: this.ghostRoot.subarray(i * 3, i * 3 + 3),
      rotations: this.ghostRotations.subarray(i * this.bones * 4, (i + 1) * this.bones * 4),
      valid: this.ghostValid.subarray(i * this.bones, (i + 1) * this.bones),
    };
  }

  /** One number a joint and, last, speech; null where nothing was inferred. */
  attentionAt(tick: number): Float32Array | null {
    const i = tick % KEPT_TICKS;
    if (!this.has(tick) || this.driven[i] < 0) return null;
    const at = i * (this.bones + 1);
    return this.attention.subarray(at, at + this.driven[i] + 1);
  }

  /** The percentiles (0 to 100) of a figure over the last `span` ticks up to `tick`; null if none. */
  percentiles(name: Series, tick: number, span: number, wanted: number[]): number[] | null {
    const values: number[] = [];
    for (let t = Math.max(this.oldest, tick - span + 1); t <= tick; t++) {
      const value = this.value(name, t);
      if (!Number.isNaN(value)) values.push(value);
    }
    if (values.length === 0) return null;
    values.sort((a, b) => a - b);
    return wanted.map((p) => values[Math.min(values.length - 1, Math.ceil((p / 100) * values.length) - 1)]);
  }

  private rungNumber(rung: string): number {
    let i = this.rungs.indexOf(rung);
    if (i < 0) i = this.rungs.push(rung) - 1;
    return i;
  }

  private keepAttention({ attention }: Frame, i: number): void {
    this.driven[i] = attention?.joints.length ?? -1;
    if (attention === null) return;
    const at = i * (this.bones + 1);
    this.attention.set(attention.joints, at);
    this.attention[at + this.driven[i]] = attention.speech;
  }
}
