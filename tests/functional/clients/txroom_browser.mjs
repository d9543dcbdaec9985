// The JavaScript client in a browser, from a page that loads it as a module:
//   node txroom_browser.mjs CHROMIUM URL
// Prints one JSON object: what happened.

import { chromium } from "playwright-core";

const [executablePath, url] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const errors = [];

try {
  const context = await browser.newContext();
  context.setDefaultTimeout(40_000);
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    const isExpected = /^WebSocket connection to .* failed: .*ERR_INTERNET_DISCONNECTED/.test(message.text());
    if (message.type() === "error" && !isExpected) errors.push(message.text());
  });
  await page.goto(url);
  const first = await page.evaluate(async () => {
    const { Client } = await import("/txroom.js");
    // The URL and the class of the socket are the page's.
    const client = new Client(undefined, { auth: "open sesame", minDelay: 20, maxDelay: 200, probeTimeout: 300 });
    const room = await client.joinOrCreate("parlour", { name: "ada" });
    Object.assign(globalThis, { client, room, events: [], said: [] });
    room.on("said", ({ text }) => said.push(text));
    for (const name of ["reconnecting", "recovered", "lost", "left"]) room.on(name, () => events.push(name));
    await room.send("say", "one");
    const roll = await room.call("roll", { sides: 6 });
    return { roll, latency: (await client.ping()) >= 0, url: client.url };
  });
  const cut = await page.evaluate(async () => {
    client.reconnect(100);
    await room.send("say", "two");
    return [...events];
  });
  let sockets = 0;
  page.on("websocket", () => sockets++);
  const moved = [];
  for (const isKept of [true, false]) {
    const seen = await page.evaluate(async (isKept) => {
      events.length = said.length = 0;
      const moving = room.send("move", isKept);
      // Some of these are on their way when the room lets go.
      const sends = ["a", "b", "c", "d"].map((text) => room.send("say", text));
      const roll = await room.call("roll", { sides: 6 });
      await Promise.all([moving, ...sends]);
      while (room.status !== "joined" || events.length < 2) await new Promise((next) => setTimeout(next, 5));
      await room.send("say", "two");
      return { roll, events: [...events], said: [...new Set(said)].sort(), state: client.state };
    }, isKept);
    moved.push(seen);
  }
  const sameSocket = sockets === 0;
  await page.evaluate(() => {
    said.splice(0, said.length, "one", "two");
    events.length = 0;
  });
  await context.setOffline(true);
  await page.evaluate(() => void room.send("say", "three"));
  await page.waitForTimeout(1_000);
  await context.setOffline(false);
  await page.waitForFunction(() => said.includes("three") && room.status === "joined");
  const offline = await page.evaluate(() => ({ said, lost: events.includes("lost") }));
  const member = await page.evaluate(() => {
    addEventListener("pagehide", () => sessionStorage.setItem("room", room.reconnectionToken));
    return room.member;
  });
  await page.reload();
  const reloaded = await page.evaluate(async (member) => {
    const { Client } = await import("/txroom.js");
    const client = new Client(undefined, { auth: "open sesame" });
    const room = await client.resume(sessionStorage.getItem("room"));
    Object.assign(globalThis, { client, room });
    const roll = await room.call("roll", { sides: 4 });
    return { isSame: room.member === member, members: room.members.length, snapshot: room.snapshot, roll };
  }, member);
  const last = await page.evaluate(async () => {
    await room.leave();
    client.close();
    return client.state;
  });
  console.log(JSON.stringify({ first, cut, moved, sameSocket, offline, reloaded, last, errors }));
} finally {
  await browser.close();
}
