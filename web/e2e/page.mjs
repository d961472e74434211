// Drive the page in headless Chromium through every state and print, as JSON, what was seen.
// Usage: node e2e/page.mjs URL CHROMIUM [FOLDER FOR SCREENSHOTS]
import { chromium } from "playwright-core";

const [url, executablePath, pictures] = process.argv.slice(2);
const WAIT = { timeout: 120_000 };
const ARGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
];
const LAPTOP = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };

const browser = await chromium.launch({ executablePath, args: ARGS });
const blank = await (await browser.newContext()).newPage();
const report = { requests: [], problems: [], fits: {}, said: {} };

const cue = async (name) => {
  const answer = await fetch(`${url}cue/${name}`, { method: "POST" });
  if (!answer.ok) throw new Error(`no cue ${name}`);
};
const data = (page) => page.evaluate(() => ({ ...document.documentElement.dataset }));
const started = Date.now();
report.took = [];
const took = (name) => report.took.push([name, Date.now() - started]);
const text = (page, id) => page.locator(`#${id}`).innerText();
const until = (page, name, value) =>
  page.waitForFunction(([n, v]) => document.documentElement.dataset[n] === v, [name, value], WAIT);
const frames = async (page, more) => {
  const from = Number((await data(page)).frames);
  await page.waitForFunction((n) => Number(document.documentElement.dataset.frames) >= n, from + more, WAIT);
};

async function open(viewport, colorScheme, more = {}) {
  const context = await browser.newContext({ viewport, colorScheme, ...more });
  context.setDefaultTimeout(WAIT.timeout);
  const page = await context.newPage();
  page.on("request", (request) => report.requests.push(request.url()));
  page.on("websocket", (socket) => report.requests.push(socket.url()));
  page.on("pageerror", (error) => report.problems.push(String(error)));
  page.on("console", (message) => {
    // A server that is gone is an error to the browser's console, and a state to the page.
    const outage = message.text().includes("WebSocket connection to");
    if (message.type() === "error" && !outage) report.problems.push(message.text());
  });
  return page;
}

