// Editors of one document, by an unmodified y-websocket:
//   node yjs.mjs URL
// Prints one JSON object: what they saw.

import WebSocket from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

const url = process.argv[2];
const PATIENCE = 20_000;
const editors = [];

/** An editor of the document, with a copy of its own. */
function edit(name, document = "notes/today") {
  const doc = new Y.Doc();
  const options = { WebSocketPolyfill: WebSocket, disableBc: true, maxBackoffTime: 100 };
  const provider = new WebsocketProvider(url, document, doc, options);
  provider.awareness.setLocalStateField("user", name);
  const editor = { name, doc, provider, text: doc.getText("text"), closed: undefined };
  provider.on("closed", ({ code }) => (editor.closed = code));
  editors.push(editor);
  return editor;
}

/** Ends an editor, so that nothing keeps the process. */
function close({ provider, doc }) {
  provider.destroy();
  doc.destroy();
}

/** Waits until something holds. */
async function until(what, condition) {
  for (const since = Date.now(); !condition(); await new Promise((resolve) => setTimeout(resolve, 5))) {
    if (Date.now() - since > PATIENCE) throw new Error(`waited in vain: ${what}`);
  }
}

const texts = () => editors.map(({ text }) => text.toString());
const usersOf = ({ provider }) => [...provider.awareness.getStates().values()].map(({ user }) => user).sort();
const areSame = (expected) => texts().every((text) => text === expected);
const seen = { errors: [] };

try {
  const ada = edit("ada");
  const bob = edit("bob");
  await until("both are synced", () => ada.provider.synced && bob.provider.synced);
  ada.text.insert(0, "hello");
  await until("bob reads", () => areSame("hello"));
  bob.text.insert(5, " world");
  await until("ada reads", () => areSame("hello world"));
  await until("they see one another", () => usersOf(ada).length === 2 && usersOf(bob).length === 2);
  seen.users = [usersOf(ada), usersOf(bob)];

  ada.provider.disconnect();
  await until("bob is alone", () => usersOf(bob).length === 1);
  ada.text.insert(0, "oh, ");
  bob.text.insert(11, "!");
  ada.provider.connect();
  await until("they are merged", () => areSame("oh, hello world!"));

  const cyd = edit("cyd");
  await until("cyd reads", () => areSame("oh, hello world!"));
  // A client that has come back is seen within 15 s, by the awareness protocol; so they look at bob.
  await until("cyd and bob see one another", () => usersOf(cyd).includes("bob") && usersOf(bob).includes("cyd"));
  const eve = edit("eve", "another");
  await until("eve is synced", () => eve.provider.synced);
  seen.other = eve.text.toString();
  close(editors.pop());

  cyd.provider.awareness.setLocalStateField("user", "rude");
  await until("cyd is thrown out", () => cyd.closed);
  seen.closed = cyd.closed;
  await until("bob sees that", () => !usersOf(bob).some((user) => user === "cyd" || user === "rude"));
  seen.text = ada.text.toString();
} catch (error) {
  seen.errors.push(String(error), ...texts());
} finally {
  editors.forEach(close);
}
console.log(JSON.stringify(seen));
