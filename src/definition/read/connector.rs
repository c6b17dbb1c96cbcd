//! A connector: how to reach a provider, and what it promises.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::operation::Shared;
use super::verify::ANSWER_ROOTS;
use super::{Ctx, Fields};
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::{
    Breaker, Connector, ConnectorKind, EnvPart, EnvText, Expr, Http, Idempotency, Limits, Replay, SecretRef, Tls, rules,
};
use crate::types::{ConnectorName, Value, Version};

const KEYS: &[&str] = &[
    "connector",
    "title",
    "description",
    "base_url",
    "tls",
    "auth",
    "sign",
    "verify",
    "decrypt",
    "encoding",
    "reply",
    "tables",
    "idempotency",
    "limits",
    "operations",
    "webhooks",
];
const IDEMPOTENCY_KEYS: &[&str] = &["header", "natural_key", "replay", "window", "not_found_final_after"];
const NATURAL_ROOTS: &[&str] = &["with", "order", "env"];
const REPLAYS: &[(&str, Replay)] = &[
    ("stored", Replay::Stored),
    ("stored_2xx", Replay::Stored2xx),
    ("intent", Replay::Intent),
    ("complete", Replay::Complete),
    ("reject_duplicate", Replay::RejectDuplicate),
    ("safe", Replay::Safe),
    ("none", Replay::None),
];
/// How long after the last send "not found" is believed, where the file does not say.
const NOT_FOUND_FINAL_AFTER: Duration = Duration::from_secs(600);
const MIB: u64 = 1 << 20;

/// Reads a whole connector. None when nothing of it can be told.
pub(in crate::definition) fn connector(ctx: &Ctx<'_>, root: &Node) -> Option<Connector> {
    let head = root.entry("connector").map_or(0..1, |entry| entry.key_span.clone());
    let fields = ctx.fields(root, &head, "a connector", KEYS)?;
    let what = "a connector";
    let name = fields.required(ctx, what, "connector").and_then(|node| {
        let text = ctx.text(node, "`connector`")?;
        ctx.name(text, &node.span, "the name of a connector", "-").then_some(text)
    });
    let name = name.unwrap_or("?");
    let title = fields.get("title").and_then(|node| ctx.text(node, "`title`")).unwrap_or(name);
    let base_url = fields.required(ctx, what, "base_url").map(|node| ctx.base_url(node));
    let shared = Shared {
        idempotency: fields.entry("idempotency").map(|entry| ctx.idempotency(entry, None)),
        encoding: ctx.encoding(&fields),
        reply: ctx.reply_format(&fields, "reply"),
        sign: fields.entry("sign").and_then(|entry| ctx.sign(entry)).map(Arc::new),
        verify: fields.get("verify").and_then(|node| ctx.verify(node, ANSWER_ROOTS)).map(Arc::new),
    };
    let operations = fields.required(ctx, what, "operations").map(|node| ctx.map(node, "`operations`"));
    let mut read = BTreeMap::new();
    for entry in operations.unwrap_or_default() {
        if let Some(operation) = ctx.operation(entry, &shared) {
            read.insert(operation.name.clone(), Arc::new(operation));
        }
    }
    let http = Http {
        base_url: base_url.unwrap_or(EnvText(Vec::new())),
        auth: fields.entry("auth").map(|entry| ctx.auth(entry)).unwrap_or_default(),
        decrypt: fields.entry("decrypt").and_then(|entry| ctx.decrypt(entry, ANSWER_ROOTS)),
        tls: fields.entry("tls").and_then(|entry| ctx.tls(entry)).unwrap_or_default(),
        limits: ctx.limits(&fields),
    };
    let webhooks = fields.entry("webhooks").and_then(|entry| ctx.webhooks(entry));
    let tables = fields.get("tables").map_or(Value::Null, |node| ctx.tables(node));
    Some(Connector {
        name: ConnectorName::from(name),
        version: Version::from(""),
        title: title.to_owned(),
        kind: ConnectorKind::Http(Box::new(http)),
        operations: read,
        webhooks,
        tables,
        needs: ctx.needs.borrow().clone(),
    })
}

