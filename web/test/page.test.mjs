// The page's own logic, without a browser: messages at the door, forward kinematics, sentences.
import assert from "node:assert/strict";
import test from "node:test";
import { deflateSync } from "node:zlib";
import { runnerImport } from "vite";

const load = async (path) => (await runnerImport(path)).module;
const { read, ProtocolError } = await load("./src/protocol.ts");
const { Pose } = await load("./src/skeleton.ts");
const { History, KEPT_TICKS } = await load("./src/history.ts");
const { Releases } = await load("./src/releases.ts");
const { Learning } = await load("./src/learning.ts");
const { Show } = await load("./src/show.ts");
const { tell, tellRun, causeCue, verdictClass } = await load("./src/sentences.ts");
const { Wardrobe } = await load("./src/wardrobe.ts");
const { batches } = await load("./src/backlog.ts");
const { clock, span } = await load("./src/format.ts");

const HELLO = {
  type: "hello", actor: "mira", release: "3f9a1c", tick_hz: 30, limit_ms: 33.3,
  skeleton: { names: ["hips", "spine"], parents: [-1, 0], offsets: [[0, 1, 0], [0, 0.1, 0]] },
  joints: ["spine"], ticks: null, lookahead_ms: 0, jitter_ms: 0, confidence_base: null,
  notices: [], credits: [], state: "live",
};
const SHAPE = { bones: 2, joints: () => 1 };
const FRAME = {
  type: "frame", tick: 0, clip: null, rung: "capture", root: [0, 1, 0],
  rotations: [0, 0, 0, 1, 0, 0, 0, 1], ghost: null, face: null, confidence: null, attention: null,
  ms: { features: null, model: null, post: null, frame: 1 }, late: 0, frames: 1, rungs: {},
  audio: null, energy_db: null, voiced: null, f0_hz: null,
};
const SWAP = {
  type: "swap", tick: 10, release: "7be204", joints: ["hips", "spine"], confidence_base: 0.8, lookahead_ms: 33.3,
};
const RUN = {
  type: "run", run: "r1", why: "new style since 0:01:12", step: "pull", done: 0, state: "running", text: "Fetching.",
};
const ALERT = { type: "alert", name: "hand speed", since_tick: 3, text: "Look.", active: true };
const attends = (tick, joints) => ({ ...FRAME, tick, attention: { joints, speech: 0.5 } });
const say = (message, changes = {}) => JSON.stringify({ ...message, ...changes });

test("well-formed messages are read; unknown types and fields are passed over", () => {
  assert.equal(read(say(HELLO, { extra: 1 }), null).actor, "mira");
  assert.equal(read(say(FRAME), SHAPE).tick, 0);
  assert.equal(read(say(FRAME), null), null);
  assert.equal(read('{"type": "weather"}', SHAPE), null);
  assert.equal(read(say(SWAP), null), null);
  assert.equal(read(say(SWAP), SHAPE).release, "7be204");
  assert.equal(read(say(RUN, { done: null }), null).done, null);
  assert.equal(read(say(ALERT), SHAPE).cause, null);
  assert.equal(read(say(ALERT, { cause: "machine" }), SHAPE).cause, "machine");
});

test("a malformed message is named by its field", () => {
  const cases = [
    [say(FRAME, { rotations: [0, 0, 0, 1] }), /frame\.rotations is 4 values, expected 8 numbers/],
    [say(FRAME, { root: [0, "x", 0] }), /frame\.root\[1\]/],
    [say(FRAME, { tick: -1 }), /frame\.tick/],
    [say(FRAME, { ms: null }), /frame\.ms/],
    [say(FRAME, { attention: { joints: [0.1, 0.4], speech: 0.5 } }), /frame\.attention\.joints is 2 values/],
    [say(HELLO, { state: "asleep" }), /hello\.state is "asleep", expected one of idle, live, ended/],
    [say(HELLO, { joints: ["a", "b", "c"] }), /hello\.joints is 3 values, expected at most 2 names/],
    [say(SWAP, { tick: 1.5 }), /swap\.tick/],
    [say(SWAP, { release: null }), /swap\.release/],
    [say(SWAP, { joints: ["a", "b", "c"] }), /swap\.joints is 3 values, expected at most 2 names/],
    [say(SWAP, { confidence_base: "high" }), /swap\.confidence_base/],
    [say(SWAP, { lookahead_ms: null }), /swap\.lookahead_ms/],
    [say(RUN, { run: 1 }), /run\.run/],
    [say(RUN, { why: null }), /run\.why/],
    [say(RUN, { step: "rest" }), /run\.step is "rest", expected one of pull, build/],
    [say(RUN, { done: 1.1 }), /run\.done is 1\.1, expected a number from 0 to 1/],
    [say(RUN, { state: "paused" }), /run\.state/],
    [say(RUN, { text: null }), /run\.text/],
    [say(ALERT, { cause: 3 }), /alert\.cause/],
    [say(ALERT, { signal: [] }), /alert\.signal/],
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
  const history = new History(2);
  for (const tick of [0, 1, 3, KEPT_TICKS + 1]) history.push({ ...FRAME, tick });
  assert.equal(history.has(1), false);
  assert.equal(history.has(3), true);
  assert.equal(history.nearest(2), 3);
  assert.equal(history.nearest(1e9), KEPT_TICKS + 1);
  assert.deepEqual(history.percentiles("frame", KEPT_TICKS + 1, 10, [50]), [1]);
});

test("the history is read batch by batch, however it is cut on the way", async () => {
  const packed = [["3", "4"], ["1", "2"]].map((lines) => {
    const data = deflateSync(lines.map((line) => `${line}\n`).join(""));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return Buffer.concat([length, data]);
  });
  const sent = new Uint8Array(Buffer.concat(packed));
  for (const size of [1, 7, sent.length]) {
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < sent.length; at += size) controller.enqueue(sent.slice(at, at + size));
        controller.close();
      },
    });
    const read = [];
    for await (const lines of batches(body)) read.push(lines);
    assert.deepEqual(read, [["3", "4"], ["1", "2"]]);
  }
});

