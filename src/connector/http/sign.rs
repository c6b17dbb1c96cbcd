//! Signs requests as the definition says: over any part of the request, into a header, the query or the body.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, json};

use super::client::Base;
use super::request::Draft;
use super::send::Failure;
use crate::connector::config::{ConnectorConfig, ConnectorSetupError};
use crate::connector::content;
use crate::connector::crypto::{self, Signer};
use crate::connector::payload;
use crate::definition::{BodyEncoding, Connector, Scheme, Scope, Sign, Slot};
use crate::types::{Secret, Value};

/// The keys of a connector's signatures. Most have one for all operations.
#[derive(Debug)]
pub(super) struct Signers(Vec<(Arc<Sign>, Signer)>);

impl Signers {
    pub(super) fn new(connector: &Connector, config: &ConnectorConfig) -> Result<Self, ConnectorSetupError> {
        let mut signers = Self(Vec::new());
        let questions = connector.operations.values().flat_map(|operation| operation.inquiries());
        let signs = connector.operations.values().map(|operation| &operation.sign);
        for sign in signs.chain(questions.map(|inquiry| &inquiry.sign)).flatten() {
            if signers.of(sign).is_none() {
                let key = sign.key.as_ref().map(|name| config.secret(name)).transpose()?;
                let name = sign.key.as_ref().map(|name| name.0.clone()).unwrap_or_default();
                let signer = Signer::new(sign.scheme, key, sign.key_format);
                let signer = signer.map_err(|why| ConnectorSetupError::UnfitSecret(name, why))?;
                signers.0.push((Arc::clone(sign), signer));
            }
        }
        Ok(signers)
    }

    pub(super) fn of(&self, sign: &Arc<Sign>) -> Option<&Signer> {
        self.0.iter().find(|(known, _)| Arc::ptr_eq(known, sign)).map(|(_, signer)| signer)
    }
}

/// Puts the signature where it belongs. What is signed is what leaves, but for the signature itself.
pub(super) fn apply(
    sign: &Sign,
    signer: &Signer,
    draft: &mut Draft,
    base: &Base,
    scope: &Scope<'_>,
    secrets: &BTreeMap<String, Secret>,
) -> Result<(), Failure> {
    let failed = |why: String| Failure::not_sent(format!("request: sign: {why}"));
    for (name, template) in &sign.headers {
        let request = seen(draft, base)?;
        let value = template.render(&scope.clone().with("request", &request)).map_err(Failure::eval("sign"))?;
        if value.is_null() {
            continue;
        }
        let value = super::path::scalar(&value).ok_or_else(|| failed(format!("header {name} has no text")))?;
        draft.set_header(name, &value)?;
    }
    let request = seen(draft, base)?;
    let scope = scope.clone().with("request", &request);
    let content = content::render(&sign.content, &scope, secrets).map_err(failed)?;
    let tag = signer.sign(content.as_bytes()).map_err(|why| failed(why.to_owned()))?;
    let signature = crypto::encode(&tag, sign.encoding);
    if sign.scheme == Scheme::Plain && sign.content.secrets().next().is_some() {
        draft.telling.push(Secret::new(signature.as_str()));
    }
    let signature = Value::String(signature);
    // The content may hold a secret: it is shown to an expression only when it does not.
    let shown = if sign.content.secrets().next().is_none() { Value::String(content.to_string()) } else { Value::Null };
    let scope = scope.with("signature", &signature).with("content", &shown);
    for place in &sign.places {
        let value = content::render(&place.value, &scope, secrets).map_err(failed)?;
        match place.slot {
            Slot::Header => draft.set_header(&place.name, &value)?,
            Slot::Query => draft.add_query(&place.name, &value)?,
            // A request without a body is signed where else the connector says.
            Slot::Field if draft.body.is_none() => {}
            Slot::Field => draft.set_field(&place.name, value.to_string())?,
        }
    }
    Ok(())
}

/// `request` of an expression: the parts of what is about to leave.
fn seen(draft: &Draft, base: &Base) -> Result<Value, Failure> {
    let url = draft.url(base)?;
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut headers = Map::new();
    // What proves who we are is no business of an expression.
    for (name, value) in draft.headers.iter().filter(|(_, value)| !value.is_sensitive()) {
        if let Ok(text) = value.to_str() {
            headers.insert(name.as_str().to_owned(), Value::from(text));
        }
    }
    let fields = match &draft.body {
        Some(body) if body.encoding == BodyEncoding::Xml => {
            payload::top_of_xml(&mut body.value.clone()).cloned().unwrap_or(Value::Null)
        }
        Some(body) => body.value.clone(),
        None => Value::Object(Map::new()),
    };
    let params: Map<String, Value> =
        url.query_pairs().map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect();
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    Ok(json!({
        "method": draft.method.as_str(),
        "url": url.as_str(),
        "host": host,
        "path": url.path(),
        "target": target,
        "query": url.query().unwrap_or_default(),
        "params": params,
        "headers": headers,
        "body": draft.text()?.unwrap_or_default(),
        "fields": fields,
    }))
}
