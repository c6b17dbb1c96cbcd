use super::Verdict;
use super::client::{Client, Connection};
use super::output;
use crate::api::wire::{Order, OrderPage, Status};
use crate::types::{OrderId, Value};

const PAGE: usize = 200;

/// List orders, newest first.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  paystate list --status incident\n  paystate list --workflow bank_card --limit 100 --json"
)]
pub(super) struct Args {
    /// Only orders of this workflow.
    #[arg(long)]
    workflow: Option<String>,
    /// Only orders in this state.
    #[arg(long)]
    state: Option<String>,
    /// Only orders of this status.
    #[arg(long, value_parser = Status::NAMES)]
    status: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only orders older than this one.
    #[arg(long, value_name = "ORDER")]
    after: Option<OrderId>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.connection)?;
    let mut query: Vec<(&str, String)> = Vec::new();
    for (name, value) in [("workflow", &args.workflow), ("state", &args.state), ("status", &args.status)] {
        query.extend(value.clone().map(|value| (name, value)));
    }
    let (mut after, mut left, mut rows) = (args.after, args.limit as usize, Vec::new());
    while left > 0 {
        let mut query = query.clone();
        query.push(("limit", left.min(PAGE).to_string()));
        query.extend(after.map(|after| ("after", after.to_string())));
        let value = client.get("v1/orders", &query).await?;
        if args.connection.json {
            value["orders"].as_array().into_iter().flatten().for_each(output::json);
        }
        let page: OrderPage = client.read::<OrderPage>(Value::clone(&value))?;
        left = left.saturating_sub(page.orders.len().max(1));
        rows.extend(page.orders.iter().map(row));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if !args.connection.json {
        print(&rows, after);
    }
    Ok(Verdict::Yes)
}

fn print(rows: &[output::Row], after: Option<OrderId>) {
    if rows.is_empty() {
        output::out("no orders\n");
        return;
    }
    output::out(&output::table(&["order", "status", "amount", "changed"], &[2], rows));
    if let Some(after) = after {
        output::err(&format!("there are more: --after {after}\n"));
    }
}

fn row(order: &Order) -> output::Row {
    let amount = order.amount.as_ref().map(|amount| output::line(&amount.text)).unwrap_or_default();
    output::Row {
        cells: vec![order.id.to_string(), order.status.name().to_owned(), amount, output::minute(order.updated_at)],
        below: format!("{}: {}", order.workflow, order.state),
    }
}
