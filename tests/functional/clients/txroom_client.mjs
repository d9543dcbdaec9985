// The JavaScript client against a server:
//   node txroom_client.mjs SCENARIO URL
// Prints one JSON object: what happened.

import net from "node:net";

import WebSocket from "ws";

import { Client } from "../../../txroom/web/txroom.js";

const [scenario, url] = process.argv.slice(2);
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const quick = { WebSocket, minDelay: 20, maxDelay: 200, stableAfter: 100, callTimeout: 20_000 };
const errors = [];

function makeClient(options = {}, to = url) {
  const client = new Client(to, { ...quick, ...options });
  client.on("error", (error) => errors.push(`${error.code ?? error.name}: ${error.message}`));
  return client;
}

async function until(condition, what, milliseconds = 20_000) {
  for (const start = performance.now(); !condition(); await sleep(5)) {
    if (performance.now() - start > milliseconds) throw new Error(`waited in vain: ${what}`);
  }
}

/** The next event of a room, as an array. */
const next = (room, name) => new Promise((resolve) => room.once(name, (...args) => resolve(args)));

const codeOf = (promise) =>
  promise.then(
    () => null,
    ({ code, details }) => [code, details?.field ?? null],
  );

/** A socket that tells no more than a browser's: nothing of a message before it is whole. */
class Plain {
  constructor(url, protocols) {
    this.socket = new WebSocket(url, protocols);
    for (const name of ["open", "message", "close", "error"]) {
      this.socket[`on${name}`] = (event) => this[`on${name}`]?.(event);
    }
  }
  get protocol() {
    return this.socket.protocol;
  }
  get bufferedAmount() {
    return this.socket.bufferedAmount;
  }
  send(text) {
    this.socket.send(text);
  }
  close(code, reason) {
    this.socket.close(code, reason);
  }
}

