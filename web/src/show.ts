// What the page knows of the show, and in which state that puts it. No drawing here.

import { History } from "./history";
import { Learning } from "./learning";
import type { Alert, End, Frame, Hello, Message, Shape, Verdict } from "./protocol";
import { Releases, type Release } from "./releases";

export type State = "connecting" | "idle" | "live" | "stale" | "offline" | "ended" | "error";

/** Without a frame for this long the page says so. */
export const STALE_MS = 2_000;
const COMING_BACK_MS = 1_000;
const STARTING_MS = 30_000;
const READABLE_AGAIN = 30;

/** A stretch of an alert, for the time axis; `to` is null while it lasts. */
export interface AlertSpan {
  name: string;
  signal: string | null;
  cause: string | null;
  text: string;
  from: number;
  to: number | null;
}

export class Show {
  hello: Hello | null = null;
  frame: Frame | null = null;
  history: History | null = null;
  end: End | null = null;
  verdict: Verdict | null = null;
  readonly releases = new Releases();
  readonly learning = new Learning();
  readonly alerts = new Map<string, Alert>();
  readonly alertSpans: AlertSpan[] = [];
  /** Tick at which the present rung began; null when it began before this page listened. */
  rungSince: number | null = null;
  /** Tick of the frame before which the show missed ticks, the last time; null for never. */
  missedTick: number | null = null;
  /** Frames that the show performed and this page did not get, and the tick of the last such gap. */
  skipped = 0;
  skippedTick: number | null = null;
  received = 0;
  unreadable = 0;
  error: string | null = null;
  connected = false;
  everConnected = false;
  retryAt: number | null = null;
  private lastHeard = performance.now();
  private readableInRow = 0;
  private rejoining = false;
  private openedAt = 0;
  private firstHeard = 0;

  /** What frames are held against; null before `hello`. */
  get shape(): Shape | null {
    return this.hello === null
      ? null
      : {
          bones: this.hello.skeleton.names.length,
          joints: (tick) => this.releases.at(tick)?.joints.length ?? 0,
        };
  }

  /** The release that performs now; null before `hello`. */
  get release(): Release | null {
    return this.releases.at(this.frame?.tick ?? 0);
  }

  get hz(): number {
    return this.hello?.tick_hz ?? 30;
  }

  opened(): void {
    this.connected = true;
    this.rejoining = this.everConnected;
    this.everConnected = true;
    this.retryAt = null;
    this.openedAt = performance.now();
    if (this.frame === null) this.lastHeard = performance.now();
  }

  closed(retryAt: number): void {
    this.connected = false;
    this.retryAt = retryAt;
  }

  broken(reason: string): void {
    this.unreadable += 1;
    this.readableInRow = 0;
    this.error = reason;
  }

  accept(message: Message): void {
    this.readableInRow += 1;
    if (message.type === "hello" || this.readableInRow >= READABLE_AGAIN) this.error = null;
    if (message.type === "hello") this.begin(message);
    else if (message.type === "frame") this.advance(message);
    else if (message.type === "swap") this.releases.add(message);
    else if (message.type === "run") this.learning.hear(message, performance.now());
    else if (message.type === "alert") this.alert(message);
    else if (message.type === "end") this.end = message;
    else this.verdict = message;
  }

  /** Confidence below which the model is not sure of itself; 0 where nobody says. */
  get low(): number {
    return this.hello?.confidence_low ?? 0;
  }

  /** Seconds since the last frame, or since the page began to wait for one. */
  silence(now: number): number {
    return (now - this.lastHeard) / 1000;
  }

  state(now: number): State {
    if (this.error !== null) return "error";
    if (this.end !== null || this.verdict !== null || this.hello?.state === "ended") return "ended";
    if (!this.connected || this.comingBack(now)) {
      return this.everConnected || this.retryAt !== null ? "offline" : "connecting";
    }
    if (this.hello === null || this.hello.state === "idle") return this.frame ? this.fresh(now) : "idle";
    // A show loads for a while before its first frame: that is no fault of the engine yet.
    const starting = this.frame === null && now - this.lastHeard <= STARTING_MS;
    return starting ? "connecting" : this.fresh(now);
  }

