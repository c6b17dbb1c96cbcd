//! Notifications that a provider sends.

use std::time::Duration;

use super::{Ctx, LABEL, TRUTH};
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::{Verify, WebhookEvent, Webhooks, rules};
use crate::types::EventName;

const ROOTS: &[&str] = &["body", "headers"];
const EVENT_KEYS: &[&str] = &["when", "event", "correlate", "id", "payload"];
const TOLERANCE: Duration = Duration::from_secs(300);

impl Ctx<'_> {
    pub(super) fn webhooks(&self, entry: &Entry) -> Option<Webhooks> {
        let what = "`webhooks`";
        let fields = self.fields(&entry.node, &entry.key_span, what, &["verify", "events"])?;
        let verify = fields.required(self, what, "verify");
        let events = fields.required(self, what, "events");
        let verify = verify.and_then(|node| self.verify(node));
        let events = events.map(|node| match &node.kind {
            Kind::List(items) => items.iter().filter_map(|item| self.webhook_event(item)).collect(),
            _ => {
                self.wrong_type(node, "`events` is a list");
                Vec::new()
            }
        });
        Some(Webhooks { verify: verify?, events: events? })
    }

    fn verify(&self, node: &Node) -> Option<Verify> {
        let what = "`verify`";
        let fields = self.fields(node, &node.span, what, &["scheme", "secret", "secrets", "tolerance"])?;
        fields.exclusive(self, &["secret", "secrets"]);
        let scheme = fields.required(self, what, "scheme");
        let scheme = scheme.and_then(|node| self.word(node, "`scheme`", &[("standard-webhooks", ())]));
        let nodes = match (fields.get("secret"), fields.get("secrets")) {
            (Some(one), _) => vec![one],
            (None, Some(list)) => list.items().iter().collect(),
            (None, None) => Vec::new(),
        };
        if nodes.is_empty() {
            self.report(
                rules::MISSING_KEY,
                &node.span,
                "`verify` needs `secret`, or `secrets` while one replaces another",
            );
        }
        let secrets: Vec<_> = nodes.iter().filter_map(|node| self.secret(node)).collect();
        let tolerance = fields.get("tolerance").and_then(|node| self.duration(node, "`tolerance`"));
        scheme?;
        Some(Verify::StandardWebhooks { secrets, tolerance: tolerance.unwrap_or(TOLERANCE) })
    }

    fn webhook_event(&self, node: &Node) -> Option<WebhookEvent> {
        let what = "an event";
        let fields = self.fields(node, &node.span, what, EVENT_KEYS)?;
        let when = fields.get("when").map(|node| self.expr(node, "`when`", ROOTS, TRUTH));
        let event = fields.required(self, what, "event").and_then(|node| {
            let text = self.text(node, "`event`")?;
            self.name(text, &node.span, "the name of an event", ".-").then(|| EventName::from(text))
        });
        let correlate =
            fields.required(self, what, "correlate").and_then(|n| self.expr(n, "`correlate`", ROOTS, LABEL));
        let id = fields.required(self, what, "id").and_then(|node| self.expr(node, "`id`", ROOTS, LABEL));
        let payload = fields.get("payload").map(|node| self.template(node, ROOTS));
        let when = match when {
            Some(None) => return None,
            Some(guard) => guard,
            None => None,
        };
        Some(WebhookEvent { when, event: event?, correlate: correlate?, id: id?, payload })
    }
}
