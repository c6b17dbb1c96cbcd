// What a person asks of an order: always with a name, and for an incident with a reason.
import { h, fill } from "./dom.js";
import { get, post } from "./net.js";
import { amountOf, shortId } from "./text.js";

const path = (id, what) => `/v1/orders/${id}/${what}`;

const retryDialog = (order) => dialog("Retry", order, "It is taken up again where it stopped.", [by(), note(false)],
  "Retry", (form) => post(path(order.id, "retry"), { by: form.by, note: form.note, id: form.once }));

export const cancelDialog = (order) => dialog("Cancel the order", order, "What was done is undone, as far as the workflow says. It waits until every outcome is known.",
  [by(), note(false)], "Cancel the order", (form) => post(path(order.id, "cancel"), { by: form.by, note: form.note, id: form.once }));

export const sendDialog = (order, event) => dialog(event, order, "The order is told that this has happened.", [
  h("label", null, "Payload (JSON)", h("textarea", { name: "payload", class: "mono", spellcheck: "false" }, "{}")),
], "Send", (form) => post(path(order.id, "events"), { event, payload: JSON.parse(form.payload || "null"), id: form.once }));

// The buttons of an incident: only what it can be ended by.
export const waysOut = (order, ways) => h("div", { class: "buttons" },
  ways.includes("retry") && h("button", { type: "button", class: "primary", onclick: () => retryDialog(order) }, "Retry"),
  ways.some((way) => way !== "retry") && h("button", { type: "button", onclick: () => resolveDialog(order, ways) }, "Resolve"));

/** What a resolution means for the call that it is about. */
function wordsOf(role) {
  if (role === "reversal") return { about: ", which was to undo a call whose outcome was not known", ok: "It was undone: the payment is off", declined: "It was not undone: what became of the call is asked once more" };
  if (role === "compensation") return { about: ", which was to give back what had been done", ok: "It was given back", declined: "It was not given back" };
  return { about: "", ok: "The call did succeed", declined: "The call did not happen" };
}

async function resolveDialog(order, open) {
  const { states } = await get(`/v1/workflows/${encodeURIComponent(order.workflow)}`).catch(() => ({ states: [] }));
  const { call, role, needs = [] } = order.incident ?? order;
  const words = wordsOf(role);
  const choice = (value, text) => open.includes(value) && h("label", null, h("input", { type: "radio", name: "as", value, required: true }), h("span", null, text));
  const detail = h("div");
  const details = {
    ok: () => h("label", null, needs.length ? `What the call answered (JSON): the workflow reads ${needs.join(", ")}` : "What the call answered (JSON)",
      h("textarea", { name: "result", class: "mono", spellcheck: "false" }, needs.length ? JSON.stringify(Object.fromEntries(needs.map((field) => [field, ""])), null, 2) : "{}")),
    declined: () => h("label", null, "Code of the decline", h("input", { name: "code", value: "resolved", required: true, maxlength: 200 })),
    dismissed: () => [],
    state: () => [h("p", null, "This books nothing: say that the call did succeed where its money has moved."), h("label", null, "Go on in", h("select", { name: "state", required: true }, h("option", { value: "" }, "Choose a state"), states.map((state) => h("option", { value: state.name }, state.title ? `${state.name}: ${state.title}` : state.name))))],
  };
  const ways = h("fieldset", { onchange: (event) => fill(detail, details[event.target.value]()) },
    choice("ok", words.ok), choice("declined", words.declined), choice("state", "Go on in another state"),
    choice("dismissed", "Nothing is left to do: the order stays where it is"));
  dialog("Resolve the incident", order, [call && ["It is about ", h("code", null, call), words.about, ". "], "Ask the provider first: money moves by what you say here."], [ways, detail, by(), note(true)], "Resolve", (form) => {
    const body = { as: form.as, by: form.by, note: form.note, id: form.once };
    if (form.as === "ok") {
      body.result = JSON.parse(form.result || "null");
      const empty = needs.filter((field) => body.result?.[field] === "");
      if (empty.length) throw new Error(`Fill in ${empty.join(", ")}: nothing was asked of the daemon yet.`);
    }
    if (form.as === "declined") body.code = form.code;
    if (form.as === "state") body.state = form.state;
    return post(path(order.id, "resolve"), body);
  });
}

const by = () => h("label", null, "Your name", h("input", { name: "by", required: true, maxlength: 200, autocomplete: "name", value: localStorage.getItem("by") || "" }));

const note = (required) => h("label", null, required ? "How you know" : "Note", h("textarea", { name: "note", required, maxlength: 2000 }));

/** Asks who, and why, for something that is about no order. */
export const askDialog = (title, about, text, verb, act) => dialog(title, { title: about }, text, [by(), note(false)], verb, act);

function dialog(title, order, text, fields, verb, act) {
  const warning = h("p", { class: "warn", hidden: true, role: "alert" });
  const submit = h("button", { class: "primary" }, verb);
  const close = () => { box.close(); box.remove(); };
  // One id for one dialog: pressing twice, or again after a broken connection, asks once.
  const once = `dashboard-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
  const form = h("form", { method: "dialog" }, h("h3", null, title),
    h("p", { class: "which" }, order.title, order.id && [" ", h("span", { class: "mono", title: order.id }, shortId(order.id))], order.amount && [", ", amountOf(order.amount)]), h("p", null, text), warning, fields,
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: close }, "Back"), submit));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    try {
      const values = { ...Object.fromEntries(new FormData(form)), once };
      if (values.by) localStorage.setItem("by", values.by);
      await act(values);
      close();
    } catch (error) {
      warning.hidden = false;
      warning.textContent = error instanceof SyntaxError ? "This is not JSON." : error.message;
      submit.disabled = false;
    }
  });
  const box = h("dialog", { "aria-label": title, onclose: () => box.remove() }, form);
  document.body.append(box);
  box.showModal();
}

/** Nobody answers for an order whose page has been left. */
export const closeDialogs = () => document.querySelectorAll("dialog").forEach((box) => box.close());
