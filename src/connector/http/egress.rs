//! Which addresses may be connected to. Checked where a name has been resolved, so that what was checked is what is
//! connected to: a name that changes its mind between the two gains nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How far a host is trusted to stand for an address inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Any name: addresses of the public internet.
    Public,
    /// `localhost`: this machine.
    Local,
    /// Somebody listed the host among the allowed ones, or wrote the address itself: inner networks too.
    Listed,
}

/// Where some clouds keep a machine's credentials, beside the link-local address: Alibaba's, Azure's and Amazon's.
const CREDENTIALS: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// No host stands for these: link-local addresses (where clouds keep their credentials), none, many, all.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    if CREDENTIALS.contains(&inner(address)) {
        return true;
    }
    match inner(address) {
        IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.is_link_local() || v4.is_multicast() || v4.octets()[0] >= 240,
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
    }
}

/// Resolves names and leaves out the addresses that are out of reach. The client connects to one of those that are left,
/// and asks nobody again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver {
    reach: Reach,
    lookup: Lookup,
}

/// The addresses of a name.
type Lookup = fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// The name has addresses, but none that may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("no address that may be connected to")]
pub(super) struct OutOfReach;

impl Resolver {
    /// By the system's means.
    pub(super) fn new(reach: Reach) -> Self {
        Self { reach, lookup: |name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }) }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, found) = (self.reach, (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let mut within = found.await?;
            within.retain(|address| reach.covers(address.ip()));
            if within.is_empty() {
                return Err(OutOfReach.into());
            }
            Ok(Box::new(within.into_iter()) as Addrs)
        })
    }
}

impl Reach {
    pub(super) fn covers(self, address: IpAddr) -> bool {
        let address = inner(address);
        !is_forbidden(address)
            && match self {
                Self::Listed => true,
                Self::Local => address.is_loopback(),
                Self::Public => !is_inner(address),
            }
    }
}

/// Loopback, private, carrier-grade NAT, benchmarking, unique local, site local; and what reaches IPv4 in ways that cannot be
/// told from here: Teredo, and the local networks of NAT64.
fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a == 192 && b == 0 && c == 0)
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            v6.is_loopback()
                || v6.is_unique_local()
                || a & 0xffc0 == 0xfec0
                || (a, b) == (0x2001, 0)
                || (a, b, c) == (0x64, 0xff9b, 1)
        }
    }
}

/// The IPv4 address that an IPv6 address carries: mapped, translated, NAT64 or 6to4.
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let carried = |high: u16, low: u16| IpAddr::from((u32::from(high) << 16 | u32::from(low)).to_be_bytes());
    match (a, b) {
        _ if let Some(v4) = v6.to_ipv4_mapped() => IpAddr::V4(v4),
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => carried(g, h),
        (0x2002, _) => carried(b, c),
        (0, 0) if (c, d, e, f) == (0, 0, 0xffff, 0) => carried(g, h),
        (0, 0) if v6 != Ipv6Addr::LOCALHOST && (c, d, e, f) == (0, 0, 0, 0) => carried(g, h),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_name_that_turns_out_to_be_this_machine_is_out_of_reach() {
        let resolve = |reach| Resolver::new(reach).resolve("localhost".parse().unwrap());
        assert!(resolve(Reach::Public).await.err().unwrap().is::<OutOfReach>());
        assert!(resolve(Reach::Local).await.is_ok());
    }

    /// A name server that says something else each time: an address of the internet, one of this machine, both, nothing.
    fn rebinding(name: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let (public, local) = (SocketAddr::from(([192, 0, 2, 1], 0)), SocketAddr::from(([127, 0, 0, 1], 0)));
        let answer = match (name.as_str(), ASKED.fetch_add(1, Ordering::SeqCst) % 4) {
            ("local.example", _) => Ok(vec![local]),
            (_, 0) => Ok(vec![public]),
            (_, 1) => Ok(vec![local]),
            (_, 2) => Ok(vec![local, public]),
            _ => Err(io::Error::other("SERVFAIL")),
        };
        Box::pin(async { answer })
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_gains_nothing() {
        let resolver = Resolver { reach: Reach::Public, lookup: rebinding };
        let resolve = || resolver.resolve("rebound.example".parse().unwrap());
        let public = |addresses: Addrs| addresses.map(|address| address.ip()).collect::<Vec<_>>() == [ip("192.0.2.1")];
        assert!(public(resolve().await.unwrap()));
        assert!(resolve().await.err().unwrap().is::<OutOfReach>());
        assert!(public(resolve().await.unwrap()), "the address inside is left out");
        assert!(resolve().await.is_err(), "without an answer nothing is connected to");

        // The client connects to what was checked and to nothing else.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://local.example:{}/", listener.local_addr().unwrap().port());
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).dns_resolver(resolver).build().unwrap();
        let refused = client.get(&url).send().await.unwrap_err();
        let causes = std::iter::successors(std::error::Error::source(&refused), |cause| cause.source());
        assert!(causes.into_iter().any(|cause| cause.is::<OutOfReach>()), "{refused:?}");
        let connected = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept()).await;
        assert!(connected.is_err(), "nobody came");
    }

    #[test]
    fn nothing_reaches_the_metadata_service() {
        for text in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "0.1.2.3",
            "240.0.0.1",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "100.100.100.200",
            "::ffff:100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
        ] {
            for reach in [Reach::Public, Reach::Local, Reach::Listed] {
                assert!(!reach.covers(ip(text)), "{text} {reach:?}");
            }
            assert!(is_forbidden(ip(text)), "{text}");
        }
    }

    #[test]
    fn inner_networks_are_reached_only_by_hosts_that_were_listed() {
        for text in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.0.1",
            "fd00::1",
            "fc00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "198.18.0.1",
            "192.0.0.8",
            "fec0::1",
            "2001::1",
            "64:ff9b:1::a00:1",
            "::ffff:0:10.0.0.1",
        ] {
            assert!(!Reach::Public.covers(ip(text)) && !Reach::Local.covers(ip(text)), "{text}");
            assert!(Reach::Listed.covers(ip(text)), "{text}");
        }
        for text in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert!(!Reach::Public.covers(ip(text)) && Reach::Local.covers(ip(text)), "{text}");
        }
        for text in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2002:808:808::1"] {
            assert!(Reach::Public.covers(ip(text)) && !Reach::Local.covers(ip(text)), "{text}");
        }
    }
}
