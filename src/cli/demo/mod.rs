//! `paystate demo`: everything at once, on one machine, in one command.

mod books;
mod customer;
mod table;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;

use super::boot::{Boot, Node};
use super::config::Config;
use super::serve::{listen_on, options, serve, stop_signal};
use super::{Verdict, output};
use crate::api::wire::Order;
use crate::executor::{Executor, Submission};
use crate::machine::{Snapshot, Status};
use crate::sandbox::{METHODS, Sandbox};
use crate::types::{OrderId, Value};
use table::Table;

/// How long an order of the demo may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// CNY 128.00: the last three digits of an amount are what the sandbox's faults listen to, and 800 is none of them.
const AMOUNT: i64 = 12_800;

/// Starts the sandbox and the daemon, drives one order for each method, and shows them move.
///
/// Stays up with the shop and the dashboard until it is stopped.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  paystate demo --exit --json\n\nExit codes: 0 every order ended as it should, by the bank's books too; 1 one did not; 2 could not run."
)]
pub(super) struct Args {
    /// End when every order has ended.
    #[arg(long)]
    exit: bool,
    /// Print one JSON object for each order, and no table.
    #[arg(long)]
    json: bool,
    /// The folder of workflows.
    #[arg(long, default_value = "workflows")]
    workflows: PathBuf,
    /// Keep the data here instead of in a folder that is removed at the end.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Address and port of the API; a free port when this one is taken.
    #[arg(long, default_value = "127.0.0.1:7878")]
    listen: String,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let scratch = Scratch::new(args.data.clone())?;
    let listener = listen_on(&args.listen).or_else(|_| listen_on("127.0.0.1:0"))?;
    let boot = Boot {
        data: scratch.path.clone(),
        workflows: args.workflows.clone(),
        config: Config::default(),
        sandbox: true,
        believe_clock: false,
    };
    let node = boot.start().await?;
    let server = serve(&node, listener, options())?;
    let api = format!("http://{}", server.address());
    let outcome = drive(&node, &args, &api).await;
    if outcome.is_ok() && !args.exit {
        say_where(&node, &api, args.json);
        stop_signal().await;
    }
    server.stop().await.context("the HTTP server did not stop in order")?;
    node.stop().await?;
    Ok(if outcome? { Verdict::Yes } else { Verdict::No })
}

/// Drives an order of every method; true when each ended as it should.
async fn drive(node: &Node, args: &Args, api: &str) -> anyhow::Result<bool> {
    let sandbox = node.sandbox.as_ref().context("the demo has a sandbox")?;
    let executor = &node.executor;
    if !args.json {
        say_where(node, api, false);
    }
    let customer = tokio::spawn(customer::run(executor.clone(), sandbox.customer()));
    let mut table = Table::new(!args.json);
    let mut orders = Vec::new();
    for method in METHODS {
        let input = sandbox.sample(method, AMOUNT, "CNY").await.with_context(|| format!("a sample for {method}"))?;
        orders.push(submit(executor, method, input).await?);
    }
    watch(executor, &orders, &mut table).await?;
    // A refund is an order of its own, and gives back part of what the bank card paid.
    let Some(&paid) = orders.first() else { bail!("there is no method to try") };
    let input = json!({ "payment": paid.to_string(), "amount": 2_800, "currency": "CNY", "reason": "a demonstration" });
    orders.push(submit(executor, "refund", input).await?);
    watch(executor, &orders, &mut table).await?;
    customer.abort();
    report(executor, sandbox, &orders, args.json, &table).await
}

async fn submit(executor: &Executor, method: &str, input: Value) -> anyhow::Result<OrderId> {
    let submission = Submission { workflow: method.into(), input, key: None, child: None };
    let submitted = executor.submit(submission).await.with_context(|| format!("the order for {method}"))?;
    Ok(submitted.snapshot.id)
}

/// Shows the orders until each has ended or needs a person.
async fn watch(executor: &Executor, orders: &[OrderId], table: &mut Table) -> anyhow::Result<()> {
    let until = crate::executor::instant() + PATIENCE;
    loop {
        let snapshots = all(executor, orders).await?;
        table.show(executor, &snapshots);
        if snapshots.iter().all(|order| is_over(order)) || crate::executor::instant() > until {
            return Ok(());
        }
        crate::executor::pause(Duration::from_millis(100)).await;
    }
}

fn is_over(order: &Snapshot) -> bool {
    match order.status {
        Status::Succeeded | Status::Failed => !order.is_open(),
        Status::Incident => true,
        Status::Running | Status::Waiting => false,
    }
}

async fn all(executor: &Executor, orders: &[OrderId]) -> anyhow::Result<Vec<Arc<Snapshot>>> {
    let mut snapshots = Vec::with_capacity(orders.len());
    for &id in orders {
        snapshots.push(executor.order(id).await?.context("an order is gone")?);
    }
    Ok(snapshots)
}

/// Holds what Paystate believes against what the bank has in its books.
async fn report(
    executor: &Executor,
    sandbox: &Sandbox,
    orders: &[OrderId],
    json: bool,
    table: &Table,
) -> anyhow::Result<bool> {
    let mut good = true;
    let orders = all(executor, orders).await?;
    for order in &orders {
        let oracle = sandbox.oracle(&order.id.to_string());
        let wrong = books::disagreement(order, &oracle, books::refunds_of(order, &orders));
        if json {
            let workflow = executor.catalog().version(&order.version).context("an order's version is gone")?;
            let mut line = serde_json::to_value(Order::of(order, Some(&workflow)))?;
            if let Value::Object(fields) = &mut line {
                fields.insert("bank".to_owned(), oracle);
                fields.insert("agrees".to_owned(), json!(wrong.is_none()));
            }
            output::json(&line);
        }
        if let Some(wrong) = wrong {
            good = false;
            output::err(&format!("{} {}: {wrong}\n", order.workflow, order.id));
        }
    }
    if !json {
        table.conclude(good);
    }
    Ok(good)
}

fn say_where(node: &Node, api: &str, quiet: bool) {
    if let (Some(sandbox), false) = (&node.sandbox, quiet) {
        output::out(&format!("dashboard  {api}\n"));
        output::out(&format!("shop       {}  (accept its certificate: it is its own)\n\n", sandbox.shop_url()));
    }
}

/// A folder that is removed at the end, unless it was asked for by name.
struct Scratch {
    path: PathBuf,
    remove: bool,
}

impl Scratch {
    fn new(named: Option<PathBuf>) -> anyhow::Result<Self> {
        let remove = named.is_none();
        let path = named.unwrap_or_else(|| std::env::temp_dir().join(format!("paystate-demo-{}", std::process::id())));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, remove })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.remove {
            // What cannot be removed is left to the system's cleaning of temporary files.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
