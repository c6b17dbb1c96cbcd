//! The merchant's part of a payment: Paystate asks whether an order exists and costs what it is to be paid.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Json;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::State;
use super::problem::Problem;
use crate::types::Secret;

/// How the numbers of orders begin that were not made in this shop.
const ELSEWHERE: [&str; 3] = ["demo-", "test-", "bench-"];

/// No payment has more child orders that confirm.
const CHILDREN_MAX: usize = 4;

#[derive(Debug, Deserialize)]
pub(super) struct Confirmation {
    /// Paystate's id.
    order: String,
    merchant_order: String,
    amount: i64,
    currency: String,
}

/// Asking again gives the same answer: nothing is consumed by it.
pub(super) async fn confirm(
    Shared(shop): Shared<Arc<State>>,
    headers: HeaderMap,
    Json(asked): Json<Confirmation>,
) -> Result<Json<Value>, Problem> {
    if !authorized(&headers, shop.merchant_key.as_ref()) {
        return Err(Problem::Unauthorized);
    }
    let reason = match shop.orders.get(&asked.merchant_order) {
        Some(order) if order.amount != asked.amount || order.currency != asked.currency => Some("amount_mismatch"),
        Some(order) if order.request.is_none() => Some("not_submitted"),
        Some(_) => None,
        None if asked.amount <= 0 => Some("amount_mismatch"),
        // Made by a demonstration, a test, a benchmark or `Sandbox::sample`.
        None if ELSEWHERE.iter().any(|prefix| asked.merchant_order.starts_with(prefix)) => None,
        None => Some("unknown_order"),
    };
    if reason.is_none() {
        shop.orders.change(&asked.merchant_order, |order| {
            if order.confirmed.len() < CHILDREN_MAX && !order.confirmed.contains(&asked.order) {
                order.confirmed.push(asked.order.clone());
            }
        });
    }
    Ok(Json(match reason {
        None => json!({
            "status": "confirmed",
            "order": asked.order,
            "merchant_order": asked.merchant_order,
            "amount": asked.amount,
            "currency": asked.currency,
        }),
        Some(reason) => json!({
            "status": "rejected",
            "code": reason,
            "order": asked.order,
            "merchant_order": asked.merchant_order,
            "amount": asked.amount,
            "currency": asked.currency,
        }),
    }))
}

fn authorized(headers: &HeaderMap, key: Option<&Secret>) -> bool {
    let Some(key) = key else { return true };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    verify_slices_are_equal(token.as_bytes(), key.reveal().as_bytes()).is_ok()
}
