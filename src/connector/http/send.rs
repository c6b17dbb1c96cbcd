//! Sends one request and reads its reply, within one deadline for everything.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::body::{Taken, WatchedBody};
use super::client::Link;
use super::egress::OutOfReach;
use super::read::Reader;
use super::request::Ready;
use crate::connector::classify::Reply;
use crate::connector::limits::Refused;
use crate::definition::EvalError;

/// Why there is no reply. The reason is ours and holds nothing of the provider's.
#[derive(Debug)]
pub(super) struct Failure {
    pub reason: String,
    pub certainly_not_sent: bool,
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn not_sent(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), certainly_not_sent: true, retry_after: None }
    }

    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), certainly_not_sent: false, retry_after: None }
    }

    pub(super) fn eval(part: &'static str) -> impl Fn(EvalError) -> Self {
        move |error| Self::not_sent(format!("request: {part}: {error}"))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self { retry_after: refused.retry_after, ..Self::not_sent(refused.reason) }
    }
}

/// Sends it once. At the deadline the connection is closed.
pub(super) async fn send(link: &Link, ready: Ready, deadline: Instant, reader: &Reader<'_>) -> Result<Reply, Failure> {
    let mut request = link.client.request(ready.method, ready.url).headers(ready.headers);
    let mut taken = None;
    if let Some(bytes) = ready.body {
        let (body, watch) = WatchedBody::new(bytes);
        request = request.body(reqwest::Body::wrap(body));
        taken = Some(watch);
    }
    let exchange = async {
        let response = request.send().await.map_err(|error| no_response(&error, taken.as_ref()))?;
        reader.read(response).await
    };
    timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(late(taken.as_ref())))
}

/// Without a body there is nothing to watch, so at the deadline the request may have been written.
fn late(taken: Option<&Taken>) -> Failure {
    match taken {
        Some(taken) if !taken.get() => Failure::not_sent("no connection before the deadline"),
        _ => Failure::unknown("no whole answer before the deadline"),
    }
}

/// Both must hold for `NotSent`: the client says that it could not connect, and it has not begun to take the body.
fn no_response(error: &reqwest::Error, taken: Option<&Taken>) -> Failure {
    let untouched = taken.is_none_or(|taken| !taken.get());
    if error.is_builder() && untouched {
        return Failure::not_sent("request: it is not a valid HTTP request");
    }
    if error.is_connect() && untouched {
        return Failure::not_sent(format!("not connected: {}", connect_reason(error)));
    }
    let what = match io_kind(error) {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => "the connection was reset",
        _ if error.is_timeout() => "the connection timed out",
        _ => "the connection broke or the answer was not HTTP",
    };
    Failure::unknown(format!("{what} after the request may have been sent"))
}

fn connect_reason(error: &reqwest::Error) -> &'static str {
    if causes(error).any(|cause| cause.is::<OutOfReach>()) {
        return "the host's address is not one that may be connected to";
    }
    if error.is_dns() {
        return "the host name does not resolve";
    }
    if let Some(tls) = causes(error).find_map(tls_reason) {
        return tls;
    }
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => "the connection was refused",
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => "closed during the handshake",
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => "the host cannot be reached",
        _ if error.is_timeout() => "it took too long",
        _ => "no connection could be made",
    }
}

fn tls_reason(cause: &(dyn StdError + 'static)) -> Option<&'static str> {
    use rustls::{CertificateError as Certificate, Error};
    Some(match unwrapped(cause).downcast_ref::<Error>()? {
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "TLS: the certificate has expired"
        }
        Error::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            "TLS: the certificate is for another name"
        }
        Error::InvalidCertificate(Certificate::UnknownIssuer) => "TLS: the certificate's issuer is not trusted",
        Error::InvalidCertificate(_) => "TLS: the certificate is not valid",
        _ => "TLS: the handshake failed",
    })
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    causes(error).find_map(|cause| unwrapped(cause).downcast_ref::<io::Error>()).map(io::Error::kind)
}

/// An I/O error tells of the causes of what it wraps, and not of what it wraps itself.
fn unwrapped<'a>(mut cause: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    while let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        cause = inner;
    }
    cause
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause: &&(dyn StdError + 'static)| cause.source())
}
