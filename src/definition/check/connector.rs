//! What a connector must promise before it moves money, and what its address may be.

use std::net::IpAddr;

use super::{names, proof, replies, requests};
use crate::definition::document::{Entry, Node};
use crate::definition::read::{Ctx, RESEND, TOLD};
use crate::definition::{
    Connector, ConnectorKind, EnvPart, EnvText, Idempotency, Operation, OutcomeKind, Webhooks, rules,
};
use crate::types::format_duration;

pub(in crate::definition) fn connector(ctx: &Ctx<'_>, root: &Node, connector: &Connector) {
    if let (ConnectorKind::Http(http), Some(node)) = (&connector.kind, root.get("base_url")) {
        address(ctx, node, &http.base_url);
    }
    let shared = root.entry("idempotency");
    let events = connector.webhooks.as_ref().map(|hooks| hooks.events.as_slice()).unwrap_or_default();
    let done = || events.iter().filter(|event| event.settles == Some(OutcomeKind::Ok));
    let settled = done().next().is_some();
    // By a reference, only what has been accepted is known.
    let settled_by_key = done().any(|event| event.by.is_none());
    for entry in root.get("operations").map(Node::entries).unwrap_or_default() {
        let Some(operation) = connector.operations.get(entry.key.as_str()) else { continue };
        money(ctx, entry, operation, shared.is_some());
        told(ctx, entry, settled_by_key);
        accepted(ctx, entry, operation, settled);
        if let Some(at) = entry.node.entry("idempotency").or(shared) {
            memory(ctx, at, &operation.idempotency);
            at.node.get("header").into_iter().for_each(|header| requests::may_be_written(ctx, header));
        }
        requests::of_operation(ctx, entry, operation);
        if let ConnectorKind::Http(http) = &connector.kind {
            requests::by_customer(ctx, entry, operation, http);
        }
        replies::of_operation(ctx, entry, operation, settled);
    }
    notifications(ctx, root, connector.webhooks.as_ref());
    proof::of_connector(ctx, root, connector);
    names::of_connector(ctx, root.get("tables").map(Node::entries).unwrap_or_default());
}

fn money(ctx: &Ctx<'_>, entry: &Entry, operation: &Operation, shared: bool) {
    let (Some(kind), Some(money)) = (operation.money, entry.node.entry("money")) else { return };
    if entry.node.get("inquire").is_none() && !operation.asks {
        let message = format!("`{}` moves money ({}) and cannot be asked about", entry.key, kind.name());
        let help = "after a lost answer only an inquiry tells what happened: \
                    add `inquire: { get: \"/…?reference=${key}\" }`, or `inquire: told` where an event `settles` the call";
        ctx.add(ctx.problem(rules::MONEY_WITHOUT_INQUIRE, &money.key_span, message).with_help(help.to_owned()));
    }
    let resend = entry.node.get("inquire").filter(|node| node.text() == Some(RESEND));
    if let Some(node) = resend.filter(|_| !operation.idempotency.tells_when_repeated() && !operation.asks) {
        let message =
            format!("`{}` is asked about by sending it again, and a repeat does not tell what became of it", entry.key);
        let problem = ctx.problem(rules::CONTRADICTING_VALUES, &node.span, message);
        let help = "`inquire: resend` is for `replay: stored`, `stored_2xx`, `intent` or `complete`, and for what is `repeat: asks`; \
                    else say how to ask";
        ctx.add(problem.with_help(help.to_owned()));
    }
    let own = entry.node.get("idempotency").is_some() || entry.node.get("repeat").is_some();
    // What the connector says is meant for requests that do something. One that reads may be a question.
    if let Some(get) = entry.node.entry("get").filter(|_| shared && !own) {
        let message = format!(
            "`{}` only reads, or moves money ({}) by a `get`: which of them is not said",
            entry.key,
            kind.name()
        );
        let help = "add `repeat: asks` if it books what others have moved; else `idempotency` of its own";
        ctx.add(ctx.problem(rules::MONEY_WITHOUT_IDEMPOTENCY, &get.key_span, message).with_help(help.to_owned()));
    }
    if !shared && !own {
        let message = format!("`{}` moves money ({}) and does not say what a repeat does", entry.key, kind.name());
        let help = "add `idempotency: { replay: stored, window: 24h }`; \
                    `replay: none` says that it must never be sent twice";
        ctx.add(ctx.problem(rules::MONEY_WITHOUT_IDEMPOTENCY, &money.key_span, message).with_help(help.to_owned()));
    }
}

/// Somebody has to tell.
fn told(ctx: &Ctx<'_>, entry: &Entry, settled: bool) {
    let said = entry.node.get("inquire").filter(|node| node.text() == Some(TOLD));
    if let Some(node) = said.filter(|_| !settled) {
        let message = format!("what became of `{}` is told by nobody", entry.key);
        let problem = ctx.problem(rules::CONTRADICTING_VALUES, &node.span, message);
        ctx.add(problem.with_help(
            "`inquire: told` goes with an event that `settles: ok` under `webhooks`, without `by`".to_owned(),
        ));
    }
}

