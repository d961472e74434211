// Put the page together: messages in, one picture out when there is news.

import "./style.css";
import "./rooms.css";
import { fetchHistory } from "./backlog";
import { Connection } from "./connection";
import { Desk } from "./desk";
import { clock, ms, share, span } from "./format";
import { listenToKeys } from "./keys";
import { Legend } from "./legend";
import { Operator } from "./operator";
import { byId, mark, write } from "./page";
import { Panel } from "./panel";
import { Progress } from "./progress";
import { ProtocolError, read } from "./protocol";
import { Show } from "./show";
import { Sketch } from "./sketch";
import { Stage, type Moment, type Picture } from "./stage";
import { onThemeChange, theme } from "./theme";
import { Timeline } from "./timeline";
import { Wardrobe } from "./wardrobe";

/** Charts and figures are written ten times a second; the performer at every frame. */
const FIGURES_MS = 100;

const show = new Show();
const canvas = byId<HTMLCanvasElement>("stage");
const strip = byId<HTMLCanvasElement>("timeline");
let picture: Picture = openPicture();
const desk = new Desk(show);
const progress = new Progress(show);
const legend = new Legend(show, theme());
const timeline = new Timeline(strip, show, theme());
const panel = new Panel(show, theme(), (tick) => look(tick));
const wardrobe = new Wardrobe(
  () => picture,
  () => show.hello?.skeleton ?? null,
  () => show.hello?.face ?? [],
);
/** The moment under the pointer, and the moment at which the view was paused. */
let hovered: number | null = null;
let pinned: number | null = null;
let pending = 0;
let figuresAt = 0;
let figuresDue = true;
let drawnTick = -1;
const operator = new Operator(show, () => {
  figuresDue = true;
  redraw();
});
let recalling = new AbortController();

function openPicture(): Picture {
  try {
    return new Stage(canvas, theme());
  } catch {
    // No WebGL: a canvas that was asked for WebGL cannot be drawn on, so take a fresh one.
    const fresh = canvas.cloneNode() as HTMLCanvasElement;
    canvas.replaceWith(fresh);
    byId("flat").hidden = false;
    return new Sketch(fresh, theme());
  }
}

/** The tick the page shows: where the operator looks, else the newest. */
function viewed(): number {
  return hovered ?? pinned ?? show.history?.latest ?? -1;
}

function look(tick: number | null): void {
  const nearest = tick === null || show.history === null ? -1 : show.history.nearest(tick);
  hovered = nearest < 0 ? null : nearest;
  figuresDue = true;
  redraw();
}

function pin(tick: number | null): void {
  const nearest = tick === null || show.history === null ? -1 : show.history.nearest(tick);
  pinned = nearest < 0 ? null : nearest;
  hovered = null;
  figuresDue = true;
  redraw();
}

function redraw(): void {
  if (pending === 0) pending = requestAnimationFrame(draw);
}

function moment(tick: number): Moment | null {
  const history = show.history;
  if (history === null || !history.has(tick)) return null;
  const names = show.hello?.skeleton.names ?? [];
  return {
    joints: (show.releases.at(tick)?.joints ?? []).map((name) => names.indexOf(name)),
    ...history.poseAt(tick),
    ghost: history.ghostAt(tick),
    attention: history.attentionAt(tick),
    face: history.faceAt(tick),
  };
}

function draw(now: number): void {
  pending = 0;
  const tick = viewed();
  if (tick !== drawnTick) {
    drawnTick = tick;
    picture.show(moment(tick));
  }
  document.documentElement.dataset.tick = String(tick);
  if (figuresDue || now - figuresAt >= FIGURES_MS) {
    figuresDue = false;
    figuresAt = now;
    const cursor = hovered ?? pinned;
    desk.draw(show.state(performance.now()), performance.now());
    operator.draw(show.state(performance.now()), performance.now());
    panel.draw(tick, cursor);
    progress.draw(performance.now());
    timeline.draw(cursor);
    legend.draw();
    readout(tick, cursor);
  }
}

