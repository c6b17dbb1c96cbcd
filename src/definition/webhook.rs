//! Notifications that a provider sends: whose they are, which events they are, and what it wants to hear.

use std::time::Duration;

use super::auth::{Decrypt, Verify};
use super::connector::{OutcomeKind, ReplyFormat};
use super::expr::{Expr, Template};
use super::network::Network;
use crate::types::EventName;

#[derive(Debug)]
pub struct Webhooks {
    pub verify: Verify,
    /// Who may send them; none is anybody.
    pub allow_from: Vec<Network>,
    pub format: ReplyFormat,
    pub decrypt: Option<Decrypt>,
    /// The list of what is told, where one notification tells of several things: each is `item`.
    pub each: Option<Expr>,
    pub acknowledge: Acknowledge,
    /// How long a notification may come before its order knows the provider's reference that it names. Later it is a
    /// stranger's, and acknowledged.
    pub early: Duration,
    pub events: Vec<WebhookEvent>,
}

/// What the provider takes for "received". Said only once the event is durable.
#[derive(Debug)]
pub struct Acknowledge {
    pub status: u16,
    /// The exact body, which may repeat something of the notification; none is an answer of ours in JSON.
    pub body: Option<Template>,
    pub content_type: String,
}

/// Which event of an order a notification is.
#[derive(Debug)]
pub struct WebhookEvent {
    pub when: Option<Expr>,
    pub event: EventName,
    /// Our reference in the notification (the key of a call, or the order's id), or the provider's own.
    pub correlate: Expr,
    /// Whose reference that is: a name of the workflow's `references`, or ours.
    pub by: Option<String>,
    /// The provider's id of the notification.
    pub id: Expr,
    /// What is kept of it as `event`; the whole body when it is not said.
    pub payload: Option<Template>,
    /// The outcome (`ok` or `declined`) that it is of the call whose key `correlate` reads.
    pub settles: Option<OutcomeKind>,
}

impl Default for Acknowledge {
    fn default() -> Self {
        Self { status: 200, body: None, content_type: "text/plain; charset=utf-8".to_owned() }
    }
}
