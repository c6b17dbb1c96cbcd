//! Notifications that come in: verified over the raw bytes, turned into events, durable before they are acknowledged.

use std::sync::Arc;
use std::time::Duration;

use super::Executor;
use super::shard::{ApplyError, How};
use crate::connector::{Acknowledged, Arrived, Notification, TranslateError, WebhookConfig, WebhookError, receive};
use crate::definition::Connector;
use crate::machine::{Event, Rejection};
use crate::store::{Link, reference_id};
use crate::types::{EventId, OrderId, Timestamp, mask_card_numbers, order_of_reference};

/// How long a notification waits for its order to learn how its provider calls it, before its sender has to send it again.
const WAIT: Duration = Duration::from_secs(3);
/// What more orders know is the name of nothing that one of them is about.
const ORDERS_MAX: usize = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What became of a notification, and what its sender wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// One for each thing that it tells of. None: no rule of the connector asks for it.
    pub told: Vec<Hooked>,
    pub acknowledge: Acknowledged,
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
    #[error("no workflow here calls a connector {0} that takes notifications")]
    UnknownConnector(String),
    #[error(transparent)]
    Unverified(WebhookError),
    #[error(transparent)]
    Unreadable(TranslateError),
    /// No order is called so yet: it is not acknowledged, and is to be sent again.
    #[error("no order is known by this reference yet")]
    TooEarly,
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
        let understood = receive(&definition, webhooks, &config, arrived, &now)?;
        let mut told = Vec::with_capacity(understood.told.len());
        // Its sender waits for one answer, however much it tells of.
        let until = self.shared.clock.now().plus(WAIT);
        for mut notification in understood.told {
            if !connectors.keeps_card_numbers() {
                notification.payload = mask_card_numbers(notification.payload);
            }
            told.extend(self.notify(connector, notification, webhooks.early, until).await?);
        }
        Ok(Received { told, acknowledge: understood.acknowledge })
    }

    /// Hands it to every order that it is about.
    async fn notify(
        &self,
        connector: &str,
        notification: Notification,
        early: Duration,
        until: Timestamp,
    ) -> Result<Vec<Hooked>, HookError> {
        let orders = self.orders_of(connector, &notification, early, until).await?;
        let name = notification.event.clone();
        if orders.is_empty() {
            // The reference is the sender's text: the log has the provider and what kind of notification it is.
            tracing::warn!(%connector, event = %name, "a notification has no reference of ours");
            let why = format!("{} is not a reference of ours", notification.correlate);
            return Ok(vec![Hooked::Unmatched { why }]);
        }
        let event = Event::Received {
            // Ids are the provider's own: two providers may use the same.
            id: EventId::new(format!("{connector}:{}", notification.id)),
            name: notification.event,
            payload: notification.payload,
            source: format!("hook:{connector}"),
        };
        // One that cannot be told now keeps the others from nothing: all are told, and then it has to be sent again.
        let (mut told, mut failed) = (Vec::with_capacity(orders.len()), None);
        for order in orders {
            told.push(match self.apply(order, event.clone()).await {
                Ok(applied) => Hooked::Applied { order, how: applied.how },
                Err(error @ (ApplyError::NotFound | ApplyError::Rejected(Rejection::UnknownEvent { .. }))) => {
                    tracing::warn!(%connector, event = %name, %order, %error, "a notification fits no order");
                    Hooked::Unmatched { why: error.to_string() }
                }
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
            });
        }
        failed.map_or(Ok(told), |error| Err(error.into()))
    }

    /// The orders that it is about: more than one where a payment and its refund know the same reference. Where its provider
    /// uses a name that no order has yet, the call that will tell it may be under way: that is waited for, and then the
    /// sender has to send it again.
    async fn orders_of(
        &self,
        connector: &str,
        notification: &Notification,
        early: Duration,
        until: Timestamp,
    ) -> Result<Vec<OrderId>, HookError> {
        let Some(name) = &notification.by else {
            return Ok(order_of_reference(&notification.correlate).into_iter().collect());
        };
        let (clock, strays) = (&self.shared.clock, &self.shared.strays);
        let (to, id) = (reference_id(name, &notification.correlate), format!("{connector}:{}", notification.id));
        let came = clock.now();
        loop {
            let found =
                self.shared.store.linked(Link::Reference, to, ORDERS_MAX + 1).await.map_err(ApplyError::from)?;
            if found.len() > ORDERS_MAX {
                tracing::error!(%connector, reference = %name, "more orders know a reference than can be told of it");
                return Ok(Vec::new());
            }
            if !found.is_empty() {
                strays.found(&id);
                return Ok(found);
            }
            let now = clock.now();
            if now >= until {
                return if strays.may_wait(&id, came, now, early) { Err(HookError::TooEarly) } else { Ok(Vec::new()) };
            }
            clock.sleep_until(now.plus(LOOK_AGAIN)).await;
        }
    }

    fn notifier(&self, name: &str) -> Option<Arc<Connector>> {
        let workflows = self.shared.catalog.all();
        let connectors = workflows.iter().filter_map(|workflow| workflow.connectors.get(name));
        connectors.into_iter().find(|connector| connector.webhooks.is_some()).cloned()
    }
}
