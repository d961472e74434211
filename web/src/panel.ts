// The figures at one moment: frame time, confidence, late frames, alerts, and why.

import { Axis, curve, line, sheet } from "./chart";
import { clock, ms, share, whole } from "./format";
import type { Series } from "./history";
import { byId, make, mark, write } from "./page";
import { causeCue, isLow } from "./sentences";
import type { AlertSpan, Show } from "./show";
import { spoken } from "./skeleton";
import type { Theme } from "./theme";

/** Percentiles are of the last half minute; the small charts show the last ten seconds. */
const PERCENTILE_TICKS = 900;
const CHART_TICKS = 300;
const REASONS = 3;

export class Panel {
  private readonly frameChart = byId<HTMLCanvasElement>("frame-chart");
  private readonly confidenceChart = byId<HTMLCanvasElement>("confidence-chart");
  private readonly reasons = byId("why-list");
  private readonly alertList = byId("alert-list");
  private axis: Axis | null = null;
  private alertsShown = "";

  constructor(
    private readonly show: Show,
    private theme: Theme,
    look: (tick: number | null) => void,
  ) {
    for (const chart of [this.frameChart, this.confidenceChart]) {
      chart.addEventListener("pointermove", (event) => look(this.axis?.tick(event.offsetX) ?? null));
      chart.addEventListener("pointerleave", () => look(null));
    }
    for (let i = 0; i < REASONS; i++) {
      const row = make("li", "reason");
      row.append(make("span", "reason-name", "–"), make("meter", "reason-bar"), make("span", "figure", "–"));
      this.reasons.append(row);
    }
  }

  paint(theme: Theme): void {
    this.theme = theme;
  }

  /** Write every figure at `tick`; `cursor` is set where the operator looks at a moment. */
  draw(tick: number, cursor: number | null): void {
    const { hello, history } = this.show;
    const limit = hello?.limit_ms ?? 33.3;
    const figures = (name: Series, wanted: number[]) =>
      history?.percentiles(name, tick, PERCENTILE_TICKS, wanted) ?? null;
    const frame = figures("frame", [50, 99]);
    write(byId("frame-p50"), ms(frame?.[0]));
    write(byId("frame-p99"), ms(frame?.[1]));
    mark(byId("frame-p99"), "data-cue", frame !== null && frame[1] > limit ? "act" : null);
    write(byId("limit"), limit.toFixed(1));
    for (const name of ["model", "features", "post"] as const) {
      write(byId(`${name}-p50`), ms(figures(name, [50])?.[0]));
    }
    const release = this.show.releases.at(tick);
    write(byId("delay"), hello === null || release === null ? "" : `look-ahead ${ms(release.lookahead_ms)} ms, jitter buffer ${ms(hello.jitter_ms)} ms`);
    const confidence = history?.value("confidence", tick) ?? NaN;
    write(byId("confidence"), share(confidence));
    const low = isLow(this.show, Number.isNaN(confidence) ? null : confidence);
    mark(byId("confidence"), "data-cue", low ? "watch" : null);
    write(byId("confidence-note"), low ? `low: below ${share(this.show.low)}` : "");
    write(byId("confidence-base"), share(release?.confidence_base));
    this.late(tick);
    this.alerts(cursor);
    this.why(tick);
    this.charts(tick, cursor, limit);
    this.unreadable();
  }

  private late(tick: number): void {
    const { history, end } = this.show;
    const late = history?.lateAt(tick) ?? end?.late ?? 0;
    const frames = history?.framesAt(tick) ?? end?.frames ?? 0;
    const missed = history?.missedAt(tick) ?? end?.missed ?? 0;
    write(byId("late"), whole(late));
    write(byId("frames"), whole(frames));
    mark(byId("late"), "data-cue", late > 0 ? "watch" : null);
    write(byId("missed"), whole(missed));
    write(byId("ticks"), whole(frames + missed));
    mark(byId("missed"), "data-cue", missed > 0 ? "act" : null);
  }

