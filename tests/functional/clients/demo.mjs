// Two tabs of the demo page talk to one another:
//   node demo.mjs CHROMIUM URL [SCREENSHOT]
// Prints one JSON object: what each tab shows, and everything that went wrong in them.

import { chromium } from "playwright-core";

const [executablePath, url, screenshot] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const context = await browser.newContext({ viewport: { width: 560, height: 680 } });
context.setDefaultTimeout(10_000);
const errors = [], requests = [];

async function openTab(name) {
  const tab = await context.newPage();
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  tab.on("request", (request) => requests.push(request.url()));
  await tab.goto(url);
  await tab.locator("#status[data-state=open]").waitFor();
  await tab.fill("#name", name);
  return tab;
}

async function say(tab, text) {
  await tab.fill("#text", text);
  await tab.press("#text", "Enter");
}

const shown = (tab) => tab.locator("#log li").evaluateAll((items) => items.map(
  (item) => [item.classList[0], item.querySelector("b")?.textContent ?? "", item.querySelector("p").textContent]));

try {
  const [ann, bob] = [await openTab("Ann"), await openTab("Bob")];
  await say(ann, "Hello, is anybody there?");
  await bob.getByText("Hello, is anybody there?").waitFor();
  await say(bob, "<b>Yes</b> — schön & 🦦");
  await ann.getByText("<b>Yes</b>").waitFor();
  if (screenshot) await ann.screenshot({ path: screenshot });
  console.log(JSON.stringify({ ann: await shown(ann), bob: await shown(bob), errors, requests }));
} finally {
  await browser.close();
}
