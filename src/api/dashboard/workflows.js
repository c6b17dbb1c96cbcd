// The payment methods.
import { h, fill, card } from "./dom.js";
import { get } from "./net.js";
import { diagram } from "./diagram.js";

export async function workflowsView(place) {
  const { workflows } = await get("/v1/workflows");
  fill(place, h("div", { class: "head" }, h("h1", null, "Workflows"), h("span", { class: "sub" }, `${workflows.length} payment methods`)),
    h("div", { class: "cards" }, workflows.map((one) =>
      h("a", { class: "card", href: `#/workflows/${encodeURIComponent(one.workflow)}` }, h("strong", null, one.title), h("p", null, one.description),
        h("p", null, h("code", null, one.workflow), `, ${one.states} states, `, one.connectors.join(", "))))));
}

export async function workflowView(place, [name]) {
  const workflow = await get(`/v1/workflows/${encodeURIComponent(name)}`);
  const picture = await diagram(workflow.workflow, null);
  picture.fit.click();
  const graph = card("States", picture.element, h("span", { class: "legend" }, picture.fit));
  graph.classList.add("wide");
  fill(place, h("p", { class: "crumb" }, h("a", { href: "#/workflows" }, "Workflows"), " / ", workflow.workflow),
    h("div", { class: "title" }, h("h1", null, workflow.title), h("a", { href: `#/orders?workflow=${encodeURIComponent(workflow.workflow)}` }, "its orders")),
    h("div", { class: "facts" }, h("span", null, "version ", h("code", null, workflow.version)), h("span", null, "from ", h("code", null, workflow.path)), h("span", null, workflow.description)),
    graph, h("div", { class: "stack" }, card("Table", table(workflow)), card("YAML", h("pre", { class: "source" }, workflow.source))));
}

function table(workflow) {
  const row = (state) => h("tr", null,
    h("td", null, h("code", null, state.name), state.name === workflow.initial ? " (first)" : "", state.title && h("div", { class: "sub" }, state.title)),
    h("td", null, state.final ? h("span", { class: `tag ${state.final}` }, state.final) : state.stage || ""),
    h("td", null, state.calls.map((call) => h("div", null, h("code", null, call))), state.entry.map((call) => h("div", null, "on entry ", h("code", null, call)))),
    h("td", null, state.transitions.map((one) => h("div", null, one.on, one.when && [" when ", h("code", null, one.when)], one.target ? [" → ", h("code", null, one.target)] : ""))));
  return h("table", { class: "states" }, h("thead", null, h("tr", null, ["State", "Stage", "Calls", "Transitions"].map((name) => h("th", null, name)))), h("tbody", null, workflow.states.map(row)));
}
