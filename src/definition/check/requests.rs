//! Every request can be made, and says which call it is about.

use super::is_whole;
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::expr::{Expr, Template, TextPart};
use crate::definition::read::Ctx;
use crate::definition::{
    BodyEncoding, Http, Inquiry, Login, Method, MoneyKind, Operation, Replay, Request, Scheme, Slot, rules,
};

/// Headers that decide where a request ends or goes: only the client writes them.
const RESERVED: &[&str] = &["accept-encoding", "connection", "content-length", "host", "transfer-encoding", "upgrade"];
const METHODS: &[&str] = &["get", "post", "put", "patch", "delete"];

/// Names that have another value with each try.
const VARIES: &[&str] = &["attempt", "nonce", "now"];

pub(super) fn of_operation(ctx: &Ctx<'_>, entry: &Entry, operation: &Operation) {
    if !is_whole(ctx, &entry.node) {
        return;
    }
    if let Some(request) = &operation.request {
        shape(ctx, &entry.node, request);
        repeat(ctx, entry, operation, request);
    }
    one_reference(ctx, entry, operation);
    let help = "ask by our own reference, such as `query: { reference: \"${key}\" }`";
    asked(ctx, entry, "inquire", operation.inquire.as_ref(), (&["key", "with", "order"], help));
    let help = "ask by the reference that the provider gave, such as `get: /payments/${reference}`";
    asked(ctx, entry, "poll", operation.follow_up.as_ref(), (&["reference"], help));
    if let (Some(_), None, Some(poll)) = (&operation.follow_up, &operation.outcomes.reference, entry.node.entry("poll"))
    {
        let message = format!("`{}` is asked about by a reference, and keeps none of its answer", entry.key);
        let problem = ctx.problem(rules::MISSING_KEY, &poll.key_span, message);
        ctx.add(
            problem.with_help("add `reference` to its `outcomes`, such as `reference: response.body.id`".to_owned()),
        );
    }
}

/// A question can be asked, and says what it is about: it reads one of the names.
fn asked(ctx: &Ctx<'_>, entry: &Entry, key: &str, inquiry: Option<&Inquiry>, (names, help): (&[&str], &str)) {
    let asked = entry.node.entry(key).zip(inquiry.and_then(|inquiry| inquiry.request.as_ref()));
    let Some((place, request)) = asked else { return };
    shape(ctx, &place.node, request);
    if !reads(request, names) {
        let message = format!("the question what became of `{}` does not say which call it is about", entry.key);
        let problem = ctx.problem(rules::KEY_NOT_SENT, &place.key_span, message);
        ctx.add(problem.with_help(help.to_owned()));
    }
}

/// Money that moves is moved under one reference, which a question about it repeats: what is asked about under another is
/// never found, and is sent again.
fn one_reference(ctx: &Ctx<'_>, entry: &Entry, operation: &Operation) {
    let Some(request) = operation.request.as_ref().filter(|_| operation.moves_money()) else { return };
    let natural = !operation.idempotency.natural_key.is_empty();
    let sent = references(request);
    let is_known = natural || operation.idempotency.header.is_some();
    if !is_known && !sent.is_empty() && sent.iter().all(|reference| reference.varies) {
        let at =
            METHODS.iter().find_map(|method| entry.node.entry(method)).map_or(&entry.key_span, |found| &found.key_span);
        let message = format!("the reference of `{}` is another one each time", entry.key);
        let help = "a repeat has to say the same again: `${key}` alone, or with `sent_at` in place of `now`";
        ctx.add(ctx.problem(rules::KEY_NOT_SENT, at, message).with_help(help.to_owned()));
    }
    let asked =
        entry.node.entry("inquire").zip(operation.inquire.as_ref().and_then(|inquiry| inquiry.request.as_ref()));
    let Some((place, question)) = asked.filter(|(_, question)| !natural && !reads(question, &["with", "order"])) else {
        return;
    };
    let known = operation.idempotency.header.as_ref().map(|_| "key".to_owned());
    let sent: Vec<String> = sent.into_iter().map(|reference| reference.text).chain(known).collect();
    let asked: Vec<String> = references(question).into_iter().map(|reference| reference.text).collect();
    let whole = |reference: &String| reference.contains("json(") || reference.contains("form(");
    let open = sent.iter().chain(&asked).any(whole) || sent.is_empty() || asked.is_empty();
    if !open && !asked.iter().any(|reference| sent.contains(reference)) {
        let (sent, asked) = (sent.join("`, `"), asked.join("`, `"));
        let message = format!("`{}` is asked about by `{asked}`, and was sent with `{sent}`", entry.key);
        let help =
            "a question that nobody can answer finds nothing, and the request is made again: ask by the same text";
        ctx.add(ctx.problem(rules::KEY_NOT_SENT, &place.key_span, message).with_help(help.to_owned()));
    }
}

