// The goods, and what of them is in the basket.

import { $, h, icon, money } from './dom.js';

const QUANTITY_MAX = 20;

export class Basket {
  constructor({ goods, currency }, changed) {
    this.goods = goods;
    this.currency = currency;
    this.quantities = new Map();
    this.fen = 0;
    this.changed = changed;
    $('goods').replaceChildren(...goods.map((good) => this.#card(good)));
    this.#summary();
  }

  get items() {
    return [...this.quantities].map(([id, quantity]) => ({ id, quantity }));
  }

  get total() {
    const price = (id) => this.goods.find((good) => good.id === id).price;
    return this.items.reduce((sum, { id, quantity }) => sum + price(id) * quantity, 0) + this.fen;
  }

  set testFen(fen) {
    this.fen = fen;
    this.#summary();
  }

  #card(good) {
    const count = h('output', { class: 'count' }, '0');
    const step = (by) => () => {
      const quantity = Math.min(QUANTITY_MAX, Math.max(0, (this.quantities.get(good.id) ?? 0) + by));
      if (quantity) this.quantities.set(good.id, quantity);
      else this.quantities.delete(good.id);
      count.value = quantity;
      card.classList.toggle('chosen', quantity > 0);
      less.disabled = quantity === 0;
      this.#summary();
    };
    const button = (text, label, by) => h('button', { type: 'button', 'aria-label': label, onclick: step(by) }, text);
    const less = button('−', `One ${good.title} less`, -1);
    const more = button('+', `One ${good.title} more`, 1);
    less.disabled = true;
    const card = h('li', { class: `good ${good.id}`, 'data-good': good.id },
      h('div', { class: 'picture' }, icon(good.id, '')),
      h('div', { class: 'words' }, h('h3', {}, good.title), h('p', { class: 'muted' }, good.about)),
      h('div', { class: 'buy' },
        h('span', { class: 'price' }, money(good.price, this.currency)),
        h('span', { class: 'stepper' }, less, count, more)));
    return card;
  }

  #summary() {
    const line = (title, quantity, amount) =>
      h('li', {}, h('span', {}, title, quantity > 1 ? h('span', { class: 'muted' }, ` × ${quantity}`) : null),
        h('span', {}, money(amount, this.currency)));
    const lines = this.items.map(({ id, quantity }) => {
      const good = this.goods.find((one) => one.id === id);
      return line(good.title, quantity, good.price * quantity);
    });
    if (this.fen) lines.push(line('Test amount', 1, this.fen));
    const empty = h('li', { class: 'muted' }, 'Nothing yet. Pick something you like.');
    $('lines').replaceChildren(...(lines.length ? lines : [empty]));
    $('total').value = money(this.total, this.currency);
    this.changed();
  }
}

/** Amounts at which the gateway misbehaves, by the fen that are added to the total. */
export const FAULTS = [
  [0, 'Everything works'],
  [5, '0.05: the bank declines'],
  [51, '0.51: not enough money'],
  [65, '0.65: the bank asks you to confirm'],
  [68, '0.68: the bank pays and the answer is lost'],
  [69, '0.69: the request is lost'],
  [70, '0.70: the bank pays and answers with an error'],
  [73, '0.73: the bank is slow'],
  [74, '0.74: the payment cannot be found for a while'],
  [80, '0.80: every notification comes five times'],
  [82, '0.82: no notification comes'],
  [96, '0.96: the bank is not available at first'],
];
