//! `verify` and `decrypt`: how what comes in is known to be the provider's, and how it is read.

use std::time::Duration;

use super::auth::{ENCODINGS, KEY_FORMATS, SCHEMES, default_encoding};
use super::{Ctx, Fields, LABEL, TRUTH};
use crate::definition::auth::{Cipher, Decrypt, Scheme, Signed, Verify};
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::expr::Expr;
use crate::definition::{SecretRef, rules};

const KEYS: &[&str] = &[
    "scheme",
    "secret",
    "secrets",
    "tolerance",
    "keys",
    "key_format",
    "key_id",
    "signature",
    "content",
    "encoding",
    "timestamp",
    "given",
    "username",
];
const DECRYPT_KEYS: &[&str] = &["scheme", "secret", "secrets", "text", "nonce", "associated_data", "when"];
/// What is known of an answer before it is believed.
pub(super) const ANSWER_ROOTS: &[&str] = &["raw", "status", "headers", "body", "env", "tables"];
/// What is known of a notification before it is believed.
pub(super) const HOOK_ROOTS: &[&str] = &["raw", "path", "headers", "query", "body", "item", "env", "tables"];
/// Each is tried for everything that comes.
const WAYS_MAX: usize = 8;
const TOLERANCE: Duration = Duration::from_secs(300);

/// What a scheme needs beside its secrets.
#[derive(Clone, Copy)]
enum Kinds {
    StandardWebhooks,
    SharedSecret,
    Basic,
    SenderAddress,
    Signature(Scheme),
}

