// The playground of a server for developers. It connects to the server that has served it.

import { h } from "./dom.js";
import { playground } from "./playground.js";

/** Gets the answer of a call. Throws the error of the server. */
async function call(name, args = {}) {
  const response = await fetch(`/_dev/${name}?${new URLSearchParams(args)}`);
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail), { code: answer.code });
  return answer;
}

const view = {
  params: Object.fromEntries(new URLSearchParams(location.search)),
  root: h("div.view", {}),
  rpc: { call },
  canManage: true,
  sockets: "",
  onEnd: (end) => addEventListener("pagehide", end, { once: true }),
};
document.querySelector("#main").replaceChildren(view.root);
playground(view);
