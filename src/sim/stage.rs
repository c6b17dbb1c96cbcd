//! The providers of a scenario, all behind one connector.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::connector::{Connector, Invocation, Script, ScriptedConnector};
use crate::machine::Outcome;
use crate::types::{ConnectorName, Value};

/// Scripted providers by the name of their connector. One that is not scripted says ok to everything.
#[derive(Debug, Default)]
pub struct Stage {
    providers: BTreeMap<ConnectorName, ScriptedConnector>,
    silent: ScriptedConnector,
}

impl Stage {
    /// Reads answers such as `gateway.authorize: [unknown, ok]`.
    pub fn new(answers: &BTreeMap<String, Value>) -> Result<Self, String> {
        let mut stage = Self::default();
        for (call, script) in answers {
            let (connector, operation) = call
                .split_once('.')
                .ok_or_else(|| format!("answers: {call} is not of the form connector.operation"))?;
            let script = Script::parse(script).map_err(|error| format!("answers: {call}: {error}"))?;
            stage.providers.entry(ConnectorName::from(connector)).or_default().script(operation, script);
        }
        Ok(stage)
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
