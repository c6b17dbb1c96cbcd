// The ten ways to pay: what each asks for, and test details for every way that it can end.

import { api } from './api.js';
import { $, h, icon } from './dom.js';

const CARD = (number) => ({ number, expiry: '12/34', cvc: '123', holder: 'LIN WEI' });

const card = (id, title, about, picture, cases) => ({
  id, title, about, picture, cases,
  fields: [
    { name: 'number', label: 'Card number', autocomplete: 'cc-number', inputMode: 'numeric', wide: true, digits: true },
    { name: 'expiry', label: 'Expires (MM/YY)', autocomplete: 'cc-exp', inputMode: 'numeric' },
    { name: 'cvc', label: 'Security code', autocomplete: 'cc-csc', inputMode: 'numeric' },
    { name: 'holder', label: 'Name on the card', autocomplete: 'cc-name', wide: true },
  ],
  seal: ({ number, expiry, cvc, holder }) => ({ type: 'card', number, expiry, cvc, holder }),
  account: ({ number }) => ({ 4000000000009995: 'customer-poor', 6200000000000005: 'customer-2' })[number] ?? 'customer-1',
});

const ACCOUNT = { name: 'account', label: 'Account', autocomplete: 'off', wide: true };
/** A payment account and its password; without the password its holder is asked on a page. */
const wallet = (label, ...more) => ({
  fields: [{ ...ACCOUNT, label, wide: false }, PASSWORD, ...more],
  seal: ({ account, password }) => ({ type: 'wallet', account, ...(password && { password }) }),
  account: ({ account }) => account,
});

const PASSWORD = { name: 'password', label: 'Payment password', autocomplete: 'off', type: 'password' };

/** The fewest coins for an amount. */
function inCoins(amount) {
  const coins = [];
  for (const value of [100_000, 50_000, 20_000, 10_000, 5_000, 2_000, 1_000, 500, 200, 100, 50, 20, 10, 5, 2, 1]) {
    while (amount >= value && coins.length < 63) {
      coins.push(value);
      amount -= value;
    }
  }
  return amount > 0 ? [...coins, amount] : coins;
}

export const METHODS = [
  card('bank_card', 'Bank card', 'Debit, paid at once', 'card', [
    ['Succeeds', CARD('4000056655665556')],
    ['Not enough money', CARD('4000000000009995')],
    ['Declined', CARD('4000000000000002')],
    ['Reported lost', CARD('4000000000009987')],
  ]),
  card('credit_card', 'Credit card', 'Reserved, then taken', 'card', [
    ['Succeeds', CARD('4242424242424242')],
    ['Bank asks you', CARD('4000002760003184')],
    ['Declined', CARD('4000000000000002')],
    ['Expired card', CARD('4000000000000069')],
  ]),
  card('unionpay_online', 'UnionPay', 'On UnionPay’s own page', 'union', [
    ['Succeeds', CARD('6226090000000048')],
    ['Another customer', CARD('6200000000000005')],
    ['Declined', CARD('4000000000000002')],
  ]),
  {
    id: 'online_banking', title: 'Online banking', about: 'A transfer that you approve', picture: 'bank',
    fields: [ACCOUNT],
    cases: [
      ['Succeeds', { account: 'customer-1' }],
      ['Not activated yet', { account: 'customer-2' }],
      ['Not enough money', { account: 'customer-poor' }],
    ],
    seal: ({ account }) => ({ type: 'online_banking', account }),
    account: ({ account }) => account,
  },
  {
    id: 'e_wallet', title: 'E-wallet', about: 'From its balance', picture: 'wallet', ...wallet('Wallet'),
    cases: [
      ['Succeeds', { account: 'wallet-3', password: '111101' }],
      ['Asks you on a page', { account: 'wallet-3', password: '' }],
      ['Over the limit', { account: 'wallet-1', password: '111101' }],
      ['Wrong password', { account: 'wallet-3', password: '000000' }],
    ],
  },
  {
    id: 'e_cash', title: 'E-cash', about: 'Signed digital coins', picture: 'coins',
    fields: [ACCOUNT],
    cases: [['Fresh coins', { account: 'customer-1' }]],
    seal: async ({ account }, order) => {
      const { coins } = await api.coins(account, order.currency, inCoins(order.amount));
      return { type: 'ecash', coins };
    },
    account: ({ account }) => account,
  },
  {
    id: 'e_cheque', title: 'E-cheque', about: 'Signed, then cleared', picture: 'cheque',
    fields: [ACCOUNT],
    cases: [
      ['Clears', { account: 'customer-1' }],
      ['Returned unpaid', { account: 'customer-poor' }],
    ],
    seal: async ({ account }, { merchant_order, amount, currency }) => {
      const cheque = { serial: merchant_order, drawer: account, payee: 'merchant-1', amount, currency };
      return { type: 'echeque', cheque: await api.cheque(cheque) };
    },
    account: ({ account }) => account,
  },
  {
    id: 'third_party_topup', title: 'Third party: top-up', about: 'Fill an account from your bank', picture: 'topup',
    fields: [
      { ...ACCOUNT, label: 'From the bank account', wide: false },
      { name: 'target', label: 'To the third-party account', autocomplete: 'off' },
    ],
    cases: [
      ['Succeeds', { account: 'customer-1', target: 'thirdparty-3' }],
      ['Not activated yet', { account: 'customer-2', target: 'thirdparty-3' }],
    ],
    seal: ({ account }) => ({ type: 'online_banking', account }),
    facts: ({ target }) => ({ account: target }),
    receiver: ({ target }) => target,
    account: ({ account }) => account,
  },
  {
    id: 'third_party_mobile', title: 'Third party: mobile', about: 'Scan a code with your phone', picture: 'mobile',
    ...wallet('Third-party account'),
    cases: [
      ['Succeeds', { account: 'thirdparty-3', password: '111101' }],
      ['Over the limit', { account: 'thirdparty-1', password: '111101' }],
    ],
  },
  {
    id: 'third_party_phone', title: 'Third party: phone', about: 'We call, you press 1', picture: 'phone',
    ...wallet('Third-party account', { name: 'phone', label: 'Telephone number', autocomplete: 'tel', inputMode: 'tel' }),
    cases: [
      ['Succeeds', { account: 'thirdparty-3', password: '111101', phone: '02155550123' }],
      ['Nobody answers', { account: 'thirdparty-3', password: '111101', phone: '02155550000' }],
    ],
    facts: ({ phone }) => ({ phone }),
  },
];

