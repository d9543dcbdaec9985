// Browsers with the demo's chat, which does what it is told:
//   node chatting.mjs CHROMIUM
// Reads commands from standard input, one JSON array in each line, and answers each with a line of JSON:
//   ["open", URL, NAME]   opens another tab, in the room "tea"
//   ["say", TAB, TEXT]    types a message in the tab of that number, also if it is not connected
//   ["heard", TEXT]       waits until all tabs show the message, and its author knows that it was sent
//   ["shown"]             what each tab shows: its messages, and what it says of the connection
// When the input ends, all is closed.

import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

const [executablePath] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const tabs = [], errors = [];

async function open(url, name) {
  const tab = await browser.newPage(); // in a context of its own, as another browser
  tab.setDefaultTimeout(90_000);
  tab.on("pageerror", (error) => errors.push(String(error)));
  await tab.addInitScript((name) => sessionStorage.setItem("name", name), name);
  await tab.goto(`${url}#tea`);
  await tab.locator("#cut:enabled").waitFor();
  tabs.push(tab);
}

const texts = (tab, selector) => tab.locator(selector).allTextContents();

const commands = {
  open,
  async say(number, text) {
    await tabs[number].fill("#text", text);
    await tabs[number].press("#text", "Enter");
  },
  async heard(text) {
    for (const tab of tabs) await tab.locator("#log li:not(.waiting) p", { hasText: text }).waitFor();
  },
  async shown() {
    const each = async (tab) => ({ said: await texts(tab, "#log li:not(.note) p"), notes: await texts(tab, "#log li.note") });
    return { tabs: await Promise.all(tabs.map(each)), errors };
  },
};

try {
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, ...more] = JSON.parse(line);
    console.log(JSON.stringify((await commands[name](...more)) ?? null));
  }
} finally {
  await browser.close();
}
