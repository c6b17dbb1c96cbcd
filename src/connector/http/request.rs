//! A request, made from templates and not yet on its way.

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::json;

use super::client::Base;
use super::path::{push_pair, push_query, render_path, scalar};
use super::send::Failure;
use crate::connector::classify::{Body, Reply};
use crate::connector::config::ConnectorSetupError;
use crate::connector::payload;
use crate::definition::{self, BodyEncoding, ReplyFormat, Request, Scope};
use crate::types::{Secret, Value};

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

/// A request that logins and signatures are still put on.
pub(super) struct Draft {
    pub(super) method: Method,
    /// Below the base, with its query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Payload>,
    /// Texts out of which a secret can be read, beside the secrets themselves.
    pub(super) telling: Vec<Secret>,
}

/// A body as a value, until its last byte is known.
pub(super) struct Payload {
    pub(super) value: Value,
    pub(super) encoding: BodyEncoding,
}

/// A request whose every part is known.
pub(super) struct Ready {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
    /// Texts out of which a secret can be read, beside the secrets themselves.
    pub(super) telling: Vec<Secret>,
}

impl Draft {
    /// Every failure here is `NotSent`: nothing has left.
    pub(super) fn render(request: &Request, scope: &Scope<'_>) -> Result<Self, Failure> {
        let mut path = render_path(&request.path, scope)?;
        for (name, template) in &request.query {
            push_query(&mut path, name, template, scope)?;
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(payload::accept(request.reply)));
        let mut draft = Self { method: method(request.method), path, headers, body: None, telling: Vec::new() };
        if request.body.is_some() {
            let kind = HeaderValue::from_static(payload::content_type(request.encoding));
            draft.headers.insert(header::CONTENT_TYPE, kind);
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
            let value = template.render(scope).map_err(Failure::eval("body"))?;
            let encoding = draft.encoding(request.encoding);
            draft.body = Some(Payload { value, encoding });
        }
        Ok(draft)
    }

