//! The shop: a storefront where a person buys goods with every payment method, and the merchant's server behind it.
//!
//! **Invariant.** The shop computes every amount itself, and never sees payment details in the clear: the browser seals
//! them for the gateway, and the shop passes on what it cannot open.

mod api;
mod catalogue;
mod merchant;
mod notices;
mod orders;
mod page;
mod problem;
mod progress;
mod upstream;

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use rustls::ServerConfig;

use crate::sandbox::Clock;
use crate::sandbox::tls::{TlsError, TlsServer, serve_tls};
use crate::types::Secret;
use notices::Verifier;
use orders::Orders;
use upstream::Upstream;

/// Sealed payments with coins or a signed cheque are some kilobytes.
const BODY_MAX: usize = 64 * 1024;

/// What the shop must know to start. The listener is bound before, since Paystate must know the shop's address.
pub struct ShopOptions {
    pub listener: TcpListener,
    pub tls: Arc<ServerConfig>,
    /// Paystate's base address, if it is known already: `Shop::connect` says it later.
    pub paystate_url: Option<String>,
    pub gateway_url: String,
    pub bank_url: String,
    /// What the gateway, the bank and Paystate are trusted by.
    pub ca_pem: String,
    pub secrets: ShopSecrets,
    /// The sandbox's time, which tests move.
    pub clock: Arc<Clock>,
}

pub struct ShopSecrets {
    /// The bearer token that the shop shows to Paystate, if Paystate asks for one.
    pub paystate_token: Option<Secret>,
    /// The bearer token that Paystate shows when it asks the merchant to confirm an order.
    pub merchant_key: Option<Secret>,
    /// `whsec_…` secrets that notifications may be signed with; several while one is rotated.
    pub notifications: Vec<Secret>,
}

/// A running shop.
pub struct Shop {
    pub url: String,
    state: Arc<State>,
    server: TlsServer,
}

#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the shop's HTTP client cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    #[error("a notification secret is not `whsec_` and base64")]
    Secret,
}

struct State {
    orders: Orders,
    upstream: Upstream,
    verifier: Verifier,
    merchant_key: Option<Secret>,
    gateway_url: String,
    clock: Arc<Clock>,
}

impl Shop {
    pub async fn start(options: ShopOptions) -> Result<Self, ShopError> {
        let ShopOptions { listener, tls, paystate_url, gateway_url, bank_url, ca_pem, secrets, clock } = options;
        let upstream = Upstream::new(gateway_url.clone(), bank_url, &ca_pem)?;
        upstream.connect(paystate_url, secrets.paystate_token);
        let state = Arc::new(State {
            orders: Orders::default(),
            upstream,
            verifier: Verifier::new(&secrets.notifications).ok_or(ShopError::Secret)?,
            merchant_key: secrets.merchant_key,
            gateway_url,
            clock,
        });
        let server = serve_tls(listener, tls, router(Arc::clone(&state))).await?;
        Ok(Self { url: server.url(), state, server })
    }

    /// From now on orders are paid through the Paystate at this address, which may ask for a bearer token.
    pub fn connect(&self, paystate_url: Option<String>, token: Option<Secret>) {
        self.state.upstream.connect(paystate_url, token);
    }

    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/api/catalogue", get(api::catalogue))
        .route("/api/payment-key", get(api::payment_key))
        .route("/api/checkouts", post(api::checkout))
        .route("/api/orders", post(api::submit))
        .route("/api/orders/{id}", get(api::order))
        .route("/api/orders/{id}/cancel", post(api::cancel))
        .route("/api/orders/{id}/notices", get(api::notices))
        .route("/api/balances", get(api::balances))
        .route("/api/device/{what}", post(api::device))
        .route("/events/{order}", post(api::event))
        .route("/merchant/confirm", post(merchant::confirm))
        .route("/notifications/merchant", post(notices::merchant))
        .route("/notifications/customer", post(notices::customer))
        .merge(page::routes())
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(state)
}
