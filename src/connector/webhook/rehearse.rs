//! What a notification would be taken for, for those who write the rules: nobody acts on it.

use serde::Serialize;

use super::translate::{self, Acknowledged, Arrived, Notification, WebhookConfig, Witness, understand};
use super::{TranslateError, WebhookError};
use crate::connector::authentic::{self, Given};
use crate::connector::classify;
use crate::definition::{Connector, EvalError, WebhookEvent, Webhooks};
use crate::types::Timestamp;

/// What would become of a notification, believed or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsal {
    /// Why it would be refused as not the provider's. None: it would be believed.
    pub disbelieved: Option<WebhookError>,
    /// The text that has to be signed, with stars for secrets, where the scheme signs a text of its own: one for each way.
    pub signed: Vec<String>,
    /// What each rule says of each thing that is told, up to the one that holds.
    pub rules: Vec<RuleTried>,
    /// What it tells of, and what it would be answered, if it were believed.
    pub read: Result<(Vec<Notification>, Acknowledged), TranslateError>,
}

/// A rule of `events`, and whether it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleTried {
    pub event: String,
    /// Empty: it holds for everything.
    pub when: String,
    /// `ok` or `declined`: what it says of the call that it is about.
    pub settles: Option<&'static str>,
    pub held: bool,
    pub error: Option<String>,
}

/// Reads a notification whether it is believed or not, and tells of both. Secrets of ours are not in what is told.
pub fn rehearse(
    connector: &Connector,
    webhooks: &Webhooks,
    config: &WebhookConfig<'_>,
    arrived: &Arrived<'_>,
    now: Timestamp,
) -> Rehearsal {
    let mut seen = Seen::default();
    let read = understand(connector, webhooks, config, arrived, &[now], &mut seen);
    if read.is_err() && webhooks.verify.is_of_each() {
        let _ = seen.believed(Err(WebhookError::Unreadable("what is signed is not in it".to_owned())));
    }
    let read = read.map(|understood| (understood.told, understood.acknowledge));
    let env = translate::env(connector, config);
    let given = Given { secrets: config.secrets, env: &env, tables: &connector.tables };
    let signed = authentic::signed_texts(&webhooks.verify, &given, &translate::incoming(webhooks, arrived));
    Rehearsal { disbelieved: seen.disbelieved, signed, rules: seen.rules, read }
}

#[derive(Default)]
struct Seen {
    disbelieved: Option<WebhookError>,
    rules: Vec<RuleTried>,
}

impl Witness for Seen {
    fn believed(&mut self, checked: Result<(), WebhookError>) -> Result<(), WebhookError> {
        self.disbelieved = self.disbelieved.take().or(checked.err());
        Ok(())
    }

    fn rule(&mut self, rule: &WebhookEvent, held: &Result<bool, EvalError>) {
        self.rules.push(RuleTried {
            event: rule.event.to_string(),
            when: rule.when.as_ref().map(|when| when.source().to_owned()).unwrap_or_default(),
            settles: rule.settles.map(classify::name),
            held: *held == Ok(true),
            error: held.as_ref().err().map(|error| error.message.clone()),
        });
    }
}