impl Ctx<'_> {
    /// `roots` are what is known of a notification, or of an answer.
    pub(super) fn verify(&self, node: &Node, roots: &[&str]) -> Option<Verify> {
        let Kind::List(items) = &node.kind else { return self.one_way(node, roots) };
        if !(2..=WAYS_MAX).contains(&items.len()) {
            self.report(rules::BAD_VALUE, &node.span, format!("a list under `verify` has 2 to {WAYS_MAX} ways"));
        }
        let ways: Vec<Verify> = items.iter().filter_map(|item| self.one_way(item, roots)).collect();
        if ways.iter().any(|way| matches!(way, Verify::SenderAddress)) {
            self.report(
                rules::CONTRADICTING_VALUES,
                &node.span,
                "beside `sender-address`, which is always believed, no other way counts",
            );
        }
        if ways.iter().any(Verify::is_of_each) && !ways.iter().all(Verify::is_of_each) {
            self.report(rules::CONTRADICTING_VALUES, &node.span, "either all ways read `item`, or none does");
        }
        (ways.len() == items.len()).then_some(Verify::Any(ways))
    }

    fn one_way(&self, node: &Node, roots: &[&str]) -> Option<Verify> {
        let what = "`verify`";
        let fields = self.fields(node, &node.span, what, KEYS)?;
        let mut words = vec![
            ("standard-webhooks", Kinds::StandardWebhooks),
            ("shared-secret", Kinds::SharedSecret),
            ("basic", Kinds::Basic),
            ("sender-address", Kinds::SenderAddress),
        ];
        // An encoding alone proves nothing that `shared-secret` does not.
        let schemes = SCHEMES.iter().filter(|(_, scheme)| *scheme != Scheme::Plain);
        words.extend(schemes.map(|(word, scheme)| (*word, Kinds::Signature(*scheme))));
        let scheme = fields.required(self, what, "scheme").and_then(|node| self.word(node, "`scheme`", &words))?;
        self.fitting(&fields, scheme);
        let tolerance = fields.get("tolerance").and_then(|node| self.duration(node, "`tolerance`"));
        let tolerance = tolerance.unwrap_or(TOLERANCE);
        let expr = |key: &str| fields.get(key).and_then(|node| self.expr(node, &format!("`{key}`"), roots, &[]));
        match scheme {
            Kinds::StandardWebhooks => {
                Some(Verify::StandardWebhooks { secrets: self.secrets(&fields, &node.span, what), tolerance })
            }
            Kinds::SharedSecret => {
                fields.required(self, what, "given");
                Some(Verify::SharedSecret { secrets: self.secrets(&fields, &node.span, what), given: expr("given")? })
            }
            Kinds::Basic => {
                let username = fields.required(self, what, "username");
                let secrets = self.secrets(&fields, &node.span, what);
                Some(Verify::Basic { username: self.env_text(username?, "`username`", rules::BAD_VALUE), secrets })
            }
            Kinds::SenderAddress => Some(Verify::SenderAddress),
            Kinds::Signature(scheme) => self.signed(&fields, node, scheme, roots, tolerance),
        }
    }

    fn signed(
        &self,
        fields: &Fields<'_>,
        node: &Node,
        scheme: Scheme,
        roots: &[&str],
        tolerance: Duration,
    ) -> Option<Verify> {
        let what = "`verify`";
        let signature = fields.required(self, what, "signature");
        let content = fields.required(self, what, "content");
        let label = |key: &str| fields.get(key).and_then(|node| self.expr(node, &format!("`{key}`"), roots, LABEL));
        let keys = match (fields.entry("keys"), scheme) {
            (Some(entry), _) => self.named_keys(&entry.node),
            (None, Scheme::Digest(_)) => Vec::new(),
            (None, _) => self.secrets(fields, &node.span, what).into_iter().map(|secret| (None, secret)).collect(),
        };
        if fields.get("keys").is_some() && fields.get("key_id").is_none() {
            self.report(
                rules::MISSING_KEY,
                &node.span,
                "`keys` are chosen by `key_id`, such as a header that names it",
            );
        }
        let word = fields.get("encoding").and_then(|node| self.word(node, "`encoding`", ENCODINGS));
        let format = fields.get("key_format").and_then(|node| self.word(node, "`key_format`", KEY_FORMATS));
        Some(Verify::Signature(Box::new(Signed {
            scheme,
            keys,
            key_format: format.unwrap_or_default(),
            key_id: label("key_id"),
            signature: signature.and_then(|node| self.expr(node, "`signature`", roots, &[]))?,
            encoding: word.unwrap_or(default_encoding(scheme)),
            content: content.and_then(|node| self.content(node, roots))?,
            timestamp: label("timestamp"),
            tolerance,
        })))
    }

    /// What belongs to another scheme would be thought to be checked.
    fn fitting(&self, fields: &Fields<'_>, scheme: Kinds) {
        let taken: &[&str] = match scheme {
            Kinds::StandardWebhooks => &["scheme", "secret", "secrets", "tolerance"],
            Kinds::SharedSecret => &["scheme", "secret", "secrets", "given"],
            Kinds::Basic => &["scheme", "secret", "secrets", "username"],
            Kinds::SenderAddress => &["scheme"],
            Kinds::Signature(Scheme::Digest(_)) => {
                &["scheme", "signature", "content", "encoding", "timestamp", "tolerance"]
            }
            Kinds::Signature(_) => &[
                "scheme",
                "secret",
                "secrets",
                "keys",
                "key_format",
                "key_id",
                "signature",
                "content",
                "encoding",
                "timestamp",
                "tolerance",
            ],
        };
        for key in KEYS.iter().filter(|key| !taken.contains(key)) {
            if let Some(entry) = fields.entry(key) {
                let message = format!("`{key}` has no effect with this scheme");
                self.report(rules::CONFLICTING_KEYS, &entry.key_span, message);
            }
        }
        if fields.get("timestamp").is_none()
            && matches!(scheme, Kinds::Signature(_))
            && let Some(entry) = fields.entry("tolerance")
        {
            self.report(rules::MISSING_KEY, &entry.key_span, "`tolerance` is about `timestamp`, which is not given");
        }
    }

    /// `secret`, or `secrets` while one replaces another.
    fn secrets(&self, fields: &Fields<'_>, head: &std::ops::Range<usize>, what: &str) -> Vec<SecretRef> {
        fields.exclusive(self, &["secret", "secrets", "keys"]);
        let nodes = match (fields.get("secret"), fields.get("secrets")) {
            (Some(one), _) => vec![one],
            (None, Some(list)) => list.items().iter().collect(),
            (None, None) => Vec::new(),
        };
        if nodes.is_empty() {
            let message = format!("{what} needs `secret`, or `secrets` while one replaces another");
            self.report(rules::MISSING_KEY, head, message);
        }
        nodes.into_iter().filter_map(|node| self.secret(node)).collect()
    }

    fn named_keys(&self, node: &Node) -> Vec<(Option<String>, SecretRef)> {
        let entries = self.map(node, "`keys`").iter();
        entries.filter_map(|entry| Some((Some(entry.key.clone()), self.secret(&entry.node)?))).collect()
    }

    pub(super) fn decrypt(&self, entry: &Entry, roots: &[&str]) -> Option<Decrypt> {
        let what = "`decrypt`";
        let fields = self.fields(&entry.node, &entry.key_span, what, DECRYPT_KEYS)?;
        let ciphers = &[("aes-256-gcm", Cipher::Aes256Gcm), ("jwe", Cipher::Jwe)];
        let scheme = fields.required(self, what, "scheme").and_then(|node| self.word(node, "`scheme`", ciphers));
        let text = fields.required(self, what, "text");
        let read = |key: &str| -> Option<Expr> {
            fields.get(key).and_then(|node| self.expr(node, &format!("`{key}`"), roots, LABEL))
        };
        match scheme {
            Some(Cipher::Aes256Gcm) => drop(fields.required(self, what, "nonce")),
            Some(Cipher::Jwe) => {
                for key in ["nonce", "associated_data"] {
                    if let Some(entry) = fields.entry(key) {
                        let message = format!("a JWE has its own {key}");
                        self.report(rules::CONFLICTING_KEYS, &entry.key_span, message);
                    }
                }
            }
            None => {}
        }
        Some(Decrypt {
            scheme: scheme?,
            secrets: self.secrets(&fields, &entry.key_span, what),
            text: text.and_then(|node| self.expr(node, "`text`", roots, LABEL))?,
            nonce: read("nonce"),
            associated_data: read("associated_data"),
            when: fields.get("when").and_then(|node| self.expr(node, "`when`", roots, TRUTH)),
        })
    }

    /// Addresses and networks: `192.0.2.1`, `198.51.100.0/24`.
    pub(super) fn networks(&self, node: &Node, what: &str) -> Vec<crate::definition::Network> {
        let Kind::List(items) = &node.kind else {
            self.wrong_type(node, &format!("{what} is a list of addresses"));
            return Vec::new();
        };
        let read = |item: &Node| {
            let network = item.text().and_then(|text| text.parse().ok());
            if network.is_none() {
                let message = format!("{what} has addresses and networks, such as 192.0.2.1 or 198.51.100.0/24");
                self.report(rules::BAD_VALUE, &item.span, message);
            }
            network
        };
        items.iter().filter_map(read).collect()
    }
}
