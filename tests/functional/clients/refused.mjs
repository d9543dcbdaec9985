// A page that is refused, and one that asks where nobody listens:
//   node refused.mjs CHROMIUM URL
// Prints one JSON object: what the page is told.

import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const errors = [];

try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    const isExpected = /^WebSocket connection to .* failed: .*ERR_(CONNECTION_REFUSED|UNSAFE_PORT)/.test(message.text());
    if (message.type() === "error" && !isExpected) errors.push(message.text());
  });
  let sockets = 0;
  page.on("websocket", () => sockets++);
  await page.goto(url);
  const refused = await page.evaluate(async () => {
    const { Client } = await import("/txroom.js");
    const error = await new Client(undefined, { requestTimeout: 600_000 }).joinOrCreate("parlour", { name: "eve" }).catch((error) => error);
    return [error.code, error.message];
  });
  const seen = { refused, sockets };
  seen.dead = await page.evaluate(async () => {
    const { Client } = await import("/txroom.js");
    const client = new Client("ws://127.0.0.1:1/rooms", { minDelay: 5, requestTimeout: 600_000 });
    const error = await client.joinOrCreate("parlour").catch((error) => error);
    return [error.code, error.message.startsWith("no connection to ws://127.0.0.1:1/rooms (")];
  });
  console.log(JSON.stringify({ ...seen, errors }));
} finally {
  await browser.close();
}
