//! Whom we believe to be the provider.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use paystate::connector::{Connector as _, HttpConnector};
use paystate::definition::EnvText;
use paystate::machine::Outcome;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};

use crate::connector_support::*;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A TLS server on this machine whose certificate is for `name`. Counts the requests that it could read.
fn serve(issuer: &Issuer, name: &str, until_year: i32) -> (SocketAddr, Arc<AtomicUsize>) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(until_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap().der().clone();
    serve_with(certificate, &key)
}

/// The same with any certificate.
pub(crate) fn serve_with(certificate: CertificateDer<'static>, key: &KeyPair) -> (SocketAddr, Arc<AtomicUsize>) {
    serve_config(certificate, key, Arc::new(NoClientAuth))
}

fn serve_config(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    clients: Arc<dyn ClientCertVerifier>,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (listener, config) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(config));
    let (address, served) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&served);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream.unwrap());
            let mut request = Vec::new();
            let mut buffer = [0_u8; 1024];
            while !request.ends_with(b"}") {
                match tls.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&buffer[..read]),
                }
            }
            if request.ends_with(b"}") {
                count.fetch_add(1, Ordering::SeqCst);
                tls.write_all(&reply("201 Created", &[("connection", "close")], APPROVED)).ok();
                tls.conn.send_close_notify();
                tls.flush().ok();
            }
        }
    });
    (address, served)
}

async fn invoke(base_url: &str, trusted: &Issuer) -> Outcome {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), trusted.pem()).unwrap();
    let mut http = http(base_url);
    http.tls.ca = Some(env_text(file.path().to_str().unwrap()));
    connect(http, authorize()).invoke(&call()).await
}

#[tokio::test]
async fn a_certificate_of_our_own_authority_is_trusted() {
    let ours = authority("ours");
    let (address, served) = serve(&ours, "localhost", 2099);
    let outcome = invoke(&format!("https://localhost:{}", address.port()), &ours).await;
    assert!(matches!(outcome, Outcome::Ok { .. }), "{outcome:?}");
    assert_eq!(served.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn every_other_certificate_ends_the_call_before_anything_is_sent() {
    let (ours, other) = (authority("ours"), authority("other"));
    let cases = [
        (serve(&other, "localhost", 2099), "issuer is not trusted"),
        (serve(&ours, "localhost", 2021), "has expired"),
        (serve(&ours, "gateway.example", 2099), "for another name"),
    ];
    for ((address, served), why) in cases {
        let outcome = invoke(&format!("https://localhost:{}", address.port()), &ours).await;
        let Outcome::NotSent { reason, .. } = &outcome else { panic!("{why}: {outcome:?}") };
        assert!(reason.contains(why), "{why}: {reason}");
        assert_eq!(served.load(Ordering::SeqCst), 0);
    }
    // Without `ca` the system's authorities decide, and they do not know ours.
    let (address, served) = serve(&ours, "localhost", 2099);
    let outcome = connect(http(&format!("https://localhost:{}", address.port())), authorize()).invoke(&call()).await;
    assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
    assert_eq!(served.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_not_sent_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(&reply("201 Created", &[], APPROVED)).ok();
        }
    });
    let outcome = invoke(&format!("https://localhost:{port}"), &authority("ours")).await;
    assert!(matches!(&outcome, Outcome::NotSent { reason, .. } if reason.contains("TLS")), "{outcome:?}");
}

/// Our own certificate and its key, as files.
struct Identity {
    certificate: tempfile::NamedTempFile,
    key: tempfile::NamedTempFile,
}

impl Identity {
    fn new(issuer: &Issuer) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap().signed_by(&key, issuer);
        let file = |text: String| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            file
        };
        Self { certificate: file(certificate.unwrap().pem()), key: file(key.serialize_pem()) }
    }

    fn paths(&self) -> (EnvText, EnvText) {
        let text = |file: &tempfile::NamedTempFile| env_text(file.path().to_str().unwrap());
        (text(&self.certificate), text(&self.key))
    }
}

/// A provider that asks for a certificate of the one whom it serves.
fn serve_known(issuer: &Issuer, clients: &Issuer) -> (SocketAddr, Arc<AtomicUsize>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(clients.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let known = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    serve_config(certificate.der().clone(), &key, known)
}

#[tokio::test]
async fn a_provider_that_wants_to_know_us_is_shown_our_certificate() {
    let (theirs, ours, strangers) = (authority("theirs"), authority("ours"), authority("strangers"));
    let (address, served) = serve_known(&theirs, &ours);
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), theirs.pem()).unwrap();
    let known = Identity::new(&ours);
    let call_as = async |identity: Option<(EnvText, EnvText)>| {
        let mut http = http(&format!("https://localhost:{}", address.port()));
        http.tls.ca = Some(env_text(ca.path().to_str().unwrap()));
        http.tls.identity = identity;
        connect(http, authorize()).invoke(&call()).await
    };
    let outcome = call_as(Some(known.paths())).await;
    assert!(matches!(outcome, Outcome::Ok { .. }), "{outcome:?}");
    assert_eq!(served.load(Ordering::SeqCst), 1);
    for nobody in [None, Some(Identity::new(&strangers).paths())] {
        let outcome = call_as(nobody).await;
        assert!(!matches!(outcome, Outcome::Ok { .. } | Outcome::Declined { .. }), "{outcome:?}");
    }
    assert_eq!(served.load(Ordering::SeqCst), 1, "nothing else was served");
}

/// Found at the start, and not with the first payment.
#[test]
fn a_certificate_and_a_key_that_do_not_fit_are_refused() {
    let ours = authority("ours");
    let (one, other) = (Identity::new(&ours), Identity::new(&ours));
    let missing = env_text("/nowhere/certificate.pem");
    for identity in [(one.paths().0, other.paths().1), (missing, one.paths().1)] {
        let mut http = http("https://localhost");
        http.tls.identity = Some(identity.clone());
        let built = HttpConnector::new(Arc::new(definition(http, authorize())), &config());
        let error = built.expect_err("it cannot be used").to_string();
        assert!(error.contains("certificate"), "{identity:?}: {error}");
        assert!(!error.contains("PRIVATE KEY"), "{error}");
    }
}
