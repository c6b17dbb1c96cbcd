//! Parts of a body that only the provider can read.

use std::collections::BTreeMap;

use super::request::Draft;
use super::send::Failure;
use crate::connector::config::{ConnectorConfig, ConnectorSetupError};
use crate::connector::crypto::Sealer;
use crate::definition::{BodyEncoding, Connector, Encrypt, Request};
use crate::types::Value;

/// The keys of providers, by the names of their secrets and by their ids.
#[derive(Debug)]
pub(super) struct Sealers(Vec<(Encrypt, Sealer)>);

impl Sealers {
    pub(super) fn new(connector: &Connector, config: &ConnectorConfig) -> Result<Self, ConnectorSetupError> {
        let mut sealers: BTreeMap<String, (Encrypt, Sealer)> = BTreeMap::new();
        for operation in connector.operations.values() {
            let asked = operation.inquiries().filter_map(|inquiry| inquiry.request.as_ref());
            for encrypt in operation.request.iter().chain(asked).filter_map(|request| request.encrypt.as_ref()) {
                let key_id = encrypt.key_id.as_ref().map(|id| config.env_text(id)).transpose()?;
                let sealer = Sealer::new(config.secret(&encrypt.key)?, key_id.as_deref())
                    .map_err(|why| ConnectorSetupError::UnfitSecret(encrypt.key.0.clone(), why))?;
                sealers.insert(format!("{encrypt:?}"), (encrypt.clone(), sealer));
            }
        }
        Ok(Self(sealers.into_values().collect()))
    }

    pub(super) fn apply(&self, request: &Request, draft: &mut Draft) -> Result<(), Failure> {
        let Some(encrypt) = &request.encrypt else { return Ok(()) };
        let failed = |why: &str| Failure::not_sent(format!("request: encrypt: {why}"));
        let found = self.0.iter().find(|(known, _)| known == encrypt);
        let (_, sealer) = found.ok_or_else(|| failed("its key is not known"))?;
        let seal = |value: &Value| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            sealer.seal(text.as_bytes()).map(Value::String).ok_or_else(|| failed("the cryptographic library failed"))
        };
        let body = draft.body.as_mut().ok_or_else(|| failed("there is no body"))?;
        if encrypt.fields.is_empty() {
            body.value = seal(&body.value)?;
            body.encoding = BodyEncoding::Text;
            return draft.set_header("content-type", "application/jose");
        }
        for name in &encrypt.fields {
            let field = name.split('.').try_fold(&mut body.value, |value, step| value.get_mut(step));
            // A field that is not there has nothing to hide.
            if let Some(field) = field.filter(|field| !field.is_null()) {
                *field = seal(field)?;
            }
        }
        Ok(())
    }
}
