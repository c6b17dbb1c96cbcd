// How values look.

const digits = (currency) => {
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;
  } catch { return 0; }
};

/** Minor units with their point, without going through a float. */
export function money(amount, currency) {
  const places = currency ? digits(currency) : 0;
  const text = String(Math.abs(amount)).padStart(places + 1, "0");
  const whole = text.slice(0, text.length - places).replace(/\B(?=(\d{3})+$)/g, ",");
  const part = places ? "." + text.slice(-places) : "";
  return `${amount < 0 ? "-" : ""}${whole}${part}${currency ? " " + currency : ""}`;
}

export const amountOf = (value) => (value ? money(value.amount, value.currency) : "");

export const shortId = (id) => `${id.slice(0, 8)}…${id.slice(-6)}`;

export function span(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60 ? (minutes % 60) + " min" : ""}`.trim();
  return `${Math.floor(hours / 24)} d`;
}

export function ago(at) {
  const ms = Date.now() - Date.parse(at);
  if (ms < -1000) return `in ${span(-ms)}`;
  return ms < 1500 ? "now" : `${span(ms)} ago`;
}

export const clock = (at) =>
  new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export const full = (at) => new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });

export const attempts = (count) => `${count} ${count === 1 ? "attempt" : "attempts"}`;

export const json = (value) => JSON.stringify(value, null, 2);
