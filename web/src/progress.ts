// The learning loop's progress: its steps as a strip of words, how far it is, and how it ended.

import { span } from "./format";
import { byId, hashButton, make, mark, write } from "./page";
import { STEPS, type Run } from "./protocol";
import { tellRun } from "./sentences";
import type { Show } from "./show";

export class Progress {
  private readonly steps: HTMLElement[];

  constructor(private readonly show: Show) {
    this.steps = STEPS.map((name) => make("li", "step", name));
    byId("run-steps").append(...this.steps);
  }

  draw(now: number): void {
    const { learning, connected, release } = this.show;
    const { run } = learning;
    const told = tellRun(run, connected);
    mark(byId("run-cue"), "data-cue", told.cue);
    write(byId("run-word"), told.word);
    write(byId("run-why"), run?.why ?? "");
    write(byId("run-text"), run?.text ?? "Nothing new to learn so far. Nothing to do.");
    byId("run-steps").hidden = run === null;
    this.strip(run);
    this.bar(run);
    const least = learning.fromStart ? "" : "at least ";
    const elapsed = learning.elapsed(now);
    const late = run?.state !== "running" && elapsed === 0; // we heard of nothing but its end
    write(byId("run-elapsed"), run === null || late ? "" : `${least}${span(elapsed)}`);
    byId("run-release-line").hidden = run?.state !== "promoted" || release === null;
    if (release !== null) hashButton(byId<HTMLButtonElement>("run-release"), release.release, "release");
  }

  /** A step is done, here, stopped or to come, told apart by the shape before its word. */
  private strip(run: Run | null): void {
    const at = run === null ? -1 : STEPS.indexOf(run.step);
    this.steps.forEach((step, i) => {
      const here = run?.state === "running" ? "here" : run?.state === "promoted" ? "done" : "stopped";
      mark(step, "data-step", i < at ? "done" : i === at ? here : "ahead");
      mark(step, "aria-current", i === at ? "step" : null);
      mark(step, "aria-label", `${STEPS[i]}${i < at ? ", done" : i > at ? ", to come" : ""}`);
    });
  }

  /** The present step's line, and its figures. */
  private bar(run: Run | null): void {
    const line = byId("run-line");
    line.hidden = run?.state !== "running";
    if (run === null || line.hidden) return;
    write(byId("run-step"), `${run.step}, step ${STEPS.indexOf(run.step) + 1} of ${STEPS.length}`);
    write(byId("run-percent"), run.done === null ? "" : `${Math.floor(run.done * 100)} %`);
    mark(byId("run-done"), "hidden", run.done === null ? "" : null);
    byId<HTMLProgressElement>("run-done").value = run.done ?? 0;
  }
}
