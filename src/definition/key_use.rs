//! What the secrets of a connector are used for, where that asks for a key of a kind.

use std::collections::{BTreeMap, BTreeSet};

use super::auth::{Cipher, Decrypt, KeyFormat, Scheme, Sign, Verify};
use super::connector::{Connector, ConnectorKind, Inquiry, Request};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// The private half, or an HMAC key.
    Signs(Scheme, KeyFormat),
    /// The public half, or an HMAC key.
    Verifies(Scheme, KeyFormat),
    Opens(Cipher),
    /// The public key for which something is encrypted.
    Seals,
}

impl Connector {
    /// The first use of each secret that is a key.
    pub fn key_uses(&self) -> BTreeMap<&str, KeyUse> {
        let mut uses: BTreeMap<&str, KeyUse> = BTreeMap::new();
        let signs = self.signs().filter_map(|sign| {
            let key = sign.key.as_ref()?;
            Some((key.0.as_str(), KeyUse::Signs(sign.scheme, sign.key_format)))
        });
        let signed = self.verifies().filter_map(|verify| match verify {
            Verify::Signature(signed) => Some(signed),
            _ => None,
        });
        let verifies = signed.flat_map(|signed| {
            let used = KeyUse::Verifies(signed.scheme, signed.key_format);
            signed.keys.iter().map(move |(_, key)| (key.0.as_str(), used))
        });
        let opens = self
            .decrypts()
            .flat_map(|decrypt| decrypt.secrets.iter().map(|key| (key.0.as_str(), KeyUse::Opens(decrypt.scheme))));
        let seals = self.requests().filter_map(|request| request.encrypt.as_ref());
        let seals = seals.map(|encrypt| (encrypt.key.0.as_str(), KeyUse::Seals));
        for (name, used) in signs.chain(verifies).chain(opens).chain(seals) {
            uses.entry(name).or_insert(used);
        }
        uses
    }

    /// The secrets that say whether answers are the provider's.
    pub fn believes_by(&self) -> BTreeSet<&str> {
        let answers = self.operations.values().filter_map(|operation| operation.verify.as_deref());
        answers.flat_map(Verify::ways).flat_map(Verify::secrets).map(|secret| secret.0.as_str()).collect()
    }

    fn inquiries(&self) -> impl Iterator<Item = &Inquiry> {
        self.operations.values().flat_map(|operation| operation.inquiries())
    }

    fn requests(&self) -> impl Iterator<Item = &Request> {
        let asked = self.inquiries().filter_map(|inquiry| inquiry.request.as_ref());
        self.operations.values().filter_map(|operation| operation.request.as_ref()).chain(asked)
    }

    fn signs(&self) -> impl Iterator<Item = &Sign> {
        let asked = self.inquiries().filter_map(|inquiry| inquiry.sign.as_deref());
        self.operations.values().filter_map(|operation| operation.sign.as_deref()).chain(asked)
    }

    fn verifies(&self) -> impl Iterator<Item = &Verify> {
        let answers = self.operations.values().filter_map(|operation| operation.verify.as_deref());
        answers.chain(self.webhooks.iter().map(|webhooks| &webhooks.verify)).flat_map(Verify::ways)
    }

    fn decrypts(&self) -> impl Iterator<Item = &Decrypt> {
        let answers = match &self.kind {
            ConnectorKind::Http(http) => http.decrypt.as_ref(),
            ConnectorKind::Builtin => None,
        };
        answers.into_iter().chain(self.webhooks.iter().filter_map(|webhooks| webhooks.decrypt.as_ref()))
    }
}