  /** Connected again, but too short a time ago to blame the engine for its silence. */
  private comingBack(now: number): boolean {
    const waiting = this.frame !== null && this.lastHeard < this.openedAt;
    return waiting && now - this.openedAt < COMING_BACK_MS;
  }

  private fresh(now: number): State {
    return now - this.lastHeard > STALE_MS ? "stale" : "live";
  }

  /** Whether `hello` opens the show we are watching: then nothing is forgotten. */
  private sameShow(hello: Hello): boolean {
    if (hello.show !== null) return hello.show === this.hello?.show;
    return (
      this.rejoining &&
      this.hello !== null &&
      JSON.stringify(hello) === JSON.stringify(this.hello)
    );
  }

  private begin(hello: Hello): void {
    const again = this.sameShow(hello);
    this.hello = hello;
    this.rejoining = false;
    if (!again) {
      this.restart(hello);
      return;
    }
    this.end = null; // both are said again if they still hold
    this.verdict = null;
  }

  private restart(hello: Hello): void {
    this.history = new History(hello.skeleton.names.length);
    this.releases.begin(hello);
    this.frame = null;
    this.end = null;
    this.verdict = null;
    this.alerts.clear();
    this.alertSpans.length = 0;
    this.rungSince = this.missedTick = this.skippedTick = null;
    this.received = this.skipped = 0;
    this.lastHeard = performance.now();
  }

  private advance(frame: Frame): void {
    if (this.frame !== null && this.hello !== null && frame.tick < this.frame.tick) {
      this.restart(this.hello); // a show began again without saying so
    }
    if (frame.tick === this.frame?.tick) return; // said again because we came back
    if (this.frame === null) this.rungSince = frame.tick === 0 ? 0 : null;
    else if (frame.rung !== this.frame.rung) this.rungSince = frame.tick;
    this.countGaps(frame, this.frame);
    if (this.frame === null) this.firstHeard = frame.tick;
    this.frame = frame;
    this.received += 1;
    this.lastHeard = performance.now();
    this.history?.push(frame);
  }

  /** Tell ticks that nobody performed from frames that did not reach this page. */
  private countGaps(frame: Frame, before: Frame | null): void {
    const missed = frame.missed - (before?.missed ?? 0);
    if (missed > 0) this.missedTick = frame.tick;
    if (before === null) return;
    const skipped = frame.tick - before.tick - 1 - missed;
    if (skipped <= 0) return;
    this.skipped += skipped;
    this.skippedTick = frame.tick;
  }

  /** Remember a frame of the server's history, whether it was before this page opened or missed here. */
  fill(frame: Frame): void {
    const { history } = this;
    if (history === null || this.frame === null) return;
    const missing = frame.tick > this.firstHeard && frame.tick < this.frame.tick;
    if (frame.tick < this.frame.tick && history.push(frame) && missing) {
      this.skipped = Math.max(0, this.skipped - 1);
    }
  }

  /** The server's history is filled in: what is known of the past may be more. */
  filled(): void {
    if (this.frame !== null && this.rungSince === null) {
      this.rungSince = this.history?.rungStart(this.frame.tick) ?? null;
    }
  }

  private alert(alert: Alert): void {
    const { name, signal, cause, text, since_tick: tick } = alert;
    const running = this.alertSpans.find((s) => s.name === name && s.to === null);
    if (alert.active) {
      this.alerts.set(name, alert);
      const known = this.alertSpans.some((s) => s.name === name && s.from === tick); // said again
      if (running === undefined && !known) this.alertSpans.push({ name, signal, cause, text, from: tick, to: null });
    } else {
      this.alerts.delete(name);
      if (running !== undefined) {
        running.to = tick > running.from ? tick : Math.max(this.frame?.tick ?? 0, running.from);
      }
    }
  }

  /** The alerts that hold now. */
  alertsNow(): AlertSpan[] {
    return this.alertSpans.filter(({ to }) => to === null);
  }

  /** The alerts that held at `tick`. */
  alertsAt(tick: number): AlertSpan[] {
    return this.alertSpans.filter(({ from, to }) => from <= tick && tick < (to ?? Infinity));
  }
}
