use anyhow::Context;

use super::Verdict;
use super::client::{Client, Connection};
use super::{output, show};
use crate::api::wire::{IncidentPage, RetryBody};

/// Take the call of an incident up again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  paystate retry ORDER --by kim --note 'the bank is back'\n  paystate retry --call notify.merchant --by kim --note 'the shop is back'"
)]
pub(super) struct Args {
    /// The order's id.
    #[arg(required_unless_present = "call")]
    order: Option<String>,
    /// Instead of one order: every incident about this call, such as notify.merchant, or about a connector, such as notify.
    #[arg(long, value_name = "CALL", conflicts_with = "order")]
    call: Option<String>,
    /// Who answers for it; your login name ($USER) when it is not given.
    #[arg(long, env = "PAYSTATE_BY", value_name = "NAME")]
    by: Option<String>,
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.connection)?;
    let body = RetryBody { by: name(args.by)?, note: args.note, id: None };
    let Some(order) = args.order else {
        return every(&client, &args.call.unwrap_or_default(), &body, args.connection.json).await;
    };
    let value = client.post(&format!("v1/orders/{order}/retry"), &[], None, &body).await?;
    if args.connection.json {
        output::json(&value);
    } else {
        show::print(&client.read(value)?);
    }
    Ok(Verdict::Yes)
}

/// Every incident about a call, such as the notifications that a receiver has missed. One that cannot be retried is told, and
/// the others go on.
async fn every(client: &Client, call: &str, body: &RetryBody, json: bool) -> anyhow::Result<Verdict> {
    let (mut after, mut retried, mut refused) = (None, 0_u64, 0_u64);
    loop {
        let mut query = vec![("limit", "500".to_owned()), ("call", call.to_owned())];
        query.extend(after.map(|after: crate::types::OrderId| ("after", after.to_string())));
        let page: IncidentPage = client.read(client.get("v1/incidents", &query).await?)?;
        for incident in &page.incidents {
            match client.post(&format!("v1/orders/{}/retry", incident.id), &[], None, body).await {
                Ok(_) => retried += 1,
                Err(error) if error.is_no() => {
                    refused += 1;
                    output::err(&format!("{}: {error}\n", incident.id));
                }
                Err(error) => return Err(error.into()),
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        output::json(&serde_json::json!({ "retried": retried, "refused": refused }));
    } else {
        output::out(&format!("{retried} taken up again, {refused} refused\n"));
    }
    Ok(if refused == 0 { Verdict::Yes } else { Verdict::No })
}

/// Who asks: what was given, or the login name.
pub(super) fn name(given: Option<String>) -> anyhow::Result<String> {
    let login = ["USER", "LOGNAME"].iter().filter_map(|name| std::env::var(name).ok());
    let mut names = given.into_iter().chain(login).filter(|name| !name.trim().is_empty());
    // The journal keeps who asked, so a made-up name is worse than none.
    names.next().context("say who you are with --by NAME: the login name is not known here ($USER is not set)")
}
