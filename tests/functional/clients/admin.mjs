// The operators' page in a browser:
//   node admin.mjs CHROMIUM ADMIN-URL ROOMS-URL DIRECTORY MANAGE-SECRET READ-SECRET
// Prints one JSON object: what the page shows at each step, and everything that went wrong in it.
// Screenshots are left in DIRECTORY.

import { chromium } from "playwright-core";
import WebSocket from "ws";

import { Client } from "../../../txroom/web/txroom.js";

const [executablePath, url, roomsUrl, directory, manageSecret, readSecret] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const errors = [], requests = new Set(), seen = { errors };

async function openTab(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(40_000);
  const tab = await context.newPage();
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  tab.on("request", (request) => requests.add(new URL(request.url()).origin));
  await tab.goto(url);
  return tab;
}

async function logIn(tab, secret) {
  await tab.fill("#secret", secret);
  await tab.press("#secret", "Enter");
}

/** The text of an element, once it is there and has one. */
const text = (tab, selector) => tab.locator(selector, { hasText: /./ }).textContent();
const texts = (tab, selector) => tab.locator(selector).allTextContents();
const live = (tab) => tab.locator("#status[data-state=open]").waitFor();
const shoot = (tab, name) => tab.screenshot({ path: `${directory}/${name}.png` });
const go = (tab, hash) => tab.evaluate((next) => (location.hash = next), hash);

/** A member of the room, who hears what is sent there. */
async function join(room, user) {
  const client = new Client(`${roomsUrl}?user=${user}`, { WebSocket, minDelay: 20 });
  const member = { client, heard: [], left: null };
  client.on("error", () => {});
  const joined = await client.joinById(room, {}, (each) => {
    each.onMessage("*", (type, data) => member.heard.push([type, data]));
    each.on("left", ({ code, reason }) => (member.left = [code, reason]));
  });
  return Object.assign(member, { room: joined });
}

/** In the page: the short labels of facts that have two lines, and the placeholders of search fields that are cut. */
function brokenTexts() {
  const labels = [...document.querySelectorAll(".facts dt")].filter((each) => {
    const range = document.createRange();
    range.selectNodeContents(each);
    return each.textContent.length <= 12 && range.getBoundingClientRect().height > 30;
  });
  const pen = document.createElement("canvas").getContext("2d");
  const fields = [...document.querySelectorAll("input[type=search]")].filter((each) => {
    const style = getComputedStyle(each);
    pen.font = style.font;
    return pen.measureText(each.placeholder).width > each.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  });
  return [...labels.map((each) => each.textContent), ...fields.map((each) => each.placeholder)];
}

async function until(condition, what) {
  for (const start = performance.now(); !condition(); await new Promise((resolve) => setTimeout(resolve, 10))) {
    if (performance.now() - start > 40_000) throw new Error(`waited in vain: ${what}`);
  }
}

