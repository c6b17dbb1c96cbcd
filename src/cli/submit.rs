use std::io::Read as _;
use std::time::Duration;

use anyhow::Context;

use super::Verdict;
use super::client::{Client, Connection};
use super::{output, show};
use crate::api::wire::{Order, Status, SubmitBody};
use crate::executor::{instant, pause, random_id};
use crate::types::{Value, format_duration, parse_duration};

/// The longest that one request waits at the server.
const WAIT_ONCE: Duration = Duration::from_secs(50);
const INPUT_MAX: u64 = 1 << 20;

/// Submit an order.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  paystate submit bank_card --input @order.json --key order-4711 --wait\n  \
    paystate submit bank_card --input '{\"amount\": 1200, \"currency\": \"CNY\"}'\n\n\
    With --wait the exit code is 0 when the order succeeded, and 1 when it failed, needs a person, or has not ended.")]
pub(super) struct Args {
    /// The workflow to run.
    workflow: String,
    /// The order's input: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON|@FILE")]
    input: String,
    /// The Idempotency-Key: the same key and input are the same order. Made up when it is not given.
    #[arg(long)]
    key: Option<String>,
    /// Wait until the order has ended, at most this long.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "60s",
        value_parser = duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let input = json_argument(&args.input).context("--input")?;
    let client = Client::new(&args.connection)?;
    let begun = instant();
    let mut query = Vec::new();
    if let Some(wait) = args.wait {
        query.push(("wait", format_duration(wait.min(WAIT_ONCE))));
    }
    let key = args.key.unwrap_or_else(random_id);
    let body = SubmitBody { workflow: args.workflow, input };
    let submitted = client.post("v1/orders", &query, Some(&key), &body).await;
    let mut value = submitted.map_err(|error| match error.is_unknown() {
        // Without an answer nobody knows whether there is an order; the key makes asking again safe.
        true => anyhow::Error::new(error).context(format!("the order may exist: repeat with --key {key}")),
        false => anyhow::Error::new(error),
    })?;
    let mut order: Order = client.read(value.clone())?;
    while args.wait.is_some_and(|wait| begun.elapsed() < wait) && is_open(order.status) {
        pause(Duration::from_millis(500)).await;
        let asked = client.get(&format!("v1/orders/{}", order.id), &[]).await;
        value = asked.with_context(|| format!("order {} is accepted and goes on when the daemon does", order.id))?;
        order = client.read(value.clone())?;
    }
    if args.connection.json {
        output::json(&value);
    } else {
        show::print(&order);
    }
    let good = args.wait.is_none() || order.status == Status::Succeeded;
    if args.wait.is_some() && is_open(order.status) && !args.connection.json {
        output::err("the order has not ended; it goes on\n");
    }
    Ok(if good { Verdict::Yes } else { Verdict::No })
}

fn is_open(status: Status) -> bool {
    matches!(status, Status::Running | Status::Waiting)
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// JSON written out, in a file, or on standard input.
pub(super) fn json_argument(argument: &str) -> anyhow::Result<Value> {
    let mut text = String::new();
    if argument == "-" {
        std::io::stdin().take(INPUT_MAX).read_to_string(&mut text).context("cannot read standard input")?;
    } else if let Some(path) = argument.strip_prefix('@') {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {path}"))?;
        file.take(INPUT_MAX).read_to_string(&mut text).with_context(|| format!("cannot read {path}"))?;
    } else {
        text.push_str(argument);
    }
    serde_json::from_str(&text).context("not JSON (write JSON, @FILE, or - for standard input)")
}
