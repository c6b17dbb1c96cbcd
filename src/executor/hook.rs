//! Notifications that come in: verified over the raw bytes, turned into an event, durable before they are acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Executor;
use super::shard::{ApplyError, How};
use crate::connector::{JsonError, Notification, TranslateError, WebhookError, parse_notification, translate, verify};
use crate::definition::Connector;
use crate::machine::{Event, Rejection};
use crate::types::{EventId, OrderId};

/// What became of a notification. All of these are acknowledged: sending it again would change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hooked {
    Applied {
        order: OrderId,
        how: How,
    },
    /// No rule of the connector asks for it.
    Unwanted,
    /// It is about an order that Paystate does not have, or that does not know the event.
    Unmatched {
        why: String,
    },
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum HookError {
    #[error("no connector {0} takes notifications")]
    UnknownConnector(String),
    #[error(transparent)]
    Unverified(#[from] WebhookError),
    #[error("the body is not JSON: {0}")]
    Json(String),
    #[error(transparent)]
    Unreadable(#[from] TranslateError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl From<JsonError> for HookError {
    fn from(error: JsonError) -> Self {
        Self::Json(error.to_string())
    }
}

impl Executor {
    /// Takes a provider's notification. `headers` have lower-case names; `body` is what came in, byte for byte.
    pub async fn hook(
        &self,
        connector: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Result<Hooked, HookError> {
        let definition = self.notifier(connector).ok_or_else(|| HookError::UnknownConnector(connector.to_owned()))?;
        let Some(webhooks) = &definition.webhooks else {
            return Err(HookError::UnknownConnector(connector.to_owned()));
        };
        let secrets = self.shared.connectors.secrets();
        // Its sender goes by the wall clock, which may be wrong for a while here; an event counts once in any case.
        let verified = match verify(&webhooks.verify, secrets, headers, body, self.shared.clock.wall()) {
            Err(WebhookError::Timestamp) => verify(&webhooks.verify, secrets, headers, body, self.shared.clock.now()),
            verified => verified,
        };
        verified?;
        let body = parse_notification(body)?;
        let Some(notification) = translate(webhooks, &body, headers)? else { return Ok(Hooked::Unwanted) };
        self.notify(connector, notification).await
    }

    async fn notify(&self, connector: &str, notification: Notification) -> Result<Hooked, HookError> {
        let Some(order) = order_of(&notification.correlate) else {
            // The reference is the sender's text: the log has the provider and what kind of notification it is.
            tracing::warn!(%connector, event = %notification.event, "a notification has no reference of ours");
            return Ok(Hooked::Unmatched { why: format!("{} is not a reference of ours", notification.correlate) });
        };
        let name = notification.event.clone();
        let event = Event::Received {
            // Ids are the provider's own: two providers may use the same.
            id: EventId::new(format!("{connector}:{}", notification.id)),
            name: notification.event,
            payload: notification.payload,
            source: format!("hook:{connector}"),
        };
        match self.apply(order, event).await {
            Ok(applied) => Ok(Hooked::Applied { order, how: applied.how }),
            Err(error @ (ApplyError::NotFound | ApplyError::Rejected(Rejection::UnknownEvent { .. }))) => {
                tracing::warn!(%connector, event = %name, %order, %error, "a notification fits no order");
                Ok(Hooked::Unmatched { why: error.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn notifier(&self, name: &str) -> Option<Arc<Connector>> {
        let workflows = self.shared.catalog.all();
        let connectors = workflows.iter().filter_map(|workflow| workflow.connectors.get(name));
        connectors.into_iter().find(|connector| connector.webhooks.is_some()).cloned()
    }
}

/// The order in a reference of ours: `{order}` or `{order}-{call}-{epoch}`.
fn order_of(reference: &str) -> Option<OrderId> {
    reference.get(..36).and_then(|id| id.parse().ok())
}
