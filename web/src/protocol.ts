// Check every message at the door (docs/reference/stage-protocol.md), so that the rest of the page can trust
// what it draws and a bad message becomes a sentence instead of a white page.

import {
  count, counts, joints, list, number, numbers, object, oneOf, optional, portion, ProtocolError,
  shown, text, texts, truth, wrong, type Fields,
} from "./fields";

export { ProtocolError };

export interface Skeleton {
  names: string[];
  parents: number[];
  offsets: [number, number, number][];
}

export interface Hello {
  type: "hello";
  actor: string;
  release: string;
  tick_hz: number;
  limit_ms: number;
  skeleton: Skeleton;
  joints: string[];
  ticks: number | null;
  lookahead_ms: number;
  jitter_ms: number;
  confidence_base: number | null;
  /** Below this the model is not sure of itself; null where the server does not say. */
  confidence_low: number | null;
  notices: string[];
  credits: string[];
  /** Names of a frame's face weights, in their order; none from a server that sends no face. */
  face: string[];
  /** What tells this show from another; null where the server does not say. */
  show: string | null;
  /** Where the show's own avatar is; null where each viewer sees the mannequin. */
  avatar: string | null;
  state: "idle" | "live" | "ended";
}

export interface Ghost {
  root: number[];
  rotations: number[];
  valid: number[];
}

export interface Frame {
  type: "frame";
  tick: number;
  clip: string | null;
  rung: string;
  root: number[];
  rotations: number[];
  ghost: Ghost | null;
  face: (number | null)[] | null;
  confidence: number | null;
  attention: { joints: number[]; speech: number } | null;
  ms: { features: number | null; model: number | null; post: number | null; frame: number | null };
  late: number;
  frames: number;
  /** Ticks at which nobody performed, so far. */
  missed: number;
  /** What the operator has ordered and not undone: "hold", "cut". */
  control: string[];
  rungs: Record<string, number>;
  audio: [number, number] | null;
  energy_db: number | null;
  voiced: boolean | null;
  f0_hz: number | null;
}

/** From `tick` on another release performs. */
export interface Swap {
  type: "swap";
  tick: number;
  release: string;
  joints: string[];
  confidence_base: number | null;
  lookahead_ms: number;
}

/** What the learning loop goes through, in this order. */
export const STEPS = [
  "pull", "build", "train", "validate", "sandbox", "shadow", "approve", "canary", "promote",
] as const;

/** How far the learning loop is. */
export interface Run {
  type: "run";
  run: string;
  why: string;
  step: (typeof STEPS)[number];
  done: number | null;
  state: "running" | "promoted" | "rejected" | "failed";
  text: string;
}

export interface Alert {
  type: "alert";
  name: string;
  since_tick: number;
  text: string;
  active: boolean;
  signal: string | null;
  cause: string | null;
}

export interface End {
  type: "end";
  /** Its hash; null where its process ended before it was kept. */
  show: string | null;
  frames: number;
  late: number;
  ticks: number;
  missed: number;
  /** Whether a replay runs already; else somebody has to ask for it. */
  checking: boolean;
  rungs: Record<string, number>;
}

export interface Verdict {
  type: "verdict";
  frames: number;
  exact: number;
  ticks: number;
  missed: number;
  first_difference: Record<string, unknown> | null;
  class: string | null;
}

export type Message = Hello | Swap | Frame | Run | Alert | End | Verdict;

/** What a frame's lengths are held against: its bones, and the joints driven at its tick. */
export interface Shape {
  bones: number;
  joints(tick: number): number;
}