  /** The alerts of now, or of the moment looked at. */
  private alerts(cursor: number | null): void {
    const faults = (alert: AlertSpan) => (causeCue(alert.cause) === "act" ? 1 : 0);
    const at = cursor === null ? this.show.alertsNow() : this.show.alertsAt(cursor);
    const active = at.sort((a, b) => faults(b) - faults(a));
    const key = JSON.stringify([active, cursor === null]);
    if (key === this.alertsShown) return;
    this.alertsShown = key;
    write(byId("alert-title"), cursor === null ? "alerts" : "alerts at this moment");
    write(byId("alert-count"), active.length === 0 ? "none" : String(active.length));
    mark(byId("alert-count"), "data-cue", active.length === 0 ? null : causeCue(active[0].cause));
    mark(byId("alerts"), "data-active", active.length === 0 ? null : "");
    this.alertList.replaceChildren(
      ...active.map((alert) => {
        const item = make("li", "alert");
        const cue = make("span", "cue");
        for (const element of [item, cue]) mark(element, "data-cue", causeCue(alert.cause));
        const of = alert.signal === null || alert.signal === alert.name ? "" : ` in ${alert.signal}`;
        item.append(
          cue,
          make("strong", "", ` ${alert.name}`),
          make("span", "cause", alert.cause ?? ""),
          make("span", "quiet", `${of} since ${clock(alert.from, this.show.hz)}. `),
          make("span", "", alert.text),
        );
        return item;
      }),
    );
  }

  private why(tick: number): void {
    const attention = this.show.history?.attentionAt(tick) ?? null;
    const names = [...(this.show.releases.at(tick)?.joints ?? []).map(spoken), "speech"];
    const top =
      attention === null
        ? []
        : names
            .map((name, i) => ({ name, value: attention[i] }))
            .sort((a, b) => b.value - a.value)
            .slice(0, REASONS);
    write(byId("why-note"), attention === null ? "nothing was inferred at this moment" : "what the output attended to most");
    for (let i = 0; i < REASONS; i++) {
      const [name, bar, figure] = this.reasons.children[i].children as unknown as HTMLElement[];
      const reason = top[i];
      write(name, reason?.name ?? "–");
      write(figure, share(reason?.value));
      (bar as HTMLMeterElement).value = reason?.value ?? 0;
    }
  }

  private charts(tick: number, cursor: number | null, limit: number): void {
    const { history, releases } = this.show;
    const latest = history?.latest ?? 0;
    const to = cursor === null ? latest : Math.min(latest, Math.max(cursor + CHART_TICKS / 2, CHART_TICKS));
    const draw = (
      canvas: HTMLCanvasElement,
      name: Series,
      top: number,
      limits: { from: number; to: number; at: number | null }[],
    ) => {
      const { c, w, h } = sheet(canvas);
      const axis = new Axis(to - CHART_TICKS, to, 0, w);
      const y = (v: number) => 2 + (h - 4) * (1 - Math.min(Math.max(v / top, 0), 1));
      for (const { from, to, at } of limits) {
        if (at !== null) line(c, axis.x(from), y(at), axis.x(to), y(at), this.theme.quiet, [4, 4]);
      }
      if (history !== null) {
        const first = Math.max(history.oldest, to - CHART_TICKS);
        curve(c, axis, first, to, (t) => history.value(name, t), y, this.theme.text);
      }
      if (cursor !== null) line(c, axis.x(tick), 0, axis.x(tick), h, this.theme.cursor);
      this.axis = axis;
    };
    draw(this.frameChart, "frame", limit * 1.12, [{ from: to - CHART_TICKS, to, at: limit }]);
    const bases = releases
      .between(to - CHART_TICKS, to)
      .map(({ from, to, release }) => ({ from, to, at: release.confidence_base }));
    draw(this.confidenceChart, "confidence", 1, bases);
  }

  private unreadable(): void {
    const n = this.show.unreadable;
    const element = byId("unreadable");
    element.hidden = n === 0;
    if (n > 0) write(element, `${whole(n)} message${n === 1 ? "" : "s"} could not be read`);
  }
}
