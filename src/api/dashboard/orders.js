// The orders, live.
import { h, fill, paced, pill } from "./dom.js";
import { get, onChange } from "./net.js";
import { ago, amountOf, full, shortId } from "./text.js";

const STATUSES = ["running", "waiting", "succeeded", "failed", "incident"];
const ROWS_MAX = 500;

export async function ordersView(place, _, cleanup) {
  const wanted = new URLSearchParams(location.hash.split("?")[1] || "");
  const filter = { workflow: wanted.get("workflow") || "", status: wanted.get("status") || "", state: wanted.get("state") || "" };
  const orders = new Map();
  const fresh = new Set();
  let next = null, shown = "", offer = () => {};

  const rows = h("tbody");
  const note = h("p", { class: "empty" }, "Loading");
  const more = h("div", { class: "more" }, h("button", { type: "button", onclick: () => load(next) }, "Older orders"));
  const table = h("table", null,
    h("thead", null, h("tr", null, ["Order", "State", "Progress"].map((name) => h("th", null, name)),
      h("th", { class: "num" }, "Amount"), h("th", { class: "num" }, "Changed"))), rows);
  const warning = h("p", { class: "warn", hidden: true });
  fill(place, h("div", { class: "head" }, h("h1", null, "Orders")), controls(), warning,
    h("section", { class: "card list" }, table, note, more));

  const draw = () => {
    const sorted = [...orders.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, ROWS_MAX);
    fill(rows, sorted.map((order) => row(order, fresh.has(order.id))));
    fresh.clear();
    table.hidden = sorted.length === 0;
    note.hidden = sorted.length > 0;
    note.textContent = Object.values(filter).some(Boolean) ? "No order fits these filters." : "No orders yet. Submit one with `paystate submit`, or pay in the shop.";
    more.hidden = !next;
  };
  const redraw = paced(draw, 250);

  const say = (text) => {
    warning.hidden = false;
    warning.textContent = text;
  };

  async function load(after) {
    const query = new URLSearchParams({ limit: "50" });
    for (const [name, value] of Object.entries(filter)) if (value) query.set(name, value);
    if (after) query.set("after", after);
    const asked = (shown = query.toString());
    try {
      const page = await get(`/v1/orders?${query}`);
      if (asked !== shown) return;
      if (!after) orders.clear();
      for (const order of page.orders) orders.set(order.id, order);
      next = page.next;
      warning.hidden = true;
      draw();
    } catch (error) {
      say(error.message);
    }
  }

  function controls() {
    const again = () => {
      const query = new URLSearchParams(Object.entries(filter).filter(([, value]) => value));
      history.replaceState(null, "", `#/orders${query.size ? "?" + query : ""}`);
      load(null);
    };
    const workflow = h("select", { "aria-label": "Workflow", onchange: () => { filter.workflow = workflow.value; again(); } },
      h("option", { value: "" }, "All workflows"));
    offer = () => get("/v1/workflows").then(({ workflows }) => {
      fill(workflow, h("option", { value: "" }, "All workflows"), workflows.map((one) => h("option", { value: one.workflow }, one.title)));
      workflow.value = filter.workflow;
    }).catch(() => {});
    offer();
    const chips = ["", ...STATUSES].map((status) => h("button", {
      type: "button", "aria-pressed": String(filter.status === status),
      onclick: (event) => {
        filter.status = status;
        for (const chip of event.target.parentNode.children) chip.setAttribute("aria-pressed", String(chip === event.target));
        again();
      },
    }, status || "all"));
    const search = h("input", {
      type: "search", placeholder: "State, or the id of an order", "aria-label": "State or order id", value: filter.state,
      onchange: () => {
        const text = search.value.trim();
        const id = text.toLowerCase();
        const named = /^[0-9a-f][0-9a-f…-]{5,}$/.test(id) && [...orders.keys()].filter((order) => order === id || order.startsWith(id) || order.endsWith(id) || shortId(order) === id);
        if (named?.length === 1) location.hash = `#/orders/${named[0]}`;
        else if (/^[0-9a-f-]{32,36}$/.test(id)) location.hash = `#/orders/${id}`;
        else if (named) say(named.length ? "More than one order here begins or ends like this: give more of the id." : "No order here begins or ends like this: give the whole id.");
        else { filter.state = text; again(); }
      },
    });
    return h("div", { class: "filters" }, h("div", { class: "chips" }, chips), workflow, search);
  }

  const fits = (order) => (!filter.workflow || order.workflow === filter.workflow)
    && (!filter.status || order.status === filter.status) && (!filter.state || order.state === filter.state);

  cleanup(onChange((order) => {
    if (!order) { offer(); return load(null); }
    if (fits(order)) { orders.set(order.id, order); fresh.add(order.id); } else orders.delete(order.id);
    redraw();
  }));
  await load(null);
}

function row(order, isFresh) {
  const href = `#/orders/${order.id}`;
  return h("tr", { class: isFresh ? "fresh" : null, onclick: () => { location.hash = href; } },
    h("td", null, h("a", { class: "what", href }, order.title), h("span", { class: "id mono", title: order.id }, shortId(order.id))),
    h("td", { class: "now" }, pill(order.status), h("span", { class: "state" }, order.state_title || order.state)),
    h("td", { class: "progress" }, spine(order)),
    h("td", { class: "num" }, amountOf(order.amount)),
    h("td", { class: "when" }, h("time", { "data-ago": order.updated_at, title: full(order.updated_at) }, ago(order.updated_at))));
}

function spine(order) {
  const passed = new Set(order.stages);
  return h("span", { class: `spine ${order.status}`, title: order.stages.join(" → ") || "nothing passed yet", role: "img",
    "aria-label": `${passed.size} of ${order.spine.length} stages passed` },
    order.spine.map((stage) => h("i", { class: passed.has(stage) ? "passed" : null })));
}
