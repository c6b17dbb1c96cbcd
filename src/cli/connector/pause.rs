use crate::api::wire::{ConnectorItem, ConnectorList, PauseBody, ResumeBody};
use crate::cli::client::{Client, Connection};
use crate::cli::{Verdict, output, retry};

/// List the providers that workflows call, with what is under way at them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate connector list")]
pub(super) struct ListArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Send a provider nothing new: calls to it wait, and use up no try.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  paystate connector pause gateway --drain --note 'they change their certificates at four'"
)]
pub(super) struct PauseArgs {
    /// The connector's name.
    name: String,
    /// Go on asking about calls that may have happened, so that nothing is left in doubt.
    #[arg(long)]
    drain: bool,
    #[command(flatten)]
    who: Who,
}

/// Let a provider that was paused go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate connector resume gateway")]
pub(super) struct ResumeArgs {
    /// The connector's name.
    name: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, clap::Args)]
struct Who {
    /// Who answers for it; your login name ($USER) when it is not given.
    #[arg(long, env = "PAYSTATE_BY", value_name = "NAME")]
    by: Option<String>,
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn list(args: &ListArgs) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.connection)?;
    let value = client.get("v1/connectors", &[("in_doubt", "true".to_owned())]).await?;
    if args.connection.json {
        value["connectors"].as_array().into_iter().flatten().for_each(output::json);
        return Ok(Verdict::Yes);
    }
    let list: ConnectorList = client.read(value)?;
    if list.connectors.is_empty() {
        output::out("no workflow calls a provider\n");
        return Ok(Verdict::Yes);
    }
    let rows: Vec<output::Row> = list.connectors.iter().map(row).collect();
    output::out(&output::table(&["connector", "breaker", "under way", "waiting", "in doubt"], &[2, 3, 4], &rows));
    Ok(Verdict::Yes)
}

pub(super) async fn pause(args: PauseArgs) -> anyhow::Result<Verdict> {
    let PauseArgs { name, drain, who: Who { by, note, connection } } = args;
    let body = PauseBody { by: retry::name(by)?, note, drain };
    let client = Client::new(&connection)?;
    tell(&client, &connection, client.post(&format!("v1/connectors/{name}/pause"), &[], None, &body).await?)
}

pub(super) async fn resume(args: ResumeArgs) -> anyhow::Result<Verdict> {
    let ResumeArgs { name, who: Who { by, note, connection } } = args;
    let body = ResumeBody { by: retry::name(by)?, note };
    let client = Client::new(&connection)?;
    tell(&client, &connection, client.post(&format!("v1/connectors/{name}/resume"), &[], None, &body).await?)
}

fn tell(client: &Client, connection: &Connection, value: crate::types::Value) -> anyhow::Result<Verdict> {
    if connection.json {
        output::json(&value);
        return Ok(Verdict::Yes);
    }
    let item: ConnectorItem = client.read(value)?;
    let (name, doubt) = (output::line(&item.name), doubt(&item));
    let now = format!("{} under way, {doubt} in doubt, {} waiting", item.under_way, item.waiting);
    let said = match &item.paused {
        None => format!("{name} goes on\n"),
        Some(pause) if pause.drain => {
            format!(
                "{name} is being drained: {now}\n`paystate connector list` tells when nothing is in doubt any more\n"
            )
        }
        Some(_) => format!("{name} is paused: {now}\nCalls to it wait for `paystate connector resume {name}`\n"),
    };
    output::out(&said);
    Ok(Verdict::Yes)
}

fn row(item: &ConnectorItem) -> output::Row {
    let breaker = item.breaker.clone().unwrap_or_else(|| "-".to_owned());
    let cells = vec![item.name.clone(), breaker, item.under_way.to_string(), item.waiting.to_string(), doubt(item)];
    let below = item.paused.as_ref().map_or_else(String::new, |pause| {
        let how = if pause.drain { "drained" } else { "paused" };
        let note = if pause.note.is_empty() { String::new() } else { format!(": {}", pause.note) };
        format!("{how} by {} since {}{note}", pause.by, output::minute(pause.since))
    });
    output::Row { cells, below }
}

fn doubt(item: &ConnectorItem) -> String {
    format!("{}{}", item.in_doubt.unwrap_or_default(), if item.in_doubt_more { "+" } else { "" })
}
