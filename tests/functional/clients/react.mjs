// A built React application with StrictMode, in a browser:
//   node react.mjs CHROMIUM URL
// Prints one JSON object: what it shows.

import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const errors = [];

async function open(name) {
  const page = await browser.newPage();
  page.setDefaultTimeout(40_000);
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${url}?name=${name}`);
  await page.locator("#status", { hasText: "parlour: joined" }).waitFor();
  return page;
}

async function say(page, text) {
  await page.fill("input", text);
  await page.press("input", "Enter");
  await page.locator("#said li", { hasText: text }).waitFor();
}

try {
  const ada = await open("ada");
  await say(ada, "one");
  const bob = await open("bob");
  await bob.locator("#said li", { hasText: "one" }).waitFor(); // history: he is no newcomer the second time, yet sees it
  await say(bob, "two");
  await ada.locator("#said li", { hasText: "two" }).waitFor();
  await ada.locator("#members li", { hasText: "bob" }).waitFor();
  const texts = (page, list) => page.locator(`${list} li`).allTextContents();
  const said = [await texts(ada, "#said"), await texts(bob, "#said")];
  const members = [await texts(ada, "#members"), await texts(bob, "#members")];
  console.log(JSON.stringify({ said, members, errors }));
} finally {
  await browser.close();
}
