//! One operation of a connector: the request, and how it is asked about.

use std::sync::Arc;
use std::time::Duration;

use super::verify::ANSWER_ROOTS;
use super::{Ctx, Fields, connector};
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::expr::{Expr, Template, TextPart};
use crate::definition::{
    BodyEncoding, Encrypt, Idempotency, Inquiry, Integrity, Lists, Method, MoneyKind, Operation, Replay, ReplyFormat,
    Request, Sign, Verify, rules,
};
use crate::types::{OperationName, Value};

const KEYS: &[&str] = &[
    "title",
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "query",
    "headers",
    "body",
    "encoding",
    "encrypt",
    "sent_by",
    "auth",
    "sign",
    "verify",
    "reply",
    "money",
    "integrity",
    "outcomes",
    "inquire",
    "idempotency",
    "poll",
    "repeat",
];
const INQUIRE_KEYS: &[&str] = &[
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "query",
    "headers",
    "body",
    "encoding",
    "encrypt",
    "auth",
    "sign",
    "reply",
    "integrity",
    "outcomes",
    "schedule",
];
const METHODS: &[(&str, Method)] = &[
    ("get", Method::Get),
    ("post", Method::Post),
    ("put", Method::Put),
    ("patch", Method::Patch),
    ("delete", Method::Delete),
];
const BODY_ENCODINGS: &[(&str, BodyEncoding)] = &[
    ("json", BodyEncoding::Json),
    ("form", BodyEncoding::Form(Lists::Indices)),
    ("form-brackets", BodyEncoding::Form(Lists::Brackets)),
    ("form-repeat", BodyEncoding::Form(Lists::Repeat)),
    ("xml", BodyEncoding::Xml),
    ("text", BodyEncoding::Text),
];
const REPLY_FORMATS: &[(&str, ReplyFormat)] =
    &[("json", ReplyFormat::Json), ("form", ReplyFormat::Form), ("xml", ReplyFormat::Xml), ("text", ReplyFormat::Text)];
const SENDERS: &[(&str, ())] = &[("customer", ())];
const MONEY: &[(&str, MoneyKind)] = &[
    ("hold", MoneyKind::Hold),
    ("capture", MoneyKind::Capture),
    ("purchase", MoneyKind::Purchase),
    ("release", MoneyKind::Release),
    ("refund", MoneyKind::Refund),
    ("capture_failure", MoneyKind::CaptureFailure),
    ("refund_return", MoneyKind::RefundReturn),
    ("chargeback", MoneyKind::Chargeback),
];
/// What the connector says is not for this operation.
const NONE: &str = "none";
/// `inquire: resend`
pub(in crate::definition) const RESEND: &str = "resend";
/// `inquire: told`
pub(in crate::definition) const TOLD: &str = "told";
/// Both do no harm when they are done twice.
const REPEATS: &[(&str, Replay)] = &[("safe", Replay::Safe), ("asks", Replay::Safe)];
pub(super) const REQUEST_ROOTS: &[&str] =
    &["with", "key", "sent_at", "attempt", "order", "env", "tables", "now", "nonce"];
/// Where the provider has accepted the call under a reference of its own.
const FOLLOW_UP_ROOTS: &[&str] =
    &["reference", "with", "key", "sent_at", "attempt", "order", "env", "tables", "now", "nonce"];
pub(super) const REPLY_ROOTS: &[&str] = &["with", "key", "sent_at", "response", "order", "env", "tables"];

/// What a connector says for all its operations.
pub(super) struct Shared {
    pub(super) idempotency: Option<Idempotency>,
    pub(super) encoding: Option<BodyEncoding>,
    pub(super) reply: Option<ReplyFormat>,
    pub(super) sign: Option<Arc<Sign>>,
    pub(super) verify: Option<Arc<Verify>>,
}