async function picture(page, name) {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` });
}

/** How much the picture varies: 0 for a blank one; computed from what is on the screen. */
async function painted(page) {
  const png = (await page.locator("#stage").screenshot()).toString("base64");
  return blank.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(image.width * 0.25, 0, image.width * 0.5, image.height * 0.9);
    let [sum, squares, n] = [0, 0, 0];
    for (let i = 0; i < data.length; i += 16) {
      const grey = (data[i] + data[i + 1] + data[i + 2]) / 3;
      [sum, squares, n] = [sum + grey, squares + grey * grey, n + 1];
    }
    return Math.sqrt(squares / n - (sum / n) ** 2);
  }, png);
}

/** What sticks out to the side of the window, or of the element that holds it. */
const overflow = (page) =>
  page.evaluate(() => {
    const wide = [...document.querySelectorAll("body *")].filter((element) => {
      if (element.closest("[hidden], dialog:not([open])") || element.matches(".unseen, .unseen *")) return false;
      const box = element.getBoundingClientRect();
      return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
    });
    return [document.documentElement.scrollWidth - innerWidth, ...wide.map((e) => e.id || e.className)];
  });

async function say(page, name) {
  report.said[name] = await page.evaluate(() => ({
    ...document.documentElement.dataset,
    word: document.getElementById("word").textContent,
    sentence: document.getElementById("sentence").textContent,
    announced: document.getElementById("announce").textContent,
  }));
  await picture(page, `laptop-dark-${name}`);
}

async function live(page) {
  await until(page, "state", "live");
  await frames(page, 5);
  const before = Number((await data(page)).tick);
  await frames(page, 20);
  await say(page, "capture");
  report.ticks = [before, Number((await data(page)).tick)];
  report.painted = await painted(page);
  report.notice = await text(page, "notices");
  report.release = await page.locator("#release").getAttribute("title");
}

async function look(page) {
  await page.keyboard.press("Space");
  const paused = (await data(page)).tick;
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  await page.waitForFunction((t) => Number(document.documentElement.dataset.tick) === t - 2, Number(paused), WAIT);
  await frames(page, 10);
  const [at, mode] = [(await data(page)).tick, await text(page, "moment-mode")];
  await picture(page, "laptop-dark-paused");
  await page.keyboard.press("l");
  await page.waitForFunction((t) => Number(document.documentElement.dataset.tick) > t, Number(paused), WAIT);
  await page.keyboard.press("?");
  const help = await page.locator("#help").isVisible();
  await picture(page, "laptop-dark-keys");
  await page.keyboard.press("Escape");
  const box = await page.locator("#timeline").boundingBox();
  await page.mouse.move(box.x + 140, box.y + 40);
  await page.waitForFunction(() => document.getElementById("moment-mode").textContent === "looking at", null, WAIT);
  const hovered = Number((await data(page)).tick);
  await page.mouse.move(box.x + 140, box.y - 300);
  await page.waitForFunction(() => document.getElementById("moment-mode").textContent === "now", null, WAIT);
  report.look = { paused: Number(paused), at: Number(at), mode, help, hovered };
}

/** Alerts of two causes, a swap, and the learning loop from its first step to each of its ends. */
async function learns(page) {
  const run = async (word) => {
    await page.waitForFunction((w) => document.getElementById("run-word").textContent === w, word, WAIT);
    return page.evaluate(() => ({
      cue: document.getElementById("run-cue").dataset.cue,
      text: document.getElementById("run-text").textContent,
      steps: [...document.querySelectorAll(".step")].map((step) => step.dataset.step),
      line: document.getElementById("run-line").innerText,
      elapsed: document.getElementById("run-elapsed").textContent,
      release: document.querySelector("#run-release-line:not([hidden])")?.innerText ?? "",
    }));
  };
  const learning = { none: await run("no run") };
  await cue("style");
  await until(page, "cue", "watch");
  await cue("learn");
  learning.running = await run("running");
  await cue("fault");
  await until(page, "cue", "act");
  await frames(page, 10);
  const base = await text(page, "confidence-base");
  const first = (await data(page)).release;
  await cue("swap");
  await page.waitForFunction((r) => document.documentElement.dataset.release !== r, first, WAIT);
  await frames(page, 20);
  await say(page, "fault");
  report.causes = {
    listed: await page.locator(".alert").evaluateAll((all) =>
      all.map((alert) => [alert.dataset.cue, alert.querySelector(".cause").textContent])),
    legend: await page.locator("#legend li").allTextContents(),
  };
  await cue("mended");
  await cue("calm");
  await until(page, "cue", "fine");
  await say(page, "swapped");
  for (const word of ["rejected", "failed", "promoted"]) {
    await cue(word);
    learning[word] = await run(word);
    await picture(page, `laptop-dark-${word}`);
  }
  // Walk along the axis to its mark: hovering tells what it is.
  const box = await page.locator("#timeline").boundingBox();
  const told = [];
  for (let x = 130; x < box.width && !told.at(-1)?.includes("→"); x += 6) {
    await page.mouse.move(box.x + x, box.y + 40);
    await page.waitForTimeout(60);
    told.push(await text(page, "moment-figures"));
  }
  await picture(page, "laptop-dark-swap");
  await page.mouse.move(box.x + 140, box.y - 300);
  await page.waitForFunction(() => document.getElementById("moment-mode").textContent === "now", null, WAIT);
  report.swap = {
    first,
    then: (await data(page)).release,
    shown: await page.locator("#release").getAttribute("title"),
    bases: [base, await text(page, "confidence-base")],
    hovered: told.at(-1),
  };
  report.learning = learning;
}

/** Reload: what went by comes back, and the clip of a moment with it. */
async function reload(page) {
  const last = Number((await data(page)).tick);
  await page.reload();
  await until(page, "state", "live");
  await page.waitForFunction(() => document.getElementById("timeline").getAttribute("aria-valuemin") === "0", null, WAIT);
  await page.keyboard.press("Home");
  await page.waitForFunction(() => document.documentElement.dataset.tick === "0", null, WAIT);
  await page.waitForTimeout(300);
  report.reload = { last, first: (await data(page)).tick, told: await text(page, "moment-figures"), clip: await text(page, "clip") };
  await picture(page, "laptop-dark-reload");
  await page.keyboard.press("l");
}

async function missed(page) {
  await cue("miss");
  await page.waitForFunction(() => !document.getElementById("missed-line").hidden, null, WAIT);
  await say(page, "missed");
  report.missed = {
    line: await text(page, "missed-line"),
    figure: await text(page, "missed"),
    skipped: await page.locator("#skipped-line").isVisible(),
  };
  await cue("end");
  await cue("verdict");
  await page.waitForFunction(() => document.getElementById("verdict-class").textContent.includes("missed"), null, WAIT);
  report.missed.verdict = await text(page, "verdict-class");
  await say(page, "gaps");
}

async function states(page) {
  await cue("alert");
  for (const rung of ["speech", "previous", "hold"]) {
    await cue(rung);
    await until(page, "rung", rung);
    await frames(page, 35);
    await say(page, rung);
  }
  await cue("calm");
  await cue("capture");
  await until(page, "rung", "capture");
  await cue("stop");
  await until(page, "state", "stale");
  await say(page, "stale");
  await cue("start");
  await until(page, "state", "live");
  await cue("garbage");
  await until(page, "state", "error");
  await say(page, "error");
  await cue("start");
  await until(page, "state", "live");
  await cue("outage");
  await until(page, "state", "offline");
  await say(page, "offline");
  await until(page, "state", "live");
  await frames(page, 5);
  await say(page, "back");
}

async function over(page) {
  await cue("end");
  await until(page, "state", "ended");
  await say(page, "ended");
  await cue("differ");
  await page.waitForFunction(() => document.documentElement.dataset.cue === "act", null, WAIT);
  report.differs = await text(page, "verdict-text");
  await say(page, "differs");
  await cue("verdict");
  await page.waitForFunction(() => document.documentElement.dataset.cue === "fine", null, WAIT);
  report.verdict = await text(page, "verdict-text");
  report.show = await page.locator("#show-hash").getAttribute("title");
  await say(page, "verdict");
}

async function fits(viewport, scheme, name, query = "", state = "live") {
  const page = await open(viewport, scheme, { reducedMotion: "reduce" });
  await page.goto(url + query);
  await until(page, "state", state);
  if (state === "live") await frames(page, 10);
  else await page.waitForTimeout(1000);
  const hidden = state === "ended" ? null : await simulated(page);
  report.fits[name] = { hidden, overflow: await overflow(page), painted: await painted(page) };
  await picture(page, name);
  await page.context().close();
}

/** What of the word `simulated` is out of sight or too small; null when it can be read. */
const simulated = (page) =>
  page.evaluate(() => {
    const word = document.getElementById("simulated");
    const box = word.getBoundingClientRect();
    const stage = document.getElementById("stage").getBoundingClientRect();
    const size = parseFloat(getComputedStyle(word).fontSize);
    if (size < 22) return `${size} px`;
    const inside = box.width > 0 && box.top >= stage.top && box.right <= stage.right && box.bottom <= innerHeight;
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    return inside && document.elementFromPoint(x, y) === word ? null : "out of sight";
  });

async function flat() {
  const page = await open(LAPTOP, "dark");
  await page.addInitScript(() => {
    const real = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
      return kind.startsWith("webgl") ? null : real.call(this, kind, ...rest);
    };
  });
  const problems = report.problems.length;
  await page.goto(url);
  await until(page, "state", "live");
  await frames(page, 10);
  report.flat = { told: await page.locator("#flat").isVisible(), painted: await painted(page) };
  report.problems.splice(problems); // three.js itself says that there is no WebGL
  await picture(page, "laptop-dark-flat");
  await page.context().close();
}

const page = await open(LAPTOP, "dark");
await page.goto(url);
await until(page, "state", "idle");
await say(page, "idle");
await cue("rewind");
await live(page);
took("live(page)");
await look(page);
took("look(page)");
await learns(page);
took("learns(page)");
await reload(page);
await states(page);
took("states(page)");
await over(page);
took("over(page)");
await cue("rewind");
await until(page, "state", "live");
await frames(page, 5);
await missed(page);
took("missed(page)");
await page.context().close();
await cue("rewind");
await fits(PHONE, "dark", "phone-dark");
await fits(PHONE, "light", "phone-light");
await fits(LAPTOP, "light", "laptop-light", "?quality=full");
await fits({ width: 2560, height: 1440 }, "dark", "wide-dark");
await fits({ width: 960, height: 700 }, "dark", "small-dark");
await flat();
await cue("end");
await cue("verdict");
await fits(PHONE, "dark", "phone-ended", "", "ended");
took("flat()");
await browser.close();
console.log(JSON.stringify(report));
