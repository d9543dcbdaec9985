// The playground: join a room as a client, send its messages, and see what comes.

import { Client } from "./txroom.js";
import { badge, card, empty, field, h, pretty, setChildren, setText } from "./dom.js";
import { plural, reason } from "./format.js";
import { jsonOf } from "./dialogs.js";
import { messageLine } from "./log.js";
import { registeredNames } from "./rooms.js";
import { SchemaForm } from "./schemaform.js";
import { StateCard, Throttle } from "./statetree.js";

const MOST = 200;

export function playground(view) {
  view.root.append(h("header.bar", {}, h("h1", {}, "Playground")));
  if (!view.canManage) {
    view.root.append(h("div.card", {}, empty("Your role may only look.", "To join a room as a client you need the role manage.")));
    return;
  }
  new Playground(view).begin();
}

class Playground {
  constructor(view) {
    this._view = view;
    this._client = null;
    this._room = null;
    this._state = h("span.marks", {}, badge("not joined"));
    this._name = h("select", { required: true });
    this._id = h("input", { placeholder: "Any room", value: view.params.room ?? "", spellcheck: "false", autocomplete: "off" });
    this._query = h("input", { placeholder: "token=…", spellcheck: "false", autocomplete: "off" });
    this._options = h("textarea", { rows: 3, spellcheck: "false", placeholder: "{}" });
    this._declared = h("div", {});
    this._join = h("button.primary", { type: "submit" }, "Join");
    this._leave = h("button", { type: "button", hidden: true, onclick: () => this._end() }, "Leave");
    this._problem = h("p", { role: "alert", hidden: true });
    this._types = h("div.types", {}, empty("Join a room first.", "Then its messages are here, with a form for each."));
    this._feed = h("ol.messages", { tabindex: "0", "aria-label": "What comes" });
    this._stateCard = new StateCard();
    this._changes = new Throttle(() => this._stateCard.show(this._room?.state ?? null));
    this._clear = h("button.small", { type: "button", onclick: () => this._feed.replaceChildren() }, "Clear");
  }

