// The providers: how they are doing, and pausing them.
import { h, fill, card } from "./dom.js";
import { get, post, onChange } from "./net.js";
import { ago, full } from "./text.js";
import { askDialog } from "./actions.js";

export async function connectorsView(place, _, cleanup) {
  const draw = async () => {
    const { connectors } = await get("/v1/connectors?in_doubt=true");
    fill(place, h("div", { class: "head" }, h("h1", null, "Connectors"), h("span", { class: "sub" }, "what workflows call")),
      card("Providers", connectors.length ? table(connectors, draw) : h("p", { class: "empty" }, "No workflow calls a provider.")));
    show(connectors);
  };
  const timer = setInterval(() => draw().catch(() => {}), 5000);
  cleanup(() => clearInterval(timer));
  cleanup(onChange((order) => { if (!order) draw().catch(() => {}); }));
  await draw();
}

/** The number beside the navigation. */
export async function countPaused() {
  const answer = await get("/v1/connectors").catch(() => null);
  if (answer) show(answer.connectors);
}

function show(connectors) {
  const badge = document.getElementById("paused-count");
  const paused = connectors.filter((one) => one.paused).length;
  badge.hidden = paused === 0;
  badge.textContent = `${paused} paused`;
}

function table(connectors, draw) {
  const row = (one) => h("tr", null,
    h("td", null, h("strong", null, one.title), h("div", { class: "sub mono" }, one.name)),
    h("td", null, one.paused ? why(one.paused) : one.breaker === "open" ? h("span", { class: "tag unknown" }, "breaker open") : one.breaker === "half_open" ? "trying again" : one.breaker ? "in use" : "not used yet"),
    h("td", { class: "num", "data-name": "Under way" }, one.under_way), h("td", { class: "num", "data-name": "Waiting" }, one.waiting),
    h("td", { class: "num", "data-name": "In doubt" }, one.in_doubt, one.in_doubt_more && "+"),
    h("td", null, h("div", { class: "buttons" }, buttons(one, draw))));
  return h("table", { class: "states" }, h("thead", null, h("tr", null, h("th", null, "Connector"), h("th", null, "Now"),
    ["Under way", "Waiting", "In doubt"].map((name) => h("th", { class: "num" }, name)), h("th", null, ""))), h("tbody", null, connectors.map(row)));
}

function why(pause) {
  return h("div", null, h("span", { class: "tag parked" }, pause.drain ? "being drained" : "paused"), " by ", pause.by, ", ",
    h("time", { "data-ago": pause.since, title: full(pause.since) }, ago(pause.since)), pause.note && h("div", { class: "sub" }, pause.note));
}

function buttons(one, draw) {
  const path = (what) => `/v1/connectors/${encodeURIComponent(one.name)}/${what}`;
  const ask = (title, text, verb, act) => h("button", { type: "button", onclick: () => askDialog(title, one.title, text, verb, async (form) => { await act(form); await draw(); }) }, title);
  if (one.paused) return ask("Resume", "What has waited is sent, as far as the connector's limits allow.", "Resume", ({ by, note }) => post(path("resume"), { by, note }));
  return [
    ask("Pause", "Nothing is sent any more. Calls wait, and lose no try by it.", "Pause", ({ by, note }) => post(path("pause"), { by, note })),
    ask("Drain", "Nothing new is begun. What may have happened is still asked about, until nothing is in doubt.", "Drain", ({ by, note }) => post(path("pause"), { by, note, drain: true })),
  ];
}
