// Two tabs of the tutorial's page, whose server is stopped and started again when this asks for it:
//   node tutorial.mjs CHROMIUM URL
// Prints "stop" and "start", and at the end one JSON object: what each tab shows.

import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const context = await browser.newContext();
context.setDefaultTimeout(40_000);
const errors = [];

async function openTab(name) {
  const tab = await context.newPage();
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("dialog", (dialog) => dialog.accept(name));
  await tab.goto(url);
  await tab.locator("#state", { hasText: /^connected$/ }).waitFor();
  return tab;
}

async function say(tab, text) {
  await tab.fill("input", text);
  await tab.press("input", "Enter");
}

const shown = (tab) => tab.locator("#log li").allTextContents();

try {
  const [ann, bob] = [await openTab("Ann"), await openTab("Bob")];
  await say(ann, "hello");
  await bob.getByText("Ann: hello").waitFor();
  await bob.locator("#here", { hasText: "Ann, Bob" }).waitFor();
  console.log("stop");
  await ann.locator("#state", { hasText: "reconnecting" }).waitFor();
  await say(ann, "still there?");
  console.log("start");
  for (const tab of [ann, bob]) await tab.locator("#state", { hasText: "something was missed" }).waitFor();
  await say(bob, "yes");
  for (const tab of [ann, bob]) await tab.getByText("Bob: yes").waitFor();
  console.log(JSON.stringify({ ann: await shown(ann), bob: await shown(bob), errors }));
} finally {
  await browser.close();
}