  async begin() {
    const fields = [
      field("Name", this._name, "Under which the rooms are registered."),
      field("Id", this._id, "Empty: one with a free seat, or a new one."),
      this._declared,
      field("Options", this._options, "A JSON object."),
      field("Query of the URL", this._query, "What your verifyClient reads there."),
    ];
    const form = h("form.stack.body", {}, fields, this._problem, h("div.tools", {}, this._join, this._leave, this._state));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._begin();
    });
    const left = h("div.stack", {}, card("Room", form), card("Send", this._types));
    const right = h("div.stack", {}, this._stateCard.element, card("What comes", h("div.tools", {}, this._clear), this._feed));
    this._view.root.append(h("div.columns", {}, left, right));
    this._view.onEnd(() => {
      this._changes.stop();
      this._client?.close();
    });
    this._names = await registeredNames(this._view);
    const wanted = this._view.params.name;
    const names = new Set([...this._names.map(({ name }) => name), ...(wanted ? [wanted] : [])]);
    this._name.append(...[...names].map((name) => h("option", { value: name, selected: name === wanted }, name)));
    this._name.addEventListener("change", () => this._describe());
    await this._describe();
  }

  /** Shows what a room of this name takes. */
  async _describe() {
    const name = this._name.value;
    this._schema = name ? await this._view.rpc.call("rooms.schema", { name }).catch(() => null) : null;
    const declared = this._schema?.options?.properties ? this._schema.options : null;
    this._optionsForm = new SchemaForm(declared ?? { type: "object", properties: {} });
    setChildren(this._declared, this._optionsForm.elements);
    setText(this._options.closest(".field").querySelector("label"), declared ? "Other options" : "Options");
  }

  async _begin() {
    this._problem.hidden = true;
    this._join.disabled = true;
    try {
      const options = { ...this._optionsForm.read(), ...jsonOf(this._options, "The options", {}) };
      const { path = "" } = this._names.find(({ name }) => name === this._name.value) ?? {};
      const query = this._query.value.trim().replace(/^\?/, "");
      this._client = new Client(`${this._view.sockets}${path.replace(/\/\*$/, "")}${query && `?${query}`}`, { device: null });
      this._client.on("error", (error) => this._add("error", reason(error), "bad"));
      const id = this._id.value.trim();
      const prepare = (room) => this._prepare(room);
      this._room = await (id ? this._client.joinById(id, options, prepare) : this._client.joinOrCreate(this._name.value, options, prepare));
      this._joined();
    } catch (error) {
      this._client?.close();
      this._client = null;
      this._problem.textContent = reason(error);
      this._problem.hidden = false;
      this._join.disabled = false;
    }
  }

  _prepare(room) {
    room.onMessage("*", (type, data, offset) => this._add(type, data, "", offset));
    room.onPresence((members, joined, left) => {
      const told = [joined.length && `${plural(joined.length, "user")} joined`, left.length && `${plural(left.length, "user")} left`].filter(Boolean);
      if (told.length) this._add("presence", `${told.join(", ")}; ${plural(members.length, "user")} now`, "soft");
    });
    room.on("state", () => this._changes.ask());
    room.on("reconnecting", () => this._mark("connecting again", "warn"));
    room.on("recovered", () => this._mark("joined", "good"));
    room.on("lost", () => this._mark("joined, messages lost", "warn"));
    room.on("left", ({ code, reason: text }) => {
      this._add("left", `${code} ${text}`.trim(), "soft");
      this._left();
    });
    room.on("error", (error) => this._add("error", reason(error), "bad"));
  }

  _mark(text, kind) {
    setChildren(this._state, badge(text, kind));
  }

  _joined() {
    this._mark("joined", "good");
    this._join.hidden = true;
    this._leave.hidden = false;
    this._changes.ask();
    this._add("joined", `${this._room.name} ${this._room.id} as ${this._room.member}`, "soft");
    const types = this._schema?.messages ?? [];
    setChildren(this._types, types.map((type) => this._typeForm(type)), this._anyForm());
  }

  _typeForm({ type, description, takesData, schema }) {
    const form = takesData === false ? null : new SchemaForm(schema ?? {});
    const summary = h("summary", {}, h("b", {}, type), h("span.soft", {}, firstLine(description)));
    return this._messageForm(summary, form?.elements ?? [], () => [type, form ? form.read() : null]);
  }

  /** A form for any message. */
  _anyForm() {
    const type = h("input", { required: true, maxlength: 256, spellcheck: "false", autocomplete: "off" });
    const data = h("textarea", { rows: 3, spellcheck: "false", placeholder: "null" });
    const summary = h("summary", {}, h("b", {}, "Another message"));
    return this._messageForm(summary, [field("Type", type), field("Data", data, "JSON")], () => [type.value, jsonOf(data, "The data")]);
  }

  _messageForm(summary, fields, read) {
    const answer = h("pre.json", { hidden: true });
    const send = async (how) => {
      try {
        const [type, data] = read();
        answer.hidden = true;
        if (how === "call") {
          setText(answer, pretty(await this._room.call(type, data)));
          answer.hidden = false;
        } else this._room.send(type, data).catch((error) => this._add(type, reason(error), "bad"));
      } catch (error) {
        setText(answer, reason(error));
        answer.hidden = false;
      }
    };
    const buttons = [h("button.primary", { value: "send" }, "Send"), h("button", { value: "call" }, "Call and wait for the answer")];
    const form = h("form.stack.body", {}, fields, h("div.tools", {}, buttons), answer);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(event.submitter?.value ?? "send");
    });
    return h("details", { name: "type" }, summary, form);
  }

  _add(type, data, kind = "", offset = null) {
    const isAtEnd = this._feed.scrollHeight - this._feed.scrollTop - this._feed.clientHeight < 40;
    this._feed.append(messageLine({ at: Date.now() / 1000, type, data, offset, kind }));
    while (this._feed.children.length > MOST) this._feed.firstChild.remove();
    if (isAtEnd) this._feed.scrollTop = this._feed.scrollHeight;
  }

  async _end() {
    const room = this._room;
    await room?.leave().catch(() => {});
    this._left();
  }

  _left() {
    this._client?.close();
    this._client = this._room = null;
    this._changes.ask();
    this._mark("not joined", "");
    this._join.hidden = this._join.disabled = false;
    this._leave.hidden = true;
    this._join.disabled = false;
    setChildren(this._types, empty("Join a room first.", "Then its messages are here, with a form for each."));
  }
}

function firstLine(text = "") {
  return text.split("\n\n")[0].replaceAll("\n", " ");
}
