//! Starts the servers, introduces them to one another, and stops them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::bank::{self, Bank};
use super::clock::{Clock, fresh_secret, fresh_webhook_secret};
use super::folder::{Held, HeldError};
use super::gateway::{self, Gateway, GatewayError, GatewayOptions, NOTIFIED, Parts, ToBank};
use super::jwe::PublicJwk;
use super::keys;
use super::shop::{Shop, ShopError, ShopOptions, ShopSecrets};
use super::tls::{Authority, TlsError, TlsServer, https_url, serve_tls};
use crate::types::{Secret, Timestamp};

/// What kind of sandbox.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the bank's books and the gateway's notes are kept; without it they are gone with the sandbox.
    pub dir: Option<PathBuf>,
    pub gateway: GatewayOptions,
    /// Paystate's base address, where notifications go. It can also be said later: `Sandbox::notify`.
    pub notify: Option<String>,
}

/// A bank, a gateway and a shop that run until this is dropped or shut down.
pub struct Sandbox {
    gateway: Arc<Gateway>,
    bank: Arc<Bank>,
    shop: Shop,
    servers: Vec<TlsServer>,
    pub(super) client: reqwest::Client,
    ca_pem: String,
    urls: BTreeMap<&'static str, String>,
    secrets: BTreeMap<String, Secret>,
    /// Last, so that nobody else begins before everything here has ended.
    _held: Option<Held>,
}

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Shop(#[from] ShopError),
    #[error("the sandbox's directory cannot be used: {0}")]
    Io(#[from] io::Error),
    /// The directory, and the process that has it where that is known.
    #[error("another sandbox uses {0}: stop it first, or give this one a folder of its own")]
    Held(String),
    #[error("the sandbox's HTTP client could not be made: {0}")]
    Client(#[from] reqwest::Error),
}

impl From<HeldError> for SandboxError {
    fn from(error: HeldError) -> Self {
        match error {
            HeldError::ByAnother(holder) => Self::Held(holder),
            HeldError::Io(error) => Self::Io(error),
        }
    }
}

impl Sandbox {
    /// Starts everything. It answers when this returns.
    pub async fn start(options: Options) -> Result<Self, SandboxError> {
        let held = match &options.dir {
            Some(dir) => Some(Held::take(dir).await?),
            None => None,
        };
        let clock = Arc::new(Clock::default());
        // Certificates are judged by everybody else's time.
        let authority = Authority::new(UNIX_EPOCH + Duration::from_millis(clock.wall().unix_ms().unsigned_abs()))?;
        let ca_pem = authority.ca_pem();
        let client = client(&ca_pem)?;
        let dir = options.dir.as_deref();
        let (bank_port, gateway_port) = (keys::port(dir, "bank")?, keys::port(dir, "gateway")?);
        let shop_port = keys::port(dir, "merchant")?;
        let urls = BTreeMap::from([
            ("bank", https_url(&bank_port)?),
            ("gateway", https_url(&gateway_port)?),
            ("merchant", https_url(&shop_port)?),
        ]);

        let bank_secret = Secret::new(fresh_secret());
        let bank = Arc::new(Bank::open(options.dir.as_deref(), Arc::clone(&clock), bank_secret.clone())?);
        let key = Secret::new(fresh_secret());
        let hooks: BTreeMap<&'static str, Secret> =
            NOTIFIED.iter().map(|name| (*name, Secret::new(fresh_webhook_secret()))).collect();
        let swept = Arc::clone(&bank);
        let parts = Parts {
            clock: Arc::clone(&clock),
            options: options.gateway,
            bank: ToBank::new(client.clone(), urls["bank"].clone(), bank_secret),
            key: key.clone(),
            base: urls["gateway"].clone(),
            hooks: hooks.clone(),
            client: client.clone(),
            on_advance: Box::new(move || {
                if let Err(error) = swept.sweep() {
                    tracing::warn!(%error, "holds could not be swept");
                }
            }),
        };
        let gateway = open_gateway(options.dir.as_deref(), parts).await?;
        gateway.notices.send_to(options.notify.clone());

        let bank_tls = authority.server_config("Paystate sandbox bank")?;
        let gateway_tls = authority.server_config("Paystate sandbox gateway")?;
        let servers = vec![
            serve_tls(bank_port, bank_tls, bank::router(Arc::clone(&bank))).await?,
            serve_tls(gateway_port, gateway_tls, gateway::router(Arc::clone(&gateway))).await?,
        ];
        let mut secrets = BTreeMap::from([
            ("gateway_key".to_owned(), key),
            ("merchant_key".to_owned(), Secret::new(fresh_secret())),
            ("merchant_hook".to_owned(), Secret::new(fresh_webhook_secret())),
        ]);
        secrets.extend(hooks.into_iter().map(|(name, secret)| (format!("{name}_hook"), secret)));
        let shop = Shop::start(ShopOptions {
            listener: shop_port,
            tls: authority.server_config("Paystate sandbox shop")?,
            paystate_url: options.notify,
            gateway_url: urls["gateway"].clone(),
            bank_url: urls["bank"].clone(),
            ca_pem: ca_pem.clone(),
            secrets: ShopSecrets {
                paystate_token: None,
                merchant_key: Some(secrets["merchant_key"].clone()),
                notifications: vec![secrets["merchant_hook"].clone()],
            },
            clock,
        })
        .await?;
        Ok(Self { gateway, bank, shop, servers, client, ca_pem, urls, secrets, _held: held })
    }

    pub fn bank_url(&self) -> &str {
        &self.urls["bank"]
    }

    pub fn gateway_url(&self) -> &str {
        &self.urls["gateway"]
    }

    /// The storefront. Its server is also the merchant's: `merchant/confirm` and `notifications/…` are there.
    pub fn shop_url(&self) -> &str {
        &self.urls["merchant"]
    }

    /// The certificate that clients of the sandbox must trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What the connectors' `${env.NAME}` stand for, except `SANDBOX_CA`: see `write_ca`.
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env: BTreeMap<String, String> =
            self.urls.iter().map(|(name, url)| (format!("{}_URL", name.to_uppercase()), url.clone())).collect();
        // The shop's server is the merchant's.
        env.insert("MERCHANT_URL".to_owned(), self.shop_url().to_owned());
        env
    }

    /// Writes the certificate to a file, for `SANDBOX_CA`.
    pub fn write_ca(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, &self.ca_pem)
    }

    /// What the connectors' `${secret.NAME}` stand for.
    pub fn secrets(&self) -> &BTreeMap<String, Secret> {
        &self.secrets
    }

    /// From now on notifications go to `{base}/hooks/{connector}`; none switches them off. The shop's orders go there too.
    pub fn notify(&self, base: Option<String>) {
        self.connect(base, None);
    }

    /// As `notify`, and the shop shows this token to Paystate.
    pub fn connect(&self, base: Option<String>, token: Option<Secret>) {
        self.gateway.notices.send_to(base.clone());
        self.shop.connect(base, token);
    }

    /// The key that payments are sealed with.
    pub fn payment_key(&self) -> &PublicJwk {
        self.gateway.opener.public()
    }

    /// What really happened to the money of an order.
    pub fn oracle(&self, order: &str) -> Value {
        self.bank.oracle(order)
    }

    /// The sandbox's time.
    pub fn now(&self) -> Timestamp {
        self.gateway.clock.now()
    }

    /// A client that trusts the sandbox.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Stops the servers and returns when their ports are free.
    pub async fn shutdown(mut self) {
        self.shop.shutdown().await;
        for server in self.servers.drain(..) {
            server.shutdown().await;
        }
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// Making an RSA key takes up to a second: not on a thread that serves others.
async fn open_gateway(dir: Option<&Path>, parts: Parts) -> Result<Arc<Gateway>, SandboxError> {
    let dir = dir.map(Path::to_path_buf);
    let runtime = tokio::runtime::Handle::current();
    let opened = tokio::task::spawn_blocking(move || {
        let _in_runtime = runtime.enter();
        Gateway::open(dir.as_deref(), parts)
    });
    Ok(opened.await.map_err(io::Error::other)??)
}

pub(super) fn client(ca_pem: &str) -> Result<reqwest::Client, reqwest::Error> {
    let ca = reqwest::Certificate::from_pem(ca_pem.as_bytes())?;
    reqwest::Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .pool_max_idle_per_host(64)
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(15))
        .build()
}
