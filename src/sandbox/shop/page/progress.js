// A payment on its way: the steps, what there is to do, what was told, and both balances.

import { api, Refusal } from './api.js';
import { $, h, icon, money } from './dom.js';

const STEPS = [
  ['submitted', 'Submitted', 'The shop has your order'],
  ['verified', 'Verified', 'The merchant confirmed it'],
  ['forwarded', 'Forwarded', 'The gateway opened the seal'],
  ['authorized', 'Authorised', 'Your bank said yes'],
  ['settled', 'Settled', 'The money has moved'],
  ['notified', 'Notified', 'Everybody knows'],
];
const ENDED = ['succeeded', 'failed'];
/** How often an order that has ended is still asked for, while its shipping notice is on the way. */
const AFTERWARDS = 20;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const words = (name) => {
  const text = (name ?? '').replaceAll(/[_.]/g, ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
};

/** Follows an order until nothing more happens. `memory` holds the accounts and the balances before. */
export async function follow(id, memory, restart) {
  let reached = 0;
  let left = AFTERWARDS;
  let shown = '';
  for (;;) {
    let told;
    try {
      told = await api.order(id);
    } catch (error) {
      if (error instanceof Refusal && error.status === 404) return restart();
      $('trouble')?.removeAttribute('hidden');
      await wait(2000);
      continue;
    }
    const { payment, notices } = told;
    reached = Math.max(reached, STEPS.findIndex(([name]) => name === payment?.stage));
    if (payment?.status === 'succeeded') reached = STEPS.length - 1;
    const balances = memory.accounts ? await api.balances(memory.accounts).catch(() => null) : null;
    const view = JSON.stringify([payment, notices, balances, reached]);
    if (view !== shown) {
      shown = view;
      draw(told, reached, balances, memory, restart);
    }
    $('trouble')?.setAttribute('hidden', '');
    const ended = ENDED.includes(payment?.status);
    const shipped = notices.some((notice) => notice.kind === 'shipping');
    if (ended && (payment.status === 'failed' || shipped || left === 0)) return;
    if (ended) left -= 1;
    await wait(payment?.status === 'waiting' ? 1000 : 500);
  }
}

function draw(told, reached, balances, memory, restart) {
  const { order, payment, notices } = told;
  const amount = money(order.amount, order.currency);
  const focused = document.activeElement?.id;
  $('progress').replaceChildren(...[
    h('section', { class: `card hero ${payment?.status ?? ''}` }, headline(payment, amount, order), steps(payment, reached),
      h('p', { id: 'trouble', class: 'problem', role: 'status', hidden: true }, 'The shop cannot be reached. Trying again.')),
    payment?.action ? action(payment) : null,
    notices.length ? letters(notices) : null,
    balances ? accounts(balances, memory) : null,
    receipt(order, memory),
    buttons(order, payment, restart),
  ].filter(Boolean));
  if (focused) $(focused)?.focus();
}

function headline(payment, amount, order) {
  const [title, note] = {
    succeeded: [`Paid ${amount}`, 'Thank you. The goods are yours.'],
    failed: [`Not paid: ${words(payment?.state).toLowerCase()}`, reason(payment)],
    incident: ['Somebody is looking into it', 'The payment’s outcome is not known. It will not be taken twice.'],
  }[payment?.status] ?? (payment?.action ? ['Your turn', 'The payment waits for you.'] : [`Paying ${amount}`, payment?.title ? `${payment.title}.` : 'This takes a moment. You may close the page and come back.']);
  return h('header', {},
    h('p', { class: 'eyebrow' }, order.merchant_order),
    h('h1', { id: 'headline', role: 'status' }, title),
    h('p', { class: 'muted' }, note));
}

const reason = (payment) => {
  const code = payment?.reason;
  return code ? `The reason: ${words(code).toLowerCase()}.` : 'No money was taken.';
};

function steps(payment, reached) {
  const failed = payment?.status === 'failed';
  const all = payment?.status === 'succeeded';
  return h('ol', { class: 'steps', 'aria-label': 'Progress' }, STEPS.map(([name, title, note], index) => {
    const state = all || index <= reached ? 'done' : index > reached + 1 ? 'ahead' : failed ? 'failed' : 'now';
    const now = payment?.action ? 'Waiting for you' : 'Under way';
    const told = { done: note, now, failed: 'Not done', ahead: '' }[state];
    const mark = state === 'done' ? icon('check') : state === 'failed' ? icon('cross') : String(index + 1);
    return h('li', { class: state, 'data-step': name, 'aria-current': state === 'now' ? 'step' : false },
      h('span', { class: 'mark' }, mark), h('span', { class: 'step' }, h('strong', {}, title), h('small', { class: 'muted' }, told)));
  }));
}

/** What the customer is asked to do, by payment method. */
const ACTIONS = {
  unionpay_online: ['Pay on UnionPay’s page', 'Continue to UnionPay'],
  online_banking: ['Go to your online banking', 'Continue to your bank'],
  third_party_topup: ['Move the money at your bank', 'Continue to your bank'],
  e_wallet: ['Confirm with your payment password', 'Open your wallet'],
  third_party_mobile: ['Scan the code with your phone', 'Open the code'],
  third_party_phone: ['Your telephone is ringing', 'Answer the call'],
};

function action(payment) {
  const [title, button] = ACTIONS[payment.workflow] ?? ['Your bank asks: is this you?', 'Continue to your bank'];
  return h('section', { class: 'card call' },
    h('div', {}, h('h2', {}, title),
      h('p', { class: 'muted' }, 'It opens in a new tab. This page goes on by itself when you have answered there.')),
    h('a', { id: 'challenge', class: 'primary', href: payment.action, target: '_blank', rel: 'noopener noreferrer' }, button));
}

function letters(notices) {
  const letter = ({ to, kind, text, at }) =>
    h('li', { class: kind, 'data-notice': `${to}-${kind}` }, icon(kind === 'shipping' ? 'parcel' : 'mail'),
      h('div', {}, h('strong', {}, kind === 'shipping' ? 'Shipping notice' : to === 'customer' ? 'To you' : 'To the merchant'),
        h('p', {}, text)),
      h('time', { class: 'muted', dateTime: at }, new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })));
  return h('section', { class: 'card' }, h('h2', {}, 'Messages'), h('ul', { class: 'letters' }, notices.map(letter)));
}

