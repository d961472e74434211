// The learning loop's last word. It outlives a show, so a new `hello` does not touch it.

import { STEPS, type Run } from "./protocol";

export class Learning {
  run: Run | null = null;
  /** Whether the page was there when the run began; if not, it took longer than we know. */
  fromStart = false;
  /** When this page first heard of the run, and of its end (milliseconds of performance.now). */
  private from = 0;
  private to: number | null = null;

  hear(run: Run, now: number): void {
    if (run.run !== this.run?.run) {
      this.from = now;
      this.to = null;
      this.fromStart = run.state === "running" && run.step === STEPS[0] && (run.done ?? 0) === 0;
    }
    this.to = run.state === "running" ? null : (this.to ?? now);
    this.run = run;
  }

  /** Seconds that this page has known of the run. */
  elapsed(now: number): number {
    return ((this.to ?? now) - this.from) / 1000;
  }
}