    /// A definition's own `content-type` may ask for a form as well.
    fn encoding(&self, said: BodyEncoding) -> BodyEncoding {
        let form = self.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == FORM);
        match said {
            BodyEncoding::Json if form => BodyEncoding::Form(definition::Lists::Indices),
            said => said,
        }
    }

    /// The body as it stands now.
    pub(super) fn text(&self) -> Result<Option<String>, Failure> {
        let Some(body) = &self.body else { return Ok(None) };
        let text = payload::encode(&body.value, body.encoding);
        let text = text.map_err(|why| Failure::not_sent(format!("request: body: {why}")))?;
        if text.len() > BODY_MAX { Err(Failure::not_sent("request: the body is too large")) } else { Ok(Some(text)) }
    }

    /// Whether the body has a field, whatever is in it.
    pub(super) fn has_field(&mut self, name: &str) -> bool {
        let Some(body) = &mut self.body else { return false };
        if name.starts_with('/') {
            return body.value.pointer(name).is_some();
        }
        let fields = match body.encoding {
            BodyEncoding::Xml => payload::top_of_xml(&mut body.value).map(|top| &*top),
            _ => Some(&body.value),
        };
        fields.is_some_and(|fields| fields.get(name).is_some())
    }

    /// Whether the body has the first of the names of a JSON pointer.
    pub(super) fn has_root(&self, pointer: &str) -> bool {
        let end = pointer.get(1..).and_then(|rest| rest.find('/')).map_or(pointer.len(), |at| at + 1);
        let root = pointer.get(..end);
        self.body.as_ref().zip(root).is_some_and(|(body, root)| body.value.pointer(root).is_some())
    }

    /// Sets a field of the body: by its name, or by a JSON pointer (RFC 6901), whose objects are made where they are not there.
    pub(super) fn set_field(&mut self, name: &str, value: String) -> Result<(), Failure> {
        let body =
            self.body.as_mut().ok_or_else(|| Failure::not_sent("request: a field is set, and there is no body"))?;
        if let Some(path) = name.strip_prefix('/') {
            let steps = path.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
            let place = steps.into_iter().try_fold(&mut body.value, |value, step| {
                if value.is_null() || value.as_str().is_some_and(str::is_empty) {
                    *value = json!({});
                }
                value.as_object_mut().map(|fields| fields.entry(step).or_insert(Value::Null))
            });
            let place = place.ok_or_else(|| Failure::not_sent(format!("request: the body has no place {name}")))?;
            *place = Value::String(value);
            return Ok(());
        }
        let fields = match (&mut body.value, body.encoding) {
            // The fields of XML are those of its one element.
            (body, BodyEncoding::Xml) => payload::top_of_xml(body).and_then(Value::as_object_mut),
            (Value::Object(fields), _) => Some(fields),
            _ => None,
        };
        let fields = fields.ok_or_else(|| Failure::not_sent("request: a field is set, and the body is no object"))?;
        fields.insert(name.to_owned(), Value::String(value));
        Ok(())
    }

    pub(super) fn add_query(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        push_pair(&mut self.path, name, value)
    }

    /// Sets a header. Line breaks and other control characters are refused: they would begin another header.
    pub(super) fn set_header(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        set_header(&mut self.headers, name, value, false)
    }

    /// The same for a secret: it prints as `Sensitive`.
    pub(super) fn set_secret_header(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        set_header(&mut self.headers, name, value, true)
    }

    /// The address of it, if it still lies below the base.
    pub(super) fn url(&self, base: &Base) -> Result<Url, Failure> {
        base.join(&self.path).ok_or_else(|| Failure::not_sent("request: the path leads out of the base URL"))
    }

    /// What the customer's browser is to send, as the answer of the call. Names are flat, as those of an HTML form are.
    pub(super) fn handed(self, base: &Base) -> Result<Reply, Failure> {
        let text = self.text()?.unwrap_or_default();
        let fields = payload::decode(text.as_bytes(), ReplyFormat::Form);
        let fields = fields.map_err(|_| Failure::not_sent("request: the body is not a form"))?;
        let body = json!({ "method": self.method.as_str(), "url": self.url(base)?.as_str(), "fields": fields });
        let (headers, decrypted) = (json!({}), Value::Null);
        Ok(Reply { status: 200, headers, body: Body::Json(body), decrypted, doubted: None, retry_after_ms: None })
    }

    pub(super) fn ready(self, base: &Base) -> Result<Ready, Failure> {
        let (body, url) = (self.text()?.map(String::into_bytes), self.url(base)?);
        let Self { method, headers, telling, .. } = self;
        Ok(Ready { url, method, headers, body, telling })
    }
}

fn set_header(headers: &mut HeaderMap, name: &str, value: &str, secret: bool) -> Result<(), Failure> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Failure::not_sent("request: a header's name"))?;
    if RESERVED.contains(&name) {
        return Err(Failure::not_sent(format!("request: the header {name} is written by the client itself")));
    }
    let made = HeaderValue::from_str(value).ok().filter(|_| value.is_ascii());
    let mut made =
        made.ok_or_else(|| Failure::not_sent(format!("request: the value of header {name} has forbidden characters")))?;
    made.set_sensitive(secret);
    headers.insert(name, made);
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADERS_MAX { Err(Failure::not_sent("request: the headers are too large")) } else { Ok(()) }
}

/// Refuses a connector whose headers can never be sent.
pub(super) fn check_headers(definition: &definition::Connector) -> Result<(), ConnectorSetupError> {
    let shown = match &definition.kind {
        definition::ConnectorKind::Http(http) => http.auth.headers.as_slice(),
        definition::ConnectorKind::Builtin => &[],
    };
    for (name, _) in shown {
        header_name(name)?;
    }
    for operation in definition.operations.values() {
        let asked = operation.inquiries().filter_map(|inquiry| inquiry.auth.as_ref());
        for (name, _) in std::iter::once(&operation.auth).chain(asked).flat_map(|auth| &auth.headers) {
            header_name(name)?;
        }
        let requests = operation.request.iter().chain(operation.inquiries().flat_map(|inquiry| &inquiry.request));
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
