//! Values for a trial where the configuration has none.

use std::collections::BTreeSet;

use crate::connector::{ConnectorConfig, stand_in};
use crate::definition::{Connector, ConnectorKind, EnvPart, Http};

/// What had to be made up.
#[derive(Debug, Default)]
pub(super) struct MadeUp {
    env: Vec<String>,
    secrets: BTreeSet<String>,
}

impl MadeUp {
    /// As a connector writes them.
    pub(super) fn names(&self) -> Vec<String> {
        let env = self.env.iter().map(|name| format!("env.{name}"));
        env.chain(self.secrets.iter().map(|name| format!("secret.{name}"))).collect()
    }

    /// Nobody can have signed an answer with these.
    pub(super) fn spoils_answers(&self, connector: &Connector) -> bool {
        connector.believes_by().iter().any(|name| self.secrets.contains(*name))
    }
}

/// Makes up what is missing.
pub(super) fn fill(config: &mut ConnectorConfig, connector: &Connector) -> MadeUp {
    let mut made_up = MadeUp::default();
    let begins = match &connector.kind {
        ConnectorKind::Http(http) => address_name(http),
        ConnectorKind::Builtin => None,
    };
    for name in connector.needs.env.iter().filter(|name| !config.env.contains_key(*name)).cloned().collect::<Vec<_>>() {
        let value = if begins == Some(name.as_str()) {
            format!("https://{}.invalid", name.to_lowercase().replace('_', "-"))
        } else {
            name.clone()
        };
        made_up.env.push(name.clone());
        config.env.insert(name, value);
    }
    let uses = connector.key_uses();
    for name in &connector.needs.secrets {
        if !config.secrets.contains_key(name)
            && let Some(secret) = stand_in(uses.get(name.as_str()).copied())
        {
            made_up.secrets.insert(name.clone());
            config.secrets.insert(name.clone(), secret);
        }
    }
    made_up
}

/// The name in the address, where the whole beginning of it comes from the environment.
fn address_name(http: &Http) -> Option<&str> {
    match http.base_url.0.first() {
        Some(EnvPart::Env(name)) => Some(name),
        _ => None,
    }
}
