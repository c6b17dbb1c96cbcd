//! `paystate connector receive`: would a notification be believed, and what would it be taken for?

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use serde_json::{Map, json};

use super::super::{Verdict, output};
use super::given::{self, Values};
use super::saved;
use crate::connector::{Acknowledged, Arrived, Notification, Rehearsal, RuleTried, WebhookConfig, rehearse};
use crate::definition::{Connector, Webhooks, decode_form};
use crate::executor::{Clock, SystemClock};
use crate::types::{Timestamp, Value, order_of_reference};

/// Tells whether a provider's notification would be believed, which events it would be, and what it would be answered.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    paystate connector receive my.yaml notification.json --header 'x-signature: 5a…' --config paystate.yaml\n  \
    paystate connector receive my.yaml notification.http --at 2026-03-01T12:00:00Z\n\n\
    A notification is a body alone, with --header and --query beside it, or a whole HTTP request that begins with POST or GET.\n\
    What it would be taken for is told also where it would not be believed. Values that --config and --env do not give are made\n\
    up, and standard error says which.")]
pub(super) struct Args {
    /// The connector's file.
    file: PathBuf,
    /// A file with a notification, or - for standard input.
    notification: PathBuf,
    /// A header of it, as `name: value`.
    #[arg(long)]
    header: Vec<String>,
    /// What stands behind the `?` of the address that it was sent to.
    #[arg(long)]
    query: Option<String>,
    /// The address of its sender, for `allow_from`.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// When it came, in place of now: what was recorded is too old otherwise.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    #[command(flatten)]
    values: Values,
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Verdict> {
    let definition = match given::connector(&args.file)? {
        Ok(definition) => definition,
        Err(problems) => return Ok(given::told(&problems, &args.file, args.json)),
    };
    let Some(webhooks) = &definition.webhooks else { bail!("connector {} has no `webhooks`", definition.name) };
    let (config, _) = given::config(&args.values, &definition, true)?;
    let request = saved::request(&args.notification, &args.header)?;
    let query = match args.query.as_ref().or(request.query.as_ref()) {
        Some(text) => decode_form(text).ok_or_else(|| anyhow!("what stands behind the `?` is no form"))?,
        None => Value::Object(Map::new()),
    };
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in request.headers {
        let all = headers.entry(name.to_lowercase()).or_default();
        *all = if all.is_empty() { value } else { format!("{all}, {value}") };
    }
    let path = below(request.path.as_deref().unwrap_or_default(), definition.name.as_str());
    let trial = Trial {
        definition: &definition,
        webhooks,
        config: WebhookConfig { secrets: &config.secrets, env: &config.env },
        now: args.at.unwrap_or_else(|| SystemClock.now()),
    };
    let arrived = Arrived { headers: &headers, query: &query, path: &path, body: &request.body, from: args.from };
    let (rehearsal, cut) = trial.run(&arrived);
    if args.json {
        output::json(&as_json(&rehearsal));
    } else {
        output::out(&output::lines(&as_text(&rehearsal, cut)));
    }
    Ok(if rehearsal.disbelieved.is_none() && rehearsal.read.is_ok() { Verdict::Yes } else { Verdict::No })
}

/// What stands behind the connector's name in the address of a hook. Of an address of another kind, nothing.
fn below(path: &str, connector: &str) -> String {
    let rest = path.split_once("/hooks/").and_then(|(_, hook)| hook.strip_prefix(connector));
    rest.filter(|rest| rest.starts_with('/')).unwrap_or_default().to_owned()
}

struct Trial<'a> {
    definition: &'a Connector,
    webhooks: &'a Webhooks,
    config: WebhookConfig<'a>,
    now: Timestamp,
}

impl Trial<'_> {
    /// Editors end a file with a line break that nobody has signed: true when it fits without.
    fn run(&self, arrived: &Arrived<'_>) -> (Rehearsal, bool) {
        let of = |body| rehearse(self.definition, self.webhooks, &self.config, &Arrived { body, ..*arrived }, self.now);
        let whole = of(arrived.body);
        let cut = arrived.body.strip_suffix(b"\n").map(|body| body.strip_suffix(b"\r").unwrap_or(body));
        match cut.map(of) {
            Some(other) if whole.disbelieved.is_some() && other.disbelieved.is_none() => (other, true),
            _ => (whole, false),
        }
    }
}

