// The calls that the server's own users have added, with a form for each.

import { card, h, pretty, setText } from "./dom.js";
import { reason } from "./format.js";
import { SchemaForm } from "./schemaform.js";

/** What the names of txroom's own calls begin with. */
const BUILT_IN = new Set(["rpc", "server", "nodes", "workers", "connections", "rooms", "users", "simulate", "stalls", "memory", "watch", "unwatch"]);

/** Returns the card; `null` if there are none. */
export function ownCallsCard(view, methods) {
  const found = [...methods.values()].filter((method) => !BUILT_IN.has(method.name.split(".")[0]) && (view.canManage || method["x-role"] === "read"));
  if (!found.length) return null;
  return card("Calls of this server", h("div.types", {}, found.map((method) => callForm(view, method, methods.$defs))));
}

function callForm(view, { name, summary = "", description = "", params }, $defs) {
  const properties = Object.fromEntries(params.map((param) => [param.name, { description: param.description, ...param.schema }]));
  const required = params.filter((param) => param.required).map((param) => param.name);
  const form = new SchemaForm({ type: "object", properties, required, $defs });
  const answer = h("pre.json", { hidden: true });
  const button = h("button.primary", {}, "Call");
  const root = h("form.stack.body", {}, description ? h("p.soft", {}, description) : null, form.elements, h("div.tools", {}, button), answer);
  root.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      setText(answer, pretty(await view.rpc.call(name, form.read())));
    } catch (error) {
      setText(answer, reason(error));
    }
    answer.hidden = false;
    button.disabled = false;
  });
  return h("details", { name: "call" }, h("summary", {}, h("b", {}, name), h("span.soft", {}, summary)), root);
}
