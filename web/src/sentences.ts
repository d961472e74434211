// Every state in a word, a cue and a sentence that says what to do.

import { share, span, whole } from "./format";
import type { Alert, Run, Verdict } from "./protocol";
import type { Show, State } from "./show";

/** fine, watch and act are the three cue colours; unknown is the fourth. */
export type Cue = "fine" | "watch" | "act" | "unknown";

/** Which cue wins where two things are to be told. */
const WEIGHT: Record<Cue, number> = { fine: 0, watch: 1, unknown: 2, act: 3 };

export interface Told {
  cue: Cue;
  word: string;
  text: string;
}

export const LADDER = ["capture", "speech", "previous", "idle", "free", "hold"] as const;

export function rungCue(rung: string | null): Cue {
  if (rung === "capture") return "fine";
  if (rung === "speech" || rung === "previous" || rung === "idle" || rung === "free") return "watch";
  return rung === "hold" ? "act" : "unknown";
}

/** A fault has to be mended by somebody; whatever else an alert finds is learned from. */
export function causeCue(cause: string | null): Cue {
  return cause === "capture fault" || cause === "machine" ? "act" : "watch";
}

/** The alert that asks for most, the oldest of its kind; undefined when all is well. */
export function worstAlert(show: Show): Alert | undefined {
  const alerts = [...show.alerts.values()];
  return alerts.find((a) => causeCue(a.cause) === "act") ?? alerts[0];
}

/** The learning loop's state as a cue and a word. */
export function tellRun(run: Run | null, connected: boolean): { cue: Cue; word: string } {
  if (run === null) return { cue: "unknown", word: "no run" };
  if (run.state === "promoted") return { cue: "fine", word: "promoted" };
  if (run.state === "rejected") return { cue: "watch", word: "rejected" };
  if (run.state === "failed") return { cue: "act", word: "failed" };
  return connected ? { cue: "fine", word: "running" } : { cue: "unknown", word: "running when last heard" };
}

/** Tell the state of the page. */
export function tell(show: Show, state: State, now: number): Told {
  const silence = span(show.silence(now));
  switch (state) {
    case "connecting":
      return show.connected
        ? { cue: "unknown", word: "STAND BY", text: "The show is about to start. Nothing to do." }
        : { cue: "unknown", word: "CONNECTING", text: "Connecting to the show…" };
    case "idle":
      return {
        cue: "unknown",
        word: "IDLE",
        text: `Nobody is on stage. A show that starts on this machine appears here: greenroom perform ${wantedActor()} --in take:TAKE.`,
      };
    case "offline":
      return { cue: "act", word: "OFFLINE", text: offline(show, now, silence) };
    case "stale":
      return {
        cue: "act",
        word: "STALE",
        text: `No frame for ${silence}; the picture is that old. Check the engine's terminal.`,
      };
    case "error":
      return {
        cue: "act",
        word: "ERROR",
        text: `Cannot read what the server sent: ${show.error}. Reload the page; if it stays, run make setup.`,
      };
    case "ended":
      return ended(show);
    case "live":
      return noted(show, alerted(show));
  }
}

/** The rung's sentence, or that of an alert which asks for more. */
function alerted(show: Show): Told {
  const told = live(show);
  const alert = worstAlert(show);
  if (alert === undefined || WEIGHT[causeCue(alert.cause)] <= WEIGHT[told.cue]) return told;
  const ordered = alert.signal === "capture" && show.frame!.control.includes("cut");
  return ordered ? told : { ...told, cue: causeCue(alert.cause), text: alert.text };
}

/** For this long a gap in the frames is news, seconds. */
const NEWS_S = 10;

/** Whether the model says that it is not sure of itself. */
export function isLow(show: Show, confidence: number | null): boolean {
  return confidence !== null && confidence < show.low;
}

/** Add what else has to be known now: missed ticks, low confidence, and frames that this page skipped. */
function noted(show: Show, told: Told): Told {
  const frame = show.frame!;
  const age = (tick: number | null) => (tick === null ? Infinity : (frame.tick - tick) / show.hz);
  const parts = [told.text];
  let { cue } = told;
  const raise = (to: Cue) => (cue = WEIGHT[to] > WEIGHT[cue] ? to : cue);
  if (age(show.missedTick) < NEWS_S) {
    raise("act");
    parts.push(`${missedText(frame.missed, frame.tick + 1)}, the last ${span(age(show.missedTick))} ago: stop other work on this machine.`);
  }
  if (isLow(show, frame.confidence)) {
    raise("watch");
    parts.push(`Confidence is low: ${share(frame.confidence)}, below ${share(show.low)}.`);
  }
  if (age(show.skippedTick) < NEWS_S) parts.push(`${skippedText(show.skipped)}; the show did not miss them.`);
  if (cue !== told.cue && parts[0].endsWith("Nothing to do.")) parts[0] = parts[0].replace(" Nothing to do.", "");
  return { ...told, cue, text: parts.join(" ") };
}

/** "The show missed 68 of 900 ticks". */
export function missedText(missed: number, ticks: number): string {
  return `The show missed ${whole(missed)} of ${whole(ticks)} ticks`;
}

/** "This page skipped 12 frames". */
export function skippedText(skipped: number): string {
  return `This page skipped ${whole(skipped)} frame${skipped === 1 ? "" : "s"}`;
}

/** The actor that the page's address asks for. */
function wantedActor(): string {
  const search = globalThis.location?.search ?? "";
  return new URLSearchParams(search).get("actor") ?? "ACTOR";
}