/** Say in words what the cursor points at. */
function readout(tick: number, cursor: number | null): void {
  const history = show.history;
  const at = history !== null && history.has(tick);
  byId("back").hidden = cursor === null;
  write(byId("moment-mode"), cursor === null ? "now" : pinned === null ? "looking at" : "paused at");
  write(byId("moment-time"), clock(Math.max(tick, 0), show.hz, true));
  const f0 = at ? history.value("f0", tick) : NaN;
  const energy = at ? history.value("energy", tick) : NaN;
  const parts = at
    ? [
        ...(cursor === null ? [] : [history.clipAt(tick) ?? ""]),
        history.rungAt(tick) ?? "",
        `confidence ${share(history.value("confidence", tick))}${history.value("confidence", tick) < show.low ? " (low)" : ""}`,
        `frame ${ms(history.value("frame", tick))} ms`,
        Number.isNaN(energy) ? "no voice" : `voice ${energy.toFixed(0).replace("-", "\u2212")} dB${Number.isNaN(f0) ? "" : `, ${f0.toFixed(0)} Hz`}`,
      ].filter((part) => part !== "")
    : ["nothing to show yet"];
  if (cursor !== null) parts.unshift(...timeline.eventsAt(tick));
  if (cursor !== null && at) parts.push(`${span((history.latest - tick) / show.hz)} before the newest frame`);
  write(byId("moment-figures"), parts.join(" · "));
  write(byId("clip"), (at ? history.clipAt(tick) : show.frame?.clip) ?? "");
  mark(strip, "aria-valuemin", String(history?.oldest ?? 0));
  mark(strip, "aria-valuemax", String(Math.max(history?.latest ?? 0, 0)));
  mark(strip, "aria-valuenow", String(Math.max(tick, 0)));
  if (cursor !== null) mark(strip, "aria-valuetext", `${clock(Math.max(tick, 0), show.hz, true)}, ${parts.join(", ")}`);
}

function receive(data: unknown): void {
  try {
    const message = read(data, show.shape);
    if (message === null) return;
    const before = show.history;
    show.accept(message);
    if (message.type === "hello" && message.state !== "idle") void recall(message.actor);
    if (show.history !== before && show.hello !== null) {
      [hovered, pinned, drawnTick] = [null, null, -2];
      picture.cast(show.hello.skeleton);
      void (show.hello.avatar === null ? wardrobe.dress() : wardrobe.fetch(show.hello.avatar));
    }
    if (message.type !== "frame") figuresDue = true;
  } catch (problem) {
    if (!(problem instanceof ProtocolError)) console.error(problem);
    show.broken(problem instanceof Error ? problem.message : String(problem));
    figuresDue = true;
  }
  redraw();
}

/** The two minutes before this page was opened, or for which it was away. */
async function recall(actor: string): Promise<void> {
  recalling.abort();
  recalling = new AbortController();
  const { signal } = recalling;
  await fetchHistory(actor, signal, (lines) => {
    for (const line of lines) {
      const message = read(line, show.shape);
      if (message?.type === "frame") show.fill(message);
    }
    figuresDue = true;
    redraw();
  });
  if (!signal.aborted) show.filled();
}

function listenToPointer(): void {
  const tickOf = (event: PointerEvent) => timeline.tickAt(event.offsetX);
  strip.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && event.buttons === 0) look(tickOf(event));
    else if (event.buttons > 0) pin(tickOf(event));
  });
  strip.addEventListener("pointerdown", (event) => {
    strip.setPointerCapture(event.pointerId);
    pin(tickOf(event));
  });
  strip.addEventListener("pointerleave", () => look(null));
  byId("back").addEventListener("click", () => pin(null));
}

function start(): void {
  listenToPointer();
  listenToKeys({
    pause: () => pin(pinned === null ? viewed() : null),
    step: (ticks) => pin(viewed() + ticks),
    live: () => pin(null),
    edge: (end) => pin(end ? Infinity : 0),
    picture: () => picture,
    press: (of) => operator.press(of),
  });
  const repaint = () => {
    const next = theme();
    for (const part of [picture, timeline, panel, legend]) part.paint(next);
    figuresDue = true;
    redraw();
  };
  onThemeChange(repaint);
  new ResizeObserver(repaint).observe(strip); // the size of text depends on the window's
  const actor = new URLSearchParams(location.search).get("actor"); // else the newest show
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws${actor === null ? "" : `?actor=${encodeURIComponent(actor)}`}`;
  const refresh = () => {
    figuresDue = true;
    redraw();
  };
  const connection = new Connection(url, {
    opened: () => (show.opened(), refresh()),
    closed: (retryAt) => (show.closed(retryAt), refresh()),
    message: receive,
  });
  connection.open();
  window.setInterval(refresh, 250); // seconds of silence are counted even when nothing comes
  refresh();
}

if (location.pathname === "/overlay") {
  document.documentElement.dataset.overlay = "";
  byId("synthetic").hidden = !new URLSearchParams(location.search).has("notice");
}
start();
