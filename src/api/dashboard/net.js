// The API: the same that every client uses.

export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail || problem?.title || `the server answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/** The browser's own words for this are no help. */
const reach = (path, options) => fetch(path, options).catch(() => { throw new Error("The daemon does not answer. This page comes back by itself when it does."); });

async function ask(path, options) {
  const response = await reach(path, { ...options, headers: { accept: "application/json", ...options?.headers } });
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

export const get = (path) => ask(path);

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

export async function getText(path) {
  const response = await reach(path);
  if (!response.ok) throw new Refused(response.status, null);
  return response.text();
}

const listeners = new Set();

/** Calls `listener` with each order that changes, and with null when changes may have been missed. */
export function onChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = (order) => listeners.forEach((listener) => listener(order));

/** Opens the stream of changes; `say` hears "on" or "off". It comes back by itself. */
export function listen(say) {
  let broken = false;
  const source = new EventSource("/v1/stream");
  source.addEventListener("open", () => { say("on"); if (broken) tell(null); broken = false; });
  source.addEventListener("order", (event) => tell(JSON.parse(event.data)));
  source.addEventListener("missed", () => tell(null));
  source.addEventListener("error", () => {
    broken = true;
    say("off");
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(say), 3000);
  });
}
