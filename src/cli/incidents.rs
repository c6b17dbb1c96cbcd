use super::Verdict;
use super::client::{Client, Connection};
use super::output;
use crate::api::wire::{IncidentItem, IncidentPage};
use crate::types::{OrderId, Value};

/// List the orders that need a person, with what is at stake.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  paystate incidents\n\nThen `paystate show ORDER`: it ends with what can be done, by `paystate retry` or `paystate resolve`."
)]
pub(super) struct Args {
    /// Only orders of this workflow.
    #[arg(long)]
    workflow: Option<String>,
    /// Only those about this call, such as notify.merchant, or about a connector, such as notify.
    #[arg(long, value_name = "CALL")]
    call: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Only orders older than this one.
    #[arg(long, value_name = "ORDER")]
    after: Option<OrderId>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.connection)?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.workflow.map(|workflow| ("workflow", workflow)));
    query.extend(args.call.map(|call| ("call", call)));
    query.extend(args.after.map(|after| ("after", after.to_string())));
    let value = client.get("v1/incidents", &query).await?;
    if args.connection.json {
        value["incidents"].as_array().into_iter().flatten().for_each(output::json);
        return Ok(Verdict::Yes);
    }
    let page: IncidentPage = client.read::<IncidentPage>(Value::clone(&value))?;
    if page.incidents.is_empty() {
        output::out("no order needs a person\n");
        return Ok(Verdict::Yes);
    }
    let rows: Vec<output::Row> = page.incidents.iter().map(row).collect();
    output::out(&output::table(&["order", "at stake", "since"], &[1], &rows));
    let sums: Vec<String> = page.at_stake.iter().map(|sum| output::line(&sum.text)).collect();
    if !sums.is_empty() {
        let what = if page.next.is_some() { "at stake in these" } else { "at stake in all" };
        output::out(&format!("\n{what}: {}\n", sums.join(", ")));
    }
    if let Some(next) = page.next {
        output::err(&format!("there are more: --after {next}\n"));
    }
    Ok(Verdict::Yes)
}

fn row(incident: &IncidentItem) -> output::Row {
    let call = incident.call.as_ref().map_or_else(String::new, |call| format!(", {call}"));
    let stake = incident.at_stake.as_ref().map(|money| output::line(&money.text)).unwrap_or_default();
    output::Row {
        cells: vec![incident.id.to_string(), stake, output::minute(incident.opened_at)],
        below: format!("{}: {}{call}: {}", incident.workflow, incident.state, incident.reason),
    }
}
