// Control a real show from its page, at a desk and on a phone; print, as JSON, what was seen.
// Usage: node e2e/operator.mjs URL CHROMIUM TOKEN [FOLDER FOR SCREENSHOTS]
import { chromium } from "playwright-core";

const [url, executablePath, token, pictures] = process.argv.slice(2);
const WAIT = { timeout: 60_000 };
const browser = await chromium.launch({
  executablePath,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
  ],
});
const report = { problems: [], requests: [] };

async function open(viewport, address, more = {}) {
  const context = await browser.newContext({ viewport, colorScheme: "dark", ...more });
  context.setDefaultTimeout(WAIT.timeout);
  const page = await context.newPage();
  page.on("pageerror", (error) => report.problems.push(String(error)));
  page.on("request", (request) => report.requests.push(request.url()));
  await page.goto(address);
  await rung(page, "capture");
  return page;
}

const rung = (page, value) =>
  page.waitForFunction((v) => document.documentElement.dataset.state === "live" && document.documentElement.dataset.rung === v, value, WAIT);
const text = (page, id) => page.locator(`#${id}`).innerText();
const shot = async (page, name) => pictures && page.screenshot({ path: `${pictures}/${name}.png` });

const desk = await open({ width: 1280, height: 800 }, url);
report.before = await desk.locator("#operator-buttons").isVisible();
await desk.keyboard.press("h");
report.asks = await desk.locator("#operator-dialog").innerText();
await shot(desk, "operator-dialog");
await desk.fill("#operator-token", "not the token at all");
await desk.press("#operator-token", "Enter");
await desk.waitForFunction(() => document.getElementById("operator-why").textContent !== "", null, WAIT);
report.wrong = await text(desk, "operator-why");
await desk.fill("#operator-token", token);
await desk.press("#operator-token", "Enter");
await desk.locator("#operator-hold").click();
await rung(desk, "hold");
report.held = [await text(desk, "word"), await text(desk, "sentence"), await text(desk, "operator-hold")];
await shot(desk, "operator-held");
await desk.locator("#operator-hold").click();
await rung(desk, "capture");
await desk.keyboard.press("c");
await desk.waitForFunction(() => !["capture", "hold", ""].includes(document.documentElement.dataset.rung), null, WAIT);
report.cut = [await text(desk, "sentence"), await text(desk, "operator-cut")];
await shot(desk, "operator-cut");
await desk.keyboard.press("c");
await rung(desk, "capture");

const phone = await open({ width: 390, height: 844 }, `${url}#operator=${token}`, { hasTouch: true, isMobile: true });
report.address = phone.url();
await phone.locator("#operator-hold").tap();
await rung(phone, "hold");
await shot(phone, "operator-phone");
report.wide = await phone.evaluate(() => document.documentElement.scrollWidth - innerWidth);
await phone.locator("#operator-hold").tap();
await rung(phone, "capture");
await phone.reload(); // the tab keeps it
await rung(phone, "capture");
report.kept = await phone.locator("#operator-buttons").isVisible();
await browser.close();
console.log(JSON.stringify(report));