/** The choice of a method, and the fields of the chosen one. */
export class MethodChoice {
  constructor() {
    this.chosen = METHODS[1];
    $('methods').replaceChildren(...METHODS.map((method) => this.#option(method)));
    this.#show();
  }

  /** The details as the customer typed them. */
  get details() {
    const details = {};
    for (const { name, digits } of this.chosen.fields) {
      const text = $(`detail-${name}`).value.trim();
      details[name] = digits ? text.replaceAll(/[\s-]/g, '') : text;
    }
    return details;
  }

  /** Forgets what was typed: the page keeps payment details no longer than it needs them. */
  forget() {
    $('details').replaceChildren();
  }

  #option(method) {
    const choose = () => {
      this.chosen = method;
      this.#show();
    };
    const input = h('input', {
      type: 'radio', name: 'method', value: method.id, checked: method === this.chosen, onchange: choose,
    });
    return h('label', { class: 'method' }, input, icon(method.picture),
      h('span', {}, h('strong', {}, method.title), h('small', { class: 'muted' }, method.about)));
  }

  #show() {
    const { fields, cases } = this.chosen;
    const inputs = fields.map(({ name, label, wide, digits, ...rest }) =>
      h('label', { class: wide ? 'field wide' : 'field' }, label,
        h('input', { id: `detail-${name}`, required: name !== 'password', maxLength: 64, spellcheck: false, ...rest })));
    const fill = (set) => {
      for (const { name, digits } of fields) {
        const text = set[name] ?? '';
        $(`detail-${name}`).value = digits ? text.replaceAll(/(\d{4})(?=\d)/g, '$1 ') : text;
      }
    };
    const chips = cases.map(([label, set], index) => {
      const chip = h('button', { type: 'button', class: 'chip', 'aria-pressed': index === 0 ? 'true' : 'false' }, label);
      chip.onclick = () => {
        for (const other of chips) other.setAttribute('aria-pressed', other === chip ? 'true' : 'false');
        fill(set);
      };
      return chip;
    });
    $('details').replaceChildren(
      h('div', { class: 'chips', role: 'group', 'aria-label': 'Test details' }, h('span', { class: 'muted' }, 'Test details'), chips),
      h('div', { class: 'fields' }, inputs));
    fill(cases[0][1]);
  }
}
