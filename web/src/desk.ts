// The top of the page: cue light, word, sentence, ladder, clock, notices, verdict and credits.

import { clock } from "./format";
import { byId, hashButton, make, mark, write } from "./page";
import { LADDER, tell, verdictText } from "./sentences";
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
      mark(item, "data-cue", here ? told.cue : null);
    }
    this.names();
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

  private verdict(state: State): void {
    const { end, verdict } = this.show;
    const card = byId("verdict");
    card.hidden = state !== "ended" || (end === null && verdict === null);
    if (card.hidden) return;
    const good = verdict !== null && verdict.exact === verdict.frames;
    mark(byId("verdict-cue"), "data-cue", verdict === null ? "unknown" : good ? "fine" : "act");
    write(byId("verdict-text"), verdict === null ? "Replaying the show to check every frame…" : verdictText(this.show));
    write(byId("verdict-class"), verdict?.class ? `Holds for: ${verdict.class}.` : "");
    byId("show-line").hidden = end === null;
    if (end !== null) hashButton(byId<HTMLButtonElement>("show-hash"), end.show, "show");
  }
}
