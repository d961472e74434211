// The top of the page: cue light, word, sentence, ladder, clock, notices, verdict and credits.

import { clock } from "./format";
import { byId, hashButton, make, mark, write } from "./page";
import { LADDER, missedText, rungCue, skippedText, tell, verdictClass, verdictText } from "./sentences";
import type { Show, State } from "./show";

export class Desk {
  private readonly rungs = new Map<string, HTMLElement>();
  private said = "";
  private listed = "";

  constructor(private readonly show: Show) {
    for (const rung of LADDER) {
      const item = make("li", "rung");
      item.append(make("span", "", rung));
      this.rungs.set(rung, item);
      byId("ladder").append(item);
    }
  }

  draw(state: State, now: number): void {
    const { show } = this;
    const told = tell(show, state, now);
    const root = document.documentElement;
    const rung = show.frame?.rung ?? "";
    root.dataset.state = state;
    root.dataset.rung = rung;
    root.dataset.cue = told.cue;
    root.dataset.release = show.release?.release ?? "";
    root.dataset.frames = String(show.received);
    mark(byId("cue"), "data-cue", told.cue);
    write(byId("word"), told.word);
    write(byId("sentence"), told.text);
    this.announce(state, rung, `${told.word.toLowerCase()}. ${told.text}`);
    write(byId("clock"), clock(show.frame?.tick ?? 0, show.hz));
    const playing = state === "live" || state === "stale";
    for (const [name, item] of this.rungs) {
      const here = playing && name === rung;
      mark(item, "aria-current", here ? "true" : null);
      mark(item, "data-cue", here ? rungCue(rung) : null); // its own, whatever else is wrong
    }
    this.names();
    this.gaps();
    this.verdict(state);
    const title = show.hello === null ? "Greenroom" : `${told.word} · ${show.hello.actor} · Greenroom`;
    if (document.title !== title) document.title = title;
  }

  /** Tell a screen reader what changed, once; a running count of seconds is not news. */
  private announce(state: State, rung: string, text: string): void {
    const { release, verdict } = this.show;
    const key = `${state} ${rung} ${verdict !== null} ${release?.release}`;
    if (key === this.said) return;
    this.said = key;
    write(byId("announce"), text);
  }

  private names(): void {
    const { hello } = this.show;
    const release = byId<HTMLButtonElement>("release");
    byId("release-line").hidden = hello === null;
    if (hello === null) return;
    write(byId("actor"), hello.actor);
    hashButton(release, this.show.release?.release ?? hello.release, "release");
    const key = JSON.stringify([hello.notices, hello.credits]);
    if (key === this.listed) return;
    this.listed = key;
    byId("notices").replaceChildren(...hello.notices.map((text) => make("li", "", text)));
    byId("notices").hidden = hello.notices.length === 0;
    const simulated = hello.notices.some((text) => /\bsimulated\b/i.test(text));
    byId("simulated").hidden = !simulated;
    byId("credits-list").replaceChildren(...hello.credits.map((text) => make("li", "", text)));
    byId("credits").hidden = hello.credits.length === 0;
  }

  /** Ticks that the show missed stand on the status line; frames that only this page lacks beside them. */
  private gaps(): void {
    const { frame, end, skipped } = this.show;
    const missed = end?.missed ?? frame?.missed ?? 0;
    byId("missed-line").hidden = missed === 0;
    write(byId("missed-line"), missedText(missed, end?.ticks ?? (frame?.tick ?? 0) + 1));
    byId("skipped-line").hidden = skipped === 0;
    write(byId("skipped-line"), skippedText(skipped));
  }

  private verdict(state: State): void {
    const { end, verdict } = this.show;
    const card = byId("verdict");
    card.hidden = state !== "ended" || (end === null && verdict === null);
    if (card.hidden) return;
    const good = verdict !== null && verdict.exact === verdict.frames && verdict.missed === 0;
    mark(byId("verdict-cue"), "data-cue", verdict === null ? "unknown" : good ? "fine" : "act");
    const waits = end?.checking === false ? "This show has not been replayed yet." : "Replaying the show to check every frame…";
    write(byId("verdict-text"), verdict === null ? waits : verdictText(this.show));
    write(byId("verdict-class"), verdict === null ? "" : `${verdictClass(verdict)}.`);
    const hash = end?.show ?? null;
    byId("show-line").hidden = hash === null;
    if (hash !== null) hashButton(byId<HTMLButtonElement>("show-hash"), hash, "show");
  }
}