test("a page that opens late learns the past, and when the present source began", () => {
  const show = new Show();
  const frame = (tick, changes = {}) => read(say(FRAME, { tick, clip: `clip ${tick}`, ...changes }), SHAPE);
  show.accept(read(say(HELLO), null));
  show.accept(frame(100, { rung: "speech" }));
  for (let tick = 99; tick >= 0; tick--) show.fill(frame(tick, tick > 60 ? { rung: "speech" } : {}));
  show.filled();
  assert.equal(show.rungSince, 61);
  assert.deepEqual([show.history.oldest, show.history.clipAt(7), show.frame.tick], [0, "clip 7", 100]);
  show.fill(frame(100, { clip: "another" })); // what is known already stays
  assert.equal(show.history.clipAt(100), "clip 100");
});

test("ticks that the show missed are told from frames that this page skipped", () => {
  const show = new Show();
  const hear = (tick, changes) => show.accept(read(say(FRAME, { tick, ...changes }), SHAPE));
  show.accept(read(say(HELLO, { confidence_low: 0.5 }), null));
  hear(0, { missed: 0 });
  hear(10, { missed: 0, confidence: 0.9 });
  assert.deepEqual([show.skipped, show.missedTick], [9, null]);
  assert.deepEqual([tell(show, "live", 0).cue, /skipped 9 frames/.test(tell(show, "live", 0).text)], ["fine", true]);
  hear(30, { missed: 15, confidence: 0.4 });
  assert.deepEqual([show.skipped, show.missedTick, show.history.gapBefore(30)], [13, 30, 15]);
  const told = tell(show, "live", 0);
  assert.equal(told.cue, "act");
  assert.match(told.text, /The show missed 15 of 31 ticks, the last 0 s ago.* Confidence is low: 0\.40, below 0\.50/);
  show.fill(read(say(FRAME, { tick: 5 }), SHAPE));
  assert.equal(show.skipped, 12);
});

test("the verdict says how many ticks were missed", () => {
  const verdict = { frames: 832, exact: 832, ticks: 900, missed: 68, class: "EXACT" };
  assert.equal(verdictClass(verdict), "EXACT, 68 of 900 ticks missed");
  assert.equal(verdictClass({ ...verdict, missed: 0 }), "EXACT");
  const show = new Show();
  const end = { type: "end", show: "9c1a2f", frames: 832, late: 3, ticks: 900, missed: 68, rungs: {}, checking: false };
  show.accept(read(say(HELLO), null));
  show.accept(read(say(end), SHAPE));
  assert.match(tell(show, "ended", 0).text, /832 frames, 68 of 900 ticks missed, 3 late\. .*greenroom replay 9c1a2f --verify/);
  show.accept(read(say({ type: "verdict", ...verdict, first_difference: null }), SHAPE));
  assert.deepEqual([tell(show, "ended", 0).cue, /bit-exact/.test(tell(show, "ended", 0).text)], ["act", true]);
});

test("an operator's act is not told as a fault", () => {
  const show = new Show();
  show.accept(read(say(HELLO), null));
  show.accept(read(say(FRAME, { rung: "hold", control: ["hold"] }), SHAPE));
  assert.deepEqual([tell(show, "live", 0).word, tell(show, "live", 0).cue], ["HELD", "watch"]);
  show.accept(read(say(FRAME, { tick: 1, rung: "speech", control: ["cut"] }), SHAPE));
  show.accept(read(say(ALERT, { name: "capture", signal: "capture", cause: "capture fault" }), SHAPE));
  assert.match(tell(show, "live", 0).text, /^Capture cut by the operator 0 s ago/);
});

