// Two tabs of the demo page meet in a room, and the connection of one is cut:
//   node demo.mjs CHROMIUM URL DIRECTORY
// Prints one JSON object: what each tab shows at each step, and everything that went wrong in them.
// Screenshots are left in DIRECTORY.

import { chromium } from "playwright-core";

const [executablePath, url, directory] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const context = await browser.newContext({ viewport: { width: 1000, height: 700 } });
context.setDefaultTimeout(40_000);
const errors = [], requests = [], seen = { errors, requests };

async function openTab(name, topic = "", prepare = async () => {}) {
  const tab = await context.newPage();
  await prepare(tab);
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  tab.on("request", (request) => requests.push(request.url()));
  await tab.goto(url + topic);
  await tab.locator("#cut:enabled").waitFor();
  if (name) {
    await tab.fill("#name", name);
    await tab.press("#name", "Enter");
  }
  return tab;
}

/** Give the page that size, and wait until it has been laid out anew. */
async function resize(tab, width, height) {
  await tab.setViewportSize({ width, height });
  // The page sets its height when the browser tells it of its new size.
  await tab.waitForFunction(({ width, height }) => innerWidth === width && innerHeight === height
    && ["", `${height}px`].includes(document.body.style.getPropertyValue("--height")), { width, height }, { polling: 50 });
}

async function say(tab, text) {
  await tab.fill("#text", text);
  await tab.press("#text", "Enter");
}

const shown = (tab) => tab.locator("#log li:not(.note)").evaluateAll((items) => items.map((item) => {
  let head = item;
  while (!head.querySelector("b")) head = head.previousElementSibling;
  return [item.className.replace(" new", ""), head.querySelector("b").firstChild.textContent, item.querySelector("p").textContent];
}));
const texts = (tab, selector) => tab.locator(selector).allTextContents();
const shoot = (tab, name) => tab.screenshot({ path: `${directory}/${name}.png` });

