use super::Verdict;
use super::client::{Client, Connection};
use super::output;
use super::retry::name;
use crate::api::wire::{NoticeList, RedeliverBody, Redelivered};

/// List what an order has told others, or send one of it again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  paystate notifications ORDER\n  paystate notifications ORDER --redeliver 4 --by kim\n\n\
    What was given up is an incident: `paystate incidents --call notify` lists them, and\n\
    `paystate retry --call notify` takes them all up again."
)]
pub(super) struct Args {
    /// The order's id.
    order: String,
    /// Send the notification of this number once more, with the same id.
    #[arg(long, value_name = "NUMBER")]
    redeliver: Option<u32>,
    /// Who answers for it; your login name ($USER) when it is not given.
    #[arg(long, env = "PAYSTATE_BY", value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.connection)?;
    match args.redeliver {
        Some(call) => {
            again(&client, &args.order, call, &RedeliverBody { by: name(args.by)? }, args.connection.json).await
        }
        None => list(&client, &args.order, args.connection.json).await,
    }
}

async fn list(client: &Client, order: &str, json: bool) -> anyhow::Result<Verdict> {
    let value = client.get(&format!("v1/orders/{order}/notifications"), &[]).await?;
    if json {
        value["notifications"].as_array().into_iter().flatten().for_each(output::json);
        return Ok(Verdict::Yes);
    }
    let list: NoticeList = client.read(value)?;
    if list.notifications.is_empty() {
        output::out("it has told nobody anything\n");
        return Ok(Verdict::Yes);
    }
    let rows: Vec<output::Row> = list
        .notifications
        .iter()
        .map(|notice| output::Row {
            cells: vec![
                notice.id.to_string(),
                notice.call.clone(),
                notice.status.replace('_', " "),
                notice.attempts.to_string(),
                output::minute(notice.acknowledged_at.unwrap_or(notice.first_sent_at)),
            ],
            below: String::new(),
        })
        .collect();
    output::out(&output::table(&["no.", "notification", "status", "tries", "at"], &[0, 3], &rows));
    Ok(Verdict::Yes)
}

async fn again(client: &Client, order: &str, call: u32, body: &RedeliverBody, json: bool) -> anyhow::Result<Verdict> {
    let path = format!("v1/orders/{order}/notifications/{call}/redeliver");
    let value = client.post(&path, &[], None, body).await?;
    let told: Redelivered = client.read(value.clone())?;
    if json {
        output::json(&value);
    } else {
        output::out(&format!("{}: {}\n", output::line(&told.notification.call), output::line(&told.outcome)));
    }
    Ok(if told.outcome == "ok" { Verdict::Yes } else { Verdict::No })
}
