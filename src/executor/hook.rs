//! Notifications that come in: verified over the raw bytes, turned into events, durable before they are acknowledged.

use std::sync::Arc;

use super::Executor;
use super::shard::{ApplyError, How};
use crate::connector::{Arrived, Notification, TranslateError, WebhookConfig, WebhookError, receive};
use crate::definition::{Acknowledge, Connector};
use crate::machine::{Event, Rejection};
use crate::types::{EventId, OrderId, order_of_reference};

/// What became of a notification, and what its sender wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// One for each thing that it tells of. None: no rule of the connector asks for it.
    pub told: Vec<Hooked>,
    pub acknowledge: Acknowledge,
}

/// What became of one thing that a notification tells of. All of these are acknowledged: sending it again would change
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hooked {
    Applied {
        order: OrderId,
        how: How,
    },
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
    Unverified(WebhookError),
    #[error(transparent)]
    Unreadable(TranslateError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl From<TranslateError> for HookError {
    fn from(error: TranslateError) -> Self {
        match error {
            TranslateError::Unverified(error) => Self::Unverified(error),
            error => Self::Unreadable(error),
        }
    }
}

impl Executor {
    /// Takes a provider's notification, once all that it tells of is durable.
    pub async fn hook(&self, connector: &str, arrived: &Arrived<'_>) -> Result<Received, HookError> {
        let definition = self.notifier(connector).ok_or_else(|| HookError::UnknownConnector(connector.to_owned()))?;
        let Some(webhooks) = &definition.webhooks else {
            return Err(HookError::UnknownConnector(connector.to_owned()));
        };
        let connectors = &self.shared.connectors;
        let config = WebhookConfig { secrets: connectors.secrets(), env: connectors.env() };
        // Its sender goes by the wall clock, which may be wrong for a while here; an event counts once in any case.
        let now = [self.shared.clock.wall(), self.shared.clock.now()];
        let notifications = receive(&definition, webhooks, &config, arrived, &now)?;
        let mut told = Vec::with_capacity(notifications.len());
        for notification in notifications {
            told.push(self.notify(connector, notification).await?);
        }
        Ok(Received { told, acknowledge: webhooks.acknowledge.clone() })
    }

    async fn notify(&self, connector: &str, notification: Notification) -> Result<Hooked, HookError> {
        let Some(order) = order_of_reference(&notification.correlate) else {
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
