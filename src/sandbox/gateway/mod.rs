//! The payment gateway: the only one who can open a sealed payment, and the only one who may talk to the bank.
//!
//! **Invariant.** A card number or password never leaves `forward`: what is kept, answered or logged is a session id,
//! the last four digits and the account. Every operation is applied once for its reference.

mod admin;
mod afterwards;
mod cards;
mod ecash;
mod echeque;
mod faults;
mod forward;
mod http;
mod notices;
mod online_banking;
mod operations;
mod page;
mod phone;
mod tables;
mod third_party;
mod time;
mod to_bank;
mod unionpay;
mod visits;
mod wallet;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;

pub(crate) use http::router;
pub(crate) use to_bank::ToBank;

use super::clock::Clock;
use super::jwe::PrivateKey;
use super::keys;
use crate::types::Secret;
use afterwards::Agenda;
use faults::Faults;
use notices::Notices;
use tables::Tables;
use zeroize::Zeroizing;

/// The connectors to which notifications are sent: `POST {base}/hooks/{connector}`.
pub(crate) const NOTIFIED: [&str; 6] = ["gateway", "unionpay", "ebank", "thirdparty", "phone", "echeque"];

/// How the gateway behaves.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// A repeated reference gets the stored answer. Switched off, everything is done again, and the oracle shows it.
    pub idempotent: bool,
    /// How long a caller waits before the connection breaks, where the fault is that no answer comes.
    pub no_answer: Duration,
    /// How long the clearing of an e-cheque takes.
    pub clearing: Duration,
    /// How long a customer may take over a page, by the sandbox's clock.
    pub visit: Duration,
    /// The customer confirms every page by himself after so long: for demonstrations and benchmarks.
    pub auto_customer: Option<Duration>,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            idempotent: true,
            no_answer: Duration::from_millis(300),
            clearing: Duration::from_millis(300),
            visit: Duration::from_secs(15 * 60),
            auto_customer: None,
        }
    }
}

pub(crate) struct Gateway {
    pub(crate) clock: Arc<Clock>,
    pub(crate) options: GatewayOptions,
    pub(crate) tables: Arc<Tables>,
    pub(crate) faults: Faults,
    pub(crate) bank: ToBank,
    pub(crate) notices: Arc<Notices>,
    pub(crate) agenda: Agenda,
    /// What connectors show.
    pub(crate) key: Secret,
    /// Opens sealed payments.
    pub(crate) opener: PrivateKey,
    /// Signs e-cash.
    pub(crate) issuer: Ed25519KeyPair,
    /// `https://127.0.0.1:port`
    pub(crate) base: String,
    /// To move the bank's clock along.
    pub(crate) on_advance: Box<dyn Fn() + Send + Sync>,
}

/// What a gateway is built from.
pub(crate) struct Parts {
    pub(crate) clock: Arc<Clock>,
    pub(crate) options: GatewayOptions,
    pub(crate) bank: ToBank,
    pub(crate) key: Secret,
    pub(crate) base: String,
    pub(crate) hooks: BTreeMap<&'static str, Secret>,
    pub(crate) client: reqwest::Client,
    pub(crate) on_advance: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("the gateway's key could not be made: {0}")]
    Key(#[from] super::jwe::JweError),
    #[error("the issuer's key could not be made")]
    Issuer,
    #[error("the gateway's file cannot be used: {0}")]
    Io(#[from] io::Error),
}

impl Gateway {
    pub(crate) fn open(dir: Option<&Path>, parts: Parts) -> Result<Arc<Self>, GatewayError> {
        let tables = Arc::new(Tables::open(dir)?);
        time::take_up(&tables, &parts.clock);
        let notices = Notices::start(parts.client, parts.hooks, Arc::clone(&parts.clock), Arc::clone(&tables));
        let opener = keys::kept(dir, "payment.key", || Ok::<_, GatewayError>(PrivateKey::generate_pkcs8()?))?;
        let issuer = keys::kept(dir, "issuer.key", || {
            let key = Ed25519KeyPair::generate().and_then(|key| key.to_pkcs8());
            Ok::<_, GatewayError>(Zeroizing::new(key.map_err(|_| GatewayError::Issuer)?.as_ref().to_vec()))
        })?;
        let gateway = Arc::new(Self {
            clock: parts.clock,
            options: parts.options,
            tables,
            faults: Faults::default(),
            bank: parts.bank,
            notices,
            agenda: Agenda::default(),
            key: parts.key,
            opener: PrivateKey::from_pkcs8(&opener)?,
            issuer: Ed25519KeyPair::from_pkcs8(&issuer).map_err(|_| GatewayError::Issuer)?,
            base: parts.base,
            on_advance: parts.on_advance,
        });
        visits::take_up(&gateway);
        echeque::take_up(&gateway);
        afterwards::start(&gateway);
        Ok(gateway)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.notices.stop();
    }
}
