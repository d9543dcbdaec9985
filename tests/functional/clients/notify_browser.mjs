// Notifications in a browser: pages that come and go, a second tab, a second device:
//   node notify_browser.mjs CHROMIUM URL
// GET URL/notify?n=1 notifies the user "ada" of that number. Prints one JSON object: what each page was told.

import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const errors = [];
const seen = { errors };

async function openDevice() {
  const context = await browser.newContext();
  context.setDefaultTimeout(40_000);
  return context;
}

/** Loads the page, and lets it listen; `told` has what it is told. */
async function listen(page) {
  await page.evaluate(async () => {
    const { Client } = await import("/txroom.js");
    globalThis.told = [];
    globalThis.sent = [];
    class Socket extends WebSocket {
      send(text) {
        sent.push(JSON.parse(text));
        super.send(text);
      }
    }
    const options = { WebSocket: Socket, minDelay: 20, maxDelay: 200, probeTimeout: 300 };
    globalThis.client = new Client("/rooms?user=ada", options);
    client.on("error", (error) => told.push(String(error)));
    client.on("notifyDropped", (count) => told.push(`${count} dropped`));
    client.on("notify", (type, data) => void told.push(data));
    await client.ping(); // the answer to the subscription comes before that to this ping
  });
}

async function openPage(context) {
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(url);
  await listen(page);
  return page;
}

async function send(...numbers) {
  for (const n of numbers) await (await fetch(`${url}notify?n=${n}`)).text();
}

/** Waits until a page was told that number and has acknowledged it, and returns all that it was told. */
async function told(page, last) {
  const isDone = (last) => told.includes(last) && sent.some(([kind, , , n]) => kind === "notify" && n >= last);
  await page.waitForFunction(isDone, last, { polling: 20 });
  return page.evaluate(() => told);
}

try {
  // She is away, and has two notifications when she comes.
  await send(1, 2);
  const laptop = await openDevice();
  const silent = await laptop.newPage();
  await silent.goto(url);
  await silent.evaluate(async () => {
    const { Client } = await import("/txroom.js");
    await new Client("/rooms?user=ada").ping();
  });
  seen.storedBefore = await silent.evaluate(() => localStorage.length);
  const first = await openPage(laptop);
  await send(3);
  seen.first = await told(first, 3);
  seen.device = await first.evaluate(() => localStorage.getItem("txroom.device"));

  // A second tab gets only what comes while it is open, and so does a page that is loaded again.
  const second = await openPage(laptop);
  await send(4);
  seen.second = [await told(first, 4), await told(second, 4)];
  await first.reload();
  await listen(first);
  await send(5);
  seen.reloaded = [await told(first, 5), await told(second, 5)];

  // Both lose the connection.
  await laptop.setOffline(true);
  await first.waitForFunction(() => client.state !== "open", null, { polling: 20 });
  await second.waitForFunction(() => client.state !== "open", null, { polling: 20 });
  await send(6, 7);
  await laptop.setOffline(false);
  seen.offline = [await told(first, 7), await told(second, 7)];

  // Another device begins with what no device has acknowledged.
  const phone = await openDevice();
  const third = await openPage(phone);
  await send(8);
  seen.phone = [await told(first, 8), await told(third, 8)];
  // Each device gets what came while nobody was there, once.
  for (const page of [first, second, third]) await page.close();
  await send(9, 10);
  const back = await openPage(laptop);
  seen.back = [await told(back, 10)];
  await back.close();
  const again = await openPage(laptop);
  const fourth = await openPage(phone);
  await send(11);
  seen.back.push(await told(again, 11), await told(fourth, 11));
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
