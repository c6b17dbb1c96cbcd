use anyhow::Context;

use super::Verdict;
use super::client::{Client, Connection};
use super::submit::json_argument;
use super::{output, show};
use crate::api::wire::{Delivery, EventBody};
use crate::executor::random_id;
use crate::types::Value;

/// Give an order an event.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate send ORDER customer.confirmed --payload '{\"code\": \"ok\"}' --id sms-77")]
pub(super) struct Args {
    /// The order's id.
    order: String,
    /// The event, as the workflow names it.
    event: String,
    /// What comes with it: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON|@FILE")]
    payload: Option<String>,
    /// The event's id: the same id is applied once. A random one unless told.
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let payload = args.payload.as_deref().map(json_argument).transpose().context("--payload")?;
    let client = Client::new(&args.connection)?;
    let id = args.id.unwrap_or_else(random_id);
    let body = EventBody { event: args.event, payload: payload.unwrap_or(Value::Null), id: Some(id.clone()) };
    let sent = client.post(&format!("v1/orders/{}/events", args.order), &[], None, &body).await;
    let value = sent.map_err(|error| match error.is_unknown() {
        true => anyhow::Error::new(error).context(format!("the event may have been applied: repeat with --id {id}")),
        false => anyhow::Error::new(error),
    })?;
    if args.connection.json {
        output::json(&value);
        return Ok(Verdict::Yes);
    }
    let Delivery { result, order } = client.read(value)?;
    let meaning = match result.as_str() {
        "waiting" => "it came early, and waits for the state that handles it",
        "duplicate" => "an event of this id was applied before; nothing happened",
        "ignored" => "nobody is interested in it",
        _ => "applied",
    };
    output::out(&format!("{meaning}\n\n"));
    show::print(&order);
    Ok(Verdict::Yes)
}