/// What a request has of the key.
struct Reference {
    /// As it is written, without blanks.
    text: String,
    /// Something that is new with every try is a part of it.
    varies: bool,
}

/// The texts of a request that are made of the key.
fn references(request: &Request) -> Vec<Reference> {
    let mut found = Vec::new();
    let named = request.query.iter().chain(&request.headers).map(|(_, template)| template);
    for template in named.chain([&request.path]).chain(&request.body) {
        texts_of_key(template, &mut found);
    }
    found
}

fn texts_of_key(template: &Template, found: &mut Vec<Reference>) {
    let read = |expr: &Expr, names: &[&str]| {
        expr.paths().iter().any(|path| path.first().is_some_and(|root| names.contains(&root.as_str())))
    };
    let reference = |expr: &Expr, beside: bool| Reference {
        text: expr.source().split_whitespace().collect(),
        varies: beside || read(expr, VARIES) && !["json(", "form("].iter().any(|writer| expr.source().contains(writer)),
    };
    match template {
        Template::Literal(_) => {}
        Template::Expr(expr) => found.extend(read(expr, &["key"]).then(|| reference(expr, false))),
        Template::Text(parts) => {
            // `${key}-${attempt}` is one word; in an address or a whole text they stand apart.
            let is_one_word = parts.iter().all(|part| match part {
                TextPart::Text(text) => text.chars().all(|letter| letter.is_alphanumeric() || "-_.:#".contains(letter)),
                TextPart::Expr(_) => true,
            });
            let exprs = || {
                parts.iter().filter_map(|part| match part {
                    TextPart::Text(_) => None,
                    TextPart::Expr(expr) => Some(expr),
                })
            };
            let varies = is_one_word && exprs().any(|expr| read(expr, VARIES));
            found.extend(exprs().filter(|expr| read(expr, &["key"])).map(|expr| reference(expr, varies)));
        }
        Template::Array(items) => items.iter().for_each(|item| texts_of_key(item, found)),
        Template::Object(fields) => fields.iter().for_each(|(_, field)| texts_of_key(field, found)),
    }
}

/// Money that moves is moved once for a key, so that the provider must be told the key.
fn repeat(ctx: &Ctx<'_>, entry: &Entry, operation: &Operation, request: &Request) {
    let (Some(kind), Some(money)) = (operation.money, entry.node.entry("money")) else { return };
    let natural = &operation.idempotency.natural_key;
    let promises = !matches!(operation.idempotency.replay, Replay::None | Replay::Safe);
    if let Some(path) = natural.iter().find(|path| !holds(request, path)) {
        let message = format!("`{}` is known by `{}`, and its request does not hold it", entry.key, path.join("."));
        ctx.report(rules::KEY_NOT_SENT, &money.key_span, message);
    }
    if promises && natural.is_empty() && operation.idempotency.header.is_none() && !reads(request, &["key"]) {
        let message = format!("`{}` moves money ({}), and its request does not hold the key", entry.key, kind.name());
        let problem = ctx.problem(rules::KEY_NOT_SENT, &money.key_span, message);
        let help = "a provider knows a repeat by its key: add `idempotency: { header: Idempotency-Key }`, \
                    or `${key}` to the body; where it knows it by what the call says, name that: \
                    `idempotency: { natural_key: with.payment }`; `repeat: asks` is for a request that books what others have moved";
        ctx.add(problem.with_help(help.to_owned()));
    }
    // Looking whether a payment has come in moves nothing, however often it is done.
    let twice = matches!(kind, MoneyKind::Hold | MoneyKind::Purchase | MoneyKind::Refund) && !operation.asks;
    if twice && operation.idempotency.replay == Replay::Safe {
        let message = format!("a {} that is done twice moves the money twice: it is not `safe`", kind.name());
        let problem = ctx.problem(rules::MONEY_WITHOUT_IDEMPOTENCY, &money.key_span, message);
        let help = "say what the provider does with a key that it has seen, or `repeat: asks` where the request moves nothing itself";
        ctx.add(problem.with_help(help.to_owned()));
    }
}

