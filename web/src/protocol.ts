// Check every message at the door (docs/stage-protocol.md), so that the rest of the page can trust
// what it draws and a bad message becomes a sentence instead of a white page.

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
  notices: string[];
  credits: string[];
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
  confidence: number | null;
  attention: { joints: number[]; speech: number } | null;
  ms: { features: number | null; model: number | null; post: number | null; frame: number | null };
  late: number;
  frames: number;
  rungs: Record<string, number>;
  audio: [number, number] | null;
  energy_db: number | null;
  voiced: boolean | null;
  f0_hz: number | null;
}

export interface Alert {
  type: "alert";
  name: string;
  since_tick: number;
  text: string;
  active: boolean;
}

export interface End {
  type: "end";
  show: string;
  frames: number;
  late: number;
  rungs: Record<string, number>;
}

export interface Verdict {
  type: "verdict";
  frames: number;
  exact: number;
  first_difference: Record<string, unknown> | null;
  class: string | null;
}

export type Message = Hello | Frame | Alert | End | Verdict;

/** What a frame's lengths are held against. */
export interface Shape {
  bones: number;
  joints: number;
}

export class ProtocolError extends Error {}

type Fields = Record<string, unknown>;

function shown(value: unknown): string {
  if (Array.isArray(value)) return `${value.length} values`;
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

function wrong(field: string, value: unknown, expected: string): never {
  throw new ProtocolError(`${field} is ${shown(value)}, expected ${expected}`);
}

function object(value: unknown, field: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    wrong(field, value, "an object");
  }
  return value as Fields;
}

function text(value: unknown, field: string): string {
  return typeof value === "string" ? value : wrong(field, value, "text");
}

function number(value: unknown, field: string): number {
  return typeof value === "number" && Number.isFinite(value)
    ? value
    : wrong(field, value, "a number");
}

function count(value: unknown, field: string): number {
  return Number.isSafeInteger(value) && (value as number) >= 0
    ? (value as number)
    : wrong(field, value, "a whole number from 0");
}

function optional<T>(value: unknown, field: string, read: (v: unknown, f: string) => T): T | null {
  return value === null || value === undefined ? null : read(value, field);
}

function truth(value: unknown, field: string): boolean {
  return typeof value === "boolean" ? value : wrong(field, value, "true or false");
}

function list(value: unknown, field: string): unknown[] {
  return Array.isArray(value) ? value : wrong(field, value, "a list");
}

function texts(value: unknown, field: string): string[] {
  return list(value, field).map((v, i) => text(v, `${field}[${i}]`));
}

function numbers(value: unknown, field: string, length: number): number[] {
  const values = list(value, field);
  if (values.length !== length) wrong(field, value, `${length} numbers`);
  for (let i = 0; i < length; i++) number(values[i], `${field}[${i}]`);
  return values as number[];
}

function counts(value: unknown, field: string): Record<string, number> {
  const fields = object(value, field);
  for (const name of Object.keys(fields)) count(fields[name], `${field}.${name}`);
  return fields as Record<string, number>;
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
  const state = text(f.state, "hello.state");
  if (state !== "idle" && state !== "live" && state !== "ended") {
    wrong("hello.state", state, "idle, live or ended");
  }
  const hz = number(f.tick_hz, "hello.tick_hz");
  if (hz <= 0) wrong("hello.tick_hz", hz, "a rate above 0");
  return {
    type: "hello",
    actor: text(f.actor, "hello.actor"),
    release: text(f.release, "hello.release"),
    tick_hz: hz,
    limit_ms: number(f.limit_ms, "hello.limit_ms"),
    skeleton: skeleton(f.skeleton),
    joints: texts(f.joints, "hello.joints"),
    ticks: optional(f.ticks, "hello.ticks", count),
    lookahead_ms: number(f.lookahead_ms, "hello.lookahead_ms"),
    jitter_ms: number(f.jitter_ms, "hello.jitter_ms"),
    confidence_base: optional(f.confidence_base, "hello.confidence_base", number),
    notices: texts(f.notices, "hello.notices"),
    credits: texts(f.credits, "hello.credits"),
    state,
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

function attention(value: unknown, shape: Shape): { joints: number[]; speech: number } {
  const f = object(value, "frame.attention");
  return {
    joints: numbers(f.joints, "frame.attention.joints", shape.joints),
    speech: number(f.speech, "frame.attention.speech"),
  };
}

function frame(f: Fields, shape: Shape): Frame {
  const ms = object(f.ms, "frame.ms");
  const audio = optional(f.audio, "frame.audio", (v, n) => numbers(v, n, 2));
  return {
    type: "frame",
    tick: count(f.tick, "frame.tick"),
    clip: optional(f.clip, "frame.clip", text),
    rung: text(f.rung, "frame.rung"),
    root: numbers(f.root, "frame.root", 3),
    rotations: numbers(f.rotations, "frame.rotations", shape.bones * 4),
    ghost: f.ghost === null || f.ghost === undefined ? null : ghost(f.ghost, shape),
    confidence: optional(f.confidence, "frame.confidence", number),
    attention: f.attention === null || f.attention === undefined ? null : attention(f.attention, shape),
    ms: {
      features: optional(ms.features, "frame.ms.features", number),
      model: optional(ms.model, "frame.ms.model", number),
      post: optional(ms.post, "frame.ms.post", number),
      frame: optional(ms.frame, "frame.ms.frame", number),
    },
    late: count(f.late, "frame.late"),
    frames: count(f.frames, "frame.frames"),
    rungs: counts(f.rungs, "frame.rungs"),
    audio: audio === null ? null : [audio[0], audio[1]],
    energy_db: optional(f.energy_db, "frame.energy_db", number),
    voiced: optional(f.voiced, "frame.voiced", truth),
    f0_hz: optional(f.f0_hz, "frame.f0_hz", number),
  };
}

function end(f: Fields): End {
  return {
    type: "end",
    show: text(f.show, "end.show"),
    frames: count(f.frames, "end.frames"),
    late: count(f.late, "end.late"),
    rungs: counts(f.rungs, "end.rungs"),
  };
}

function verdict(f: Fields): Verdict {
  return {
    type: "verdict",
    frames: count(f.frames, "verdict.frames"),
    exact: count(f.exact, "verdict.exact"),
    first_difference: optional(f.first_difference, "verdict.first_difference", object),
    class: optional(f.class, "verdict.class", text),
  };
}

/**
 * Read one message. Returns null for a type this page does not know (a newer server may send more).
 * `shape` is null until a `hello` was read; frames before it mean nothing and are passed over.
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
    case "alert":
      return {
        type: "alert",
        name: text(fields.name, "alert.name"),
        since_tick: count(fields.since_tick, "alert.since_tick"),
        text: text(fields.text, "alert.text"),
        active: truth(fields.active, "alert.active"),
      };
    case "end":
      return end(fields);
    case "verdict":
      return verdict(fields);
    default:
      text(fields.type, "type");
      return null;
  }
}
