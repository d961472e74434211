// Hold and cut, for whoever has the operator's token: from the address (#operator=…) or typed in once. It is
// kept for this tab only.

import { byId, make, mark, write } from "./page";
import type { Show, State } from "./show";

const KEPT = "greenroom.operator";
/** For this long a button waits for the show to do what was ordered. */
const PATIENCE_MS = 3_000;

export type Switch = "hold" | "cut";

/** What each switch is called, and what undoes it. */
const SWITCHES: Record<Switch, { off: string; on: string; undo: string; key: string }> = {
  hold: { off: "Hold", on: "Resume", undo: "resume", key: "H" },
  cut: { off: "Cut capture", on: "Restore capture", undo: "restore", key: "C" },
};

/** Take the token out of an address's fragment; null where it has none. */
export function tokenOf(fragment: string): string | null {
  return new URLSearchParams(fragment.replace(/^#/, "")).get("operator");
}

export class Operator {
  private token: string | null = null;
  private readonly buttons = new Map<Switch, HTMLButtonElement>();
  private waiting: { of: Switch; until: number; on: boolean } | null = null;
  private note = "";

  constructor(
    private readonly show: Show,
    private readonly changed: () => void,
  ) {
    this.build();
    this.take();
    window.addEventListener("hashchange", () => this.take());
  }

  /** Hold or resume, cut or restore: whichever is due. */
  press(of: Switch): void {
    if (this.token === null) {
      this.ask("");
      return;
    }
    if (this.show.hello === null || this.waiting !== null || this.buttons.get(of)!.disabled) return;
    const on = !this.holds(of);
    this.waiting = { of, on, until: performance.now() + PATIENCE_MS };
    this.note = "";
    this.changed();
    void this.order(on ? of : SWITCHES[of].undo);
  }

  draw(state: State, now: number): void {
    if (this.waiting !== null) {
      const { of, on, until } = this.waiting;
      if (this.holds(of) === on) this.waiting = null;
      else if (now > until) {
        this.note = "The show has not done it. Look at its terminal.";
        this.waiting = null;
      }
    }
    const live = state === "live" || state === "stale";
    byId("operator-buttons").hidden = this.token === null;
    byId("operator-open").hidden = this.token !== null;
    for (const [of, button] of this.buttons) {
      const on = this.holds(of);
      button.disabled = !live || this.waiting !== null;
      mark(button, "aria-pressed", String(on));
      mark(button, "aria-busy", this.waiting?.of === of ? "true" : null);
      write(button.firstElementChild as HTMLElement, on ? SWITCHES[of].on : SWITCHES[of].off);
    }
    write(byId("operator-note"), this.note);
    const { end, verdict } = this.show;
    const unchecked = state === "ended" && end !== null && end.show !== null && !end.checking && verdict === null;
    byId("replay-check").hidden = !unchecked || this.token === null || !this.show.connected;
  }

  private holds(of: Switch): boolean {
    return this.show.frame?.control.includes(of) ?? false;
  }

  private build(): void {
    for (const of of Object.keys(SWITCHES) as Switch[]) {
      const button = make("button", "switch") as HTMLButtonElement;
      button.type = "button";
      button.id = `operator-${of}`;
      mark(button, "aria-keyshortcuts", SWITCHES[of].key);
      button.append(make("span", "", SWITCHES[of].off), " ", make("kbd", "", SWITCHES[of].key));
      button.addEventListener("click", () => this.press(of));
      this.buttons.set(of, button);
      byId("operator-buttons").append(button);
    }
    byId("replay-check").addEventListener("click", () => void this.send("/api/replay/", { method: "POST" }));
    byId("operator-open").addEventListener("click", () => this.ask(""));
    byId("operator-cancel").addEventListener("click", () => byId<HTMLDialogElement>("operator-dialog").close());
    byId("operator-form").addEventListener("submit", () => {
      const field = byId<HTMLInputElement>("operator-token");
      if (field.value.trim() !== "") void this.use(field.value.trim());
      field.value = "";
    });
  }

  /** Take the token from the address, which then no longer shows it, or from this tab's memory. */
  private take(): void {
    const token = tokenOf(location.hash);
    if (token !== null) {
      history.replaceState(null, "", location.pathname + location.search);
      void this.use(token);
      return;
    }
    this.token = sessionStorage.getItem(KEPT);
    this.changed();
  }

  private ask(why: string): void {
    if ("overlay" in document.documentElement.dataset) return; // the performer alone
    write(byId("operator-why"), why);
    const dialog = byId<HTMLDialogElement>("operator-dialog");
    if (!dialog.open) dialog.showModal();
  }

  private async use(token: string): Promise<void> {
    this.token = token;
    sessionStorage.setItem(KEPT, token);
    await this.order(null);
  }

  /** Send an act, or ask whether the token is the right one. */
  private order(act: string | null): Promise<void> {
    return this.send("/api/control/", act === null ? {} : { method: "POST", body: JSON.stringify({ act }) });
  }

  private async send(path: string, request: RequestInit): Promise<void> {
    const actor = encodeURIComponent(this.show.hello?.actor || "-");
    const headers = { authorization: `Bearer ${this.token}` };
    let problem = "";
    try {
      const answer = await fetch(path + actor, { ...request, headers });
      if (answer.status === 401) {
        this.token = null;
        sessionStorage.removeItem(KEPT);
        this.waiting = null;
        this.ask("This is not the operator's token of this show.");
      } else if (!answer.ok) {
        const { error, then } = (await answer.json()) as { error: string; then: string };
        problem = `${error}; ${then}.`;
      }
    } catch {
      problem = "The server did not answer. Try again.";
    }
    if (problem !== "") {
      this.waiting = null;
      this.note = problem;
    }
    this.changed();
  }
}
