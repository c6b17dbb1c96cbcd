//! The encrypted part of what came in.

use std::collections::BTreeMap;

use super::authentic::{Given, Incoming, scope_of};
use super::crypto::{Opener, Sealed};
use super::json::parse_json;
use crate::definition::{Decrypt, Expr, Scope, scalar_text};
use crate::types::{Secret, Value};

/// The keys of one `decrypt`.
#[derive(Debug)]
pub(super) struct Openers<'a> {
    decrypt: &'a Decrypt,
    keys: Vec<Opener>,
}

impl<'a> Openers<'a> {
    /// Fails with the name of a secret that cannot be used, and why.
    pub(super) fn new(
        decrypt: &'a Decrypt,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Self, (String, &'static str)> {
        let mut keys = Vec::new();
        for name in &decrypt.secrets {
            let secret = secrets.get(&name.0).ok_or_else(|| (name.0.clone(), "there is none"))?;
            for one in secret.all() {
                keys.push(Opener::new(decrypt.scheme, one).map_err(|why| (name.0.clone(), why))?);
            }
        }
        Ok(Self { decrypt, keys })
    }

    /// What was encrypted: JSON as a value, anything else as a text. Null when nothing was.
    pub(super) fn open(&self, given: &Given<'_>, incoming: &Incoming<'_>) -> Result<Value, String> {
        scope_of(given, incoming, |scope| self.open_in(scope))?
    }

    fn open_in(&self, scope: &Scope<'_>) -> Result<Value, String> {
        if let Some(when) = &self.decrypt.when
            && !when.eval_bool(scope).unwrap_or(false)
        {
            return Ok(Value::Null);
        }
        let text = |expr: &Expr| {
            let value = expr.eval(scope).map_err(|error| error.to_string())?;
            scalar_text(&value).ok_or_else(|| format!("{}: has no text", expr.source()))
        };
        let or_none = |expr: Option<&Expr>| expr.map_or(Ok(String::new()), text);
        let (sealed, nonce) = (text(&self.decrypt.text)?, or_none(self.decrypt.nonce.as_ref())?);
        let associated_data = or_none(self.decrypt.associated_data.as_ref())?;
        let sealed = Sealed { text: &sealed, nonce: &nonce, associated_data: &associated_data };
        let plain = self.keys.iter().find_map(|key| key.open(&sealed));
        let plain = plain.ok_or_else(|| "it cannot be decrypted".to_owned())?;
        match parse_json(&plain) {
            Ok(value) => Ok(value),
            Err(_) => String::from_utf8(plain.to_vec()).map(Value::String).map_err(|_| "it is no text".to_owned()),
        }
    }
}
