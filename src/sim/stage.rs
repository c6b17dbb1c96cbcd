//! The providers of a scenario, all behind one connector.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::scenario::Answers;
use crate::connector::{Connector, Invocation, ScriptedConnector};
use crate::machine::Outcome;
use crate::types::ConnectorName;

/// Scripted providers by the name of their connector. One that is not scripted says ok to everything.
#[derive(Debug, Default)]
pub struct Stage {
    providers: BTreeMap<ConnectorName, ScriptedConnector>,
    silent: ScriptedConnector,
}

impl Stage {
    /// Providers that answer as they are told; the rest say ok to everything.
    pub fn new(answers: &BTreeMap<String, Answers>) -> Self {
        let mut stage = Self::default();
        for (call, Answers { script, .. }) in answers {
            if let Some((connector, operation)) = call.split_once('.') {
                let provider = stage.providers.entry(ConnectorName::from(connector)).or_default();
                provider.script(operation, script.clone());
            }
        }
        stage
    }

    /// How many answers of an operation were never asked for: (to the call itself, to an inquiry about it).
    pub fn unused(&self, call: &str) -> (usize, usize) {
        let Some((connector, operation)) = call.split_once('.') else { return (0, 0) };
        let unused = self.provider(connector).unused();
        let of_it = unused.into_iter().find(|(name, ..)| name.as_str() == operation);
        of_it.map_or((0, 0), |(_, invocations, inquiries)| (invocations, inquiries))
    }

    /// How often `gateway.capture` took effect, over all keys.
    pub fn effects(&self, call: &str) -> u32 {
        let Some((connector, operation)) = call.split_once('.') else { return 0 };
        self.provider(connector).succeeded(operation)
    }

    /// How often `gateway.capture` was asked for, repeats included.
    pub fn calls(&self, call: &str) -> u32 {
        let Some((connector, operation)) = call.split_once('.') else { return 0 };
        let recorded = self.provider(connector).recorded();
        let of_it = recorded.iter().filter(|request| !request.inquiry && request.operation.as_str() == operation);
        u32::try_from(of_it.count()).unwrap_or(u32::MAX)
    }

    /// A key that took effect more than once, and how often.
    pub fn doubled(&self) -> Option<(String, u32)> {
        let all = self.providers.values().chain(std::iter::once(&self.silent));
        let effects = all.flat_map(ScriptedConnector::effects);
        effects.into_iter().find(|effect| effect.times > 1).map(|effect| (effect.key, effect.times))
    }

    fn provider(&self, connector: &str) -> &ScriptedConnector {
        self.providers.get(connector).unwrap_or(&self.silent)
    }
}

#[async_trait]
impl Connector for Stage {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        self.provider(invocation.connector.as_str()).invoke(invocation).await
    }

    async fn inquire(&self, invocation: &Invocation) -> Outcome {
        self.provider(invocation.connector.as_str()).inquire(invocation).await
    }
}
