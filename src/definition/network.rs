//! A network of addresses: who may send notifications.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address with the length of its prefix: `198.51.100.0/24`, or one address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is no address and no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address such as 192.0.2.1, and not a network such as 198.51.100.0/24")]
pub struct NetworkError;

impl Network {
    /// An IPv4 address that arrives in the form of an IPv6 one is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                same(u128::from(u32::from(net)), u128::from(u32::from(address)), 32 - u32::from(self.prefix))
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                same(u128::from(net), u128::from(address), 128 - u32::from(self.prefix))
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(most), |prefix| prefix.parse().map_err(|_| NetworkError))?;
        if prefix > most { Err(NetworkError) } else { Ok(Self { address, prefix }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Equal but for the last `rest` bits.
fn same(one: u128, other: u128, rest: u32) -> bool {
    one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        let net = |text: &str| text.parse::<Network>().unwrap();
        let has = |network: &str, address: &str| net(network).contains(address.parse().unwrap());
        assert!(has("198.51.100.0/24", "198.51.100.7") && !has("198.51.100.0/24", "198.51.101.7"));
        assert!(has("192.0.2.1", "192.0.2.1") && !has("192.0.2.1", "192.0.2.2"));
        assert!(has("192.0.2.1", "::ffff:192.0.2.1") && !has("0.0.0.0/0", "::1"));
        assert!(has("2001:db8::/32", "2001:db8:1::1") && has("::/0", "::1") && has("0.0.0.0/0", "8.8.8.8"));
        for text in ["", "a", "192.0.2.1/33", "192.0.2/24", "1.2.3.4/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