function accounts({ currency, customer, receiver }, memory) {
  const one = (title, now, before) => {
    const change = before === undefined ? 0 : now.available + now.held - before;
    const sign = change > 0 ? '+' : change < 0 ? '−' : '';
    return h('div', { class: 'account' },
      h('span', { class: 'muted' }, title), h('strong', {}, money(now.available, currency)),
      h('span', { class: `change ${change > 0 ? 'plus' : change < 0 ? 'minus' : ''}` },
        change ? `${sign}${money(Math.abs(change), currency)} since you ordered` : 'unchanged so far'),
      now.held ? h('span', { class: 'muted' }, `${money(now.held, currency)} reserved`) : null);
  };
  return h('section', { class: 'card' }, h('h2', {}, 'Balances at the bank'),
    h('div', { class: 'accounts' },
      one(`You (${customer.account})`, customer, memory.before?.customer),
      one(`${memory.accounts.receiver ? 'Topped up' : 'The shop'} (${receiver.account})`, receiver, memory.before?.receiver)));
}

function receipt(order, memory) {
  const line = ({ title, quantity, amount }) =>
    h('li', {}, h('span', {}, title, quantity > 1 ? h('span', { class: 'muted' }, ` × ${quantity}`) : null), h('span', {}, money(amount, order.currency)));
  return h('details', { class: 'card quiet' }, h('summary', {}, 'Order and sealed payment'),
    h('ul', { class: 'lines' }, order.lines.map(line)),
    h('p', { class: 'total' }, h('span', {}, 'Total'), h('span', {}, money(order.amount, order.currency))),
    h('p', { class: 'muted' }, `To ${order.customer.name}, ${order.customer.address}.`),
    memory.sealed ? h('p', { class: 'muted' }, 'This is all that the shop and Paystate have seen of your payment details:') : null,
    memory.sealed ? h('code', { class: 'sealed' }, memory.sealed) : null);
}

function buttons(order, payment, restart) {
  const open = payment && !ENDED.includes(payment.status) && payment.status !== 'incident';
  const cancel = h('button', { id: 'cancel', type: 'button', class: 'secondary' }, 'Cancel the order');
  cancel.onclick = async () => {
    cancel.disabled = true;
    await api.cancel(order.merchant_order).catch((error) => {
      cancel.textContent = error.message;
    });
  };
  const again = h('button', { id: 'again', type: 'button', class: open ? 'secondary' : 'primary', onclick: restart }, 'New order');
  return h('div', { class: 'row' }, open ? cancel : null, again);
}
