//! TLS for the sandbox: a certificate authority made at start, server certificates, and serving a router over TLS.
//!
//! The authority lives in memory only, and its certificate is limited to the loopback names: a person who imports it
//! into a browser cannot be deceived about any other site.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::task::JoinHandle;

/// How long open requests may take to finish when a server is told to stop.
const GRACE: Duration = Duration::from_secs(2);
/// Some browsers refuse certificates that are valid for longer than 825 days.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The sandbox's certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    now: SystemTime,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the TLS configuration is not usable: {0}")]
    Config(#[from] rustls::Error),
    #[error("the server could not be started: {0}")]
    Io(#[from] io::Error),
}

/// A server that runs until it is shut down or dropped.
pub struct TlsServer {
    address: SocketAddr,
    handle: Handle<SocketAddr>,
    task: JoinHandle<io::Result<()>>,
}

impl Authority {
    /// Makes an authority with a new key. Certificates are valid from a day before `now` for a year.
    pub fn new(now: SystemTime) -> Result<Self, TlsError> {
        let mut params = params("Paystate sandbox CA", Vec::new(), now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![
                GeneralSubtree::DnsName("localhost".to_owned()),
                GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(Ipv4Addr::LOCALHOST.octets(), 32)),
                GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(Ipv6Addr::LOCALHOST.octets(), 128)),
            ],
            excluded_subtrees: Vec::new(),
        });
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?, now })
    }

    /// The authority's own certificate: what clients must trust, and nothing else.
    pub fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// A configuration with a new certificate for 127.0.0.1, ::1 and localhost. TLS 1.2 and 1.3.
    pub fn server_config(&self, common_name: &str) -> Result<Arc<ServerConfig>, TlsError> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let mut params = params(common_name, names, self.now)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into(), self.issuer.der().clone()], key.into())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Takes a free port of the loopback interface. The servers name one another by their ports before they are started.
pub fn bind_loopback() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

/// The address that clients use for a listener.
pub fn https_url(listener: &TcpListener) -> io::Result<String> {
    Ok(format!("https://127.0.0.1:{}", listener.local_addr()?.port()))
}

/// Serves the router over TLS. Returns when connections are accepted.
pub async fn serve_tls(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    router: Router,
) -> Result<TlsServer, TlsError> {
    listener.set_nonblocking(true)?;
    let handle = Handle::new();
    let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(config))?.handle(handle.clone());
    let task = tokio::spawn(server.serve(router.into_make_service()));
    let Some(address) = handle.listening().await else {
        return Err(TlsError::Io(io::ErrorKind::AddrNotAvailable.into()));
    };
    Ok(TlsServer { address, handle, task })
}

impl TlsServer {
    /// `https://127.0.0.1:port`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.address.port())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more, lets open requests finish for a moment, and returns when the port is free.
    pub async fn shutdown(mut self) {
        self.handle.graceful_shutdown(Some(GRACE));
        if let Ok(Err(error)) = (&mut self.task).await {
            tracing::warn!(%error, "a sandbox server ended with an error");
        }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.handle.shutdown();
        self.task.abort();
    }
}

fn params(common_name: &str, names: Vec<String>, now: SystemTime) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    // A day of slack: the clocks of a container and of its host often differ.
    params.not_before = (now - DAY).into();
    params.not_after = (now + LIFETIME).into();
    Ok(params)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;
    use crate::sandbox::Clock;

    fn client(ca: &str) -> reqwest::Client {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap()
    }

    #[tokio::test]
    async fn a_client_that_trusts_the_authority_is_served_and_another_is_not() {
        let now = Clock::default().now().unix_ms().unsigned_abs();
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now);
        let authority = Authority::new(now).unwrap();
        let stranger = Authority::new(now).unwrap();
        let router = Router::new().route("/", get(|| async { "hello" }));
        let config = authority.server_config("shop").unwrap();
        let server = serve_tls(bind_loopback().unwrap(), config, router).await.unwrap();
        let url = server.url();

        let text = client(&authority.ca_pem()).get(&url).send().await.unwrap().text().await.unwrap();
        assert_eq!(text, "hello");
        let local = url.replace("127.0.0.1", "localhost");
        assert!(client(&authority.ca_pem()).get(&local).send().await.is_ok());
        assert!(client(&stranger.ca_pem()).get(&url).send().await.is_err());

        server.shutdown().await;
        assert!(client(&authority.ca_pem()).get(&url).send().await.is_err());
    }
}