function skeleton(value: unknown): Skeleton {
  const fields = object(value, "hello.skeleton");
  const names = texts(fields.names, "hello.skeleton.names");
  const parents = numbers(fields.parents, "hello.skeleton.parents", names.length);
  const offsets = list(fields.offsets, "hello.skeleton.offsets");
  if (names.length === 0) wrong("hello.skeleton.names", names, "at least one bone");
  if (offsets.length !== names.length) {
    wrong("hello.skeleton.offsets", offsets, `${names.length} offsets`);
  }
  parents.forEach((parent, i) => {
    if (!Number.isInteger(parent) || parent < -1 || parent >= i) {
      wrong(`hello.skeleton.parents[${i}]`, parent, "-1 or an earlier bone");
    }
  });
  return {
    names,
    parents,
    offsets: offsets.map(
      (o, i) => numbers(o, `hello.skeleton.offsets[${i}]`, 3) as [number, number, number],
    ),
  };
}

function hello(f: Fields): Hello {
  const bones = skeleton(f.skeleton);
  const hz = number(f.tick_hz, "hello.tick_hz");
  if (hz <= 0) wrong("hello.tick_hz", hz, "a rate above 0");
  return {
    type: "hello",
    actor: text(f.actor, "hello.actor"),
    release: text(f.release, "hello.release"),
    tick_hz: hz,
    limit_ms: number(f.limit_ms, "hello.limit_ms"),
    skeleton: bones,
    joints: joints(f.joints, "hello.joints", bones.names.length),
    ticks: optional(f.ticks, "hello.ticks", count),
    lookahead_ms: number(f.lookahead_ms, "hello.lookahead_ms"),
    jitter_ms: number(f.jitter_ms, "hello.jitter_ms"),
    confidence_base: optional(f.confidence_base, "hello.confidence_base", number),
    confidence_low: optional(f.confidence_low, "hello.confidence_low", number),
    notices: texts(f.notices, "hello.notices"),
    credits: texts(f.credits, "hello.credits"),
    face: f.face === undefined ? [] : texts(f.face, "hello.face"),
    show: optional(f.show, "hello.show", text),
    avatar: optional(f.avatar ?? null, "hello.avatar", text),
    state: oneOf(f.state, "hello.state", ["idle", "live", "ended"]),
  };
}

function ghost(value: unknown, shape: Shape): Ghost {
  const f = object(value, "frame.ghost");
  return {
    root: numbers(f.root, "frame.ghost.root", 3),
    rotations: numbers(f.rotations, "frame.ghost.rotations", shape.bones * 4),
    valid: numbers(f.valid, "frame.ghost.valid", shape.bones),
  };
}

function attention(value: unknown, driven: number): { joints: number[]; speech: number } {
  const f = object(value, "frame.attention");
  return {
    joints: numbers(f.joints, "frame.attention.joints", driven),
    speech: number(f.speech, "frame.attention.speech"),
  };
}

/** Weights of a face, null where nothing drives a channel. */
function weights(value: unknown, name: string): (number | null)[] {
  if (!Array.isArray(value)) throw new ProtocolError(`${name} is no list`);
  return value.map((weight, i) => (weight === null ? null : number(weight, `${name}[${i}]`)));
}

function frame(f: Fields, shape: Shape): Frame {
  const ms = object(f.ms, "frame.ms");
  const tick = count(f.tick, "frame.tick");
  const audio = optional(f.audio, "frame.audio", (v, n) => numbers(v, n, 2));
  return {
    type: "frame",
    tick,
    clip: optional(f.clip, "frame.clip", text),
    rung: text(f.rung, "frame.rung"),
    root: numbers(f.root, "frame.root", 3),
    rotations: numbers(f.rotations, "frame.rotations", shape.bones * 4),
    ghost: optional(f.ghost, "frame.ghost", (v) => ghost(v, shape)),
    face: optional(f.face ?? null, "frame.face", weights),
    confidence: optional(f.confidence, "frame.confidence", number),
    attention: optional(f.attention, "frame.attention", (v) => attention(v, shape.joints(tick))),
    ms: {
      features: optional(ms.features, "frame.ms.features", number),
      model: optional(ms.model, "frame.ms.model", number),
      post: optional(ms.post, "frame.ms.post", number),
      frame: optional(ms.frame, "frame.ms.frame", number),
    },
    late: count(f.late, "frame.late"),
    frames: count(f.frames, "frame.frames"),
    missed: f.missed === undefined ? 0 : count(f.missed, "frame.missed"),
    control: f.control === undefined ? [] : texts(f.control, "frame.control"),
    rungs: counts(f.rungs, "frame.rungs"),
    audio: audio === null ? null : [audio[0], audio[1]],
    energy_db: optional(f.energy_db, "frame.energy_db", number),
    voiced: optional(f.voiced, "frame.voiced", truth),
    f0_hz: optional(f.f0_hz, "frame.f0_hz", number),
  };
}