/** A TCP proxy that breaks connections in the middle of whatever they are doing. */
async function proxyTo(target) {
  const pairs = new Set();
  const server = net.createServer((client) => {
    const upstream = net.connect(target.port, target.hostname);
    const pair = [client, upstream];
    const end = () => {
      pairs.delete(pair);
      for (const socket of pair) socket.destroy();
    };
    pairs.add(pair);
    for (const [from, to] of [pair, [upstream, client]]) {
      from.setNoDelay(true);
      from.on("data", (data) => {
        // In two parts, so that a cut falls into the middle of a frame.
        const middle = Math.floor(Math.random() * data.length);
        to.write(data.subarray(0, middle));
        from.pause();
        setTimeout(() => {
          if (!to.destroyed) to.write(data.subarray(middle));
          from.resume();
        }, Math.random() * 4);
      });
      from.on("error", end);
      from.on("close", end);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `ws://127.0.0.1:${server.address().port}/rooms`,
    cut() {
      const pair = [...pairs][Math.floor(Math.random() * pairs.size)];
      if (!pair) return false;
      const [one, other] = Math.random() < 0.5 ? pair : [...pair].reverse();
      if (Math.random() < 0.5) one.resetAndDestroy();
      else one.destroy();
      // The other end may learn of it later: there the new connection takes over.
      setTimeout(() => other.destroy(), Math.random() < 0.5 ? 0 : 150);
      return true;
    },
    close: () => server.close(),
  };
}

const scenarios = {
  /** Every kind of frame, both ways. */
  async tour() {
    const seen = {};
    let sockets = 0;
    class Counted extends WebSocket {
      constructor(...args) {
        super(...args);
        sockets++;
      }
    }
    const ada = makeClient({ auth: async () => "open sesame", WebSocket: Counted });
    const room = await ada.joinOrCreate("parlour", { name: "ada" });
    [seen.welcome] = await next(room, "welcome");
    seen.room = [room.name, room.status, room.id.length > 0, room.member.length > 0, room.snapshot];

    const said = next(room, "said");
    await room.send("say", "schön & 🦦");
    seen.said = await said;
    seen.roll = await room.call("roll", { sides: 6 });
    seen.invalid = await codeOf(room.call("roll", { sides: "six" }));
    seen.raised = await codeOf(room.call("fail"));
    seen.own = await codeOf(room.call("refuse"));
    const refusal = next(room, "error");
    await room.send("say", 7);
    const [error] = await refusal;
    seen.refusal = [error.code, error.details];

    room.handle("double", async (n) => n * 2);
    seen.asked = await room.call("ask", 21);
    seen.askedBadly = await codeOf(room.call("askBadly"));
    const whispered = next(room, "whispered");
    room.send("whisper", "psst");
    seen.whispered = (await whispered)[0];
    const volatile = next(room, "typing");
    await room.send("typing", true, { volatile: true });
    seen.volatile = await volatile;

    const came = next(room, "presence");
    const bob = makeClient({ auth: "open sesame" });
    const other = await bob.joinById(room.id, { name: "bob" });
    const history = []; // listened for before anything else is awaited: it follows at once
    other.on("said", (data) => history.push(data.text));
    const namesOf = (users) => users.flatMap(({ metas }) => metas.map(({ name }) => name));
    seen.came = (await came).map(namesOf);
    seen.members = [namesOf(room.members), namesOf(other.members)];
    await until(() => history.length, "history");
    seen.history = history;
    seen.unknown = await codeOf(other.call("nothing")); // the third mistake of one member would end it
    const met = next(room, "presence");
    await other.send("mood", "fine");
    await met;
    seen.mood = room.members.flatMap(({ metas }) => metas.map(({ mood }) => mood ?? null));

    seen.rooms = (await ada.query("parlour")).map(({ room, ...rest }) => rest);
    const again = await ada.joinById(room.id, { name: "ada" });
    seen.again = [again !== room, again.member === room.member];
    await again.leave();
    const second = await ada.create("parlour", { name: "ada" });
    seen.second = [second.id !== room.id, ada.joined.length];
    await second.leave();
    seen.latency = (await room.ping()) >= 0 && ada.latency >= 0;

    const left = next(room, "presence");
    await other.leave();
    seen.left = (await left).map(namesOf);
    seen.noSuchRoom = await codeOf(bob.joinById("nowhere"));
    seen.noneYet = await codeOf(bob.join("empty"));
    seen.unregistered = await codeOf(bob.joinOrCreate("unregistered"));
    seen.stranger = await codeOf(makeClient({ auth: "please" }).joinOrCreate("parlour", { name: "eve" }));
    const before = sockets;
    const kicked = next(room, "left");
    room.send("kick").catch(() => {});
    [seen.kicked] = await kicked;
    seen.afterwards = [ada.state, (await ada.joinOrCreate("ledger", { who: "ada" })).name, sockets - before];
    return seen;
  },

  /** Connections that are cut all the time. */
  async cuts() {
    const [people, messages] = [6, 120];
    const proxy = await proxyTo(new URL(url));
    const counts = { reconnecting: 0, recovered: 0, lost: 0, left: 0 };
    const rooms = [];
    for (let who = 0; who < people; who++) {
      const client = makeClient({ auth: "open sesame", pingInterval: 500, pingTimeout: 2_000 }, proxy.url);
      const room = await client.joinOrCreate("ledger", { who });
      room.seen = [];
      room.on("added", (data, offset) => room.seen.push([offset, ...data]));
      for (const name of Object.keys(counts)) room.on(name, () => counts[name]++);
      rooms.push(room);
    }
    let isOver = false;
    let cuts = 0;
    const cutting = (async () => {
      while (!isOver) {
        await sleep(20 + Math.random() * 60);
        if (proxy.cut()) cuts++;
      }
    })();
    const answers = [];
    await Promise.all(
      rooms.map(async (room, who) => {
        const done = [];
        for (let i = 1; i <= messages; i++) {
          const call = i % 3 === 0 ? room.call("add", i) : room.send("add", i);
          done.push(call.then((answer) => i % 3 === 0 && answers.push([who, i, answer])));
          await sleep(20 + Math.random() * 20);
        }
        await Promise.all(done);
      }),
    );
    isOver = true;
    await cutting;
    const isWhole = () => rooms.every(({ seen }) => seen.length >= people * messages);
    await until(isWhole, "all messages").catch(() => {
      const states = rooms.map(({ status, offset, seen }) => [status, offset, seen.length]);
      throw new Error(`messages are missing: ${JSON.stringify(states)}, ${JSON.stringify(counts)}`);
    });
    await sleep(200);
    for (const room of rooms) room.client.close();
    proxy.close();
    return { cuts, counts, answers, seen: rooms.map(({ seen }) => seen) };
  },

  /** Away for longer than the seat is kept. */
  async forgotten() {
    const client = makeClient({ auth: "open sesame" });
    const room = await client.joinOrCreate("fleeting", { name: "ada" });
    const keeper = await makeClient({ auth: "open sesame" }).joinById(room.id, { name: "bob" });
    await room.send("say", "before");
    const former = room.member;
    const lost = next(room, "lost");
    client.reconnect(600);
    await keeper.send("say", "meanwhile");
    room.send("say", "for later");
    const [{ snapshot, unconfirmed }] = await lost;
    const [data] = await next(keeper, "said");
    client.close();
    keeper.client.close();
    return { snapshot, unconfirmed, isAnother: former !== room.member, said: data.text };
  },

  /** A page is reloaded, in the middle of a sentence. */
  async reload() {
    const former = makeClient({ auth: "open sesame" });
    const room = await former.joinOrCreate("parlour", { name: "ada" });
    const keeper = await makeClient({ auth: "open sesame" }).joinById(room.id, { name: "bob" });
    const said = [];
    keeper.on("said", ({ text }) => said.push(text));
    room.send("say", "one");
    await room.send("say", "two");
    const token = room.reconnectionToken;
    former.reconnect(60_000);
    const client = makeClient({ auth: "open sesame" });
    const again = await client.resume(token);
    const { snapshot } = again;
    await again.send("say", "three");
    await until(() => said.length === 3, "what was said");
    const used = await codeOf(makeClient().resume(token));
    const members = keeper.members.length;
    for (const each of [former, client, keeper.client]) each.close();
    return { isSame: again.member === room.member, snapshot, said, members, used };
  },

  /** A link on which each of these takes longer than a heartbeat may. */
  async slow() {
    const size = 80_000;
    const play = async (options) => {
      const cuts = [];
      const client = makeClient({ auth: "open sesame", pingInterval: 500, pingTimeout: 2_000, ...options });
      client.on("reconnecting", ({ reason }) => cuts.push(reason));
      const room = await client.joinOrCreate("attic", { name: "ada" });
      const joined = [room.snapshot.length, cuts.length];
      const stored = await room.call("store", "x".repeat(size));
      const uploaded = [stored, cuts.length];
      const fetched = next(room, "fetched");
      room.send("fetch", size).catch(() => {});
      const downloaded = [(await fetched)[0].length, cuts.length];
      const last = await room.call("store", "alive");
      client.close();
      return { joined, uploaded, downloaded, last };
    };
    const [withBytes, asInBrowsers] = await Promise.all([play({}), play({ WebSocket: Plain })]);
    return { withBytes, asInBrowsers };
  },

  /** The game ends, and its players go on to the lobby at once. */
  async lobby() {
    const client = makeClient({ auth: "open sesame" });
    const seen = [];
    for (let round = 0; round < 3; round++) {
      const room = await client.create("parlour", { name: "ada" });
      const back = new Promise((resolve, reject) => {
        room.on("left", ({ code }) => {
          seen.push(code);
          client.joinOrCreate("empty", { name: "ada" }).then(resolve, reject);
        });
      });
      // What is on its way to the room when it ends is no error.
      for (let i = 0; i < 5; i++) room.send(i === 2 ? "kick" : "say", i === 2 ? null : "crossing").catch(() => {});
      const lobby = await back;
      seen.push(lobby.name, await lobby.call("roll", { sides: 6 }));
      await lobby.leave();
    }
    client.close();
    return { seen };
  },

  /** Where there is nothing: a path, and a port. */
  async nowhere() {
    const server = net.createServer();
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const dead = `ws://127.0.0.1:${server.address().port}/rooms`;
    await new Promise((resolve) => server.close(resolve));
    const tell = async (to) => {
      // Who waited for this long would be ended with the test.
      const error = await makeClient({ minDelay: 5, requestTimeout: 600_000 }, to).joinOrCreate("x").catch((error) => error);
      return [error.code, error.message.replace(to, "URL").replace(/\d+\.\S+\d/, "ADDRESS")];
    };
    const [path, port] = await Promise.all([tell(url.replace("/rooms", "/nowhere")), tell(dead)]);
    return { path, port };
  },

  /** Half an emoji, and what follows. */
  async halves() {
    const client = makeClient({ auth: "open sesame" });
    const room = await client.joinOrCreate("parlour", { name: "ada😀".slice(0, 4) });
    room.handle("double", () => "😀".slice(1));
    const asked = await room.call("ask", 1);
    const said = next(room, "said");
    await room.send("say", "hello 😀".slice(0, 7));
    const [{ text }] = await said;
    await room.send("say", "still here");
    client.close();
    return { asked, text, name: room.members[0].metas[0].name };
  },

  /** The server is stopped, and another one starts. */
  async restart() {
    const client = makeClient({ auth: "open sesame" });
    const room = await client.joinOrCreate("parlour", { name: "ada" });
    const former = room.id;
    const [byes, delays, attempts] = [[], [], []];
    client.on("bye", (bye) => byes.push(bye));
    client.on("reconnecting", ({ code, delay }) => attempts.push(code) && delays.push(delay));
    const lost = next(room, "lost");
    await room.send("restart");
    await lost;
    const roll = await room.call("roll", { sides: 2 });
    client.close();
    return { byes, code: attempts[0], waited: delays[0] >= 1000, isAnother: former !== room.id, roll };
  },
};

const result = await scenarios[scenario]();
console.log(JSON.stringify({ ...result, errors }));
process.exit(0);
