//! `auth` and `sign`: how requests prove who sends them.

use super::login::LOGINS;
use super::operation::REQUEST_ROOTS;
use super::{Ctx, Fields};
use crate::definition::auth::{
    Auth, Content, ContentPart, Encoding, Hash, KeyFormat, Login, Place, Scheme, Sign, Slot,
};
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::expr::{Template, TextPart};
use crate::definition::{SecretRef, rules, suggest};

const AUTH_KEYS: &[&str] =
    &["bearer", "basic", "header", "standard-webhooks", "oauth2", "token", "headers", "query", "fields"];
const SIGN_KEYS: &[&str] =
    &["scheme", "key", "key_format", "headers", "content", "encoding", "header", "query", "field", "value"];
pub(super) const SCHEMES: &[(&str, Scheme)] = &[
    ("plain", Scheme::Plain),
    ("digest-sha256", Scheme::Digest(Hash::Sha256)),
    ("digest-sha384", Scheme::Digest(Hash::Sha384)),
    ("digest-sha512", Scheme::Digest(Hash::Sha512)),
    ("digest-sha1", Scheme::Digest(Hash::Sha1)),
    ("digest-md5", Scheme::Digest(Hash::Md5)),
    ("hmac-sha256", Scheme::Hmac(Hash::Sha256)),
    ("hmac-sha384", Scheme::Hmac(Hash::Sha384)),
    ("hmac-sha512", Scheme::Hmac(Hash::Sha512)),
    ("hmac-sha1", Scheme::Hmac(Hash::Sha1)),
    ("rsa-sha256", Scheme::Rsa(Hash::Sha256)),
    ("rsa-sha384", Scheme::Rsa(Hash::Sha384)),
    ("rsa-sha512", Scheme::Rsa(Hash::Sha512)),
    ("rsa-pss-sha256", Scheme::RsaPss(Hash::Sha256)),
    ("rsa-pss-sha512", Scheme::RsaPss(Hash::Sha512)),
    ("ecdsa-p256-sha256", Scheme::Ecdsa),
    ("es256", Scheme::EcdsaFixed(Hash::Sha256)),
    ("es384", Scheme::EcdsaFixed(Hash::Sha384)),
    ("es512", Scheme::EcdsaFixed(Hash::Sha512)),
    ("ed25519", Scheme::Ed25519),
];
pub(super) const ENCODINGS: &[(&str, Encoding)] = &[
    ("hex", Encoding::Hex),
    ("HEX", Encoding::HexUpper),
    ("base64", Encoding::Base64),
    ("base64url", Encoding::Base64Url),
];
pub(super) const KEY_FORMATS: &[(&str, KeyFormat)] =
    &[("text", KeyFormat::Text), ("hex", KeyFormat::Hex), ("base64", KeyFormat::Base64)];