/// What was accepted is asked about, or told of: sending it again is no question about it.
fn accepted(ctx: &Ctx<'_>, entry: &Entry, operation: &Operation, settled: bool) {
    let asks = operation.inquiries().any(|inquiry| inquiry.request.is_some());
    let pending = entry.node.get("outcomes").and_then(|outcomes| outcomes.entry("pending"));
    let Some(pending) = pending.filter(|_| !asks && operation.money.is_some()) else { return };
    let help = "say what to ask: `poll: { get: \"/…/${reference}\", schedule: [10s, 1m, 5m] }`";
    if let Some(poll) = entry.node.entry("poll").filter(|_| operation.follow_up.is_none()) {
        let message = format!("`{}` is asked about by nothing, so that its `poll` has no times to set", entry.key);
        ctx.add(ctx.problem(rules::CONTRADICTING_VALUES, &poll.key_span, message).with_help(help.to_owned()));
    } else if !settled {
        let message = format!("`{}` can be pending, and nobody asks or tells what became of it", entry.key);
        ctx.add(ctx.problem(rules::MONEY_WITHOUT_INQUIRE, &pending.key_span, message).with_help(help.to_owned()));
    }
}

/// When "not found" is believed only after the key is forgotten, a repeat would be a new request.
fn memory(ctx: &Ctx<'_>, entry: &Entry, said: &Idempotency) {
    let Some(window) = said.window.filter(|window| *window <= said.not_found_final_after) else { return };
    let message = format!(
        "a key is remembered for {}, and \"not found\" is final only after {}",
        format_duration(window),
        format_duration(said.not_found_final_after)
    );
    let key = |name: &str| entry.node.entry(name).map(|found| found.key_span.clone());
    let at = key("window").or_else(|| key("not_found_final_after")).unwrap_or_else(|| entry.key_span.clone());
    let problem = ctx.problem(rules::CONTRADICTING_VALUES, &at, message);
    let help = "what is sent again must still be known: `not_found_final_after` is shorter than `window`".to_owned();
    ctx.add(problem.with_help(help));
}

/// The scheme, the host and the rest of the address, as far as they are written in the file. What comes from the
/// environment is examined when the connector is built.
fn address(ctx: &Ctx<'_>, node: &Node, text: &EnvText) {
    const OPEN: char = '\u{0}';
    let mut whole = String::new();
    for part in &text.0 {
        match part {
            EnvPart::Text(text) => whole.push_str(text),
            EnvPart::Env(_) => whole.push(OPEN),
        }
    }
    let Some((scheme, rest)) = whole.split_once("://") else { return };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let wrong = |message: &str| ctx.report(rules::BAD_VALUE, &node.span, message);
    if authority.contains('@') {
        return wrong("`base_url` holds no name and no password: they belong into `auth`");
    }
    if rest.contains(['?', '#']) {
        return wrong("`base_url` ends with the path: no `?` and no `#`");
    }
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return wrong("`base_url` names a host, such as `https://provider.example`");
    }
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    if port.is_some_and(|port| !port.contains(OPEN) && port.parse::<u16>().is_err()) {
        return wrong("a port is a number from 1 to 65535");
    }
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if scheme == "http" && !here && !host.contains(OPEN) {
        let message = format!("`{host}` is not this machine: what is sent there without TLS can be read on the way");
        ctx.add(ctx.problem(rules::PLAIN_HTTP, &node.span, message).with_help("write `https://`".to_owned()));
    }
}

/// The first event whose `when` holds is taken, an event has a dot in its name, and what it is about is read from it.
fn notifications(ctx: &Ctx<'_>, root: &Node, webhooks: Option<&Webhooks>) {
    let events = root.get("webhooks").and_then(|hooks| hooks.get("events")).map(Node::items).unwrap_or_default();
    let always = events.iter().position(|event| event.get("when").is_none());
    if let Some(next) = always.and_then(|at| events.get(at + 1)) {
        let message = "the event before this one has no `when`, so that this one is never taken";
        ctx.report(rules::UNREACHABLE_TRANSITION, &next.span, message);
    }
    let read = webhooks.map(|hooks| hooks.events.as_slice()).unwrap_or_default();
    for (node, event) in events.iter().zip(read).filter(|_| events.len() == read.len()) {
        for (key, expr) in [("correlate", &event.correlate), ("id", &event.id)] {
            if let Some(node) = node.get(key).filter(|_| expr.paths().is_empty()) {
                let message = format!("`{key}` is the same for every notification: it reads nothing of `body`");
                ctx.report(rules::BAD_VALUE, &node.span, message);
            }
        }
    }
    for (node, event) in events.iter().zip(read).filter(|_| events.len() == read.len()) {
        let first = read.iter().find(|other| other.event == event.event);
        if first.is_some_and(|first| first.settles != event.settles) {
            let message = format!("`{}` settles calls by one rule and not by another", event.event);
            ctx.report(rules::CONTRADICTING_VALUES, &node.span, message);
        }
    }
    for node in events.iter().filter_map(|event| event.get("event")) {
        let Some(name) = node.text().filter(|name| !name.contains('.')) else { continue };
        let message = format!("`{name}` has no dot, and would not be known as an event");
        let help = format!("the names of events have a dot, such as `payment.{name}`");
        ctx.add(ctx.problem(rules::BAD_NAME, &node.span, message).with_help(help));
    }
}
