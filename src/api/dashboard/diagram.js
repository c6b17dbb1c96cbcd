// A workflow's diagram with the way of one order in it.
import { h } from "./dom.js";
import { getText } from "./net.js";

const drawings = new Map();

/** @returns {Promise<{element: HTMLElement, fit: HTMLElement, mark: Function, center: Function}>} */
export async function diagram(workflow, version) {
  const address = `/v1/workflows/${encodeURIComponent(workflow)}/graph.svg${version ? `?version=${encodeURIComponent(version)}` : ""}`;
  const place = h("div", { class: "graph", tabindex: "0", role: "group", "aria-label": `States of ${workflow}` });
  try {
    if (!drawings.has(address)) drawings.set(address, await getText(address));
    place.append(clean(drawings.get(address)));
  } catch {
    place.append(h("p", { class: "empty" }, "There is no diagram of this version."));
  }
  pan(place);
  const fit = h("button", { type: "button", class: "small", "aria-pressed": "false", onclick: () => {
    fit.setAttribute("aria-pressed", String(place.classList.toggle("fit")));
    center(place);
  } }, "Fit");
  return { element: place, fit, mark: (order, entries) => mark(place, order, entries), center: () => center(place) };
}

/** Moves a drawing that is larger than its place with the mouse; fingers and keys can do it already. */
function pan(place) {
  place.addEventListener("pointerdown", (down) => {
    if (down.pointerType !== "mouse" || down.button !== 0) return;
    const from = [place.scrollLeft + down.clientX, place.scrollTop + down.clientY];
    const move = (event) => place.scrollTo(from[0] - event.clientX, from[1] - event.clientY);
    place.setPointerCapture(down.pointerId);
    place.addEventListener("pointermove", move);
    place.addEventListener("pointerup", () => place.removeEventListener("pointermove", move), { once: true });
  });
}

/** The drawing as elements, without anything that could act. */
function clean(text) {
  // The drawing's own colours are for where it stands alone. The page's policy refuses inline styles, and says so loudly.
  const bare = text.replace(/<style[\s>][^]*?<\/style>/g, "");
  const svg = new DOMParser().parseFromString(bare, "image/svg+xml").documentElement;
  for (const element of [svg, ...svg.querySelectorAll("*")]) {
    if (["script", "style", "foreignObject", "a", "image", "use"].includes(element.localName)) { element.remove(); continue; }
    for (const { name, value } of [...element.attributes]) {
      const elsewhere = /href$/i.test(name) || (/url\(/i.test(value) && !/^url\(#[\w-]+\)$/.test(value));
      if (/^on/i.test(name) || name === "style" || elsewhere) element.removeAttribute(name);
    }
  }
  return document.importNode(svg, true);
}

function mark(place, order, entries) {
  const states = new Set(entries.map((entry) => entry.to));
  const key = (from, to) => JSON.stringify([from, to]);
  const steps = new Set(entries.filter((entry) => entry.from && entry.from !== entry.to).map((entry) => key(entry.from, entry.to)));
  place.classList.add("walked");
  for (const node of place.querySelectorAll(".state[id^=state-]")) {
    const name = node.id.slice("state-".length);
    const now = name === order.state;
    node.classList.toggle("passed", states.has(name) && !now);
    node.classList.toggle("now", now);
    for (const status of ["incident", "succeeded", "failed"]) node.classList.toggle(status, now && order.status === status);
  }
  const edges = [...place.querySelectorAll("[data-from]")];
  const drawn = new Set(edges.map((edge) => key(edge.dataset.from, edge.dataset.to)));
  // A step that no state has for itself is one that every state has: it is drawn from "any".
  const general = new Set([...steps].filter((step) => !drawn.has(step)).map((step) => JSON.parse(step)[1]));
  for (const edge of edges) {
    const { from, to } = edge.dataset;
    edge.classList.toggle("passed", steps.has(key(from, to)) || (from === "any" && general.has(to)));
  }
}

function center(place) {
  const now = place.querySelector(".now");
  if (!now) return;
  const [inner, outer] = [now.getBoundingClientRect(), place.getBoundingClientRect()];
  place.scrollBy(inner.left - outer.left - (outer.width - inner.width) / 2, inner.top - outer.top - (outer.height - inner.height) / 2);
}