impl Ctx<'_> {
    pub(super) fn auth(&self, entry: &Entry) -> Auth {
        if entry.node.text() == Some("none") {
            return Auth::default();
        }
        let Some(fields) = self.fields(&entry.node, &entry.key_span, "`auth`", AUTH_KEYS) else {
            return Auth::default();
        };
        fields.exclusive(self, LOGINS);
        if entry.node.entries().is_empty() {
            let message = format!("`auth` needs one of {}, or is `none`", suggest::one_of(AUTH_KEYS.iter().copied()));
            self.report(rules::MISSING_KEY, &entry.key_span, message);
        }
        let pairs =
            |key: &str| fields.get(key).map(|node| self.secret_pairs(node, key, AUTH_ROOTS)).unwrap_or_default();
        Auth {
            login: self.login(&fields).unwrap_or_default(),
            headers: pairs("headers"),
            query: pairs("query"),
            fields: pairs("fields"),
        }
    }

    /// What one operation shows beside what the connector does.
    pub(super) fn more_auth(&self, entry: &Entry) -> Auth {
        let what = "`auth` of an operation or a question";
        let Some(fields) = self.fields(&entry.node, &entry.key_span, what, &["headers", "query", "fields"]) else {
            return Auth::default();
        };
        let pairs =
            |key: &str| fields.get(key).map(|node| self.secret_pairs(node, key, AUTH_ROOTS)).unwrap_or_default();
        Auth { login: Login::None, headers: pairs("headers"), query: pairs("query"), fields: pairs("fields") }
    }

    /// Texts with a secret in them, by the names of headers, parameters or fields.
    pub(super) fn secret_pairs(&self, node: &Node, key: &str, roots: &[&str]) -> Vec<(String, Content)> {
        let entries = self.map(node, &format!("`{key}`")).iter();
        let read = |entry: &Entry| {
            if key == "headers" {
                let name = Node { span: entry.key_span.clone(), kind: Kind::Scalar(entry.key.as_str().into()) };
                self.header_name(&name);
            }
            Some((entry.key.clone(), self.content(&entry.node, roots)?))
        };
        entries.filter_map(read).collect()
    }

    pub(super) fn sign(&self, entry: &Entry) -> Option<Sign> {
        let what = "`sign`";
        let fields = self.fields(&entry.node, &entry.key_span, what, SIGN_KEYS)?;
        let scheme = fields.required(self, what, "scheme").and_then(|node| self.word(node, "`scheme`", SCHEMES));
        let content = fields.required(self, what, "content");
        let content = content.and_then(|node| self.content(node, SIGN_ROOTS));
        let key = fields.get("key").and_then(|node| self.secret(node));
        let word = |key: &str, words| fields.get(key).and_then(|node| self.word(node, &format!("`{key}`"), words));
        let digest = scheme.is_some_and(Scheme::is_keyless);
        match (fields.entry("key"), digest) {
            (Some(entry), true) => {
                let message = "this scheme has no key: write the secret into `content` where the provider wants it";
                self.report(rules::CONFLICTING_KEYS, &entry.key_span, message);
            }
            (None, false) if scheme.is_some() => {
                self.report(rules::MISSING_KEY, &fields.head, "`sign` needs `key`, such as `${secret.NAME}`");
            }
            _ => {}
        }
        let places = self.places(&fields);
        let headers = fields.get("headers").map(|node| self.signed_headers(node)).unwrap_or_default();
        Some(Sign {
            scheme: scheme?,
            key,
            key_format: fields
                .get("key_format")
                .and_then(|node| self.word(node, "`key_format`", KEY_FORMATS))
                .unwrap_or_default(),
            headers,
            content: content?,
            encoding: word("encoding", ENCODINGS).unwrap_or(default_encoding(scheme?)),
            places,
        })
    }

    fn signed_headers(&self, node: &Node) -> Vec<(String, Template)> {
        let entries = self.map(node, "`headers`").iter();
        let name = |entry: &Entry| Node { span: entry.key_span.clone(), kind: Kind::Scalar(entry.key.as_str().into()) };
        entries
            .filter_map(|entry| Some((self.header_name(&name(entry))?, self.template(&entry.node, SIGN_ROOTS))))
            .collect()
    }

    /// Where the signature goes: one place, or the same signature in several.
    fn places(&self, fields: &Fields<'_>) -> Vec<Place> {
        let slots = [("header", Slot::Header), ("query", Slot::Query), ("field", Slot::Field)];
        let value = fields.get("value").and_then(|node| self.content(node, PLACE_ROOTS));
        let mut places = Vec::new();
        for (key, slot) in slots {
            let Some(node) = fields.get(key) else { continue };
            let name =
                if slot == Slot::Header { self.header_name(node) } else { self.text(node, key).map(str::to_owned) };
            let value = value.clone().unwrap_or_else(signature_alone);
            places.extend(name.map(|name| Place { slot, name, value }));
        }
        if places.is_empty() {
            let message = "`sign` says where the signature goes: `header`, `query` or `field`";
            self.report(rules::MISSING_KEY, &fields.head, message);
        }
        places
    }

    /// Text with `${…}` in it, of which `${secret.NAME}` is put in without any expression seeing it.
    pub(super) fn content(&self, node: &Node, roots: &[&str]) -> Option<Content> {
        let text = self.text(node, "what is signed or shown")?;
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, name, after)) = next_secret(rest) {
            self.content_parts(node, before, roots, &mut parts);
            self.needs.borrow_mut().secrets.insert(name.to_owned());
            parts.push(ContentPart::Secret(SecretRef(name.to_owned())));
            rest = after;
        }
        self.content_parts(node, rest, roots, &mut parts);
        Some(Content(parts))
    }

    fn content_parts(&self, node: &Node, text: &str, roots: &[&str], parts: &mut Vec<ContentPart>) {
        if text.is_empty() {
            return;
        }
        let piece = Node { span: node.span.clone(), kind: Kind::Scalar(text.into()) };
        match self.template(&piece, roots) {
            Template::Literal(value) => {
                parts.extend(value.as_str().map(|text| ContentPart::Text(text.to_owned())));
            }
            Template::Expr(expr) => parts.push(ContentPart::Expr(expr)),
            Template::Text(texts) => parts.extend(texts.into_iter().map(|part| match part {
                TextPart::Text(text) => ContentPart::Text(text),
                TextPart::Expr(expr) => ContentPart::Expr(expr),
            })),
            Template::Object(_) | Template::Array(_) => {}
        }
    }
}

/// Which call it is may stand beside a secret, as in an address that the provider is to call back.
const AUTH_ROOTS: &[&str] = &["env", "key"];
/// What is signed may read the whole request.
pub(super) const SIGN_ROOTS: &[&str] =
    &["request", "with", "key", "sent_at", "attempt", "order", "env", "tables", "now", "nonce"];
const PLACE_ROOTS: &[&str] =
    &["signature", "content", "request", "with", "key", "sent_at", "attempt", "order", "env", "tables", "now", "nonce"];
const _: () = assert!(SIGN_ROOTS.len() == REQUEST_ROOTS.len() + 1);

/// A digest and an HMAC are mostly written in hexadecimal digits, the signature of a key pair in base64.
pub(super) const fn default_encoding(scheme: Scheme) -> Encoding {
    match scheme {
        Scheme::Digest(_) | Scheme::Hmac(_) => Encoding::Hex,
        Scheme::Plain | Scheme::Rsa(_) | Scheme::RsaPss(_) | Scheme::Ecdsa | Scheme::Ed25519 => Encoding::Base64,
        Scheme::EcdsaFixed(_) => Encoding::Base64Url,
    }
}

fn signature_alone() -> Content {
    let expr = crate::definition::Expr::compile("signature", PLACE_ROOTS);
    Content(expr.into_iter().map(ContentPart::Expr).collect())
}

/// The text up to the next `${secret.NAME}`, the name, and the text behind it.
fn next_secret(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text.get(from..)?.find("${").map(|at| at + from) {
        let (inner, after) = text.get(at + 2..)?.split_once('}')?;
        let name = inner.trim().strip_prefix("secret.").filter(|name| super::connector::is_env_name(name));
        let escaped = text.get(..at)?.ends_with('$');
        match name {
            Some(name) if !escaped => return Some((text.get(..at)?, name, after)),
            _ => from = at + 2,
        }
    }
    None
}
