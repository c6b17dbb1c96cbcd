// The page: which view, the navigation, the connection.
import { h, fill, paced } from "./dom.js";
import { get, listen, onChange } from "./net.js";
import { ago } from "./text.js";
import { closeDialogs } from "./actions.js";
import { ordersView } from "./orders.js";
import { orderView } from "./order.js";
import { incidentsView } from "./incidents.js";
import { workflowsView, workflowView } from "./workflows.js";
import { connectorsView, countPaused } from "./connectors.js";

const main = document.getElementById("main");
let leave = null;
/** The view could not be shown: it is tried again once the daemon is back. */
let broken = false;

const routes = [
  [/^#\/orders\/([0-9a-fA-F-]+)$/, orderView],
  [/^#\/orders(?:\?.*)?$/, ordersView],
  [/^#\/incidents$/, incidentsView],
  [/^#\/connectors$/, connectorsView],
  [/^#\/workflows\/([^/]+)$/, workflowView],
  [/^#\/workflows$/, workflowsView],
];

async function show() {
  const hash = location.hash || "#/orders";
  for (const link of document.querySelectorAll("#nav a")) {
    if (hash.startsWith(link.getAttribute("href"))) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  leave?.();
  leave = null;
  broken = false;
  closeDialogs();
  const found = routes.map(([pattern, view]) => [hash.match(pattern), view]).find(([match]) => match);
  const place = h("div");
  fill(main, place);
  window.scrollTo(0, 0);
  if (!found) return fill(place, h("p", { class: "empty" }, "There is nothing here. ", h("a", { href: "#/orders" }, "To the orders")));
  const [match, view] = found;
  const cleanups = [];
  let left = false;
  leave = () => { left = true; cleanups.forEach((cleanup) => cleanup()); };
  try {
    // A view that is still loading when it is left must not stay and listen.
    await view(place, match.slice(1).map(decodeURIComponent), (cleanup) => (left ? cleanup() : cleanups.push(cleanup)));
  } catch (error) {
    broken = !left && error.status === undefined;
    fill(place, h("p", { class: "warn" }, error.message), h("p", null, h("a", { href: "#/orders" }, "To the orders")));
  }
}

/** Orders that were seen with an incident: when they change, the number may. */
const parked = new Set();

function theme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    document.documentElement.dataset.theme = localStorage.getItem("theme") || (system.matches ? "dark" : "light");
  };
  apply();
  system.addEventListener("change", apply);
  document.getElementById("theme").addEventListener("click", () => {
    localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    apply();
  });
}

async function countIncidents() {
  const badge = document.getElementById("incident-count");
  const page = await get("/v1/incidents?limit=100").catch(() => null);
  if (!page) return;
  page.incidents.forEach((incident) => parked.add(incident.id));
  badge.hidden = page.incidents.length === 0;
  badge.textContent = page.next ? "100+" : String(page.incidents.length);
}

function connection(state) {
  const place = document.getElementById("live");
  place.className = `live ${state}`;
  place.querySelector("span").textContent = state === "on" ? "live" : "reconnecting";
}

theme();
addEventListener("hashchange", show);
const recount = paced(countIncidents, 3000);
onChange((order) => {
  if (!order && broken) show();
  if (!order) countPaused();
  if (!order || order.status === "incident" || parked.has(order.id)) recount();
});
setInterval(() => {
  for (const time of document.querySelectorAll("time[data-ago]")) time.textContent = ago(time.dataset.ago);
}, 5000);
listen(connection);
countIncidents();
countPaused();
setInterval(countPaused, 15000);
show();
