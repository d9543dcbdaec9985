// The playground of a server for developers, in a browser:
//   node dev.mjs CHROMIUM URL
// Prints one JSON object: what the page shows, and everything that went wrong in it.

import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const errors = [], requests = new Set(), seen = { errors };
try {
  const tab = await browser.newPage();
  tab.setDefaultTimeout(40_000);
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  tab.on("request", (request) => requests.add(new URL(request.url()).origin));
  await tab.goto(url);
  await tab.getByRole("button", { name: "Join" }).click();
  await tab.locator(".badge", { hasText: /^joined$/ }).waitFor();
  await tab.locator("summary", { hasText: "Another message" }).waitFor();
  seen.types = await tab.locator("summary b").allTextContents();
  const open = tab.locator("details[open]");
  await tab.locator("summary", { hasText: "add" }).click();
  await open.locator("input").fill("7");
  await open.getByRole("button", { name: "Call" }).click();
  seen.answer = await open.locator("pre", { hasText: /./ }).textContent();
  await tab.locator(".tree li", { hasText: "7" }).waitFor();
  seen.state = await tab.locator(".tree li").allTextContents();
  await tab.locator("summary", { hasText: "broken" }).click();
  await open.getByRole("button", { name: "Call" }).click();
  seen.problem = await open.locator("pre", { hasText: /./ }).textContent();
  seen.origins = [...requests];
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
