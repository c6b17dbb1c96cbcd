//! Whom we believe to be the provider.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use paystate::connector::Connector as _;
use paystate::machine::Outcome;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

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
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
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