/// What the customer's browser sends, everybody can read, and it says nothing of what became of it.
pub(super) fn by_customer(ctx: &Ctx<'_>, entry: &Entry, operation: &Operation, http: &Http) {
    let Some(at) = entry.node.entry("sent_by").map(|said| &said.key_span) else { return };
    let Some(request) = operation.request.as_ref().filter(|request| request.by_customer) else { return };
    if operation.money.is_some() {
        let message = format!("`{}` moves nothing: what the customer has sent is asked about", entry.key);
        ctx.report(rules::CONTRADICTING_VALUES, at, message);
    }
    let places = operation.sign.iter().flat_map(|sign| &sign.places);
    let plain = operation.sign.as_ref().is_some_and(|sign| sign.scheme == Scheme::Plain);
    let shows = plain || places.clone().any(|place| place.value.secrets().next().is_some());
    if shows
        || !matches!(http.auth.login, Login::None)
        || http.auth.contents().chain(operation.auth.contents()).next().is_some()
    {
        let message = format!("the customer would be handed the secrets that are put on `{}`", entry.key);
        ctx.report(rules::SECRET_OUTSIDE_AUTH, at, message);
    }
    let plain = request.headers.is_empty() && places.clone().all(|place| place.slot != Slot::Header);
    let form = request.body.is_none() || matches!(request.encoding, BodyEncoding::Form(_));
    if !plain || !form || !matches!(request.method, Method::Get | Method::Post) {
        let message = "a browser sends a form: `get` or `post`, a body in `encoding: form`, and no headers";
        ctx.report(rules::BAD_VALUE, at, message);
    }
}

/// A header that a definition may name.
pub(super) fn may_be_written(ctx: &Ctx<'_>, name: &Node) {
    let Some(text) = name.text().filter(|text| RESERVED.contains(&text.to_lowercase().as_str())) else { return };
    ctx.report(rules::BAD_NAME, &name.span, format!("the header `{text}` is written by the client itself"));
}

/// What the client would refuse to send, each time.
fn shape(ctx: &Ctx<'_>, node: &Node, request: &Request) {
    for entry in node.get("headers").map(Node::entries).unwrap_or_default() {
        let name = Node { span: entry.key_span.clone(), kind: Kind::Scalar(entry.key.as_str().into()) };
        may_be_written(ctx, &name);
    }
    for key in ["headers", "query"] {
        let entries = node.get(key).map(Node::entries).unwrap_or_default();
        for entry in entries {
            if !matches!(entry.node.kind, Kind::Scalar(_)) {
                let message = format!("a value under `{key}` is a text or a number; this is {}", entry.node.describe());
                ctx.report(rules::WRONG_TYPE, &entry.node.span, message);
            }
        }
    }
    let Some(path) = METHODS.iter().find_map(|method| node.get(method)) else { return };
    let fixed = fixed_text(&request.path);
    if fixed.split('?').next().unwrap_or_default().split('/').any(|step| matches!(step, "." | "..")) {
        ctx.report(rules::BAD_VALUE, &path.span, "a path leads down from `base_url`: no step of it is `.` or `..`");
    }
    if fixed.contains('#') {
        ctx.report(rules::BAD_VALUE, &path.span, "what stands behind a `#` is never sent");
    }
}

/// The path with a letter in place of each value.
fn fixed_text(path: &Template) -> String {
    match path {
        Template::Literal(value) => value.as_str().unwrap_or_default().to_owned(),
        Template::Text(parts) => parts
            .iter()
            .map(|part| match part {
                TextPart::Text(text) => text.as_str(),
                TextPart::Expr(_) => "x",
            })
            .collect(),
        _ => String::new(),
    }
}

/// Some part of the request depends on one of these names.
fn reads(request: &Request, roots: &[&str]) -> bool {
    paths(request).iter().any(|path| path.first().is_some_and(|root| roots.contains(&root.as_str())))
}

/// Some part of the request depends on what is found there, or on something around it.
fn holds(request: &Request, wanted: &[String]) -> bool {
    paths(request).iter().any(|path| wanted.starts_with(path) || path.starts_with(wanted))
}

/// All that the request reads.
fn paths(request: &Request) -> Vec<Vec<String>> {
    let pairs = request.query.iter().chain(&request.headers).map(|(_, template)| template);
    let templates = std::iter::once(&request.path).chain(pairs).chain(&request.body);
    templates.flat_map(Template::expressions).flat_map(|expr| expr.paths()).collect()
}
