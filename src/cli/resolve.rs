use anyhow::Context;
use serde_json::json;

use super::Verdict;
use super::client::{Client, Connection};
use super::retry::name;
use super::submit::json_argument;
use super::{output, show};
use crate::api::wire::ResolveBody;
use crate::types::Value;

/// End an incident the way you say.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  paystate resolve ORDER --by kim --note 'seen in the bank portal' --ok --result '{\"id\": \"ch_1\"}'\n  \
    paystate resolve ORDER --by kim --note 'the bank has no such payment' --declined\n  \
    paystate resolve ORDER --by kim --note 'paid by hand' --state settled --data '{\"charge\": \"ch_1\"}'\n  \
    paystate resolve ORDER --by kim --note 'the late payment was given back by hand' --dismissed\n\n\
    Ask the provider first: money moves by what you say here."
)]
#[command(group = clap::ArgGroup::new("as").required(true).args(["ok", "declined", "state", "dismissed"]))]
pub(super) struct Args {
    /// The order's id.
    order: String,
    /// The call did succeed.
    #[arg(long)]
    ok: bool,
    /// With --ok: what the call answered, as JSON or @FILE.
    #[arg(long, value_name = "JSON|@FILE", requires = "ok")]
    result: Option<String>,
    /// The call did not happen. Of a reversal: what it should have undone stands, and is asked about once more.
    #[arg(long)]
    declined: bool,
    /// With --declined: the code of the decline.
    #[arg(long, requires = "declined")]
    code: Option<String>,
    /// Go on in this state. It books nothing: money counts as it is booked already.
    #[arg(long)]
    state: Option<String>,
    /// With --state: data to set before the order goes on there, as JSON or @FILE.
    #[arg(long, value_name = "JSON|@FILE", requires = "state")]
    data: Option<String>,
    /// It is dealt with, and the order stays where it is; not for an incident about a call.
    #[arg(long)]
    dismissed: bool,
    /// Who answers for it; your login name ($USER) when it is not given.
    #[arg(long, env = "PAYSTATE_BY", value_name = "NAME")]
    by: Option<String>,
    /// How you know.
    #[arg(long)]
    note: String,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.connection)?;
    let result = args.result.as_deref().map(json_argument).transpose().context("--result")?;
    let data = args.data.as_deref().map(json_argument).transpose().context("--data")?.unwrap_or_else(|| json!({}));
    let data = serde_json::from_value(data).context("--data is a JSON object")?;
    let resolution = match (args.ok, args.declined, args.dismissed) {
        (true, ..) => "ok",
        (_, true, _) => "declined",
        (.., true) => "dismissed",
        _ => "state",
    };
    let body = ResolveBody {
        by: name(args.by)?,
        note: args.note,
        resolution: resolution.to_owned(),
        result: result.unwrap_or(Value::Null),
        code: args.code,
        state: args.state,
        data,
        id: None,
    };
    let value = client.post(&format!("v1/orders/{}/resolve", args.order), &[], None, &body).await?;
    if args.connection.json {
        output::json(&value);
    } else {
        show::print(&client.read(value)?);
    }
    Ok(Verdict::Yes)
}
