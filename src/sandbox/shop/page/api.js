// The shop's own server. Nothing else is ever called from this page.

export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }

  /** It is not known what happened: there was no answer, or the shop had none from behind it. */
  get unanswered() {
    return this.status === 0 || this.status === 409 || this.status >= 500;
  }
}

async function call(method, path, body) {
  const request = { method, headers: { accept: 'application/json' } };
  if (body !== undefined) {
    request.headers['content-type'] = 'application/json';
    request.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new Refusal(0, 'The shop cannot be reached. Check the connection and try again.');
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, answer.detail ?? `The shop answered ${response.status}.`);
  return answer;
}

const one = encodeURIComponent;

export const api = {
  catalogue: () => call('GET', '/api/catalogue'),
  paymentKey: () => call('GET', '/api/payment-key'),
  checkout: (basket) => call('POST', '/api/checkouts', basket),
  submit: (submission) => call('POST', '/api/orders', submission),
  order: (id) => call('GET', `/api/orders/${one(id)}`),
  cancel: (id) => call('POST', `/api/orders/${one(id)}/cancel`),
  balances: ({ customer, receiver }) =>
    call('GET', `/api/balances?customer=${one(customer)}${receiver ? `&receiver=${one(receiver)}` : ''}`),
  coins: (account, currency, values) => call('POST', '/api/device/coins', { account, currency, values }),
  cheque: (cheque) => call('POST', '/api/device/cheques', cheque),
  say: (id, event, payload = {}) => call('POST', `/events/${one(id)}`, { event, payload }),
};
