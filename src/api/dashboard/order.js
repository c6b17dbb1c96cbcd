// One order: where it stands, how it came there, its money, its calls.
import { h, fill, card, paced, pill } from "./dom.js";
import { get, onChange } from "./net.js";
import { ago, amountOf, attempts, full, json, money, shortId } from "./text.js";
import { cancelDialog, sendDialog, waysOut } from "./actions.js";
import { diagram } from "./diagram.js";
import { path, timeline } from "./timeline.js";

const ENTRIES_MAX = 2000;

export async function orderView(place, [id], cleanup) {
  let order = await get(`/v1/orders/${id}`);
  const entries = [];
  const picture = await diagram(order.workflow, order.version);
  const top = h("div"), history = h("div"), side = h("div", { class: "stack" });
  const graph = card("States", picture.element, h("span", { class: "legend" },
    h("span", null, h("i", { class: "passed" }), "passed"), h("span", null, h("i", { class: "now" }), "now"), picture.fit));
  graph.classList.add("wide");
  fill(place, top, graph, h("div", { class: "columns" }, history, side));

  const draw = () => {
    fill(top, head(order), order.incident && alarm(order), stages(order));
    picture.mark(order, entries);
    const body = h("div", null, path(entries, order), timeline(entries));
    fill(history, card("History", body, h("span", { class: "legend" }, `${entries.length} entries`)));
    fill(side, actions(order), moneyCard(order), related("Refunds", order.refunds), related("Child orders", order.children), calls(order), waiting(order), values("Data", order.data), values("Input", order.input));
  };

  async function catchUp() {
    for (;;) {
      const after = entries.at(-1)?.seq ?? 0;
      if (entries.length >= ENTRIES_MAX) return;
      const page = await get(`/v1/orders/${order.id}/journal?limit=500&after=${after}`);
      entries.push(...page.entries.filter((entry) => entry.seq > (entries.at(-1)?.seq ?? 0)));
      if (!page.next) return;
    }
  }

  let busy = false, again = false;
  const refresh = paced(async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const before = order.state;
      order = await get(`/v1/orders/${id}`);
      await catchUp();
      draw();
      if (order.state !== before) picture.center();
    } catch { /* The next change tries again. */ }
    busy = false;
    if (again) { again = false; refresh(); }
  }, 300);

  cleanup(onChange((changed) => { if (!changed || changed.id === order.id) refresh(); }));
  await catchUp();
  draw();
  picture.center();
}

function head(order) {
  const fact = (name, ...value) => h("span", null, name, " ", value);
  const when = (at) => h("time", { "data-ago": at, title: full(at) }, ago(at));
  return h("div", null,
    h("p", { class: "crumb" }, h("a", { href: "#/orders" }, "Orders"), " / ", order.parent && [h("a", { href: `#/orders/${order.parent.order}` }, "part of ", shortId(order.parent.order)), " / "], order.refund_of && [h("a", { href: `#/orders/${order.refund_of}` }, "refund of ", shortId(order.refund_of)), " / "], h("span", { class: "mono" }, shortId(order.id))),
    h("div", { class: "title" }, h("h1", null, order.title), pill(order.status),
      h("span", { class: "sub" }, order.state_title || order.state), h("span", { class: "amount" }, amountOf(order.amount))),
    h("div", { class: "facts" },
      fact("order", h("code", null, order.id)), fact("workflow", h("a", { href: `#/workflows/${encodeURIComponent(order.workflow)}` }, order.workflow)),
      fact("submitted", when(order.created_at)), fact("in this state since", when(order.entered_at)),
      order.outcome && fact("last outcome", h("code", null, order.outcome))));
}

function stages(order) {
  if (!order.spine.length) return null;
  const passed = new Set(order.stages);
  return h("ol", { class: `card steps ${order.status}` },
    order.spine.map((stage) => h("li", { class: passed.has(stage) ? "passed" : null }, stage)));
}

function alarm(order) {
  const { incident } = order;
  return h("section", { class: "alarm" },
    h("div", null, h("strong", null, "This order needs a person"), h("div", { class: "reason" }, incident.reason),
      h("small", null, incident.call && [h("code", null, incident.call), ", "], "opened ", ago(incident.opened_at))),
    h("div", null, incident.at_stake && h("div", { class: "stake" }, amountOf(incident.at_stake), h("small", null, "at stake")),
      waysOut(order, incident.ways)));
}

function actions(order) {
  // An order that has ended takes late events from providers only.
  const open = ["running", "waiting", "incident"].includes(order.status);
  if (!open) return null;
  const buttons = order.next_events.filter((name) => name !== "cancel").map((name) =>
    h("button", { type: "button", onclick: () => sendDialog(order, name) }, name));
  return card("What can happen", h("div", { class: "body acts" }, buttons,
    h("button", { type: "button", class: "danger", onclick: () => cancelDialog(order) }, "Cancel the order")));
}

function moneyCard(order) {
  const { currency, ...position } = order.money;
  const pairs = Object.entries(position).map(([name, amount]) =>
    [h("dt", null, name.replace("_", " ")), h("dd", { class: amount ? "strong" : "zero" }, money(amount, currency))]);
  return card("Money", h("dl", { class: "body pairs" }, pairs));
}

function related(title, orders) {
  if (!orders?.length) return null;
  const one = (other) => h("div", { class: "call" },
    h("div", { class: "top" }, h("a", { href: `#/orders/${other.order}`, class: "mono" }, shortId(other.order)), pill(other.status)),
    h("small", null, other.workflow, ", ", amountOf(other.amount), ", ", other.state_title || other.state, ", ", h("time", { "data-ago": other.created_at, title: full(other.created_at) }, ago(other.created_at))));
  return card(title, h("div", { class: "body" }, orders.map(one)));
}

function calls(order) {
  const one = (call) => h("div", { class: "call" },
    h("div", { class: "top" }, h("code", null, call.call), h("span", { class: `tag ${call.phase}` }, call.phase)),
    h("small", null, call.role === "invoke" ? "" : `${call.role}, `, `attempt ${call.attempt}`,
      call.inquiries ? `, asked ${call.inquiries} times` : "", call.next_at ? [", next ", h("time", { "data-ago": call.next_at }, ago(call.next_at))] : ""),
    call.trouble && h("small", null, call.trouble), h("small", { class: "mono" }, call.key));
  const body = order.calls.length ? order.calls.map(one) : h("span", { class: "sub" }, `Nothing is open. ${attempts(order.attempts)} in all.`);
  return card("Calls", h("div", { class: "body" }, body));
}

function waiting(order) {
  if (!order.timers.length && !order.inbox.length) return null;
  const timers = order.timers.map((timer) => [h("dt", null, timer.timer), h("dd", { title: full(timer.at) }, h("time", { "data-ago": timer.at }, ago(timer.at)))]);
  const early = order.inbox.map((event) => [h("dt", null, "early: ", event.event), h("dd", null, ago(event.at))]);
  return card("Waiting", h("dl", { class: "body pairs" }, timers, early));
}

function values(title, value) {
  const empty = !value || (typeof value === "object" && !Object.keys(value).length);
  return empty ? null : card(title, h("div", { class: "body" }, h("pre", { class: "box" }, json(value))));
}