fn as_json(rehearsal: &Rehearsal) -> Value {
    let (told, error) = match &rehearsal.read {
        Ok((told, _)) => (told.iter().map(event).collect(), Value::Null),
        Err(error) => (Vec::new(), Value::from(error.to_string())),
    };
    json!({
        "believed": rehearsal.disbelieved.is_none(),
        "disbelieved": rehearsal.disbelieved.as_ref().map(ToString::to_string),
        "signed": rehearsal.signed,
        "events": told,
        "rules": rehearsal.rules,
        "acknowledge": acknowledged(rehearsal),
        "error": error,
    })
}

fn event(told: &Notification) -> Value {
    json!({
        "event": told.event,
        "correlate": told.correlate,
        "by": told.by,
        "order": order_of_reference(&told.correlate).filter(|_| told.by.is_none()).map(|order| order.to_string()),
        "id": told.id,
        "payload": told.payload,
    })
}

/// What the sender hears: of a notification that is not believed or not understood, that it was refused.
fn acknowledged(rehearsal: &Rehearsal) -> Value {
    match (&rehearsal.disbelieved, &rehearsal.read) {
        (Some(_), _) => json!({ "status": 401 }),
        (None, Err(_)) => json!({ "status": 400 }),
        (None, Ok((_, Acknowledged { status, body: None, .. }))) => json!({ "status": status }),
        (None, Ok((_, Acknowledged { status, body, content_type }))) => {
            json!({ "status": status, "content_type": content_type, "body": body })
        }
    }
}

fn as_text(rehearsal: &Rehearsal, cut: bool) -> String {
    let mut text = match &rehearsal.disbelieved {
        None if cut => "believed, without the line break at the end of the file\n".to_owned(),
        None => "believed\n".to_owned(),
        Some(why) => format!("not believed: {why}\n"),
    };
    for signed in rehearsal.signed.iter().filter(|_| rehearsal.disbelieved.is_some()) {
        text.push_str("the text that has to be signed\n");
        signed.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    match &rehearsal.read {
        Err(error) => {
            let _ = writeln!(text, "\nnot understood: {error}");
        }
        Ok((told, _)) if told.is_empty() => text.push_str("\nno rule asks for it: it is acknowledged and forgotten\n"),
        Ok((told, _)) => told.iter().for_each(|told| text.push_str(&event_text(told))),
    }
    if !rehearsal.rules.is_empty() {
        text.push_str("because\n");
        rehearsal.rules.iter().for_each(|rule| text.push_str(&rule_text(rule)));
    }
    let answer = acknowledged(rehearsal);
    let body = answer["body"].as_str().unwrap_or("an answer of Paystate's in JSON");
    let _ = writeln!(text, "answered with status {}\n  {body}", answer["status"]);
    text
}

fn event_text(told: &Notification) -> String {
    let about = match (&told.by, order_of_reference(&told.correlate)) {
        (Some(name), _) => format!("the order that calls {name} {}", told.correlate),
        (None, Some(order)) => format!("order {order}, by {}", told.correlate),
        (None, None) => format!(
            "no order, since {} is no reference of Paystate's: it is acknowledged and forgotten, unless `by` says whose it is",
            told.correlate
        ),
    };
    let mut text = format!("\n{}\n  about {about}\n  known as {}\n", told.event, told.id);
    let payload = serde_json::to_string_pretty(&told.payload).unwrap_or_default();
    payload.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
    text
}

fn rule_text(rule: &RuleTried) -> String {
    let held = match (&rule.error, rule.held) {
        (Some(error), _) => format!("has no value: {error}"),
        (None, true) => "holds".to_owned(),
        (None, false) => "does not hold".to_owned(),
    };
    let when = if rule.when.is_empty() { "always" } else { &rule.when };
    let settles = match rule.settles {
        Some(outcome) => format!(" (settles: {})", outcome),
        None => String::new(),
    };
    format!("  {}{settles}: {when}\n    {held}\n", rule.event)
}
