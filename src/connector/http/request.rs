//! A request, made from templates and not yet on its way.

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::client::Base;
use super::path::{encode_form, push_query, render_path, scalar};
use super::send::Failure;
use crate::connector::config::ConnectorSetupError;
use crate::definition::{self, Request, Scope};
use crate::types::Value;

const HEADERS_MAX: usize = 8 * 1024;
const BODY_MAX: usize = 1024 * 1024;
const FORM: &[u8] = b"application/x-www-form-urlencoded";
/// Headers that decide where a request ends or goes. Only the client writes them.
const RESERVED: [HeaderName; 6] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::ACCEPT_ENCODING,
];

/// A request whose every part is known.
pub(super) struct Draft {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Vec<u8>>,
}

impl Draft {
    /// Every failure here is `NotSent`: nothing has left.
    pub(super) fn render(request: &Request, base: &Base, scope: &Scope<'_>) -> Result<Self, Failure> {
        let mut path = render_path(&request.path, scope)?;
        for (name, template) in &request.query {
            push_query(&mut path, name, template, scope)?;
        }
        let url = base.join(&path).ok_or_else(|| Failure::not_sent("request: the path leads out of the base URL"))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let mut draft = Self { method: method(request.method), url, headers, body: None };
        if request.body.is_some() {
            draft.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, template) in &request.headers {
            let value = template.render(scope).map_err(Failure::eval("headers"))?;
            if value.is_null() {
                continue;
            }
            let value = scalar(&value).ok_or_else(|| Failure::not_sent("request: a header is not text or a number"))?;
            draft.set_header(name, &value)?;
        }
        if let Some(template) = &request.body {
            let body = template.render(scope).map_err(Failure::eval("body"))?;
            draft.set_body(&body)?;
        }
        Ok(draft)
    }

    /// JSON, unless the definition's own `content-type` asks for a form.
    fn set_body(&mut self, body: &Value) -> Result<(), Failure> {
        let form = self.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == FORM);
        let bytes = if form {
            encode_form(body)?.into_bytes()
        } else {
            serde_json::to_vec(body).map_err(|_| Failure::not_sent("request: the body is not JSON"))?
        };
        if bytes.len() > BODY_MAX {
            return Err(Failure::not_sent("request: the body is too large"));
        }
        self.body = Some(bytes);
        Ok(())
    }

    /// Sets a header. Line breaks and other control characters are refused: they would begin another header.
    pub(super) fn set_header(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| Failure::not_sent("request: a header's name"))?;
        let value = HeaderValue::from_str(value).ok().filter(|_| value.is_ascii());
        let value = value.ok_or_else(|| {
            Failure::not_sent(format!("request: the value of header {name} has forbidden characters"))
        })?;
        self.headers.insert(name, value);
        let size: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if size > HEADERS_MAX {
            return Err(Failure::not_sent("request: the headers are too large"));
        }
        Ok(())
    }
}

/// Refuses a connector whose headers can never be sent.
pub(super) fn check_headers(definition: &definition::Connector) -> Result<(), ConnectorSetupError> {
    for operation in definition.operations.values() {
        let requests = operation.request.iter().chain(operation.inquire.iter().flat_map(|inquiry| &inquiry.request));
        for (name, _) in requests.flat_map(|request| &request.headers) {
            header_name(name)?;
        }
        if let Some(name) = &operation.idempotency.header {
            header_name(name)?;
        }
    }
    Ok(())
}

pub(super) fn header_name(name: &str) -> Result<HeaderName, ConnectorSetupError> {
    let refuse = |why| ConnectorSetupError::Header(name.to_owned(), why);
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("not a header's name"))?;
    if RESERVED.contains(&parsed) { Err(refuse("written by the client itself")) } else { Ok(parsed) }
}

const fn method(method: definition::Method) -> Method {
    match method {
        definition::Method::Get => Method::GET,
        definition::Method::Post => Method::POST,
        definition::Method::Put => Method::PUT,
        definition::Method::Patch => Method::PATCH,
        definition::Method::Delete => Method::DELETE,
    }
}
