//! What would be sent, and how a reply would be read, without a network: for those who write connectors.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::{HttpConnector, Question, Ready};
use crate::connector::Invocation;
use crate::connector::classify::{Understood, explain};
use crate::connector::payload::escaped_for_xml;
use crate::definition::{Operation, Request, percent_encode};
use crate::types::Secret;

/// A request as it would leave. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Preview {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
}

/// How a reply that somebody has saved is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trial {
    /// It is one to the question about the call.
    pub inquiry: bool,
    /// Whether it is the provider's cannot be told, and does not matter: the keys are made up.
    pub unproved: bool,
}

impl HttpConnector {
    /// The request of a call, or of the inquiry about it. Fails with the reason that would be journaled.
    pub fn preview(&self, invocation: &Invocation, inquiry: bool) -> Result<Preview, String> {
        let (operation, request, question) = self.asked(invocation, inquiry)?;
        let now = (self.clock.0)();
        let names = self.names(invocation, now);
        let draft = self.draft(invocation, operation, request, question, &names, now);
        let mut draft = draft.map_err(|error| error.reason)?;
        if let Some(tokens) = self.credentials.tokens() {
            tokens.show(&mut draft, &Secret::new("(an access token)")).map_err(|error| error.reason)?;
        }
        let ready = draft.ready(&self.base).map_err(|error| error.reason)?;
        Ok(self.masked(&ready))
    }

    /// What a reply means.
    pub fn understand(
        &self,
        invocation: &Invocation,
        trial: Trial,
        status: u16,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<Understood, String> {
        let (operation, request, question) = self.asked(invocation, trial.inquiry)?;
        let mut read = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is not the name of a header"))?;
            read.append(
                name,
                value.parse().map_err(|_| "a header has characters that headers do not have".to_owned())?,
            );
        }
        let mut reply = self.reader(operation, request, None).understand(status, &read, body);
        if trial.unproved {
            reply.doubted = None;
        }
        let names = self.names(invocation, (self.clock.0)());
        let understood = explain(operation, question, &names, reply);
        Ok(Understood { outcome: self.kept(understood.outcome), ..understood })
    }

    fn asked(&self, invocation: &Invocation, inquiry: bool) -> Result<(&Operation, &Request, Question<'_>), String> {
        let operation = self.definition.operations.get(&invocation.operation);
        let operation = operation.ok_or_else(|| format!("there is no operation {}", invocation.operation))?;
        if !inquiry {
            let request = operation.request.as_ref().ok_or("the operation sends nothing")?;
            return Ok((operation, request, Question::Invoke));
        }
        let asked = operation.question(invocation.reference.as_deref());
        let asked =
            asked.and_then(|inquiry| Some((&**operation, inquiry.request.as_ref()?, Question::Inquire(inquiry))));
        asked.ok_or_else(|| {
            let name = &invocation.operation;
            format!("the operation {name} has no question of its own: it is sent again, or told of, or cannot be asked about")
        })
    }

    fn masked(&self, ready: &Ready) -> Preview {
        let secrets = || self.secrets.values().chain(&ready.telling);
        let mask = |text: &str| secrets().fold(text.to_owned(), |text, secret| without(&text, secret));
        let shown = |(name, value): (&HeaderName, &HeaderValue)| {
            let text = if value.is_sensitive() { scheme(value) } else { mask(value.to_str().unwrap_or("?")) };
            (name.as_str().to_owned(), text)
        };
        Preview {
            method: ready.method.to_string(),
            url: mask(ready.url.as_str()),
            headers: ready.headers.iter().map(shown).collect(),
            body: ready.body.as_deref().map(|bytes| mask(&String::from_utf8_lossy(bytes))),
        }
    }
}

/// Also as it stands in an address, a form, JSON or XML.
fn without(text: &str, secret: &Secret) -> String {
    let plain = secret.reveal();
    if plain.is_empty() {
        return text.to_owned();
    }
    let quoted = serde_json::to_string(plain).unwrap_or_default();
    let text = text.replace(plain, "***").replace(&percent_encode(plain), "***");
    let text = text.replace(quoted.trim_matches('"'), "***");
    text.replace(&escaped_for_xml(plain), "***")
}

/// `Bearer ***`: the scheme of a login is no secret.
fn scheme(value: &HeaderValue) -> String {
    match value.to_str().ok().and_then(|text| text.split_once(' ')) {
        Some((scheme @ ("Bearer" | "Basic"), _)) => format!("{scheme} ***"),
        _ => "***".to_owned(),
    }
}
