//! `paystate bench`: six-step orders through the real executor, journal and working store.

mod figures;
mod limit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;
use serde_json::json;

use super::serve::{listen_on, stop_signal};
use super::{Verdict, output};
use crate::api::{Server, ServerOptions};
use crate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use crate::definition::{self, Sources};
use crate::executor::{Clock, Executor, Options, Refold, SteadyClock, Submission, SystemClock};
use crate::machine::{Outcome, Status};
use crate::store::{SledOptions, SledStore, Store};
use crate::types::{ConnectorName, WorkflowName};
use figures::Figures;

/// Drives six-step orders through the real executor, journal and store, with connectors that answer at once.
///
/// Prints orders and durable steps a second, latencies, commits, bytes, memory, and beside them what a bare log with group
/// commit does with the same bytes, as many clients and the same disk in the same run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  paystate bench --orders 50000 --concurrency 1024\n  \
    paystate bench --listen 127.0.0.1:7979   # and then a load generator of your choice")]
pub(super) struct Args {
    /// How many orders to drive.
    #[arg(long, default_value_t = 20_000)]
    orders: u64,
    /// How many orders are under way at once.
    #[arg(long, default_value_t = 256)]
    concurrency: u64,
    /// Where to write; a folder below it is made and removed. The disk of this folder is what is measured.
    #[arg(long, default_value = ".")]
    data: PathBuf,
    /// Drive nothing: serve the bench's workflow over HTTP until stopped, for a load generator. An order is
    /// `POST /v1/orders?wait=30s` with `{"workflow": "six_steps", "input": {"amount": 1000}}`.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["orders", "concurrency", "json"])]
    listen: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    let folder = args.data.join(format!(".paystate-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let ended = match &args.listen {
        Some(address) => serve(address, &folder).await,
        None => measure(&args, &folder).await.map(|figures| print(&figures, args.json)),
    };
    std::fs::remove_dir_all(&folder).ok();
    ended.map(|()| Verdict::Yes)
}

fn print(figures: &Figures, json: bool) {
    if json { output::json(&figures.json()) } else { output::out(&figures.to_string()) }
}

/// Serves the API that a shop would call, on the bench's workflow.
async fn serve(address: &str, folder: &Path) -> anyhow::Result<()> {
    let listener = listen_on(address)?;
    let store = SledStore::open(&folder.join("data"), SledOptions::default(), Arc::new(Refold::default()))?;
    let executor = start(Arc::new(store)).await?;
    let server = Server::start(Arc::new(executor.clone()), listener, ServerOptions::default())?;
    output::out(&format!("six_steps is served on http://{}\n", server.address()));
    stop_signal().await;
    server.stop().await?;
    executor.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}

async fn measure(args: &Args, folder: &Path) -> anyhow::Result<Figures> {
    let store = Arc::new(SledStore::open(&folder.join("data"), SledOptions::default(), Arc::new(Refold::default()))?);
    let executor = start(Arc::<SledStore>::clone(&store)).await?;
    let before = store.stats();
    let begun = Instant::now();
    let latencies = drive(&executor, args.orders, args.concurrency.max(1)).await?;
    let elapsed = begun.elapsed();
    let after = store.stats();
    executor.shutdown(Duration::from_secs(10)).await?;
    let entries = after.records - before.records;
    let bytes = after.bytes - before.bytes;
    let records = entries.div_ceil(args.orders.max(1));
    let record = usize::try_from(bytes / entries.max(1)).unwrap_or(usize::MAX);
    let work = limit::Work { orders: args.orders, concurrency: args.concurrency, records, record };
    let limit = limit::orders_per_second(folder, work).await?;
    Ok(Figures {
        orders: args.orders,
        concurrency: args.concurrency,
        elapsed,
        latencies,
        entries,
        syncs: after.syncs - before.syncs,
        bytes,
        disk_bytes: disk_use(&folder.join("data")),
        limit_orders_per_s: limit,
    })
}

async fn start(store: Arc<dyn Store>) -> anyhow::Result<Executor> {
    let sources = Sources {
        path: "six_steps.yaml".to_owned(),
        workflow: include_str!("six_steps.yaml").to_owned(),
        connectors: BTreeMap::from([("bench".to_owned(), include_str!("bench.connector.yaml").to_owned())]),
        schemas: BTreeMap::new(),
    };
    let workflow = definition::load(sources)
        .map_err(|problems| anyhow::anyhow!("the bench's own workflow is wrong: {problems:?}"))?;
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    connectors.register(ConnectorName::from("bench"), Arc::new(AtOnce));
    let clock = Arc::new(SteadyClock::new());
    Ok(Executor::start(store, clock, connectors, vec![Arc::new(workflow)], Options::default()).await?)
}

/// `concurrency` clients, each of which submits an order, waits for its end, and submits the next.
async fn drive(executor: &Executor, orders: u64, concurrency: u64) -> anyhow::Result<Vec<Duration>> {
    let left = Arc::new(AtomicU64::new(orders));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..concurrency.min(orders) {
        let (executor, left) = (executor.clone(), Arc::clone(&left));
        clients.spawn(async move {
            let mut latencies = Vec::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                latencies.push(one(&executor).await?);
            }
            anyhow::Ok(latencies)
        });
    }
    let mut all = Vec::new();
    while let Some(client) = clients.join_next().await {
        all.extend(client??);
    }
    all.sort_unstable();
    Ok(all)
}

async fn one(executor: &Executor) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let workflow = WorkflowName::from("six_steps");
    let submission = Submission { workflow, input: json!({ "amount": 1000 }), key: None, child: None };
    let order = executor.submit_and_wait(submission, Duration::from_secs(120)).await?;
    anyhow::ensure!(order.status == Status::Succeeded, "order {} ended as {:?}", order.id, order.status);
    Ok(begun.elapsed())
}

/// A provider that says ok before it is asked.
struct AtOnce;

#[async_trait]
impl Connector for AtOnce {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        let id = invocation.key.as_str();
        Outcome::Ok { result: json!({ "id": id, "status": "approved", "at": "2026-01-01T00:00:00Z" }) }
    }

    async fn inquire(&self, _invocation: &Invocation) -> Outcome {
        Outcome::NotFound
    }

    fn is_instant(&self) -> bool {
        true
    }
}

fn disk_use(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk_use(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
