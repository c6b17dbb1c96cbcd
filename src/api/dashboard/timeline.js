// What happened, entry by entry.
import { h } from "./dom.js";
import { clock, full, json, span } from "./text.js";

/** The states passed, each with how long the order stayed. */
export function path(entries, order) {
  const stays = [];
  for (const entry of entries) {
    if (stays.at(-1)?.state === entry.to) continue;
    if (stays.length) stays.at(-1).until = entry.at;
    stays.push({ state: entry.to, from: entry.at, until: null });
  }
  const steps = stays.map((stay, index) => [
    index ? h("b", null, "→") : null,
    h("span", { class: stay.until ? null : "now" }, stay.state,
      stay.until && h("em", null, span(Date.parse(stay.until) - Date.parse(stay.from)))),
  ]);
  return steps.length ? h("div", { class: "path", "aria-label": `the way to ${order.state}` }, steps) : null;
}

export function timeline(entries) {
  if (!entries.length) return h("p", { class: "empty" }, "Nothing yet");
  const begin = Date.parse(entries[0].at);
  return h("ol", { class: "timeline" }, entries.map((entry) => item(entry, begin)));
}

function item(entry, begin) {
  const moved = entry.from !== null && entry.from !== undefined && entry.from !== entry.to;
  return h("li", { class: tone(entry) },
    details(entry, h("summary", { class: "line", title: `Entry ${entry.seq}: all of it` }, h("span", { class: "say" }, entry.summary),
      h("time", { datetime: entry.at, title: full(entry.at) }, `${clock(entry.at)}  +${span(Date.parse(entry.at) - begin)}`))),
    moved && h("div", { class: "move" }, entry.from, " → ", h("b", null, entry.to)), who(entry.event));
}

function who(event) {
  const said = [event.note, event.reason].filter((text) => typeof text === "string" && text);
  return event.by && said.length ? h("div", { class: "move" }, said.join(" ")) : null;
}

function details(entry, summary) {
  const place = h("details", null, summary);
  // Filled when it is opened: a long journal would be most of the page.
  place.addEventListener("toggle", () => {
    if (place.open && place.children.length === 1) {
      place.append(h("pre", { class: "box" }, json({ event: entry.event, commands: entry.commands, postings: entry.postings })));
    }
  });
  return place;
}

function tone({ event, commands }) {
  if (commands.some((command) => command.do === "open_incident") || event.type === "parked") return "bad";
  const outcome = event.outcome?.outcome;
  if (outcome === "ok") return "good";
  if (outcome === "declined") return "bad";
  if (outcome) return "doubt";
  return ["received", "cancel_requested", "retry_requested", "resolved", "started"].includes(event.type) ? "outside" : "";
}
