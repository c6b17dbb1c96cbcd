//! Who may ask. The API has no authentication: what protects it is that only this machine reaches it. A page from
//! elsewhere in a browser on this machine reaches it too, and is told by two things. Through a name of its own that leads
//! here (DNS rebinding) it reads answers, and gives that name as `Host`. With a form it acts across sites, and gives where
//! it is from as `Origin`.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};
use serde::Deserialize;

use super::problem::{CROSS_SITE, Failure, HOST, MISDIRECTED, clip};

/// A host name or address under which the API is asked for, on any port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostName(String);

/// What providers call. They come from elsewhere under whatever name the way to us has, and are known by their signatures.
const HOOKS: &str = "/hooks/";

/// Lets a request through that comes from this machine, or under a name that was allowed, and from no page of others.
pub(super) fn check(allowed: &[HostName], method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Failure> {
    if is_open(uri.path()) {
        return Ok(());
    }
    let host = host(uri, headers)?;
    // The port says nothing: a tunnel or a container has one of its own, and a name that is rebound keeps ours.
    if !is_loopback(host.host()) && !allowed.iter().any(|name| name.0.eq_ignore_ascii_case(host.host())) {
        let name = clip(host.host());
        return Err(MISDIRECTED.because(format!(
            "the daemon answers to localhost, 127.0.0.1 and [::1], and not to {name}: ask it by one of them, or, if \
             {name} is a name of yours for it, start it with `--listen-as {name}` (`listen_as` in its configuration)"
        )));
    }
    if !method.is_safe() && !is_from_here(headers, &host) {
        return Err(CROSS_SITE.because(format!(
            "this comes from a page that the daemon did not serve at {}: only its own pages may act here. A proxy in \
             front of it must pass on `Host` as it came",
            clip(host.as_str())
        )));
    }
    Ok(())
}

/// Whether a path is for senders that are not known by where they are.
pub(super) fn is_open(path: &str) -> bool {
    path.starts_with(HOOKS)
}

/// Where the client believes to be: the address in the request's line goes before `Host`, as RFC 9112 says.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Failure> {
    if let Some(authority) = uri.authority() {
        return Ok(authority.clone());
    }
    let mut values = headers.get_all(header::HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(HOST.because("a request has one header `Host`: the name and port that it was sent to"));
    };
    let read = value.to_str().ok().filter(|text| !text.contains('@')).and_then(|text| text.parse().ok());
    read.ok_or_else(|| HOST.because("`Host` must be a name or an address, with or without a port"))
}

fn is_loopback(host: &str) -> bool {
    address(host).map_or_else(|| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// Browsers say where a request comes from; what says nothing is no page.
fn is_from_here(headers: &HeaderMap, host: &Authority) -> bool {
    let said = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    said("sec-fetch-site").all(|site| matches!(site, "same-origin" | "none"))
        && said("origin").all(|origin| is_origin_of(origin, host))
}

/// Whether an origin such as `https://pay.example` is that of a host. How the browser speaks to a proxy in front of us is
/// not known here, so that a host without a port has the one of the origin's scheme.
fn is_origin_of(origin: &str, host: &Authority) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    rest.parse::<Authority>()
        .is_ok_and(|from| from.host().eq_ignore_ascii_case(host.host()) && port(&from) == port(host))
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<Authority>() {
            Ok(authority) if authority.host() == text => Ok(Self(text.to_owned())),
            _ => Err(format!(
                "`{}` is not a host: give a name such as pay.example.com, without scheme and port",
                clip(text)
            )),
        }
    }
}

impl TryFrom<String> for HostName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, uri: &str, headers: &[(&'static str, &str)]) -> Result<(), u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let allowed = ["pay.example".parse().unwrap(), "[fd00::1]".parse().unwrap()];
        check(&allowed, method, &uri.parse().unwrap(), &map).map_err(|failure| failure.kind.status)
    }

    #[test]
    fn names_of_loopback_and_those_allowed_are_answered_to() {
        for host in ["localhost", "LocalHost:1", "127.0.0.1:7878", "127.8.8.8", "[::1]", "[::1]:80", "PAY.example:8443"]
        {
            assert_eq!(asked(&Method::GET, "/v1/orders", &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(asked(&Method::GET, "/", &[("host", "[fd00::1]:7878")]), Ok(()));
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "10.0.0.1",
            "[::2]",
            "1.pay.example",
            "[::ffff:10.0.0.1]",
        ] {
            assert_eq!(asked(&Method::GET, "/v1/orders", &[("host", host)]), Err(421), "{host}");
        }
        for hosts in
            [&[][..], &[("host", "localhost"), ("host", "localhost")], &[("host", "a b")], &[("host", "u@localhost")]]
        {
            assert_eq!(asked(&Method::GET, "/v1/orders", hosts), Err(400), "{hosts:?}");
        }
    }

    #[test]
    fn the_address_in_the_line_goes_before_the_header() {
        let (ours, other) = ("http://localhost/v1/orders", "http://evil.example/v1/orders");
        assert_eq!(asked(&Method::GET, ours, &[("host", "evil.example")]), Ok(()));
        assert_eq!(asked(&Method::GET, other, &[("host", "localhost")]), Err(421));
    }

    #[test]
    fn only_our_own_pages_act_here() {
        let act = |host, name, value| asked(&Method::POST, "/v1/orders", &[("host", host), (name, value)]);
        assert_eq!(asked(&Method::POST, "/v1/orders", &[("host", "localhost:7878")]), Ok(()));
        assert_eq!(act("localhost:7878", "origin", "http://localhost:7878"), Ok(()));
        assert_eq!(
            act("pay.example", "origin", "https://pay.example"),
            Ok(()),
            "behind a proxy that has the certificate"
        );
        assert_eq!(act("pay.example:443", "origin", "https://pay.example"), Ok(()));
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1:7878",
            "http://localhost",
            "https://evil.example",
            "null",
            "ftp://localhost:7878",
            "",
        ] {
            assert_eq!(act("localhost:7878", "origin", origin), Err(403), "{origin}");
        }
        for (site, answer) in
            [("same-origin", Ok(())), ("none", Ok(())), ("same-site", Err(403)), ("cross-site", Err(403))]
        {
            assert_eq!(act("localhost:7878", "sec-fetch-site", site), answer, "{site}");
        }
        let read = [("host", "localhost:7878"), ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
        assert_eq!(asked(&Method::GET, "/", &read), Ok(()), "a link may lead here, and what answers say stays hidden");
    }

    #[test]
    fn notifications_come_under_any_name() {
        let headers = [("host", "anything.example"), ("origin", "https://provider.example")];
        assert_eq!(asked(&Method::POST, "/hooks/gateway", &headers), Ok(()));
        assert_eq!(asked(&Method::POST, "/hooks", &headers), Err(421));
    }

    #[test]
    fn a_name_is_a_host_and_nothing_else() {
        for wrong in ["", "https://pay.example", "pay.example:443", "pay.example/", "u@pay.example", "*.pay.example /"]
        {
            assert!(wrong.parse::<HostName>().is_err(), "{wrong}");
        }
    }
}