try {
  // The form, a wrong secret, and the right one.
  const tab = await openTab();
  await logIn(tab, "x");
  seen.wrong = await text(tab, "[role=alert]");
  await until(() => errors.some((error) => error.includes("401")), "what the browser tells in the console of the answer");
  errors.splice(0);
  await logIn(tab, manageSecret);
  await live(tab);
  seen.role = await text(tab, "#role");
  seen.cookie = await tab.evaluate(() => document.cookie);
  await tab.locator("section:has(h2:text-is('Nodes')) tbody tr").waitFor();
  await tab.locator(".tile", { hasText: "Rooms" }).getByText("301").waitFor();

  // One room among many: found by its metadata, with the keyboard.
  await tab.keyboard.press("/");
  await tab.locator("h1", { hasText: "Rooms" }).waitFor();
  await tab.locator("tbody tr").nth(49).waitFor();
  seen.page = await tab.locator("tbody tr").count();
  seen.pager = await text(tab, ".pager");
  await tab.keyboard.press("/");
  await tab.keyboard.type("the needle");
  await tab.locator(".pager", { hasText: /^1 room$/ }).waitFor();
  await tab.keyboard.press("Escape");
  await tab.keyboard.press("j");
  await tab.keyboard.press("Enter");
  await tab.locator("h1", { hasText: "table" }).waitFor();
  const room = decodeURIComponent(new URL(tab.url()).hash.split("/").pop());
  await tab.locator(".facts", { hasText: "needles" }).waitFor();
  seen.fields = await texts(tab, "section:has(h2:text-is('Fields')) dd");
  seen.metadata = await text(tab, "section:has(h2:text-is('Metadata')) pre");

  // Its state, which changes while one looks at it; what is opened and closed by hand stays so.
  const ann = await join(room, "ann"), bob = await join(room, "<b>bob</b>");
  const line = (name) => tab.locator(".tree li", { has: tab.locator("b", { hasText: new RegExp(`^${name}$`) }) });
  const told = (each) => each.evaluateAll((found) => found.map((one) => [...one.children].map((part) => part.textContent).join(": ")));
  for (const name of ["ann", "<b>bob</b>"]) await line(name).locator(".fold").click();
  await line("secret").locator(".fold").click();
  seen.state = (await told(tab.locator(".tree li"))).sort();
  await line("ann").locator(".fold").click();
  await line("words").locator(".fold").click();
  seen.more = await text(tab, ".tree-more");
  seen.lines = await tab.locator(".tree li").count();
  await line("words").locator(".fold").click();
  await ann.room.call("say", { text: "first" });
  await line("said").filter({ hasText: "1" }).waitFor();
  seen.changed = await told(line("said"));

  // Its members, and its messages once they are asked for.
  const members = tab.locator("section:has(h2:text-is('Members'))");
  await members.locator("tbody tr").nth(1).waitFor();
  seen.members = (await texts(tab, "section:has(h2:text-is('Members')) tbody td:first-child")).sort();
  await ann.room.call("say", { text: "<i>hello</i>" });
  seen.before = await tab.locator(".messages li").count();
  await tab.getByRole("button", { name: "Show messages" }).click();
  await tab.locator(".messages li", { hasText: "<i>hello</i>" }).waitFor();
  await ann.room.call("say", { text: "again" });
  await tab.locator(".messages li", { hasText: "again" }).waitFor();
  seen.messages = await texts(tab, ".messages li b");
  await tab.getByRole("button", { name: "Show history" }).click();
  await tab.locator(".messages li:only-child", { hasText: "again" }).waitFor();
  await tab.getByRole("button", { name: "Show messages" }).click();
  await tab.locator(".messages li", { hasText: "<i>hello</i>" }).waitFor();

  // A handler that hangs is told, also in the list of what is stuck.
  ann.room.call("hang").catch(() => {});
  await tab.locator(".trouble", { hasText: "hang" }).waitFor();
  await go(tab, "#/rooms?show=stuck");
  await tab.locator("tbody tr", { hasText: "hang" }).waitFor();
  seen.stuck = (await texts(tab, "tbody td:nth-child(-n+3)"));
  await tab.locator("tbody tr").click();

  // Broadcast, lock, kick.
  await tab.getByRole("button", { name: "Broadcast…" }).click();
  await tab.getByLabel("Type", { exact: true }).fill("news");
  await tab.getByLabel("Data", { exact: true }).fill("{wrong");
  await tab.getByRole("button", { name: "Send", exact: true }).click();
  seen.invalid = await text(tab, "dialog [role=alert]");
  await tab.getByLabel("Data", { exact: true }).fill('{"text": "soon"}');
  await tab.getByRole("button", { name: "Send", exact: true }).click();
  await until(() => bob.heard.some(([type]) => type === "news"), "the broadcast");
  seen.news = bob.heard.find(([type]) => type === "news");
  await tab.getByRole("button", { name: "Lock", exact: true }).click();
  await tab.locator(".badge", { hasText: "locked" }).waitFor();
  seen.locked = await join(room, "carl").then(() => null, ({ code }) => code);
  await tab.getByRole("button", { name: "Unlock" }).click();
  await tab.getByRole("button", { name: "Kick <b>bob</b>" }).click();
  await tab.getByLabel("Reason").fill("be nice");
  await tab.locator("dialog").getByRole("button", { name: "Kick" }).click();
  await until(() => bob.left, "the kick");
  seen.kicked = bob.left;
  await members.locator("tbody tr", { hasText: "bob" }).waitFor({ state: "detached" });

  // Connections and users.
  await go(tab, "#/connections?text=ann");
  await tab.locator("button.row", { hasText: "ann" }).click();
  seen.connection = await text(tab, "dialog h2");
  await tab.getByRole("button", { name: "Make it slow…" }).click();
  await tab.getByLabel("Latency, ms").fill("300");
  await tab.getByRole("button", { name: "Begin" }).click();
  await tab.getByText("It has begun.").waitFor();
  await tab.getByRole("button", { name: "Done" }).click();
  await go(tab, "#/server");
  const slow = tab.locator("section:has(h2:text-is('Slow connections'))");
  seen.slow = await text(slow, "dd");
  await slow.getByRole("button", { name: "End all" }).click();
  await slow.getByText("No connection is made slow.").waitFor();
  await go(tab, "#/users?user=ann");
  await tab.locator("tbody tr", { hasText: room }).waitFor();
  await tab.getByText("1 connection, in 1 room.").waitFor();
  await tab.getByRole("button", { name: "Notify…" }).click();
  await tab.getByLabel("Type", { exact: true }).fill("news");
  await tab.getByRole("button", { name: "Send", exact: true }).click();
  await tab.locator("dt", { hasText: "Acknowledged" }).waitFor();

  // The playground: the page joins as a client, sends by the form for the type of message, and gets the answer.
  await go(tab, `#/playground?room=${room}&name=table`);
  await tab.getByLabel("Query of the URL").fill("user=player");
  await tab.getByRole("button", { name: "Join" }).click();
  await tab.locator(".badge", { hasText: /^joined$/ }).waitFor();
  await tab.locator("summary", { hasText: "Another message" }).waitFor();
  await tab.locator("summary", { hasText: "Say something to all members." }).click();
  await tab.locator("details[open]").getByLabel("text", { exact: true }).fill("from the page");
  await tab.locator("details[open]").getByRole("button", { name: "Call" }).click();
  await tab.locator(".messages li", { hasText: "from the page" }).waitFor();
  seen.answer = await text(tab, "details[open] pre");
  seen.names = await texts(tab, "select[required] option");
  await tab.locator(".tree li", { hasText: "said" }).filter({ hasText: "1" }).first().waitFor();
  seen.hidden = (await told(tab.locator(".tree li"))).find((each) => each.startsWith("secret"));
  await until(() => ann.heard.some(([, data]) => data?.text === "from the page"), "the message of the playground");

  // Three sizes, in both colours: nothing is wider than the screen, and no label or placeholder is broken.
  seen.overflow = [];
  seen.broken = [];
  const views = ["", "rooms", `rooms/${room}`, "connections", "users?user=ann", "playground", "server"];
  for (const colorScheme of ["light", "dark"]) {
    await tab.emulateMedia({ colorScheme });
    for (const [width, height] of [[390, 844], [1024, 768], [1680, 1050]]) {
      await tab.setViewportSize({ width, height });
      for (const view of views) {
        await go(tab, `#/${view}`);
        await tab.waitForTimeout(150);
        const wider = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wider > 0) seen.overflow.push([view, width, wider]);
        if (view.startsWith("users")) await tab.locator("dt", { hasText: "Acknowledged" }).waitFor();
        seen.broken.push(...(await tab.evaluate(brokenTexts)));
        if (colorScheme === "light" || !view) await shoot(tab, `${width}-${colorScheme}-${views.indexOf(view)}`);
      }
    }
  }

  // Dispose: the room ends for its members, and the page goes back to the list.
  await tab.setViewportSize({ width: 1280, height: 900 });
  await go(tab, `#/rooms/${encodeURIComponent(room)}`);
  await tab.getByRole("button", { name: "Dispose…" }).click();
  await tab.getByLabel("Reason").fill("over");
  await tab.locator("dialog").getByRole("button", { name: "Dispose" }).click();
  await until(() => ann.left, "the end of the room");
  seen.disposed = ann.left;
  await tab.locator("h1", { hasText: "Rooms" }).waitFor();

  // The other role sees the same, and has no buttons that change something.
  const reader = await openTab();
  await logIn(reader, readSecret);
  await live(reader);
  await go(reader, "#/rooms");
  await reader.locator("tbody tr").first().click();
  await reader.locator(".facts", { hasText: "Epoch" }).waitFor();
  seen.reader = { role: await text(reader, "#role"), buttons: [] };
  const expected = { "users?user=ann": "Find", server: "Measure" };
  for (const view of ["rooms", "connections", "users?user=ann", "playground", "server"]) {
    await go(reader, `#/${view}`);
    if (expected[view]) await reader.getByRole("button", { name: expected[view] }).waitFor();
    await reader.waitForTimeout(300); // those that must not come
    seen.reader.buttons.push(...(await reader.locator("main button:visible:not(.row)").allTextContents()).filter(Boolean));
  }
  await reader.getByRole("button", { name: "Log out" }).click();
  await reader.locator("#secret").waitFor();

  // The server goes away and comes back: the page says so, and connects again by itself.
  ann.client.close();
  bob.client.close();
  console.log("stop");
  await tab.locator("#line:not([hidden])").waitFor();
  seen.line = await text(tab, "#line");
  errors.splice(0); // the browser tells in the console that it can't connect
  seen.origins = [...requests];
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
