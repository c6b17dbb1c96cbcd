use super::Verdict;
use super::client::{Client, Connection};
use super::retry::name;
use super::{output, show};
use crate::api::wire::CancelBody;

/// Ask for an order to be undone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate cancel ORDER --by kim --note 'the customer called'\n\n\
    It waits until every outcome is known; what was done is undone as far as the workflow says.")]
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
    let body = CancelBody { by: name(args.by)?, note: args.note, id: None };
    let value = client.post(&format!("v1/orders/{}/cancel", args.order), &[], None, &body).await?;
    if args.connection.json {
        output::json(&value);
    } else {
        show::print(&client.read(value)?);
    }
    Ok(Verdict::Yes)
}
