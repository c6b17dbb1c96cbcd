// Orders that need a person.
import { h, fill, paced } from "./dom.js";
import { get, onChange } from "./net.js";
import { ago, amountOf, attempts, shortId } from "./text.js";
import { waysOut } from "./actions.js";

export async function incidentsView(place, _, cleanup) {
  const draw = async () => {
    const page = await get("/v1/incidents?limit=200");
    const sums = page.at_stake.map((sum) => h("div", null, h("span", { class: "sum" }, amountOf(sum)), h("span", { class: "sub" }, " at stake")));
    fill(place, h("div", { class: "head" }, h("h1", null, "Incidents"), h("span", { class: "grow" }), sums),
      page.incidents.length ? page.incidents.map(incident) : h("section", { class: "card" }, h("p", { class: "empty" }, "No order needs a person.")),
      page.next && h("p", { class: "empty" }, "There are more than these."));
  };
  const redraw = paced(() => draw().catch(() => {}), 1000);
  const parked = new Set();
  cleanup(onChange((order) => {
    if (!order || order.status === "incident" || parked.has(order.id) || document.querySelector(`[data-order="${order.id}"]`)) redraw();
    if (order?.status === "incident") parked.add(order.id);
  }));
  await draw();
}

function incident(one) {
  return h("section", { class: "alarm", "data-order": one.id },
    h("div", null,
      h("a", { href: `#/orders/${one.id}` }, h("strong", null, one.title), " ", h("span", { class: "mono" }, shortId(one.id))),
      h("div", { class: "reason" }, one.reason),
      h("small", null, "in ", h("code", null, one.state), one.call && [", calling ", h("code", null, one.call)], `, after ${attempts(one.attempts)} in all, opened `,
        h("time", { "data-ago": one.opened_at }, ago(one.opened_at)))),
    h("div", null,
      h("div", { class: "stake" }, one.at_stake ? [amountOf(one.at_stake), h("small", null, "at stake")] : h("small", null, "no money at stake")),
      waysOut(one, one.ways)));
}
