//! Which addresses may be connected to. Checked where a name has been resolved, so that what was checked is what is
//! connected to: a name that changes its mind between the two gains nothing.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

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

/// No host stands for these: link-local addresses (where clouds keep their credentials), none, many, all.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    match inner(address) {
        IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.is_link_local() || v4.is_multicast() || v4.octets()[0] >= 240,
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
    }
}

/// Resolves names by the system's means and leaves out the addresses that are out of reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver(pub(super) Reach);

/// The name has addresses, but none that may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("no address that may be connected to")]
pub(super) struct OutOfReach;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let within: Vec<SocketAddr> = found.filter(|address| reach.covers(address.ip())).collect();
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

/// Loopback, private, carrier-grade NAT, benchmarking, unique local.
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
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// The IPv4 address that an IPv6 address carries: mapped, NAT64 or 6to4.
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let carried = |high: u16, low: u16| IpAddr::from((u32::from(high) << 16 | u32::from(low)).to_be_bytes());
    match (a, b) {
        _ if let Some(v4) = v6.to_ipv4_mapped() => IpAddr::V4(v4),
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => carried(g, h),
        (0x2002, _) => carried(b, c),
        (0, 0) if v6 != Ipv6Addr::LOCALHOST && (c, d, e, f) == (0, 0, 0, 0) => carried(g, h),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_name_that_turns_out_to_be_this_machine_is_out_of_reach() {
        let resolve = |reach| Resolver(reach).resolve("localhost".parse().unwrap());
        assert!(resolve(Reach::Public).await.err().unwrap().is::<OutOfReach>());
        assert!(resolve(Reach::Local).await.is_ok());
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
