//! The customer's client: seals payments, buys coins, signs cheques, and knows a good order of each method.

use serde_json::{Value, json};

use super::Sandbox;
use super::clock::fresh_id;
use super::jwe::{JweError, PublicJwk, encrypt, order_digest};

/// The methods that have a sample; `refund` needs an order that was paid.
pub const METHODS: [&str; 10] = [
    "bank_card",
    "credit_card",
    "unionpay_online",
    "online_banking",
    "e_wallet",
    "e_cash",
    "e_cheque",
    "third_party_topup",
    "third_party_mobile",
    "third_party_phone",
];

/// Somebody who pays at a sandbox, in this process or another.
#[derive(Clone, Debug)]
pub struct Customer {
    pub(super) client: reqwest::Client,
    pub(super) gateway_url: String,
    key: PublicJwk,
}

#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    #[error("no such method: {0}; there are {list}", list = METHODS.join(", "))]
    Method(String),
    #[error("the payment could not be sealed: {0}")]
    Seal(#[from] JweError),
    #[error("the sandbox does not answer: {0}")]
    Http(#[from] reqwest::Error),
}

impl Customer {
    /// Asks the gateway at `https://…` for the key that payments are sealed with; `ca_pem` is the sandbox's authority.
    pub async fn connect(gateway_url: &str, ca_pem: &str) -> Result<Self, SampleError> {
        let client = super::start::client(ca_pem)?;
        let gateway_url = gateway_url.trim_end_matches('/').to_owned();
        let answer = client.get(format!("{gateway_url}/keys/payment.jwk")).send().await?;
        let key = answer.error_for_status()?.json().await?;
        Ok(Self { client, gateway_url, key })
    }

    /// Seals payment details for the gateway, bound to an order and a method.
    pub fn seal(
        &self,
        merchant_order: &str,
        amount: i64,
        currency: &str,
        method: &str,
        details: &Value,
    ) -> Result<String, JweError> {
        let digest = order_digest(merchant_order, amount, currency, method);
        encrypt(&self.key, &digest, details.to_string().as_bytes())
    }

    /// The `input` of a good order of this method, with a new number of the merchant's.
    pub async fn sample(&self, method: &str, amount: i64, currency: &str) -> Result<Value, SampleError> {
        // Orders with this prefix are confirmed by the shop though they did not begin there.
        let merchant_order = format!("demo-{}", fresh_id("o").replace(['-', '_'], "x"));
        let mut input = json!({ "merchant_order": merchant_order, "amount": amount, "currency": currency });
        let card = |number: &str| json!({ "type": "card", "number": number, "expiry": "12/49", "cvc": "123" });
        let wallet = json!({ "type": "wallet", "account": "thirdparty-3", "password": "111101" });
        let details = match method {
            "bank_card" => card("4000056655665556"),
            "credit_card" => card("4242424242424242"),
            "unionpay_online" => card("6226090000000048"),
            "online_banking" => json!({ "type": "online_banking", "account": "customer-1" }),
            "third_party_topup" => {
                input["account"] = json!("thirdparty-3");
                json!({ "type": "online_banking", "account": "customer-1" })
            }
            "e_wallet" => json!({ "type": "wallet", "account": "wallet-3", "password": "111101" }),
            "e_cash" => json!({ "type": "ecash", "coins": self.coins(amount, currency).await? }),
            "e_cheque" => json!({ "type": "echeque", "cheque": self.cheque(amount, currency).await? }),
            "third_party_mobile" => wallet,
            "third_party_phone" => {
                input["phone"] = json!("02155550123");
                wallet
            }
            _ => return Err(SampleError::Method(method.to_owned())),
        };
        input["payment"] = json!(self.seal(&merchant_order, amount, currency, method, &details)?);
        Ok(input)
    }

    /// Buys coins for an amount with the money of `customer-1`.
    pub async fn coins(&self, amount: i64, currency: &str) -> Result<Value, reqwest::Error> {
        let half = amount / 2;
        let values: Vec<i64> = [half, amount - half].into_iter().filter(|value| *value > 0).collect();
        let ask = json!({ "account": "customer-1", "currency": currency, "values": values });
        let answer: Value = self.post("/customer/ecash/withdrawals", &ask).await?;
        Ok(answer["coins"].clone())
    }

    /// A cheque of `customer-1` for an amount, signed, dated today by the sandbox's time.
    pub async fn cheque(&self, amount: i64, currency: &str) -> Result<Value, reqwest::Error> {
        let cheque = json!({
            "serial": fresh_id("chq"), "drawer": "customer-1", "payee": "merchant-1",
            "amount": amount, "currency": currency,
        });
        self.post("/customer/echeques", &cheque).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, reqwest::Error> {
        let response = self.client.post(format!("{}{path}", self.gateway_url)).json(body).send().await?;
        response.error_for_status()?.json().await
    }
}

impl Sandbox {
    /// The customer of this sandbox.
    pub fn customer(&self) -> Customer {
        Customer {
            client: self.client.clone(),
            gateway_url: self.gateway_url().to_owned(),
            key: self.payment_key().clone(),
        }
    }

    /// See `Customer::sample`.
    pub async fn sample(&self, method: &str, amount: i64, currency: &str) -> Result<Value, SampleError> {
        self.customer().sample(method, amount, currency).await
    }
}
