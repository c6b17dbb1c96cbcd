use super::Verdict;
use super::client::{Client, Connection};
use super::retry::name;
use super::{output, show};
use crate::api::wire::{CancelBody, JournalPage, Order};
use crate::executor::random_id;
use crate::types::Value;

/// Ask for an order to be undone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate cancel ORDER --by kim --note 'the customer called'\n\n\
    It waits until every outcome is known; what was done is undone as far as the workflow says.\n\
    An order that cannot be cancelled any more goes on, and this ends with exit code 1.")]
pub(super) struct Args {
    /// The order's id.
    order: String,
    /// Who wants it; your login name ($USER) when it is not given.
    #[arg(long, env = "PAYSTATE_BY", value_name = "NAME")]
    by: Option<String>,
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.connection)?;
    let id = random_id();
    let body = CancelBody { by: name(args.by)?, note: args.note, id: Some(id.clone()) };
    let value = client.post(&format!("v1/orders/{}/cancel", args.order), &[], None, &body).await?;
    let order: Order = client.read(value.clone())?;
    if args.connection.json {
        output::json(&value);
    } else {
        show::print(&order);
    }
    if !is_refused(&client, &order, &id).await? {
        return Ok(Verdict::Yes);
    }
    if !args.connection.json {
        let title = order.state_title.as_ref().map_or_else(String::new, |title| format!(" ({title})"));
        let refusal = format!("refused: the order cannot be cancelled in `{}`{title}; it goes on", order.state);
        output::err(&format!("{}\n", output::line(&refusal)));
    }
    Ok(Verdict::No)
}

/// How many entries may have come between the cancel and the answer to it.
const RECENT: u64 = 20;

/// Whether the workflow says no: it keeps `cancel_refused`, and the request moves the order nowhere. What it kept of an earlier
/// request is no answer to this one.
async fn is_refused(client: &Client, order: &Order, id: &str) -> anyhow::Result<bool> {
    let waits = order.inbox.iter().any(|early| early.id == id);
    if order.data.get("cancel_refused") != Some(&Value::Bool(true)) || waits {
        return Ok(false);
    }
    let query = [("after", order.seq.saturating_sub(RECENT).to_string()), ("limit", RECENT.to_string())];
    let page: JournalPage = client.read(client.get(&format!("v1/orders/{}/journal", order.id), &query).await?)?;
    let ours = page.entries.iter().find(|entry| entry.event.get("id").and_then(Value::as_str) == Some(id));
    Ok(ours.is_some_and(|entry| entry.from.as_ref() == Some(&entry.to)))
}