try {
  // They meet in a room that Ann opens.
  const ann = await openTab("Ann");
  await ann.fill("#topic", "tea & <b>biscuits</b>");
  await ann.press("#topic", "Enter");
  await ann.locator("#title", { hasText: "tea & <b>biscuits</b>" }).waitFor();
  await ann.locator("#cut:enabled").waitFor();
  await say(ann, "Hello, is anybody there?");
  await ann.getByText("Hello, is anybody there?").waitFor();
  const bob = await openTab("Bob", "#" + encodeURIComponent("tea & <b>biscuits</b>"));
  await bob.getByText("Hello, is anybody there?").waitFor(); // history
  await say(bob, "<b>Yes</b> — schön & 🦦");
  await ann.getByText("<b>Yes</b>").waitFor();
  await ann.locator("#people li", { hasText: "Bob" }).waitFor();
  await bob.locator("#people li", { hasText: "Ann" }).waitFor();
  await bob.locator("#rooms li", { hasText: "tea & <b>biscuits</b>" }).waitFor();
  seen.rooms = await texts(bob, "#rooms li span:first-child");
  seen.people = [await texts(ann, "#people li span:first-child"), await texts(bob, "#people li span:first-child")];

  // Typing, and private words.
  await bob.locator("#text").pressSequentially("I am…");
  await ann.locator("#typing", { hasText: "Bob is typing" }).waitFor();
  seen.typing = true;
  await bob.fill("#text", "");
  await ann.locator("#people button", { hasText: "Bob" }).click();
  await say(ann, "a secret");
  await bob.locator("#log li.private", { hasText: "a secret" }).waitFor();
  await ann.locator("#to button").click();
  seen.latency = await ann.locator("#latency", { hasText: "ms" }).textContent();
  await shoot(ann, "talking");

  // The connection of one is cut; both go on talking.
  await bob.click("#cut");
  await bob.locator("#line[data-state=away]").waitFor();
  for (const text of ["one", "two", "three"]) await say(ann, text);
  await say(bob, "four");
  await say(bob, "five");
  await bob.locator("#people button", { hasText: "Ann" }).click();
  await say(bob, "between us");
  await bob.locator("#to button").click();
  await ann.locator("#people li.away", { hasText: "Bob" }).waitFor();
  seen.cut = { ann: await texts(ann, "#people li span:first-child"), bob: await shown(bob) };
  await shoot(bob, "cut");
  await bob.click("#cut"); // at once
  await bob.locator("#line[data-state=back]").waitFor();
  seen.back = await bob.locator("#line").textContent();
  await ann.locator("#log li", { hasText: "five" }).waitFor();
  await bob.locator("#log li:not(.waiting)", { hasText: "five" }).waitFor();
  await ann.locator("#log li.private", { hasText: "between us" }).waitFor();
  await ann.locator("#people li:not(.away)", { hasText: "Bob" }).waitFor();
  await shoot(bob, "recovered");
  // And again, by the network this time.
  await context.setOffline(true);
  await bob.locator("#line[data-state=away]").waitFor();
  await say(bob, "six");
  await context.setOffline(false);
  await ann.locator("#log li", { hasText: "six" }).waitFor();
  await bob.locator("#log li:not(.waiting)", { hasText: "six" }).waitFor();
  await bob.locator("#log li.note", { hasText: "is back" }).nth(1).waitFor();
  seen.ann = await shown(ann);
  seen.bob = await shown(bob);
  seen.notes = await texts(bob, "#log li.note");

  // A page that is loaded again is the same member under the same name, and Ann sees nobody come or go.
  await ann.evaluate(() => {
    window.seen = new Set();
    const look = () => window.seen.add(document.querySelectorAll("#people li").length);
    new MutationObserver(look).observe(document.querySelector("#people"), { childList: true });
  });
  await bob.reload();
  await bob.locator("#cut:enabled").waitFor();
  await bob.getByText("six").waitFor();
  await say(bob, "back again");
  await ann.getByText("back again").waitFor();
  await bob.locator("#log li:not(.waiting)", { hasText: "back again" }).waitFor();
  await bob.locator("#people li", { hasText: "Ann" }).waitFor();
  await ann.locator("#people li:not(.away)", { hasText: "Bob" }).waitFor();
  const names = await texts(bob, "#people li span:first-child");
  seen.reloaded = { names, mine: (await shown(bob)).at(-1)[0], counts: await ann.evaluate(() => [...window.seen]) };

  // A room that somebody opens is in the lists of all.
  const carl = await openTab("Carl", "#garden");
  await carl.locator("#rooms button", { hasText: "garden" }).waitFor();
  await ann.locator("#rooms button", { hasText: "garden" }).waitFor();
  await carl.close();

  // Somebody closes the tab, and learns what was whispered meanwhile when she comes back to another room, once.
  let dora = await openTab("Dora", "#" + encodeURIComponent("tea & <b>biscuits</b>"));
  await ann.locator("#people li:not(.away)", { hasText: "Dora" }).waitFor();
  await dora.close();
  await ann.locator("#people li.away", { hasText: "Dora" }).waitFor();
  await ann.locator("#people button", { hasText: "Dora" }).click();
  for (const text of ["Are you still there? The kettle is on.", "We begin at <i>five</i>."]) {
    await say(ann, text);
    await ann.locator("#log li.private", { hasText: text }).waitFor();
  }
  await ann.locator("#to button").click();
  dora = await openTab("", "#garden");
  await dora.locator("#missed li", { hasText: "five" }).waitFor();
  seen.missed = { name: await dora.inputValue("#name"), texts: await texts(dora, "#missed li span, #missed li p") };
  for (const width of [1280, 390]) {
    await resize(dora, width, 760);
    await shoot(dora, `missed-${width}`);
    seen.missed[width] = await dora.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  }
  await dora.locator("#missed button", { hasText: "×" }).first().click();
  await dora.locator("#missed button", { hasText: "tea" }).click();
  await dora.locator("#title", { hasText: "tea" }).waitFor();
  await dora.locator("#cut:enabled").waitFor();
  seen.missed.left = await dora.locator("#missed li").count();
  await dora.reload();
  await dora.locator("#latency", { hasText: "ms" }).waitFor();
  seen.missed.again = [await dora.inputValue("#name"), await dora.locator("#missed li").count()];
  await dora.close();

  // The connection is there, but the room is away, as if it had lived in a process that ends: first on the connection
  // that it had, and then on a new one. While it is away, the server can't resume it.
  let room, link, isGone = false;
  const eve = await openTab("Eve", "#far", (tab) => tab.routeWebSocket(/rooms/, (page) => {
    const server = page.connectToServer();
    link = page;
    server.onMessage((text) => {
      const [kind, , id] = JSON.parse(text);
      if (kind === "joined") room = id;
      page.send(text);
    });
    page.onMessage((text) => {
      const [kind, ref] = JSON.parse(text);
      if (isGone && kind === "resume") page.send(JSON.stringify(["error", ref, null, "unavailable", "the room is away"]));
      else server.send(text);
    });
  }));
  const bar = async () => [await eve.locator("#state").textContent(), await eve.locator("#line").textContent()];
  const noRoom = eve.locator("#line", { hasText: "The room is not available" });
  isGone = true;
  link.send(JSON.stringify(["left", room, 4101, "the room has moved"]));
  await noRoom.waitFor();
  await say(eve, "to the room that is away");
  await eve.locator("#log li.waiting", { hasText: "waiting for the room" }).waitFor();
  seen.roomAway = [await bar()];
  await link.close({ code: 4100 });
  await eve.locator("#line", { hasText: "There is no connection" }).waitFor();
  await eve.click("#cut"); // at once
  await noRoom.waitFor();
  seen.roomAway.push(await bar());
  isGone = false;
  await eve.locator("#line[data-state=back]").waitFor();
  await eve.locator("#log li:not(.waiting)", { hasText: "to the room that is away" }).waitFor();
  seen.roomBack = await texts(eve, "#log li.note");
  await eve.close();

  // Behind the keyboard of a phone the conversation is what is left of the page.
  await resize(bob, 390, 420);
  await say(bob, "typed on a phone");
  await bob.locator("#log li", { hasText: "typed on a phone" }).waitFor();
  seen.phone = await bob.evaluate(() => {
    const log = document.querySelector("#log").getBoundingClientRect();
    const inside = [...document.querySelectorAll("#log li, #form")].map((each) => each.getBoundingClientRect());
    const shown = inside.filter(({ top, bottom }) => top >= 0 && bottom <= innerHeight);
    return { log: log.height, last: shown.length >= 2, form: inside.at(-1).bottom <= innerHeight };
  });
  await shoot(bob, "phone");

  // In a room where nobody has said anything yet the first words can be written, on any screen.
  const cat = await openTab("Cat", "#quiet");
  seen.clipped = [];
  for (const [width, height] of [[320, 640], [320, 568], [390, 420], [1300, 900]]) {
    await resize(cat, width, height);
    seen.clipped.push(...await cat.locator("#empty strong, #text, #send").evaluateAll((all) => all.filter((each) => {
      const [inner, outer] = [each, each.closest(".card")].map((element) => element.getBoundingClientRect());
      return inner.height === 0 || inner.top < outer.top || inner.bottom > outer.bottom || outer.bottom > innerHeight;
    }).map(({ id, tagName }) => [innerWidth, innerHeight, id || tagName])));
  }
  await cat.close();

  // On a small screen, and in the dark.
  await resize(bob, 360, 640);
  await bob.emulateMedia({ colorScheme: "dark" });
  seen.overflow = await bob.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await shoot(bob, "small");

  // The game: calls, ticks, and the score in presence.
  for (const tab of [ann, bob]) await tab.locator("#rooms button", { hasText: "Whack" }).click();
  for (let tries = 0; tries < 20 && !(await ann.getByText("you · 1").count()); tries++) {
    await ann.locator("#board .up").click({ force: true, timeout: 2000 }).catch(() => {});
    await ann.waitForTimeout(100);
  }
  await bob.locator("#people li", { hasText: /^Ann[1-9]/ }).waitFor();
  seen.score = true;
  await ann.locator("#board .up").waitFor();
  await shoot(ann, "game");
  // All of it is seen without scrolling, on small screens too.
  seen.hidden = [];
  for (const [width, height] of [[800, 600], [360, 640]]) {
    await resize(ann, width, height);
    seen.hidden.push(await ann.evaluate(() => {
      const game = document.querySelector("#game");
      const [inner, outer] = [game, game.parentElement].map((element) => element.getBoundingClientRect());
      return [...document.querySelectorAll("#board button, #result")].filter((element) => {
        const { left, top, right, bottom } = element.getBoundingClientRect();
        const isIn = (box) => left >= box.left && top >= box.top && right <= box.right && bottom <= box.bottom;
        return !isIn(inner) || !isIn(outer);
      }).length;
    }));
  }
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
