//! Notifications that a provider sends.

use std::time::Duration;

use super::verify::HOOK_ROOTS;
use super::{Ctx, LABEL, TRUTH};
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::{Acknowledge, OutcomeKind, ReplyFormat, Verify, WebhookEvent, Webhooks, rules};
use crate::types::EventName;

const KEYS: &[&str] = &["verify", "allow_from", "body", "decrypt", "each", "acknowledge", "early", "events"];
/// Senders try again for hours, and an order learns its reference within minutes.
const EARLY: Duration = Duration::from_secs(15 * 60);
/// What is known of a notification as a whole.
const EACH_ROOTS: &[&str] = &["raw", "path", "body", "headers", "query", "decrypted", "env", "tables"];
/// What an event is read from, once the notification is believed.
const EVENT_ROOTS: &[&str] =
    &["raw", "path", "body", "headers", "query", "decrypted", "item", "nonce", "env", "tables"];
/// A part that is encrypted belongs to the notification as a whole.
const DECRYPT_ROOTS: &[&str] = &["raw", "path", "headers", "query", "body", "env", "tables"];
const EVENT_KEYS: &[&str] = &["when", "event", "correlate", "by", "id", "payload", "settles"];

impl Ctx<'_> {
    pub(super) fn webhooks(&self, entry: &Entry) -> Option<Webhooks> {
        let what = "`webhooks`";
        let fields = self.fields(&entry.node, &entry.key_span, what, KEYS)?;
        let verify = fields.required(self, what, "verify");
        let events = fields.required(self, what, "events");
        let verify = verify.and_then(|node| self.verify(node, HOOK_ROOTS));
        let allow_from = fields.get("allow_from").map(|node| self.networks(node, "`allow_from`")).unwrap_or_default();
        if matches!(verify, Some(Verify::SenderAddress)) && fields.get("allow_from").is_none() {
            self.report(rules::MISSING_KEY, &fields.head, "`scheme: sender-address` needs `allow_from`");
        }
        if verify.as_ref().is_some_and(Verify::is_of_each) && fields.get("each").is_none() {
            self.report(rules::MISSING_KEY, &fields.head, "`verify` reads `item`, which is one of `each`");
        }
        let decrypt = fields.entry("decrypt").and_then(|entry| self.decrypt(entry, DECRYPT_ROOTS));
        let each = fields.get("each").and_then(|node| self.expr(node, "`each`", EACH_ROOTS, &[]));
        let events = events.map(|node| match &node.kind {
            Kind::List(items) => items.iter().filter_map(|item| self.webhook_event(item)).collect(),
            _ => {
                self.wrong_type(node, "`events` is a list");
                Vec::new()
            }
        });
        let acknowledge = fields.entry("acknowledge").map(|entry| self.acknowledge(entry));
        let early = fields.get("early").and_then(|node| self.duration(node, "`early`"));
        Some(Webhooks {
            verify: verify?,
            early: early.unwrap_or(EARLY),
            allow_from,
            format: self.reply_format(&fields, "body").unwrap_or(ReplyFormat::Json),
            decrypt,
            each,
            acknowledge: acknowledge.unwrap_or_default(),
            events: events?,
        })
    }

    fn acknowledge(&self, entry: &Entry) -> Acknowledge {
        let mut read = Acknowledge::default();
        let keys = &["status", "body", "content_type"];
        let Some(fields) = self.fields(&entry.node, &entry.key_span, "`acknowledge`", keys) else { return read };
        if let Some(status) = fields.get("status").and_then(|node| self.integer(node, "`status`", 200..=299)) {
            read.status = u16::try_from(status).unwrap_or(200);
        }
        read.body = fields.get("body").and_then(|node| match &node.kind {
            Kind::Map(_) | Kind::List(_) => {
                "application/json".clone_into(&mut read.content_type);
                Some(self.template(node, EACH_ROOTS))
            }
            Kind::Scalar(_) => self.text(node, "`body`").map(|_| self.template(node, EACH_ROOTS)),
        });
        if let Some(kind) = fields.get("content_type").and_then(|node| self.text(node, "`content_type`")) {
            kind.clone_into(&mut read.content_type);
        }
        read
    }

    fn webhook_event(&self, node: &Node) -> Option<WebhookEvent> {
        let what = "an event";
        let fields = self.fields(node, &node.span, what, EVENT_KEYS)?;
        let when = fields.get("when").map(|node| self.expr(node, "`when`", EVENT_ROOTS, TRUTH));
        let event = fields.required(self, what, "event").and_then(|node| {
            let text = self.text(node, "`event`")?;
            self.name(text, &node.span, "the name of an event", ".-").then(|| EventName::from(text))
        });
        let correlate =
            fields.required(self, what, "correlate").and_then(|n| self.expr(n, "`correlate`", EVENT_ROOTS, LABEL));
        let by = fields.get("by").and_then(|node| {
            let text = self.text(node, "`by`")?;
            self.name(text, &node.span, "the name of a reference", "").then(|| text.to_owned())
        });
        let id = fields.required(self, what, "id").and_then(|node| self.expr(node, "`id`", EVENT_ROOTS, LABEL));
        let payload = fields.get("payload").map(|node| self.template(node, EVENT_ROOTS));
        let words = &[("ok", OutcomeKind::Ok), ("declined", OutcomeKind::Declined)];
        let settles = fields.get("settles").and_then(|node| self.word(node, "`settles`", words));
        if let Some(node) = fields.get("payload").filter(|node| settles.is_some() && !matches!(node.kind, Kind::Map(_)))
        {
            self.wrong_type(node, "the `payload` of what settles a call is a map");
        }
        // The order alone does not say which of its calls it is.
        let named = fields.get("payload").is_some_and(|payload| payload.get("reference").is_some());
        if let Some(entry) = fields.entry("settles").filter(|_| by.is_some() && !named) {
            let message = "`by` finds the order, and nothing says which of its calls this settles";
            let problem = self.problem(rules::MISSING_KEY, &entry.key_span, message.to_owned());
            let help =
                "a pending call is found by what the provider called it: `payload: { reference: \"${body.id}\" }`";
            self.add(problem.with_help(help.to_owned()));
        }
        let when = match when {
            Some(None) => return None,
            Some(guard) => guard,
            None => None,
        };
        Some(WebhookEvent { when, event: event?, correlate: correlate?, by, id: id?, payload, settles })
    }
}