impl Ctx<'_> {
    pub(super) fn operation(&self, entry: &Entry, shared: &Shared) -> Option<Operation> {
        self.name(&entry.key, &entry.key_span, "the name of an operation", "-");
        let what = format!("operation `{}`", entry.key);
        let fields = self.fields(&entry.node, &entry.key_span, &what, KEYS)?;
        fields.get("title").map(|node| self.text(node, "`title`"));
        let request = self.request(&fields, &what, shared, REQUEST_ROOTS)?;
        let money = fields.get("money").and_then(|node| self.word(node, "`money`", MONEY));
        let outcomes_node = fields.required(self, &what, "outcomes");
        let idempotency = self.operation_idempotency(&fields, shared.idempotency.as_ref(), &request, money.is_some());
        let asks = request.method == Method::Get || fields.get("repeat").and_then(Node::text) == Some("asks");
        // A schedule alone, or a question that has one.
        let question = fields.entry("poll").filter(|entry| matches!(entry.node.kind, Kind::Map(_)));
        let times = match question {
            Some(entry) => entry.node.get("schedule"),
            None => fields.get("poll"),
        };
        let sign = self.own_sign(&fields, shared.sign.as_ref());
        let inquiry = |entry: &Entry, roots| self.inquiry(entry, outcomes_node, shared, sign.as_ref(), roots);
        Some(Operation {
            name: OperationName::from(entry.key.as_str()),
            auth: fields.entry("auth").map(|entry| self.more_auth(entry)).unwrap_or_default(),
            verify: match fields.get("verify") {
                Some(node) if node.text() == Some(NONE) => None,
                Some(node) => self.verify(node, ANSWER_ROOTS).map(Arc::new),
                None => shared.verify.clone(),
            },
            money,
            asks,
            integrity: fields.get("integrity").map(|node| self.integrity(node)).unwrap_or_default(),
            outcomes: outcomes_node.map(|node| self.outcomes(node, None, false)).unwrap_or_default(),
            inquire: match (fields.entry("inquire"), fields.entry("inquire").and_then(|entry| entry.node.text())) {
                // What only asks, and books what it finds, is its own question.
                (None, _) | (_, Some(RESEND)) if asks && money.is_some() => Some(same(&request, sign.as_ref())),
                // Where the same request tells, there is no other: the ladder's second rung is its first.
                (None, _) | (_, Some(RESEND)) => None,
                (_, Some(TOLD)) => Some(told()),
                (Some(entry), _) => inquiry(entry, REQUEST_ROOTS),
            },
            idempotency,
            poll: times.and_then(|node| self.durations(node, "`poll`")).unwrap_or_else(poll),
            follow_up: question.and_then(|entry| inquiry(entry, FOLLOW_UP_ROOTS)),
            request: Some(request),
            sign,
        })
    }

    /// The signature that is said here, or that of what this is a part of.
    fn own_sign(&self, fields: &Fields<'_>, above: Option<&Arc<Sign>>) -> Option<Arc<Sign>> {
        match fields.entry("sign") {
            Some(entry) if entry.node.text() == Some(NONE) => None,
            Some(entry) => self.sign(entry).map(Arc::new),
            None => above.cloned(),
        }
    }

    fn operation_idempotency(
        &self,
        fields: &Fields<'_>,
        shared: Option<&Idempotency>,
        request: &Request,
        money: bool,
    ) -> Idempotency {
        fields.exclusive(self, &["idempotency", "repeat"]);
        let mut read = match fields.entry("idempotency") {
            Some(entry) => self.idempotency(entry, shared),
            None => shared.cloned().unwrap_or_else(connector::unstated),
        };
        // Reading changes nothing, whatever the connector says of its other operations; nor does what is not sent.
        let still = request.method == Method::Get || request.by_customer;
        let reads = still && !money && fields.entry("idempotency").is_none();
        let declared = fields.get("repeat").and_then(|node| self.word(node, "`repeat`", REPEATS));
        if let Some(replay) = declared.or(reads.then_some(Replay::Safe)) {
            read.replay = replay;
        }
        read
    }

    fn request(&self, fields: &Fields<'_>, what: &str, shared: &Shared, roots: &[&str]) -> Option<Request> {
        let names: Vec<&str> = METHODS.iter().map(|(name, _)| *name).collect();
        fields.exclusive(self, &names);
        let found = METHODS.iter().find_map(|(name, method)| Some((*method, fields.get(name)?)));
        let Some((method, path)) = found else {
            let message = format!("{what} needs a method and a path, such as `post: /v1/payments`");
            self.report(rules::MISSING_KEY, &fields.head, message);
            return None;
        };
        Some(Request {
            method,
            path: self.path(path, roots),
            query: fields.get("query").map(|node| self.pairs(node, "`query`", roots)).unwrap_or_default(),
            headers: fields.get("headers").map(|node| self.headers(node, roots)).unwrap_or_default(),
            body: fields.get("body").map(|node| self.template(node, roots)),
            encoding: self.encoding(fields).or(shared.encoding).unwrap_or_default(),
            reply: self.reply_format(fields, "reply").or(shared.reply).unwrap_or_default(),
            encrypt: fields.entry("encrypt").and_then(|entry| self.encrypt(entry)),
            by_customer: fields.get("sent_by").and_then(|node| self.word(node, "`sent_by`", SENDERS)).is_some(),
        })
    }

    /// A path below the base URL. It begins with `/` so that nothing in it can become another host.
    fn path(&self, node: &Node, roots: &[&str]) -> Template {
        let text = self.text(node, "a path").unwrap_or("/");
        if !text.starts_with('/') || text.starts_with("//") {
            let rule = if text.contains("${") { rules::HOST_FROM_ORDER } else { rules::BAD_VALUE };
            self.report(rule, &node.span, "a path begins with one `/`: the host is that of `base_url`");
        }
        if text.contains('\\') || text.chars().any(char::is_whitespace) && !text.contains("${") {
            self.report(rules::BAD_VALUE, &node.span, "a path has no spaces and no backslashes");
        }
        match self.template(node, roots) {
            Template::Expr(expr) => Template::Text(vec![TextPart::Expr(expr)]),
            template => template,
        }
    }

    fn pairs(&self, node: &Node, what: &str, roots: &[&str]) -> Vec<(String, Template)> {
        let entries = self.map(node, what).iter();
        entries.map(|entry| (entry.key.clone(), self.template(&entry.node, roots))).collect()
    }

    fn headers(&self, node: &Node, roots: &[&str]) -> Vec<(String, Template)> {
        for entry in self.map(node, "`headers`") {
            let name = Node { span: entry.key_span.clone(), kind: Kind::Scalar(Value::from(entry.key.as_str())) };
            self.header_name(&name);
            if entry.key.eq_ignore_ascii_case("authorization") {
                let message = "a login has its place in `auth`";
                self.report(rules::SECRET_OUTSIDE_AUTH, &entry.key_span, message);
            }
        }
        self.pairs(node, "`headers`", roots)
    }

    fn inquiry(
        &self,
        entry: &Entry,
        of_operation: Option<&Node>,
        shared: &Shared,
        sign: Option<&Arc<Sign>>,
        roots: &[&str],
    ) -> Option<Inquiry> {
        let what = format!("`{}`", entry.key);
        let fields = self.fields(&entry.node, &entry.key_span, &what, INQUIRE_KEYS)?;
        let request = self.request(&fields, &what, shared, roots)?;
        let outcomes = match (fields.get("outcomes"), of_operation) {
            (Some(node), shared) => self.outcomes(node, shared, true),
            (None, Some(shared)) => self.outcomes(shared, None, true),
            (None, None) => Default::default(),
        };
        let schedule = fields.get("schedule").and_then(|node| self.durations(node, "`schedule`"));
        let integrity = fields.get("integrity").map(|node| self.integrity(node));
        let auth = fields.entry("auth").map(|entry| self.more_auth(entry));
        let (sign, schedule) = (self.own_sign(&fields, sign), schedule.unwrap_or_else(inquire));
        Some(Inquiry { request: Some(request), outcomes, integrity, auth, sign, same: false, schedule })
    }

    pub(super) fn encoding(&self, fields: &Fields<'_>) -> Option<BodyEncoding> {
        fields.get("encoding").and_then(|node| self.word(node, "`encoding`", BODY_ENCODINGS))
    }

    pub(super) fn reply_format(&self, fields: &Fields<'_>, key: &str) -> Option<ReplyFormat> {
        fields.get(key).and_then(|node| self.word(node, &format!("`{key}`"), REPLY_FORMATS))
    }

    fn encrypt(&self, entry: &Entry) -> Option<Encrypt> {
        let what = "`encrypt`";
        let fields = self.fields(&entry.node, &entry.key_span, what, &["key", "key_id", "fields"])?;
        let key = fields.required(self, what, "key").and_then(|node| self.secret(node));
        let key_id = fields.get("key_id").map(|node| self.env_text(node, "`key_id`", rules::BAD_VALUE));
        let names = fields.get("fields").map(Node::items).unwrap_or_default();
        let names = names.iter().filter_map(|node| self.text(node, "a field of the body").map(str::to_owned));
        Some(Encrypt { fields: names.collect(), key: key?, key_id })
    }

    fn integrity(&self, node: &Node) -> Vec<Integrity> {
        let Kind::List(items) = &node.kind else {
            self.wrong_type(node, "`integrity` is a list of fields");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.integrity_field(item)).collect()
    }

    fn integrity_field(&self, node: &Node) -> Option<Integrity> {
        if let Some(field) = node.text() {
            self.name(field, &node.span, "a field", "").then_some(())?;
            let expected = Expr::compile(&format!("with.{field}"), REPLY_ROOTS).ok()?;
            let actual = Expr::compile(&format!("response.body.{field}"), REPLY_ROOTS).ok()?;
            return Some(Integrity { field: field.to_owned(), expected, actual });
        }
        let what = "a field of `integrity`";
        let fields = self.fields(node, &node.span, what, &["field", "expected", "actual"])?;
        let field = fields.required(self, what, "field").and_then(|node| self.text(node, "`field`"));
        let read = |key: &str, default: &str| match fields.get(key) {
            Some(node) => self.expr(node, &format!("`{key}`"), REPLY_ROOTS, &[]),
            None => Expr::compile(&format!("{default}.{}", field?), REPLY_ROOTS).ok(),
        };
        let (expected, actual) = (read("expected", "with"), read("actual", "response.body"));
        Some(Integrity { field: field?.to_owned(), expected: expected?, actual: actual? })
    }
}

/// The times of an inquiry, at which a notification may have come.
fn told() -> Inquiry {
    Inquiry {
        request: None,
        outcomes: Default::default(),
        integrity: None,
        auth: None,
        sign: None,
        same: false,
        schedule: inquire(),
    }
}

fn same(request: &Request, sign: Option<&Arc<Sign>>) -> Inquiry {
    Inquiry { request: Some(request.clone()), sign: sign.cloned(), same: true, ..told() }
}

/// How an accepted call is asked about, where the file does not say.
fn poll() -> Vec<Duration> {
    [5, 15, 30, 60, 300].into_iter().map(Duration::from_secs).collect()
}

/// How an unknown outcome is asked about, where the file does not say.
fn inquire() -> Vec<Duration> {
    [1, 5, 15, 60, 300, 900].into_iter().map(Duration::from_secs).collect()
}
