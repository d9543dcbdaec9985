// Unmodified clients of Colyseus in a page of Chromium, whose origin is not that of the rooms:
//   node colyseus_browser.mjs CHROMIUM PAGE ROOMS STRICT
// The page loads the scripts "new.js" and "old.js". The rooms at STRICT don't allow its origin. Prints one JSON
// object: what the clients saw.
import { chromium } from "playwright-core";

const [, , executablePath, url, rooms, strict] = process.argv;
const quiet = ["--disable-gpu", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const report = { errors: [] };

/** Runs in the page: what a client of that script sees. */
async function play([script, rooms]) {
  await new Promise((resolve) => {
    const element = document.createElement("script");
    document.head.append(Object.assign(element, { src: script, onload: resolve }));
  });
  const client = new Colyseus.Client(rooms);
  const refused = await client.joinOrCreate("closed").catch(({ code }) => code);
  client.auth.token = "secret";
  const room = await client.joinOrCreate("closed");
  const who = new Promise((resolve) => room.onMessage("who", resolve));
  room.send("who");
  return [refused, await who, await room.leave()];
}

try {
  const page = await browser.newPage();
  page.setDefaultTimeout(40_000);
  page.on("pageerror", (error) => report.errors.push(String(error)));
  await page.goto(url);
  for (const script of ["new.js", "old.js"]) {
    report[script] = await page.evaluate(play, [script, rooms]);
  }
  report.stranger = await page.evaluate(async (rooms) => {
    const asked = fetch(`${rooms}/matchmake/joinOrCreate/lab`, { method: "POST" });
    return asked.then(({ status }) => status, ({ name }) => name);
  }, strict);
  console.log(JSON.stringify(report));
} finally {
  await browser.close();
}