function offline(show: Show, now: number, silence: string): string {
  const next =
    show.retryAt === null || show.retryAt - now < 500
      ? "Trying now."
      : `Trying again in ${span((show.retryAt - now + 999) / 1000)}.`;
  return show.frame === null
    ? `The server does not answer. ${next} Is greenroom serve running?`
    : `Connection lost; no frame for ${silence}. ${next} The show may still be on.`;
}

function live(show: Show): Told {
  const frame = show.frame!;
  const ago =
    show.rungSince === null
      ? "before this page was opened"
      : `${span((frame.tick - show.rungSince) / show.hz)} ago`;
  if (frame.control.includes("hold")) {
    return { cue: "watch", word: "HELD", text: `Held by the operator ${ago}; the pose eases to rest. To go on: Resume (H).` };
  }
  const cut = frame.control.includes("cut");
  const lost = cut ? "Capture cut by the operator" : "Capture lost";
  const mend = cut ? "To take it again: Restore capture (C)." : "Check the camera.";
  switch (frame.rung) {
    case "capture":
      return { cue: "fine", word: "LIVE", text: `Playing from capture. ${news(show)}Nothing to do.` };
    case "speech":
      return {
        cue: "watch",
        word: "SPEECH",
        text: `${lost} ${ago}; standing at ease, driven by the voice. ${mend}`,
      };
    case "idle":
      return {
        cue: "watch",
        word: "STANDING BY",
        text: `${cut ? lost : "Capture and voice lost"} ${ago}; standing at ease. ${mend}`,
      };
    case "free":
      return {
        cue: "watch",
        word: "FREE",
        text: `${lost} ${ago}; moving by the model alone. ${mend}`,
      };
    case "previous":
      return {
        cue: "watch",
        word: "PREVIOUS",
        text: `The release failed ${ago}; playing from the one before it. Read the alerts.`,
      };
    case "hold":
      return {
        cue: "act",
        word: "HOLD",
        text: `No usable frame ${show.rungSince === null ? "since before this page was opened" : `for ${ago.replace(" ago", "")}`}; holding the pose. Check the capture, then the engine's terminal.`,
      };
    default:
      return {
        cue: "unknown",
        word: frame.rung.toUpperCase(),
        text: `The show is on a rung that this page does not know: ${frame.rung}. Run make setup to bring the page up to date.`,
      };
  }
}

/** A release that has just taken over is news for ten seconds. */
function news(show: Show): string {
  const { release } = show;
  const age = release === null ? Infinity : (show.frame!.tick - release.tick) / show.hz;
  return release === null || release.tick === 0 || age >= 10
    ? ""
    : `Release ${release.release.slice(0, 6)} took over ${span(age)} ago. `;
}

function ended(show: Show): Told {
  const { end, verdict } = show;
  const missed = end === null || end.missed === 0 ? "" : `${whole(end.missed)} of ${whole(end.ticks)} ticks missed, `;
  const over =
    end === null
      ? "The show is over."
      : end.show === null && end.frames === 0
        ? "The show is over."
        : `The show is over: ${whole(end.frames)} frames, ${missed}${whole(end.late)} late.`;
  if (verdict === null) return { cue: missed ? "act" : "unknown", word: "ENDED", text: `${over} ${unchecked(show)}` };
  if (verdict.exact !== verdict.frames) {
    return { cue: "act", word: "ENDED", text: `${over} The replay differs: read the verdict below.` };
  }
  const dark = verdict.missed > 0;
  return {
    cue: dark ? "act" : "fine",
    word: "ENDED",
    text: `${over} The replay is bit-exact. ${dark ? "Find out what held up this machine." : "Nothing to do."}`,
  };
}

/** What is to be done about a replay that has not been checked. */
function unchecked({ end, connected }: Show): string {
  if (end !== null && end.show === null) {
    return "Its process ended before its record was closed. To keep what was recorded: greenroom show recover.";
  }
  const command = `greenroom replay ${end === null ? "SHOW" : end.show!.slice(0, 12)} --verify`;
  if (end !== null && !end.checking) return `To check that every frame comes out the same: ${command}.`;
  return connected
    ? "Replaying it to check that every frame comes out the same…"
    : `The connection was lost before the replay was checked; run ${command}.`;
}

/** "EXACT, 68 of 900 ticks missed": the verdict in its shortest form, as the terminal has it. */
export function verdictClass({ exact, frames, missed, ticks, class: of }: Verdict): string {
  const kind = exact === frames ? (of ?? "EXACT") : "DIFFERS";
  return missed > 0 ? `${kind}, ${whole(missed)} of ${whole(ticks)} ticks missed` : kind;
}

/** "Replayed bit-exactly: 2,700 of 2,700 frames." or what differed first and why. */
export function verdictText(show: Show): string {
  const verdict = show.verdict!;
  const frames = `${whole(verdict.exact)} of ${whole(verdict.frames)} frames`;
  if (verdict.exact === verdict.frames) return `Replayed bit-exactly: ${frames}.`;
  const first = verdict.first_difference ?? {};
  const tick = first.tick ?? first.frame;
  const where = typeof tick === "number" ? `first difference at frame ${whole(tick)}` : "they differ";
  const why = first.why ?? first.reason;
  const because = typeof why === "string" ? `: ${why}` : "";
  return `Not bit-exact: ${frames}; ${where}${because}. Keep the show and compare the machines.`;
}
