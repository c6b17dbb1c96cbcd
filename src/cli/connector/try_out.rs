//! `paystate connector try`: the exact request of an operation, and what a reply to it means.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::json;

use super::super::submit::json_argument;
use super::super::{Verdict, output};
use super::given::{self, Values};
use super::{saved, show};
use crate::connector::{Connector as _, HttpConnector, Invocation, Trial};
use crate::definition::{Connector, ConnectorKind};
use crate::executor::{Clock, SystemClock};
use crate::types::{Attempt, Value};

const ORDER: &str = "019ab1c2-7d4e-7000-8000-0242ac120002";

/// Prints the exact request that an operation would send, secrets masked, and how a reply would be understood.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    paystate connector try my.yaml authorize --with '{\"amount\": 1200, \"currency\": \"EUR\"}'\n  \
    paystate connector try my.yaml charge --with @with.json --reply reply.json --status 402\n  \
    paystate connector try my.yaml charge --with @with.json --config paystate.yaml --send\n\n\
    A reply is a body alone, with --status and --header beside it, or a whole HTTP response that begins with HTTP/1.1.\n\
    Values that --config and --env do not give are made up, and standard error says which.")]
pub(super) struct Args {
    /// The connector's file.
    file: PathBuf,
    operation: String,
    /// What the workflow gives to the call: JSON, or @FILE.
    #[arg(long, default_value = "{}")]
    with: String,
    /// What expressions see as `order`, in place of an order that is made up: JSON, or @FILE.
    #[arg(long)]
    order: Option<String>,
    /// The idempotency key.
    #[arg(long)]
    key: Option<String>,
    #[arg(long, default_value_t = 1)]
    attempt: u32,
    /// The inquiry about the operation instead of the operation.
    #[arg(long)]
    inquire: bool,
    /// What the provider has called it: the question about an accepted call is asked by it.
    #[arg(long, requires = "inquire")]
    reference: Option<String>,
    /// A file with a reply, or - for standard input.
    #[arg(long, conflicts_with = "send")]
    reply: Option<PathBuf>,
    /// The status of the reply, where the file has a body alone.
    #[arg(long, default_value_t = 200, requires = "reply")]
    status: u16,
    /// A header of the reply, as `name: value`; a body alone is JSON when nothing else is said.
    #[arg(long, requires = "reply")]
    header: Vec<String>,
    /// Send it, and understand the provider's own reply.
    #[arg(long)]
    send: bool,
    #[command(flatten)]
    values: Values,
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Verdict> {
    let definition = match given::connector(&args.file)? {
        Ok(definition) => definition,
        Err(problems) => return Ok(given::told(&problems, &args.file, args.json)),
    };
    if !definition.operations.contains_key(args.operation.as_str()) {
        let known: Vec<&str> = definition.operations.keys().map(|name| name.as_str()).collect();
        bail!("there is no operation `{}`: the connector has {}", args.operation, known.join(", "));
    }
    let (config, made_up) = given::config(&args.values, &definition, !args.send)?;
    let connector = HttpConnector::new(Arc::clone(&definition), &config)?;
    let invocation = invocation(args, &definition)?;
    let preview = match connector.preview(&invocation, args.inquire) {
        Ok(preview) => preview,
        Err(why) => {
            show::refused(&why, args.json);
            return Ok(Verdict::No);
        }
    };
    let told = match &args.reply {
        Some(file) => {
            let reply = saved::reply(file, args.status, &args.header)?;
            let unproved = made_up.spoils_answers(&definition);
            if unproved {
                output::err("whether the reply is the provider's was not looked at: what tells is made up\n");
            }
            let trial = Trial { inquiry: args.inquire, unproved };
            let told = connector.understand(&invocation, trial, reply.status, &reply.headers, &reply.body);
            Some(told.map_err(|why| anyhow!(why))?)
        }
        None if args.send && args.inquire => Some(connector.inquire(&invocation).await.into()),
        None if args.send => Some(connector.invoke(&invocation).await.into()),
        None => None,
    };
    if args.json {
        output::json(&json!({ "request": preview, "understood": told }));
    } else {
        show::request(&preview);
        told.iter().for_each(show::understood);
    }
    Ok(Verdict::Yes)
}

fn invocation(args: &Args, definition: &Connector) -> anyhow::Result<Invocation> {
    let with = json_argument(&args.with).context("--with")?;
    if !with.is_object() {
        bail!("--with is a JSON object");
    }
    // What is really sent must not be taken for what was sent the last time.
    let made_up = if args.send { SystemClock.order_id().to_string() } else { ORDER.to_owned() };
    let order = json!({
        "id": made_up,
        "workflow": "example",
        "version": "0000000000000000",
        "state": "example",
        "created_at": SystemClock.now().to_string(),
        "amount": with.get("amount").cloned().unwrap_or(Value::Null),
        "currency": with.get("currency").cloned().unwrap_or(Value::Null),
    });
    let order = match &args.order {
        Some(text) => json_argument(text).context("--order")?,
        None => order,
    };
    let id = order["id"].as_str().unwrap_or(&made_up).parse().context("--order: id")?;
    let timeout = Duration::from_secs(30);
    debug_assert!(matches!(definition.kind, ConnectorKind::Http(_)), "a file is never a built-in connector");
    Ok(Invocation {
        order: id,
        connector: definition.name.clone(),
        operation: args.operation.as_str().into(),
        version: definition.version.clone(),
        key: args.key.clone().unwrap_or_else(|| format!("{id}-1-1")),
        attempt: Attempt(args.attempt),
        hidden: crate::connector::Hidden::None,
        with: Arc::new(with),
        context: Arc::new(order),
        timeout,
        sent_at: SystemClock.now(),
        reference: args.reference.clone(),
    })
}
