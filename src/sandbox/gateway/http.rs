//! The gateway's routes. One file per instrument holds what they do.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::operations::{fall_silent, look_up, problem};
use super::{
    Gateway, admin, cards, ecash, echeque, forward, online_banking, phone, third_party, unionpay, visits, wallet,
};
use crate::sandbox::jwe::PublicJwk;
use crate::sandbox::look;

pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    let private = Router::new()
        .route("/v1/forward", post(forward::forward))
        .route("/v1/authorizations", post(cards::authorize))
        .route("/v1/purchases", post(cards::purchase))
        .route("/v1/captures", post(cards::capture))
        .route("/v1/voids", post(cards::void))
        .route("/v1/refunds", post(cards::refund))
        .route("/v1/reversals", post(cards::reverse))
        .route("/v1/operations", get(operation))
        .route("/v1/challenges/{id}", get(visits::status))
        .route("/v1/challenges/{id}/close", post(visits::close))
        .route("/v1/challenges/{id}/cancel", post(visits::cancel))
        .route("/unionpay/front", post(unionpay::front))
        .route("/ebank/activation", get(online_banking::activation))
        .route("/ebank/activations", post(online_banking::activate))
        .route("/ebank/transfers", post(online_banking::transfer))
        .route("/wallet/holds", post(wallet::hold))
        .route("/wallet/confirmations", post(wallet::confirm))
        .route("/wallet/postings", post(wallet::post))
        .route("/ecash/deposits", post(ecash::deposit))
        .route("/echeque/presentments", post(echeque::present))
        .route("/thirdparty/accounts/{id}", get(third_party::account))
        .route("/thirdparty/codes", post(third_party::precreate))
        .route("/thirdparty/credits", post(third_party::credit))
        .route("/v1/closings", post(third_party::close))
        .route("/phone/calls", post(phone::call))
        .route("/phone/charges", post(phone::charge))
        .layer(from_fn_with_state(Arc::clone(&gateway), only_with_the_key));
    let customers = Router::new()
        .route("/keys/payment.jwk", get(payment_key))
        .route("/challenge/{id}", get(visits::view).post(visits::decide))
        .route("/customer/ecash/withdrawals", post(ecash::withdraw))
        .route("/customer/echeques", post(echeque::sign))
        .route("/customer/echeques/stop", post(echeque::stop));
    let admin = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/admin/scripts", post(admin::script))
        .route("/admin/clock", get(admin::clock).post(admin::advance))
        .route("/admin/notify", post(admin::notify))
        .route("/admin/faults", get(admin::faults));
    private
        .merge(customers)
        .merge(admin)
        .merge(look::routes())
        .layer(DefaultBodyLimit::max(128 * 1024))
        .layer(from_fn(fall_silent))
        .with_state(gateway)
}

async fn only_with_the_key(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if verify_slices_are_equal(token.as_bytes(), gateway.key.reveal().as_bytes()).is_err() {
        return problem(StatusCode::UNAUTHORIZED, "unauthorized");
    }
    next.run(request).await
}

#[derive(Debug, Deserialize)]
struct Reference {
    reference: String,
}

async fn operation(State(gateway): State<Arc<Gateway>>, Query(query): Query<Reference>) -> Response {
    look_up(&gateway, &query.reference).await
}

/// The key for sealing payments. Everybody may have it.
async fn payment_key(State(gateway): State<Arc<Gateway>>) -> Json<PublicJwk> {
    Json(gateway.opener.public().clone())
}
