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
    watch(await pay());
  } catch (error) {
    complain(error.message);
    refresh();
  }
});

/** Opens the order at the shop, seals the details for exactly this order, and submits. Returns the order's number. */
async function pay() {
  const { chosen, details } = methods;
  const customer = { name: form.elements.name.value.trim(), address: form.elements.address.value.trim() };
  const order = await api.checkout({ items: basket.items, customer, test_fen: basket.fen });
  if (order.amount !== basket.total) throw new Error('The shop’s total is not the one you saw. Please start again.');

  const account = chosen.account(details);
  const before = await api.balances(account).catch(() => null);
  const payment = chosen.seal && await sealed(order);
  const facts = chosen.facts?.(details) ?? {};
  await api.submit({ merchant_order: order.merchant_order, method: chosen.id, payment, facts });
  methods.forget();

  const worth = (one) => one.available + one.held;
  remember(order.merchant_order, {
    account, sealed: payment,
    before: before && { customer: worth(before.customer), merchant: worth(before.merchant) },
  });
  return order.merchant_order;
}

/** The details, sealed for the gateway and for this order. */
async function sealed(order) {
  const { chosen, details } = methods;
  const digest = await orderDigest(order, chosen.sealedFor ?? chosen.id);
  return seal(await api.paymentKey(), digest, await chosen.seal(details, order));
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
