//! The client, the base address, and what versions of one connector share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, Url, redirect, retry};
use zeroize::Zeroizing;

use super::egress::{Reach, Resolver, is_forbidden};
use crate::connector::config::{ConnectorConfig, ConnectorSetupError};
use crate::connector::limits::{Gate, GateStatus};
use crate::definition::{EnvText, Http, Limits, Login};

/// Finding the host, connecting and the TLS handshake together. Shorter than most deadlines, so that a host that does
/// not answer is known as not reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than what servers use, so that a kept connection is rarely closed under a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections and limits of one provider.
#[derive(Debug)]
pub(in crate::connector) struct Link {
    pub(super) client: Client,
    /// For access tokens, where they come from another host.
    tokens: Option<Client>,
    pub(super) gate: Gate,
    pub(super) body_max: usize,
    /// It wants no more, and nobody has been told yet.
    pub(super) gone: AtomicBool,
    fits: Fits,
}

/// A link is shared as long as these stay the same.
#[derive(Debug, PartialEq)]
struct Fits {
    base: String,
    /// Where access tokens come from, if it is another host.
    tokens: Option<String>,
    ca: Option<String>,
    /// The files of our certificate and of its key.
    identity: Option<(String, String)>,
    limits: Limits,
}

/// Where requests go and how far: scheme, host, port and the beginning of the path. Never depends on an order's data.
#[derive(Clone, Debug)]
pub(super) struct Base {
    url: Url,
    text: String,
    reach: Reach,
}

impl Base {
    pub(super) fn new(http: &Http, config: &ConnectorConfig) -> Result<Self, ConnectorSetupError> {
        Self::at(&config.env_text(&http.base_url)?, config)
    }

    /// The same for any address that a definition names.
    fn at(text: &str, config: &ConnectorConfig) -> Result<Self, ConnectorSetupError> {
        let text = text.trim_end_matches('/').to_owned();
        let url = Url::parse(&text).map_err(|_| ConnectorSetupError::BaseUrl("not a URL"))?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(ConnectorSetupError::BaseUrl("it names no host"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConnectorSetupError::BaseUrl("credentials belong into auth"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ConnectorSetupError::BaseUrl("it ends with the path: no ? and no #"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => {
                return Err(ConnectorSetupError::BaseUrl(
                    "plain http is for this machine alone (localhost, 127.0.0.1, [::1]): write https",
                ));
            }
            _ => return Err(ConnectorSetupError::BaseUrl("neither https nor http")),
        }
        if !config.allows(host, port) {
            return Err(ConnectorSetupError::HostNotAllowed(format!("{host}:{port}")));
        }
        let reach = match address(host) {
            Some(address) if is_forbidden(address) => {
                return Err(ConnectorSetupError::BaseUrl("an address that nothing may be sent to"));
            }
            Some(_) => Reach::Listed,
            None if config.lists(host, port) => Reach::Listed,
            None if host == "localhost" => Reach::Local,
            None => Reach::Public,
        };
        Ok(Self { url, text, reach })
    }

    /// The address of `path`, if it still lies below the base.
    pub(super) fn join(&self, path: &str) -> Option<Url> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = Url::parse(&format!("{}{slash}{path}", self.text)).ok()?;
        let below = url.origin() == self.url.origin()
            && url.username().is_empty()
            && url.path().starts_with(self.url.path().trim_end_matches('/'));
        below.then_some(url)
    }
}

impl Link {
    pub(in crate::connector) fn status(&self) -> GateStatus {
        self.gate.status()
    }

    /// Takes the offered link if it fits, and builds a new one otherwise.
    pub(super) fn obtain(
        http: &Http,
        base: &Base,
        config: &ConnectorConfig,
        offered: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, ConnectorSetupError> {
        let text = |text: &EnvText| config.env_text(text);
        let ca = http.tls.ca.as_ref().filter(|_| !config.offline).map(text).transpose()?;
        let identity = match &http.tls.identity {
            Some((certificate, key)) if !config.offline => Some((text(certificate)?, text(key)?)),
            _ => None,
        };
        let tokens = match &http.auth.login {
            Login::OAuth2(oauth2) => Some(text(&oauth2.token_url)?),
            Login::Token(token) => Some(text(&token.address)?),
            _ => None,
        };
        let tokens = tokens.filter(|address| !address.starts_with('/'));
        let fits = Fits { base: base.text.clone(), tokens, ca, identity, limits: http.limits.clone() };
        if let Some(link) = offered.filter(|link| link.fits == fits) {
            return Ok(Arc::clone(link));
        }
        let tokens = match &fits.tokens {
            Some(address) => Some(client(&fits, &Base::at(address, config)?)?),
            None => None,
        };
        let client = client(&fits, base)?;
        let (gate, body_max) = (Gate::new(&http.limits), http.limits.body_max);
        Ok(Arc::new(Self { client, tokens, gate, body_max, gone: AtomicBool::new(false), fits }))
    }

    /// The client that fetches access tokens.
    pub(super) fn token_client(&self) -> &Client {
        self.tokens.as_ref().unwrap_or(&self.client)
    }
}

/// No redirects, no proxy from the environment, no second sending.
///
/// Below this client, the pool may take up a request again only when the connection it had been given closed before
/// any byte of the request was encoded, so the provider has not seen it. Bodies cannot be cloned (`body.rs`), which
/// rules out every other way of sending one twice.
fn client(fits: &Fits, base: &Base) -> Result<Client, ConnectorSetupError> {
    let mut builder = Client::builder()
        .user_agent(concat!("paystate/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .dns_resolver(Resolver::new(base.reach))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(fits.limits.concurrency as usize);
    if let Some((certificate, key)) = &fits.identity {
        builder = builder.identity(identity(certificate, key)?);
    }
    if let Some(path) = &fits.ca {
        builder = builder.tls_certs_only(certificates(path)?);
    } else if base.url.scheme() == "http" {
        // Reading the system's certificates takes a while, and nobody will ask for them.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|_| match &fits.identity {
        Some((certificate, key)) => ConnectorSetupError::Identity {
            path: certificate.clone(),
            reason: format!("it cannot be used with the key {key}: they may not belong together"),
        },
        None => ConnectorSetupError::Client,
    })
}

fn certificates(path: &str) -> Result<Vec<Certificate>, ConnectorSetupError> {
    let unfit = |reason: String| ConnectorSetupError::Ca { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| unfit(error.kind().to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|_| unfit("not a PEM file".to_owned()))?;
    if certificates.is_empty() {
        return Err(unfit("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// Our own certificate, with those between it and a known one, and its private key.
fn identity(certificate: &str, key: &str) -> Result<Identity, ConnectorSetupError> {
    let read = |path: &str| {
        let unfit = |error: std::io::Error| ConnectorSetupError::Identity {
            path: path.to_owned(),
            reason: error.kind().to_string(),
        };
        std::fs::read(path).map_err(unfit)
    };
    let mut pem = Zeroizing::new(read(key)?);
    pem.push(b'\n');
    pem.extend_from_slice(&read(certificate)?);
    Identity::from_pem(&pem).map_err(|_| ConnectorSetupError::Identity {
        path: certificate.to_owned(),
        reason: "the two files are no certificate and its private key in PEM".to_owned(),
    })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|address| address.is_loopback())
}

/// The address that a host is, if it is one and no name.
fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
