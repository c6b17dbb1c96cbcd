// The storefront: pick, fill in, seal, submit, follow.

import { api } from './api.js';
import { Basket, FAULTS } from './basket.js';
import { $, h, money } from './dom.js';
import { MethodChoice } from './methods.js';
import { follow } from './progress.js';
import { orderDigest, seal } from './seal.js';

const form = $('form');
let basket;
let methods;
/** An order that was sent, while it is not known whether it arrived. Only this one is sent again, never a second. */
let unanswered = null;

async function start() {
  const order = new URLSearchParams(location.hash.slice(1)).get('order');
  if (order) return watch(order);
  $('progress').hidden = true;
  $('shop').hidden = false;
  try {
    basket = new Basket(await api.catalogue(), () => refresh());
  } catch (error) {
    return complain(error.message);
  }
  methods = new MethodChoice();
  $('fault').replaceChildren(...FAULTS.map(([fen, title]) => h('option', { value: fen }, title)));
  $('fault').onchange = () => {
    basket.testFen = Number($('fault').value);
  };
  refresh();
}

function refresh() {
  const empty = !basket || basket.items.length === 0;
  $('pay').disabled = empty;
  $('pay').textContent = empty ? 'Pay' : `Pay ${money(basket.total, basket.currency)}`;
}

function complain(text) {
  $('problem').textContent = text;
  $('problem').hidden = !text;
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  complain('');
  if (!form.reportValidity()) return;
  $('pay').disabled = true;
  $('pay').textContent = 'Sealing your payment …';
  try {
    unanswered ??= await prepare();
    await api.submit(unanswered.submission);
  } catch (error) {
    if (error.unanswered && unanswered) {
      form.inert = true;
      complain('There was no clear answer, so your order may have arrived. Trying again sends the same order, never a second one.');
      $('pay').disabled = false;
      $('pay').textContent = 'Try again';
    } else {
      unanswered = null;
      form.inert = false;
      complain(error.message);
      refresh();
    }
    return;
  }
  methods.forget();
  const { submission: { merchant_order }, memory } = unanswered;
  remember(merchant_order, memory);
  watch(merchant_order);
});

/** Opens the order at the shop, and seals the details for exactly this order. */
async function prepare() {
  const { chosen, details } = methods;
  const customer = { name: form.elements.name.value.trim(), address: form.elements.address.value.trim() };
  const order = await api.checkout({ items: basket.items, customer, test_fen: basket.fen });
  if (order.amount !== basket.total) throw new Error('The shop’s total is not the one you saw. Please start again.');

  const accounts = { customer: chosen.account(details), receiver: chosen.receiver?.(details) };
  const before = await api.balances(accounts).catch(() => null);
  const digest = await orderDigest(order, chosen.id);
  const payment = await seal(await api.paymentKey(), digest, await chosen.seal(details, order));
  const facts = chosen.facts?.(details) ?? {};

  const worth = (one) => one.available + one.held;
  return {
    submission: { merchant_order: order.merchant_order, method: chosen.id, payment, facts },
    memory: {
      accounts, sealed: payment,
      before: before && { customer: worth(before.customer), receiver: worth(before.receiver) },
    },
  };
}

function watch(order) {
  history.replaceState(null, '', `#order=${encodeURIComponent(order)}`);
  $('shop').hidden = true;
  $('progress').hidden = false;
  scrollTo(0, 0);
  follow(order, recall(order), () => {
    location.hash = '';
    location.reload();
  });
}

// What a reload must not lose. Only sealed and public things are kept.
const remember = (order, memory) => sessionStorage.setItem(order, JSON.stringify(memory));
const recall = (order) => JSON.parse(sessionStorage.getItem(order) ?? '{}');

start();