impl Ctx<'_> {
    /// `${env.NAME}` and text; the address of a provider holds nothing of an order.
    fn base_url(&self, node: &Node) -> EnvText {
        let read = self.env_text(node, "`base_url`", rules::HOST_FROM_ORDER);
        let begins = read.0.first().is_none_or(|part| match part {
            EnvPart::Env(_) => true,
            EnvPart::Text(text) => text.starts_with("https://") || text.starts_with("http://"),
        });
        if !begins {
            self.report(rules::BAD_VALUE, &node.span, "`base_url` begins with https:// or with `${env.NAME}`");
        }
        read
    }

    pub(super) fn env_text(&self, node: &Node, what: &str, rule: &'static str) -> EnvText {
        let mut parts = Vec::new();
        let mut rest = self.text(node, what).unwrap_or_default();
        while let Some((before, after)) = rest.split_once("${") {
            let (inner, behind) = after.split_once('}').unwrap_or((after, ""));
            match inner.trim().strip_prefix("env.").filter(|name| is_env_name(name)) {
                Some(name) => {
                    parts.extend((!before.is_empty()).then(|| EnvPart::Text(before.to_owned())));
                    self.needs.borrow_mut().env.insert(name.to_owned());
                    parts.push(EnvPart::Env(name.to_owned()));
                }
                None => {
                    let message = format!("{what} holds text and `${{env.NAME}}`, and nothing of an order");
                    self.report(rule, &node.span, message);
                    return EnvText(Vec::new());
                }
            }
            rest = behind;
        }
        parts.extend((!rest.is_empty()).then(|| EnvPart::Text(rest.to_owned())));
        EnvText(parts)
    }

    fn tls(&self, entry: &Entry) -> Option<Tls> {
        let fields = self.fields(&entry.node, &entry.key_span, "`tls`", &["ca", "certificate", "key"])?;
        let read = |key: &str| fields.get(key).map(|node| self.env_text(node, &format!("`{key}`"), rules::BAD_VALUE));
        let (certificate, key) = (read("certificate"), read("key"));
        if certificate.is_some() != key.is_some() {
            let message = "a certificate of ours and its private key come together: `certificate` and `key`";
            self.report(rules::MISSING_KEY, &entry.key_span, message);
        }
        Some(Tls { ca: read("ca"), identity: certificate.zip(key) })
    }

    /// A path below `base_url`, or an address as `base_url` is one.
    pub(super) fn token_url(&self, node: &Node) -> EnvText {
        match node.text() {
            Some(text) if text.starts_with('/') => self.env_text(node, "`token_url`", rules::HOST_FROM_ORDER),
            _ => self.base_url(node),
        }
    }

    fn tables(&self, node: &Node) -> Value {
        for entry in self.map(node, "`tables`") {
            self.name(&entry.key, &entry.key_span, "the name of a table", "");
            if matches!(entry.node.kind, Kind::Scalar(_)) {
                self.wrong_type(&entry.node, "a table is a list, or a map from codes to what they mean");
            }
        }
        node.to_json()
    }

    /// A secret is referred to by its name; one that is written out is in every copy of the file.
    pub(super) fn secret(&self, node: &Node) -> Option<SecretRef> {
        let text = self.text(node, "a secret")?;
        let inner = text.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let name = inner.and_then(|inner| inner.trim().strip_prefix("secret."));
        let found = name.filter(|name| is_env_name(name)).map(|name| SecretRef(name.to_owned()));
        self.needs.borrow_mut().secrets.extend(found.as_ref().map(|found| found.0.clone()));
        if found.is_none() {
            let problem = self.problem(rules::BAD_VALUE, &node.span, "a secret is referred to by its name");
            self.add(
                problem.with_help("write `${secret.NAME}` and configure the value where the daemon runs".to_owned()),
            );
        }
        found
    }

    pub(super) fn header_name(&self, node: &Node) -> Option<String> {
        let text = self.text(node, "the name of a header")?;
        let fits = !text.is_empty()
            && text.len() <= 128
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        if !fits {
            self.report(rules::BAD_NAME, &node.span, "the name of a header has letters, digits and `-`");
        }
        fits.then(|| text.to_owned())
    }

    /// What is not said is as in `base`, which is what the connector says for all its operations.
    pub(super) fn idempotency(&self, entry: &Entry, base: Option<&Idempotency>) -> Idempotency {
        let mut read = base.cloned().unwrap_or_else(unstated);
        let Some(fields) = self.fields(&entry.node, &entry.key_span, "`idempotency`", IDEMPOTENCY_KEYS) else {
            return read;
        };
        if let Some(header) = fields.get("header").and_then(|node| self.header_name(node)) {
            read.header = Some(header);
        }
        if let Some(natural) = fields.get("natural_key").and_then(|node| self.natural_key(node)) {
            read.natural_key = natural.paths();
        }
        if base.is_none() {
            fields.required(self, "`idempotency`", "replay");
        }
        if let Some(replay) = fields.get("replay").and_then(|node| self.word(node, "`replay`", REPLAYS)) {
            read.replay = replay;
        }
        if let Some(window) = fields.get("window").and_then(|node| self.duration(node, "`window`")) {
            read.window = Some(window);
        }
        let key = "not_found_final_after";
        if let Some(after) = fields.get(key).and_then(|node| self.duration(node, &format!("`{key}`"))) {
            read.not_found_final_after = after;
        }
        read
    }

    /// What a provider knows a repeat by, if not by a key of ours: something that the call says, and always says alike.
    fn natural_key(&self, node: &Node) -> Option<Expr> {
        let natural = self.expr(node, "`natural_key`", NATURAL_ROOTS, &[])?;
        if natural.paths().is_empty() {
            self.report(rules::BAD_VALUE, &node.span, "a `natural_key` is read from the call, such as `with.payment`");
        }
        Some(natural)
    }

    fn limits(&self, fields: &Fields<'_>) -> Limits {
        let mut limits = Limits {
            concurrency: 64,
            rate_per_second: None,
            breaker: Breaker { failures: 20, open: Duration::from_secs(10) },
            body_max: usize::try_from(MIB).unwrap_or(usize::MAX),
        };
        let Some(entry) = fields.entry("limits") else { return limits };
        let keys = &["concurrency", "rate", "breaker", "body"];
        let Some(fields) = self.fields(&entry.node, &entry.key_span, "`limits`", keys) else { return limits };
        let read = |fields: &Fields<'_>, key: &str, max| {
            let read = fields.get(key).and_then(|node| self.integer(node, &format!("`{key}`"), 1..=max));
            read.and_then(|number| u32::try_from(number).ok())
        };
        limits.concurrency = read(&fields, "concurrency", 10_000).unwrap_or(limits.concurrency);
        limits.rate_per_second = fields.get("rate").and_then(|node| self.rate(node));
        limits.body_max = fields.get("body").and_then(|node| self.size(node)).unwrap_or(limits.body_max);
        let Some(entry) = fields.entry("breaker") else { return limits };
        let keys = &["failures", "open"];
        let Some(fields) = self.fields(&entry.node, &entry.key_span, "`breaker`", keys) else { return limits };
        let breaker = &mut limits.breaker;
        breaker.failures = read(&fields, "failures", 100_000).unwrap_or(breaker.failures);
        breaker.open = fields.get("open").and_then(|node| self.duration(node, "`open`")).unwrap_or(breaker.open);
        limits
    }

    /// `500/s`
    fn rate(&self, node: &Node) -> Option<u32> {
        let read = node.text().and_then(|text| text.strip_suffix("/s")).and_then(|number| number.trim().parse().ok());
        let read = read.filter(|rate| (1..=1_000_000).contains(rate));
        if read.is_none() {
            self.report(rules::BAD_VALUE, &node.span, "`rate` is requests in a second, such as `500/s`");
        }
        read
    }

    /// `64KiB`, `1MiB`, or a number of bytes.
    fn size(&self, node: &Node) -> Option<usize> {
        let bytes = match &node.kind {
            Kind::Scalar(Value::Number(number)) => number.as_u64(),
            _ => node.text().and_then(|text| {
                let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
                let factor =
                    [("", 1), ("KiB", 1 << 10), ("MiB", MIB)].into_iter().find(|(name, _)| *name == unit.trim());
                number.parse::<u64>().ok()?.checked_mul(factor?.1)
            }),
        };
        let bytes = bytes.filter(|bytes| (1..=64 * MIB).contains(bytes));
        if bytes.is_none() {
            self.report(rules::BAD_VALUE, &node.span, "`body` is a size such as `64KiB` or `1MiB`, at most 64MiB");
        }
        bytes.and_then(|bytes| usize::try_from(bytes).ok())
    }
}

/// Nothing is promised: a repeat may do it again.
pub(super) fn unstated() -> Idempotency {
    Idempotency {
        header: None,
        natural_key: Vec::new(),
        replay: Replay::None,
        window: None,
        not_found_final_after: NOT_FOUND_FINAL_AFTER,
    }
}

pub(super) fn is_env_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
