//! Notifications from Paystate: verified (Standard Webhooks), taken once, and told to the people they are for.

use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::State;
use super::orders::{Audience, Notice, ShopOrder};
use super::problem::Problem;
use crate::sandbox::look;
use crate::types::{Secret, Timestamp};

/// How far a notification's time may be from ours, in both directions.
const TOLERANCE_S: i64 = 300;
/// Nothing is shipped for it.
const TOP_UP: &str = "third_party_topup";
const SIGNATURES_MAX: usize = 10;

/// Knows the keys that notifications may be signed with.
pub(super) struct Verifier {
    keys: Vec<hmac::Key>,
}

impl Verifier {
    /// None when a secret is not `whsec_` and base64.
    pub(super) fn new(secrets: &[Secret]) -> Option<Self> {
        let key = |secret: &Secret| {
            let text = secret.reveal();
            let bytes = BASE64_STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok()?;
            Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
        };
        Some(Self { keys: secrets.iter().map(key).collect::<Option<_>>()? })
    }

    /// The webhook's id, if one of its signatures is by one of the keys and its time is about now.
    pub(super) fn verify<'a>(&self, headers: &'a HeaderMap, body: &[u8], now: Timestamp) -> Option<&'a str> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (id, timestamp, signatures) =
            (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
        let sent: i64 = timestamp.parse().ok()?;
        if (now.unix_ms() / 1000).abs_diff(sent) > TOLERANCE_S.unsigned_abs() {
            return None;
        }
        let mut signed = format!("{id}.{timestamp}.").into_bytes();
        signed.extend_from_slice(body);
        let genuine = signatures.split(' ').take(SIGNATURES_MAX).any(|signature| {
            let tag = signature.strip_prefix("v1,").and_then(|text| BASE64_STANDARD.decode(text).ok());
            tag.is_some_and(|tag| self.keys.iter().any(|key| hmac::verify(key, &signed, &tag).is_ok()))
        });
        genuine.then_some(id)
    }
}

pub(super) async fn merchant(
    Shared(shop): Shared<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let Some((order, event)) = receive(&shop, Audience::Merchant, &headers, &body)? else {
        return Ok(StatusCode::NO_CONTENT);
    };
    // The merchant's server tells the customer itself that the goods are on their way, and only once. A child order of
    // the payment does not pay for them.
    let whole = event.order.is_none() || event.order == order.payment || order.payment.is_none();
    if event.paid
        && whole
        && order.method.as_deref() != Some(TOP_UP)
        && !order.notices.iter().any(|notice| notice.kind == "shipping")
    {
        let text = format!(
            "Thank you, {}. Your order {} is paid and leaves our warehouse today for {}.",
            order.customer.name, order.merchant_order, order.customer.address
        );
        tell(&shop, &order, Audience::Customer, "shipping", text);
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn customer(
    Shared(shop): Shared<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    receive(&shop, Audience::Customer, &headers, &body)?;
    Ok(StatusCode::NO_CONTENT)
}

struct Event {
    paid: bool,
    /// Which order of Paystate it is about.
    order: Option<String>,
}

/// Verifies and stores a notification. None when it was seen before or is about an order of another shop.
fn receive(
    shop: &State,
    audience: Audience,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<(ShopOrder, Event)>, Problem> {
    // Notifications are dated by the clock on the wall, which Paystate has too, however far the sandbox's was moved.
    let id = shop.verifier.verify(headers, body, shop.clock.wall()).ok_or(Problem::Unauthorized)?;
    let event: Value = serde_json::from_slice(body).map_err(|_| Problem::Invalid("not JSON".to_owned()))?;
    if !shop.orders.first_time(&format!("{audience:?}/{id}")) {
        return Ok(None);
    }
    let member = |name: &str| event.get(name).or_else(|| event.get("data").and_then(|data| data.get(name)));
    let text = |name: &str| member(name).and_then(Value::as_str);
    let found = text("merchant_order").and_then(|number| shop.orders.get(number));
    let Some(order) = found.or_else(|| text("order").and_then(|id| shop.orders.of_payment(id))) else {
        return Ok(None);
    };
    let kind = text("type").or_else(|| text("event")).unwrap_or("payment").to_owned();
    let paid = is_success(&kind, text("status").or_else(|| text("state")));
    let amount = look::amount(order.amount, order.currency);
    let words = match (audience, paid) {
        (Audience::Merchant, true) => format!("{amount} for order {} was received.", order.merchant_order),
        (Audience::Customer, true) => format!("Your payment of {amount} has been made."),
        (_, false) => format!("Payment of {amount} for order {}: {kind}.", order.merchant_order),
    };
    tell(shop, &order, audience, "payment", words);
    let about = text("order").map(str::to_owned);
    Ok(Some((order, Event { paid, order: about })))
}

/// Only what says so clearly is taken for a payment that was made.
fn is_success(kind: &str, status: Option<&str>) -> bool {
    let last = kind.rsplit('.').next().unwrap_or_default();
    ["succeeded", "settled", "paid"].contains(&last)
        || status.is_some_and(|status| ["succeeded", "settled", "notified", "paid"].contains(&status))
}

fn tell(shop: &State, order: &ShopOrder, to: Audience, kind: &'static str, text: String) {
    shop.orders.tell(&order.merchant_order, Notice { to, kind, text, at: shop.clock.now() });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The example of the Standard Webhooks specification.
    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap());
        headers.insert("webhook-timestamp", "1614265330".parse().unwrap());
        let signature = "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    #[test]
    fn the_specifications_example_is_verified_within_five_minutes() {
        let verifier = Verifier::new(&[Secret::new("whsec_AAAA"), Secret::new(SECRET)]).unwrap();
        let at = |seconds: i64| Timestamp::from_unix_ms((1_614_265_330 + seconds) * 1000);
        let body = br#"{"test": 2432232314}"#;
        for seconds in [-300, 0, 300] {
            assert!(verifier.verify(&headers(), body, at(seconds)).is_some(), "{seconds}");
        }
        for seconds in [-301, 301] {
            assert!(verifier.verify(&headers(), body, at(seconds)).is_none(), "{seconds}");
        }
        assert!(verifier.verify(&headers(), br#"{"test": 2432232315}"#, at(0)).is_none());
        let other = Verifier::new(&[Secret::new("whsec_AAAA")]).unwrap();
        assert!(other.verify(&headers(), body, at(0)).is_none());
        assert!(Verifier::new(&[Secret::new("whsec_?")]).is_none());
    }
}
