use anyhow::Context;

use super::Verdict;
use super::client::{Client, Connection};
use super::{output, show};
use crate::api::wire::RetryBody;

/// Take the call of an incident up again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate retry ORDER --by kim --note 'the bank is back'")]
pub(super) struct Args {
    /// The order's id.
    order: String,
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
    let value = client.post(&format!("v1/orders/{}/retry", args.order), &[], None, &body).await?;
    if args.connection.json {
        output::json(&value);
    } else {
        show::print(&client.read(value)?);
    }
    Ok(Verdict::Yes)
}

/// Who asks: what was given, or the login name.
pub(super) fn name(given: Option<String>) -> anyhow::Result<String> {
    let login = ["USER", "LOGNAME"].iter().filter_map(|name| std::env::var(name).ok());
    let mut names = given.into_iter().chain(login).filter(|name| !name.trim().is_empty());
    // The journal keeps who asked, so a made-up name is worse than none.
    names.next().context("say who you are with --by NAME: the login name is not known here ($USER is not set)")
}
