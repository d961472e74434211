// The page's own logic, without a browser: messages at the door, forward kinematics, sentences.
import assert from "node:assert/strict";
import test from "node:test";
import { runnerImport } from "vite";

const load = async (path) => (await runnerImport(path)).module;
const { read, ProtocolError } = await load("./src/protocol.ts");
const { Pose } = await load("./src/skeleton.ts");
const { History, KEPT_TICKS } = await load("./src/history.ts");
const { clock, span } = await load("./src/format.ts");

const HELLO = {
  type: "hello", actor: "mira", release: "3f9a1c", tick_hz: 30, limit_ms: 33.3,
  skeleton: { names: ["hips", "spine"], parents: [-1, 0], offsets: [[0, 1, 0], [0, 0.1, 0]] },
  joints: ["spine"], ticks: null, lookahead_ms: 0, jitter_ms: 0, confidence_base: null,
  notices: [], credits: [], state: "live",
};
const SHAPE = { bones: 2, joints: 1 };
const FRAME = {
  type: "frame", tick: 0, clip: null, rung: "capture", root: [0, 1, 0],
  rotations: [0, 0, 0, 1, 0, 0, 0, 1], ghost: null, face: null, confidence: null, attention: null,
  ms: { features: null, model: null, post: null, frame: 1 }, late: 0, frames: 1, rungs: {},
  audio: null, energy_db: null, voiced: null, f0_hz: null,
};
const say = (message, changes = {}) => JSON.stringify({ ...message, ...changes });

test("well-formed messages are read; unknown types and fields are passed over", () => {
  assert.equal(read(say(HELLO, { extra: 1 }), null).actor, "mira");
  assert.equal(read(say(FRAME), SHAPE).tick, 0);
  assert.equal(read(say(FRAME), null), null);
  assert.equal(read('{"type": "weather"}', SHAPE), null);
});

test("a malformed message is named by its field", () => {
  const cases = [
    [say(FRAME, { rotations: [0, 0, 0, 1] }), /frame\.rotations is 4 values, expected 8 numbers/],
    [say(FRAME, { root: [0, "x", 0] }), /frame\.root\[1\]/],
    [say(FRAME, { tick: -1 }), /frame\.tick/],
    [say(FRAME, { ms: null }), /frame\.ms/],
    [say(HELLO, { state: "asleep" }), /idle, live or ended/],
    [say(HELLO, { skeleton: { ...HELLO.skeleton, parents: [1, 0] } }), /parents\[0\]/],
    ["[]", /expected an object/],
    ["{", /not JSON/],
    ['{"type": "frame", "tick": NaN}', /not JSON/],
  ];
  for (const [text, expected] of cases) {
    assert.throws(() => read(text, SHAPE), (e) => e instanceof ProtocolError && expected.test(e.message));
  }
});

test("a bone is placed by its parent's turn", () => {
  const pose = new Pose(HELLO.skeleton);
  const half = Math.SQRT1_2;
  pose.set([0, 1, 0], [0, 0, half, half, 0, 0, 0, 1]); // a quarter turn about +Z takes +Y to -X
  assert.ok(Math.abs(pose.positions[3] + 0.1) < 1e-6 && Math.abs(pose.positions[4] - 1) < 1e-6);
});

test("history forgets what is older than two minutes and knows what it missed", () => {
  const history = new History(2, 1);
  for (const tick of [0, 1, 3, KEPT_TICKS + 1]) history.push({ ...FRAME, tick });
  assert.equal(history.has(1), false);
  assert.equal(history.has(3), true);
  assert.equal(history.nearest(2), 3);
  assert.equal(history.nearest(1e9), KEPT_TICKS + 1);
  assert.deepEqual(history.percentiles("frame", KEPT_TICKS + 1, 10, [50]), [1]);
});

test("time is written plainly", () => {
  assert.equal(clock(22830, 30), "0:12:41");
  assert.equal(clock(3, 30, true), "0:00:00.1");
  assert.deepEqual([3, 119, 4000].map(span), ["3 s", "1 min", "1 h 6 min"]);
});