test("each tick has its release, whatever was said twice or out of order", () => {
  const releases = new Releases();
  assert.equal(releases.at(0), null);
  releases.begin(HELLO);
  const swap = (tick, release) => releases.add({ ...SWAP, tick, release });
  swap(20, "c");
  swap(10, "b");
  swap(10, "b");
  assert.deepEqual([-1, 9, 10, 19, 20].map((t) => releases.at(t).release), ["3f9a1c", "3f9a1c", "b", "b", "c"]);
  assert.deepEqual(releases.swaps().map((s) => [s.before.release, s.release.release]), [["3f9a1c", "b"], ["b", "c"]]);
  assert.deepEqual(releases.between(5, 15).map((s) => [s.from, s.to]), [[5, 10], [10, 15]]);
  releases.begin(HELLO);
  assert.deepEqual(releases.swaps(), []);
});

test("a swap changes what a frame's attention is held against, from its tick on", () => {
  const show = new Show();
  for (const message of [HELLO, SWAP]) show.accept(read(say(message), show.shape));
  const hear = (tick, joints) => show.accept(read(say(attends(tick, joints)), show.shape));
  hear(9, [0.5]);
  assert.throws(() => hear(10, [0.5]), /frame\.attention\.joints is 1 values, expected 2 numbers/);
  hear(10, [0.25, 0.25]);
  assert.equal(show.release.release, "7be204");
  assert.deepEqual([...show.history.attentionAt(9)], [0.5, 0.5]);
  assert.deepEqual([...show.history.attentionAt(10)], [0.25, 0.25, 0.5]);
  assert.match(tell(show, "live", 0).text, /Release 7be204 took over 0 s ago/);
  show.accept(read(say(HELLO, { actor: "ada" }), show.shape));
  assert.equal(show.release.release, "3f9a1c");
});

test("a fault asks for somebody, another cause is watched, and both keep their stretch", () => {
  const show = new Show();
  const hear = (message) => show.accept(read(say(message), show.shape));
  for (const message of [HELLO, FRAME, { ...ALERT, cause: "new style" }]) hear(message);
  assert.equal(tell(show, "live", 0).cue, "watch");
  hear({ ...ALERT, name: "wrist", since_tick: 5, cause: "capture fault", text: "Check the camera." });
  assert.deepEqual([tell(show, "live", 0).cue, tell(show, "live", 0).text], ["act", "Check the camera."]);
  hear({ ...ALERT, name: "wrist", since_tick: 8, cause: "capture fault", active: false });
  assert.equal(tell(show, "live", 0).cue, "watch");
  assert.deepEqual(show.alertsAt(5).map((a) => a.cause), ["new style", "capture fault"]);
  assert.deepEqual(show.alertsAt(8).map((a) => a.cause), ["new style"]);
  assert.deepEqual(["machine", "model", "new person", null].map(causeCue), ["act", "watch", "watch", "watch"]);
});

test("a run of the learning loop is timed from its first word to its last", () => {
  const learning = new Learning();
  const hear = (changes, now) => learning.hear({ ...RUN, ...changes }, now);
  hear({}, 1000);
  hear({ step: "train", done: 0.5 }, 5000);
  assert.deepEqual([learning.fromStart, learning.elapsed(9000)], [true, 8]);
  hear({ step: "train", state: "failed" }, 10_000);
  assert.equal(learning.elapsed(60_000), 9);
  hear({ run: "r2", step: "canary" }, 70_000);
  assert.deepEqual([learning.fromStart, learning.elapsed(71_000)], [false, 1]);
  const cues = ["running", "promoted", "rejected", "failed"].map((state) => tellRun({ ...RUN, state }, true).cue);
  assert.deepEqual(cues, ["fine", "fine", "watch", "act"]);
  assert.equal(tellRun(RUN, false).cue, "unknown");
});

test("time is written plainly", () => {
  assert.equal(clock(22830, 30), "0:12:41");
  assert.equal(clock(3, 30, true), "0:00:00.1");
  assert.deepEqual([3, 119, 4000].map(span), ["3 s", "1 min", "1 h 6 min"]);
});

test("an avatar that cannot be fetched is a note, and no unhandled rejection", async () => {
  const elements = new Map();
  const element = (id) => {
    if (!elements.has(id)) elements.set(id, { textContent: "", hidden: true, addEventListener: () => undefined });
    return elements.get(id);
  };
  const [document, fetch] = [globalThis.document, globalThis.fetch];
  globalThis.document = { getElementById: element, addEventListener: () => undefined };
  try {
    const wardrobe = new Wardrobe(() => null, () => null, () => []);
    globalThis.fetch = () => Promise.reject(new TypeError("network error"));
    await wardrobe.fetch("/avatar.vrm");
    assert.equal(element("avatar-note").textContent, "The show's avatar cannot be fetched: network error.");
    assert.equal(element("avatar-note").hidden, false);
    globalThis.fetch = () => Promise.resolve({ ok: false, status: 404 });
    await wardrobe.fetch("/avatar.vrm");
    assert.match(element("avatar-note").textContent, /fetched: 404\.$/);
  } finally {
    [globalThis.document, globalThis.fetch] = [document, fetch];
  }
});