function swap(f: Fields, shape: Shape): Swap {
  return {
    type: "swap",
    tick: count(f.tick, "swap.tick"),
    release: text(f.release, "swap.release"),
    joints: joints(f.joints, "swap.joints", shape.bones),
    confidence_base: optional(f.confidence_base, "swap.confidence_base", number),
    lookahead_ms: number(f.lookahead_ms, "swap.lookahead_ms"),
  };
}

function run(f: Fields): Run {
  return {
    type: "run",
    run: text(f.run, "run.run"),
    why: text(f.why, "run.why"),
    step: oneOf(f.step, "run.step", STEPS),
    done: optional(f.done, "run.done", portion),
    state: oneOf(f.state, "run.state", ["running", "promoted", "rejected", "failed"]),
    text: text(f.text, "run.text"),
  };
}

function alert(f: Fields): Alert {
  return {
    type: "alert",
    name: text(f.name, "alert.name"),
    since_tick: count(f.since_tick, "alert.since_tick"),
    text: text(f.text, "alert.text"),
    active: truth(f.active, "alert.active"),
    signal: optional(f.signal, "alert.signal", text),
    cause: optional(f.cause, "alert.cause", text),
  };
}

/** How many ticks a show had, and at how many of them somebody performed. */
function performed(f: Fields, of: string): { frames: number; ticks: number; missed: number } {
  const frames = count(f.frames, `${of}.frames`);
  const missed = f.missed === undefined ? 0 : count(f.missed, `${of}.missed`);
  return { frames, missed, ticks: f.ticks === undefined ? frames + missed : count(f.ticks, `${of}.ticks`) };
}

function end(f: Fields): End {
  return {
    type: "end",
    show: optional(f.show, "end.show", text),
    ...performed(f, "end"),
    checking: f.checking === undefined ? true : truth(f.checking, "end.checking"),
    late: count(f.late, "end.late"),
    rungs: counts(f.rungs, "end.rungs"),
  };
}

function verdict(f: Fields): Verdict {
  return {
    type: "verdict",
    ...performed(f, "verdict"),
    exact: count(f.exact, "verdict.exact"),
    first_difference: optional(f.first_difference, "verdict.first_difference", object),
    class: optional(f.class, "verdict.class", text),
  };
}

/**
 * Read one message. Returns null for a type this page does not know (a newer server may send more).
 * `shape` is null until a `hello` was read; frames and swaps before it mean nothing and are
 * passed over.
 */
export function read(data: unknown, shape: Shape | null): Message | null {
  if (typeof data !== "string") throw new ProtocolError("the message is binary, expected text");
  let parsed: unknown;
  try {
    parsed = JSON.parse(data);
  } catch {
    throw new ProtocolError(`the message is not JSON: ${shown(data)}`);
  }
  const fields = object(parsed, "the message");
  switch (fields.type) {
    case "hello":
      return hello(fields);
    case "frame":
      return shape === null ? null : frame(fields, shape);
    case "swap":
      return shape === null ? null : swap(fields, shape);
    case "run":
      return run(fields);
    case "alert":
      return alert(fields);
    case "end":
      return end(fields);
    case "verdict":
      return verdict(fields);
    default:
      text(fields.type, "type");
      return null;
  }
}
