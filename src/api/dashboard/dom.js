// Elements from data. Text only ever becomes a text node: what a provider or a customer wrote cannot become markup.

/** @param {string} tag @param {object|null} attributes @param {...any} children */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

export const card = (title, body, ...aside) =>
  h("section", { class: "card" }, h("header", null, h("h2", null, title), aside), body);

export const pill = (status) => h("span", { class: `pill ${status}` }, status);

/** Runs `work` now, then at most once in `ms`: a burst of changes is one drawing. */
export function paced(work, ms) {
  let last = 0, timer = 0;
  return () => {
    if (timer) return;
    const wait = Math.max(0, last + ms - Date.now());
    timer = setTimeout(() => { timer = 0; last = Date.now(); work(); }, wait);
  };
}
