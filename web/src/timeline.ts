// One time axis for everything that happens in time: releases, voice, rung, confidence, frame time,
// alerts.

import { drawCause } from "./causes";
import { Axis, curve, line, sheet } from "./chart";
import { clock } from "./format";
import { KEPT_TICKS } from "./history";
import { LADDER, rungCue, type Cue } from "./sentences";
import type { Show } from "./show";
import type { Theme } from "./theme";

const GAP = 9;
const GUTTER = 124;
/** Frames that a slow page may miss without the strip counting them as a break. */
const LOST_TICKS = 8;
const RULE = 18;
/** The line at the top that names the releases. */
const RELEASES = 16;
/** The frame row reaches this many times its limit. */
const HEADROOM = 1.25;

interface Row {
  label: string;
  share: number;
  /** The limit or baseline of this row: what it says and how high it lies, 0 to 1. */
  limit?(): { text: string; at: number } | null;
  draw(c: CanvasRenderingContext2D, axis: Axis, top: number, height: number): void;
}

export class Timeline {
  private axis: Axis | null = null;
  private readonly rows: Row[];

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly show: Show,
    private theme: Theme,
  ) {
    this.rows = [
      { label: "voice", share: 2.6, draw: (...a) => this.voice(...a) },
      { label: "rung", share: 2, draw: (...a) => this.rungs(...a) },
      {
        label: "confidence",
        share: 2.6,
        draw: (...a) => this.confidence(...a),
        limit: () => {
          const base = this.show.releases.at(this.axis?.to ?? 0)?.confidence_base ?? null;
          return base === null ? null : { text: base.toFixed(2), at: base };
        },
      },
      {
        label: "frame",
        share: 2.4,
        draw: (...a) => this.frame(...a),
        limit: () => ({ text: `${(this.show.hello?.limit_ms ?? 33.3).toFixed(1)} ms`, at: 1 / HEADROOM }),
      },
      { label: "alerts", share: 2.4, draw: (...a) => this.alerts(...a) },
    ];
  }

  paint(theme: Theme): void {
    this.theme = theme;
  }

  private font(size: number, weight = ""): string {
    return `${weight}${size * this.theme.scale}px ${this.theme.font}`;
  }

  /** The tick under a place on the canvas (CSS pixels from its left edge). */
  tickAt(x: number): number | null {
    return this.axis === null ? null : this.axis.tick(x);
  }

  /** Draw all rows, and the moment looked at as a line through them. */
  draw(cursor: number | null): void {
    const { c, w, h } = sheet(this.canvas);
    if (w === 0) return;
    const gutter = w < 600 ? 0 : GUTTER * this.theme.scale;
    const axis = this.span(gutter, w - 6);
    this.axis = axis;
    const names = w < 600 ? 15 : 0; // on a narrow page the label stands above its row
    const room = h - (RULE + RELEASES) * this.theme.scale - this.rows.length * (GAP + names);
    const shares = this.rows.reduce((sum, row) => sum + row.share, 0);
    let top = 2 + RELEASES * this.theme.scale;
    if (names === 0) {
      c.font = this.font(12);
      c.fillStyle = this.theme.quiet;
      c.textAlign = "left";
      c.textBaseline = "middle";
      c.fillText("release", 0, top / 2);
    }
    for (const row of this.rows) {
      c.font = this.font(12);
      const height = (room * row.share) / shares;
      c.fillStyle = this.theme.quiet;
      c.textAlign = "left";
      c.textBaseline = names > 0 ? "top" : "middle";
      c.fillText(row.label, 0, names > 0 ? top : top + height / 2);
      top += names;
      line(c, axis.left, top + height, axis.right, top + height, this.theme.faint);
      row.draw(c, axis, top, height);
      if (names === 0 && row.limit !== undefined) this.nameLimit(c, row.limit(), top, height);
      top += height + GAP;
    }
    this.swaps(c, axis, 2 + RELEASES * this.theme.scale, top - GAP);
    this.rule(c, axis, top, cursor);
  }

  /** Write a limit beside its line, in the gutter. */
  private nameLimit(
    c: CanvasRenderingContext2D,
    limit: { text: string; at: number } | null,
    top: number,
    height: number,
  ): void {
    if (limit === null) return;
    c.font = this.font(11);
    c.textAlign = "right";
    c.textBaseline = "middle";
    c.fillStyle = this.theme.quiet;
    c.fillText(limit.text, GUTTER * this.theme.scale - 6, top + height * (1 - limit.at));
  }

  /** A show of known length is shown whole if it fits our memory; otherwise the last two minutes. */
  private span(left: number, right: number): Axis {
    const { hello, history } = this.show;
    const latest = history?.latest ?? -1;
    const length = hello?.ticks ?? 0;
    if (length > 0 && length <= KEPT_TICKS && latest < length) return new Axis(0, length, left, right);
    const to = Math.max(latest + 1, KEPT_TICKS);
    return new Axis(to - KEPT_TICKS, to, left, right);
  }

  private rule(c: CanvasRenderingContext2D, axis: Axis, top: number, cursor: number | null): void {
    const hz = this.show.hz;
    const seconds = (axis.to - axis.from) / hz;
    const fit = (axis.right - axis.left) / (74 * this.theme.scale);
    const step = [1, 2, 5, 10, 15, 30, 60].find((s) => seconds / s <= fit) ?? 120;
    c.fillStyle = this.theme.quiet;
    c.textBaseline = "top";
    c.font = this.font(11);
    for (let s = Math.ceil(axis.from / hz / step) * step; s * hz <= axis.to; s += step) {
      const x = axis.x(s * hz);
      c.textAlign = x - axis.left < 20 ? "left" : axis.right - x < 24 ? "right" : "center";
      c.fillText(clock(s * hz, hz), x, top + 3);
      line(c, x, top - 3, x, top, this.theme.line);
    }
    const latest = this.show.history?.latest ?? -1;
    if (latest >= 0) line(c, axis.x(latest), 0, axis.x(latest), top - 2, this.theme.line);
    if (cursor === null) return;
    const x = axis.x(cursor);
    c.strokeStyle = this.theme.cursor;
    c.lineWidth = 1.5;
    c.beginPath();
    c.moveTo(x, 0);
    c.lineTo(x, top);
    c.stroke();
    c.fillStyle = this.theme.cursor;
    c.beginPath();
    c.moveTo(x - 5, 0);
    c.lineTo(x + 5, 0);
    c.lineTo(x, 7);
    c.fill();
  }

  private voice(c: CanvasRenderingContext2D, axis: Axis, top: number, height: number): void {
    const history = this.show.history;
    const middle = top + height / 2;
    line(c, axis.left, middle, axis.right, middle, this.theme.faint);
    if (history === null) return;
    c.fillStyle = this.theme.text;
    c.beginPath();
    axis.columns(history.oldest, history.latest, (x, width, a, b) => {
      let [low, high] = [0, 0];
      for (let t = a; t <= b; t++) {
        if (!history.has(t)) continue;
        low = Math.min(low, history.low[t % KEPT_TICKS] || 0);
        high = Math.max(high, history.high[t % KEPT_TICKS] || 0);
      }
      const up = (Math.min(high, 1) * height) / 2;
      const down = (Math.max(low, -1) * height) / 2;
      if (up - down > 0.4) c.rect(x, middle - up, width, up - down);
    });
    c.fill();
  }

  /** The higher the step, the better the rung, so that it reads without colour. */
  private rungs(c: CanvasRenderingContext2D, axis: Axis, top: number, height: number): void {
    const history = this.show.history;
    if (history === null || history.latest < 0) return;
    const boxes = new Map<Cue, Path2D>();
    axis.columns(history.oldest, history.latest, (x, width, a, b) => {
      let worst: string | null = null;
      let depth = -1;
      for (let t = a; t <= b; t++) {
        const rung = history.rungAt(t);
        if (rung === null) continue;
        const at = (LADDER as readonly string[]).indexOf(rung);
        if (worst === null || at > depth) [worst, depth] = [rung, at];
      }
      if (worst === null) return;
      const tall = stepOf(worst);
      const path = boxes.get(rungCue(worst)) ?? new Path2D();
      boxes.set(rungCue(worst), path);
      path.rect(x, top + height * (1 - tall), width + 0.3, height * tall);
    });
    for (const [cue, path] of boxes) {
      c.fillStyle = this.theme.cue[cue];
      c.fill(path);
    }
    this.nameRungs(c, axis, top, height);
  }

  /** Write each stretch's rung into it where there is room. */
  private nameRungs(c: CanvasRenderingContext2D, axis: Axis, top: number, height: number): void {
    const history = this.show.history!;
    c.font = this.font(11, "600 ");
    c.textAlign = "left";
    c.textBaseline = "bottom";
    const gap = (t: number) => Math.abs(history.nearest(t) - t);
    let from = history.nearest(Math.max(history.oldest, axis.from));
    for (let t = from; t <= history.latest + 1; t++) {
      const rung = history.rungAt(from);
      const here = history.rungAt(t);
      const lost = here === null && t <= history.latest && gap(t) < LOST_TICKS;
      if (t <= history.latest && (lost || here === rung)) continue;
      const width = axis.x(t) - axis.x(from);
      if (rung !== null && c.measureText(rung).width + 10 < width) {
        const box = height * stepOf(rung);
        const inside = box >= 13 * this.theme.scale;
        c.fillStyle = !inside ? this.theme.text : this.theme.dark ? "#101113" : "#ffffff";
        const y = inside ? top + height - 0.5 : top + height - box - 1;
        c.fillText(rung, axis.x(from) + 5, y);
      }
      from = t;
    }
  }

  private confidence(c: CanvasRenderingContext2D, axis: Axis, top: number, height: number): void {
    const { history, releases } = this.show;
    const y = (v: number) => top + height * (1 - Math.min(Math.max(v, 0), 1));
    for (const { from, to, release } of releases.between(axis.from, axis.to)) {
      const base = release.confidence_base;
      if (base !== null) line(c, axis.x(from), y(base), axis.x(to), y(base), this.theme.quiet, [4, 4]);
    }
    if (history === null) return;
    this.lowConfidence(c, axis, top, height);
    curve(c, axis, history.oldest, history.latest, (t) => history.value("confidence", t), y, this.theme.text);
  }

  /** Where the model was not sure of itself: a band up to the limit, hatched so that it needs no hue. */
  private lowConfidence(c: CanvasRenderingContext2D, axis: Axis, top: number, height: number): void {
    const { history, low } = this.show;
    if (history === null || low <= 0) return;
    const tall = height * low;
    c.save();
    c.beginPath();
    axis.columns(history.oldest, history.latest, (x, width, a, b) => {
      for (let t = a; t <= b; t++) {
        if (!(history.value("confidence", t) < low)) continue;
        c.rect(x, top + height - tall, width + 0.3, tall);
        return;
      }
    });
    c.clip();
    c.globalAlpha = 0.22;
    c.fillStyle = this.theme.cue.watch;
    c.fillRect(axis.left, top + height - tall, axis.right - axis.left, tall);
    c.globalAlpha = 1;
    c.strokeStyle = this.theme.cue.watch;
    c.lineWidth = 1;
    c.beginPath();
    for (let x = axis.left - tall; x < axis.right; x += 6) {
      c.moveTo(x, top + height);
      c.lineTo(x + tall, top + height - tall);
    }
    c.stroke();
    c.restore();
  }

  /** Ticks at which nobody performed: dark from top to bottom; frames only this page lacks stay blank. */
  private missed(c: CanvasRenderingContext2D, axis: Axis, top: number, height: number): void {
    const history = this.show.history!;
    c.fillStyle = this.theme.cue.act;
    for (let t = Math.max(history.oldest, axis.from); t <= history.latest; t++) {
      const gap = history.gapBefore(t);
      if (gap > 0) c.fillRect(axis.x(t - gap), top, Math.max(axis.x(t) - axis.x(t - gap), 2), height);
    }
  }

  private frame(c: CanvasRenderingContext2D, axis: Axis, top: number, height: number): void {
    const { history, hello } = this.show;
    const limit = hello?.limit_ms ?? 33.3;
    const y = (v: number) => top + height * (1 - Math.min(v / (limit * HEADROOM), 1));
    line(c, axis.left, y(limit), axis.right, y(limit), this.theme.quiet, [4, 4]);
    if (history === null) return;
    curve(c, axis, history.oldest, history.latest, (t) => history.value("frame", t), y, this.theme.text);
    c.fillStyle = this.theme.cue.act;
    axis.columns(history.oldest, history.latest, (x, width, a, b) => {
      for (let t = a; t <= b; t++) {
        if (history.value("frame", t) > limit) c.fillRect(x - 1, top, width + 2, height);
      }
    });
    this.missed(c, axis, top, height);
  }

  /** One above the other where several hold at once. */
  private alerts(c: CanvasRenderingContext2D, axis: Axis, top: number, height: number): void {
    const now = this.show.history?.latest ?? 0;
    const seen = this.show.alertSpans
      .map((span) => ({ cause: span.cause, from: Math.max(span.from, axis.from), to: Math.min(span.to ?? now, axis.to) }))
      .filter(({ from, to }) => from <= to)
      .sort((a, b) => a.from - b.from);
    const ends: number[] = []; // of what lies in each lane so far
    const lanes = seen.map(({ from, to }) => {
      const free = ends.findIndex((end) => end < from);
      const lane = free < 0 ? ends.length : free;
      ends[lane] = to;
      return lane;
    });
    const tall = height / Math.max(ends.length, 1);
    seen.forEach(({ cause, from, to }, i) => {
      const y = top + lanes[i] * tall;
      drawCause(c, cause, [axis.x(from), y, axis.x(to) - axis.x(from), tall - 1.5], this.theme);
    });
  }

  /** Each change of release: a diamond with the new one's first digits, and a line through all rows. */
  private swaps(c: CanvasRenderingContext2D, axis: Axis, tall: number, bottom: number): void {
    c.font = this.font(11);
    c.textAlign = "left";
    c.textBaseline = "middle";
    c.fillStyle = this.theme.text;
    let free = axis.left; // a digest that has no room is left to hovering
    const name = (release: string, x: number) => {
      const digits = release.slice(0, 6);
      const width = c.measureText(digits).width;
      const at = x + width > axis.right ? x - 20 - width : x;
      if (at < free) return;
      c.fillText(digits, at, tall / 2);
      free = at + width + 8;
    };
    const first = this.show.releases.between(axis.from, axis.to)[0];
    const swaps = this.show.releases.swaps().filter(({ release }) => release.tick >= axis.from && release.tick <= axis.to);
    for (const { release } of swaps) {
      const x = axis.x(release.tick);
      line(c, x, 0, x, bottom, this.theme.text);
      c.beginPath();
      for (const [dx, dy] of [[0, -5], [5, 0], [0, 5], [-5, 0]]) c.lineTo(x + dx, tall / 2 + dy);
      c.fill();
    }
    const room = swaps.length > 0 ? axis.x(swaps[0].release.tick) - 10 : axis.right;
    const prefix = axis.left === 0 ? "release " : ""; // no gutter to say it in
    if (first !== undefined) {
      const text = prefix + first.release.release.slice(0, 6);
      const width = c.measureText(text).width;
      if (axis.left + width < room) {
        c.fillStyle = this.theme.quiet;
        c.fillText(text, axis.left, tall / 2);
        free = axis.left + width + 8;
      }
    }
    c.fillStyle = this.theme.text;
    for (const { release } of swaps) name(release.release, axis.x(release.tick) + 9);
  }

  /** What happens at a moment, or as near to it as a finger can point, in words. */
  eventsAt(tick: number): string[] {
    const near = (this.axis?.step ?? 1) * 6;
    const swaps = this.show.releases.swaps().filter(({ release }) => Math.abs(release.tick - tick) <= near);
    const performs = this.show.releases.at(tick);
    const release =
      swaps.length > 0
        ? swaps.map((s) => `release ${s.before.release.slice(0, 6)} → ${s.release.release.slice(0, 6)}`)
        : performs === null
          ? []
          : [`release ${performs.release.slice(0, 6)}`];
    const missed = this.show.history?.gapBefore(this.show.history.nearest(tick)) ?? 0;
    if (missed > 0) release.unshift(`${missed} tick${missed === 1 ? "" : "s"} missed`);
    const alerts = this.show.alertsAt(tick).map(({ name, cause }) => `${name}${cause === null ? "" : ` (${cause})`}`);
    return [...release, ...alerts];
  }
}

/** How high a rung's step stands, 0 to 1. */
function stepOf(rung: string): number {
  const depth = (LADDER as readonly string[]).indexOf(rung);
  return depth < 0 ? 0.2 : 1 - depth * 0.24;
}
