// What the patterns on the alerts row mean: only those that this show has had.

import { drawCause } from "./causes";
import { sheet } from "./chart";
import { byId, make } from "./page";
import type { Show } from "./show";
import type { Theme } from "./theme";

export class Legend {
  private shown = "";

  constructor(
    private readonly show: Show,
    private theme: Theme,
  ) {}

  paint(theme: Theme): void {
    this.theme = theme;
    this.shown = "";
  }

  draw(): void {
    const causes = [...new Set(this.show.alertSpans.map((span) => span.cause))];
    const key = JSON.stringify(causes);
    if (key === this.shown) return;
    this.shown = key;
    const list = byId("legend");
    list.hidden = causes.length === 0;
    list.replaceChildren(
      ...causes.map((cause) => {
        const item = make("li", "");
        item.append(make("canvas", "swatch"), cause ?? "no cause known");
        return item;
      }),
    );
    list.querySelectorAll("canvas").forEach((canvas, i) => {
      const { c, w, h } = sheet(canvas);
      drawCause(c, causes[i], [1, 0, w - 1, h], this.theme);
    });
  }
}
