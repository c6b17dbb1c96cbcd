//! Values for a trial where the configuration has none.

use crate::connector::ConnectorConfig;
use crate::definition::{Connector, ConnectorKind, EnvPart, Http};
use crate::types::Secret;

/// Makes up what is missing, and names it.
pub(super) fn fill(config: &mut ConnectorConfig, connector: &Connector) -> Vec<String> {
    let mut made_up = Vec::new();
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
        made_up.push(format!("env.{name}"));
        config.env.insert(name, value);
    }
    for name in &connector.needs.secrets {
        if !config.secrets.contains_key(name) {
            made_up.push(format!("secret.{name}"));
            // Long enough for what has a least length, and base64 for what wants that.
            config.secrets.insert(name.clone(), Secret::new("c2VjcmV0LW1hZGUtdXAtZm9yLWEtdHJ5LW91dCE="));
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
