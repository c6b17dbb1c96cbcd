//! What the storefront's page asks its own server for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::catalogue::{self, CURRENCY, GOODS, Item};
use super::orders::{Customer, Notice, ShopOrder};
use super::problem::Problem;
use super::{State, progress};

type Shop = Shared<Arc<State>>;
type Reply = Result<Json<Value>, Problem>;

/// The merchant's account at the bank.
const MERCHANT: &str = "merchant-1";
const TEXT_MAX: usize = 200;
/// A sealed payment is about 700 bytes; with coins or a cheque some kilobytes.
const PAYMENT_MAX: usize = 16 * 1024;
/// What the shop says about an order, and no customer may say instead.
const OURS: [&str; 5] = ["merchant_order", "amount", "currency", "payment", "workflow"];
const FACTS_MAX: usize = 8;

pub(super) async fn catalogue() -> Json<Value> {
    Json(json!({ "currency": CURRENCY, "goods": GOODS }))
}

/// The gateway's public key: a browser seals payment details with it.
pub(super) async fn payment_key(Shared(shop): Shop) -> Reply {
    match shop.upstream.gateway(Method::GET, &["keys", "payment.jwk"], None).await? {
        (200, key) => Ok(Json(key)),
        (status, _) => Err(Problem::Silent { service: "the gateway", detail: format!("status {status}") }),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkout {
    items: Vec<Item>,
    customer: Customer,
    #[serde(default)]
    test_fen: u8,
}

/// Opens an order: number and amount are fixed, so that the payment can be sealed for them.
pub(super) async fn checkout(
    Shared(shop): Shop,
    Json(asked): Json<Checkout>,
) -> Result<(StatusCode, Json<ShopOrder>), Problem> {
    for (name, text) in [("name", &asked.customer.name), ("address", &asked.customer.address)] {
        if text.trim().is_empty() || text.len() > TEXT_MAX {
            return Err(Problem::Invalid(format!("the {name} must have 1 to {TEXT_MAX} characters")));
        }
    }
    let (lines, amount) = catalogue::price(&asked.items, asked.test_fen).map_err(Problem::Invalid)?;
    let order = shop.orders.open(lines, amount, asked.customer, shop.clock.now());
    Ok((StatusCode::CREATED, Json(order)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    merchant_order: String,
    method: String,
    /// The sealed payment details.
    payment: String,
    /// What the method wants to know in the clear, such as the name of a payment account.
    #[serde(default)]
    facts: BTreeMap<String, String>,
}

/// Pays an open order. Sent twice, it finds the same payment: what goes to Paystate is fixed by the first.
pub(super) async fn submit(Shared(shop): Shop, Json(asked): Json<Submission>) -> Reply {
    check(&asked)?;
    let number = asked.merchant_order.clone();
    let request = shop
        .orders
        .change(&number, |order| {
            let facts = order_facts(order);
            let request = order.request.get_or_insert_with(|| paystate_request(facts, &asked));
            order.method.get_or_insert(asked.method.clone());
            request.clone()
        })
        .ok_or(Problem::NoOrder)?;
    let (status, body) = shop.upstream.submit(&number, &request).await?;
    match (status, body["id"].as_str()) {
        (200..=202, Some(id)) => {
            shop.orders.change(&number, |order| order.payment = Some(id.to_owned()));
            order(Shared(shop), Path(number)).await
        }
        (409, _) => Err(Problem::Conflict("the order is being submitted right now")),
        (400..=499, _) => {
            // Refused before anything was written down: the customer may try another way.
            shop.orders.change(&number, |order| (order.request, order.method) = (None, None));
            let detail = body["detail"].as_str().or(body["title"].as_str()).unwrap_or("no reason was given");
            Err(Problem::Refused { status, detail: detail.to_owned() })
        }
        _ => Err(Problem::Silent { service: "Paystate", detail: format!("status {status}") }),
    }
}

fn check(asked: &Submission) -> Result<(), Problem> {
    let named = |text: &str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if !named(&asked.method) {
        return Err(Problem::Invalid("not a payment method".to_owned()));
    }
    if asked.payment.len() > PAYMENT_MAX || asked.payment.split('.').count() != 5 {
        return Err(Problem::Invalid("the payment details are not sealed".to_owned()));
    }
    for (name, text) in &asked.facts {
        if !named(name) || OURS.contains(&name.as_str()) || text.len() > TEXT_MAX || asked.facts.len() > FACTS_MAX {
            return Err(Problem::Invalid(format!("{name} cannot be given")));
        }
    }
    Ok(())
}

fn order_facts(order: &ShopOrder) -> Map<String, Value> {
    Map::from_iter([
        ("merchant_order".to_owned(), json!(order.merchant_order)),
        ("amount".to_owned(), json!(order.amount)),
        ("currency".to_owned(), json!(order.currency)),
    ])
}

fn paystate_request(mut input: Map<String, Value>, asked: &Submission) -> Value {
    input.insert("payment".to_owned(), json!(asked.payment));
    input.extend(asked.facts.iter().map(|(name, text)| (name.clone(), json!(text))));
    json!({ "workflow": asked.method, "input": input })
}

/// The order and how far its payment is.
pub(super) async fn order(Shared(shop): Shop, Path(id): Path<String>) -> Reply {
    let order = shop.orders.get(&id).ok_or(Problem::NoOrder)?;
    let mut payment = match &order.payment {
        None => Value::Null,
        Some(payment) => told(&shop, payment).await?,
    };
    // A child order may wait for the customer while the payment waits for the child.
    let open = payment["status"] == "running" || payment["status"] == "waiting";
    for child in order.confirmed.iter().filter(|child| open && order.payment.as_ref() != Some(*child)) {
        if payment["action"].is_null() {
            let child = told(&shop, child).await?;
            (payment["action"], payment["title"]) = (child["action"].clone(), child["title"].clone());
        }
    }
    Ok(Json(json!({ "order": order, "payment": payment, "notices": order.notices })))
}

async fn told(shop: &State, payment: &str) -> Result<Value, Problem> {
    match shop.upstream.order(payment).await? {
        (200, body) => Ok(progress::told(&body, &shop.gateway_url)),
        (status, _) => Err(Problem::Silent { service: "Paystate", detail: format!("status {status}") }),
    }
}

pub(super) async fn notices(Shared(shop): Shop, Path(id): Path<String>) -> Result<Json<Vec<Notice>>, Problem> {
    Ok(Json(shop.orders.get(&id).ok_or(Problem::NoOrder)?.notices))
}

/// Asks Paystate to cancel. Whether it can, the order's state tells afterwards.
pub(super) async fn cancel(Shared(shop): Shop, Path(id): Path<String>) -> Reply {
    let payment = shop.orders.get(&id).and_then(|order| order.payment).ok_or(Problem::NoOrder)?;
    match shop.upstream.cancel(&payment).await? {
        (200..=299, _) => order(Shared(shop), Path(id)).await,
        (status @ 400..=499, body) => {
            let detail = body["detail"].as_str().unwrap_or("it is too late to cancel").to_owned();
            Err(Problem::Refused { status, detail })
        }
        (status, _) => Err(Problem::Silent { service: "Paystate", detail: format!("status {status}") }),
    }
}

#[derive(Deserialize)]
pub(super) struct Whose {
    customer: String,
    /// Who gets the money, where that is not the merchant: an account that is topped up.
    receiver: Option<String>,
}

/// What customer and merchant have at the bank: both can check that the money moved.
pub(super) async fn balances(Shared(shop): Shop, Query(whose): Query<Whose>) -> Reply {
    let receiver = whose.receiver.as_deref().unwrap_or(MERCHANT);
    for account in [whose.customer.as_str(), receiver] {
        let known = ["customer-", "wallet-", "thirdparty-"].iter().any(|prefix| account.starts_with(prefix));
        let merchant = whose.receiver.is_none() && account == MERCHANT && account != whose.customer;
        if account.len() > 64 || !(known || merchant) {
            return Err(Problem::Invalid("not a customer's account".to_owned()));
        }
    }
    let (customer, receiver) = (balance(&shop, &whose.customer).await?, balance(&shop, receiver).await?);
    Ok(Json(json!({ "currency": CURRENCY, "customer": customer, "receiver": receiver })))
}

async fn balance(shop: &State, account: &str) -> Result<Value, Problem> {
    match shop.upstream.balance(account).await? {
        (200, body) => {
            let found = &body["balances"][CURRENCY];
            let amount = |name: &str| found[name].as_i64().unwrap_or(0);
            Ok(json!({ "account": account, "available": amount("available"), "held": amount("held") }))
        }
        (status, _) => Err(Problem::Silent { service: "the bank", detail: format!("status {status}") }),
    }
}

/// Coins from the customer's bank, and cheques that the customer's device signs. In the world outside both come from a
/// program of the customer's own; here the shop's server hands them through, because a browser connects to no second
/// server whose certificate it does not know.
pub(super) async fn device(Shared(shop): Shop, Path(what): Path<String>, Json(asked): Json<Value>) -> Reply {
    let path: &[&str] = match what.as_str() {
        "coins" => &["customer", "ecash", "withdrawals"],
        "cheques" => &["customer", "echeques"],
        _ => return Err(Problem::NoOrder),
    };
    match shop.upstream.gateway(Method::POST, path, Some(&asked)).await? {
        (200..=299, body) => Ok(Json(body)),
        (status @ 400..=499, body) => {
            Err(Problem::Refused { status, detail: body["code"].as_str().unwrap_or("not possible").to_owned() })
        }
        (status, _) => Err(Problem::Silent { service: "the gateway", detail: format!("status {status}") }),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerEvent {
    event: String,
    #[serde(default)]
    payload: Map<String, Value>,
}

/// What the customer says in the shop itself. Only `customer.` events: that money moved is for the gateway to say.
pub(super) async fn event(Shared(shop): Shop, Path(id): Path<String>, Json(said): Json<CustomerEvent>) -> Reply {
    let name = said.event.strip_prefix("customer.").unwrap_or_default();
    if name.is_empty() || name.len() > 40 || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err(Problem::Invalid("not an event of a customer".to_owned()));
    }
    let payment = shop.orders.get(&id).and_then(|order| order.payment).ok_or(Problem::NoOrder)?;
    // One id for each event of an order: pressed twice, it is said once.
    let body = json!({ "event": said.event, "payload": said.payload, "id": format!("{id}-{}", said.event) });
    match shop.upstream.event(&payment, &body).await? {
        (200..=299, _) => order(Shared(shop), Path(id)).await,
        (status @ 400..=499, body) => {
            Err(Problem::Refused { status, detail: body["detail"].as_str().unwrap_or("not now").to_owned() })
        }
        (status, _) => Err(Problem::Silent { service: "Paystate", detail: format!("status {status}") }),
    }
}
