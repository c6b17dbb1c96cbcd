//! Texts with expressions and secrets in them, as signatures and logins need.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::config::{ConnectorConfig, ConnectorSetupError};
use crate::definition::{Content, ContentPart, Scope, scalar_text};
use crate::types::{Secret, Value};

/// A text that holds nothing of a request.
pub(super) fn of_config(content: &Content, config: &ConnectorConfig) -> Result<Secret, ConnectorSetupError> {
    let env = config.env.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let env = Value::Object(env);
    let text = render(content, &Scope::new().with("env", &env), &config.secrets);
    text.map(|text| Secret::new(text.as_str())).map_err(ConnectorSetupError::Auth)
}

/// 32 hexadecimal digits that nobody guesses.
pub(super) fn nonce() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

const LENGTH_MAX: usize = 4 * 1024 * 1024;

/// The text. An error names the expression or the secret, and shows nothing of either.
pub(super) fn render(
    content: &Content,
    scope: &Scope<'_>,
    secrets: &BTreeMap<String, Secret>,
) -> Result<Zeroizing<String>, String> {
    let mut out = Zeroizing::new(String::new());
    for part in &content.0 {
        match part {
            ContentPart::Text(text) => out.push_str(text),
            ContentPart::Secret(name) => {
                out.push_str(secrets.get(&name.0).ok_or_else(|| format!("there is no secret {}", name.0))?.reveal());
            }
            ContentPart::Expr(expr) => {
                let value = expr.eval(scope).map_err(|error| error.to_string())?;
                let text = scalar_text(&value).ok_or_else(|| format!("{}: has no text", expr.source()))?;
                out.push_str(&text);
            }
        }
        if out.len() > LENGTH_MAX {
            return Err("the text is too long".to_owned());
        }
    }
    Ok(out)
}
