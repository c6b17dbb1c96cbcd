//! The six-step order as a duroxide orchestration on a SQLite file, driven by clients in the same process.
//!
//! `peer-duroxide DATABASE CLIENTS WARMUP_SECONDS SECONDS [POLL_MS ORCHESTRATORS WORKERS]` prints one line of JSON. Without
//! the last three, duroxide's own defaults hold.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use duroxide::providers::sqlite::SqliteProvider;
use duroxide::runtime::registry::ActivityRegistry;
use duroxide::runtime::{Runtime, RuntimeOptions};
use duroxide::{ActivityContext, Client, OrchestrationContext, OrchestrationRegistry, OrchestrationStatus};
use serde_json::{Value, json};
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [database, clients, warmup, seconds, tuning @ ..] = args.as_slice() else {
        return Err(
            "usage: peer-duroxide DATABASE CLIENTS WARMUP_SECONDS SECONDS [POLL_MS ORCHESTRATORS WORKERS]".into()
        );
    };
    let store = Arc::new(SqliteProvider::new(&format!("sqlite:{database}?mode=rwc"), None).await?);
    let activities = ActivityRegistry::builder()
        .register("step", |_: ActivityContext, step: String| async move { Ok(answer(&step)) })
        .build();
    let orchestrations = OrchestrationRegistry::builder().register("six_steps", six_steps).build();
    let runtime =
        Runtime::start_with_options(Arc::clone(&store) as _, activities, orchestrations, options(tuning)?).await;

    let begun = Instant::now();
    let window_from = Duration::from_secs(warmup.parse()?);
    let window_to = window_from + Duration::from_secs(seconds.parse()?);
    let mut tasks = JoinSet::new();
    for number in 0..clients.parse::<u32>()? {
        let client = Client::new(Arc::clone(&store) as _);
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            let mut order = 0_u64;
            while begun.elapsed() < window_to {
                let sent = Instant::now();
                place(&client, format!("order-{number}-{order}")).await?;
                order += 1;
                if begun.elapsed() >= window_from {
                    latencies.push(sent.elapsed());
                }
            }
            Ok::<_, Failure>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(task) = tasks.join_next().await {
        latencies.extend(task??);
    }
    // What was under way at the end of the window was waited for, and counts with the time that it took.
    let elapsed = begun.elapsed().saturating_sub(window_from);
    latencies.sort_unstable();
    println!("{}", figures(&latencies, elapsed));
    runtime.shutdown(Some(1_000)).await;
    Ok(())
}

async fn six_steps(ctx: OrchestrationContext, _input: String) -> Result<String, String> {
    for name in ["one", "two", "three", "four", "five", "six"] {
        let step = ctx.schedule_activity("step", name).await?;
        let step: Value = serde_json::from_str(&step).map_err(|error| error.to_string())?;
        if step["status"] != "approved" {
            return Err("a step was not approved".to_owned());
        }
    }
    Ok(json!({ "status": "succeeded" }).to_string())
}

async fn place(client: &Client, id: String) -> Result<(), Failure> {
    client.start_orchestration(id.clone(), "six_steps", json!({ "amount": 1000 }).to_string()).await?;
    match client.wait_for_orchestration(&id, Duration::from_secs(120)).await {
        Ok(OrchestrationStatus::Completed { .. }) => Ok(()),
        other => Err(format!("{id} ended as {other:?}").into()),
    }
}

/// About a hundred bytes, as much as a step of `paystate bench` brings.
fn answer(step: &str) -> String {
    let id = format!("01890a5d-ac96-774b-bcce-b302099a8057-{step}-1");
    json!({ "id": id, "status": "approved", "at": "2026-01-01T00:00:00Z" }).to_string()
}

fn options(tuning: &[String]) -> Result<RuntimeOptions, Failure> {
    match tuning {
        [] => Ok(RuntimeOptions::default()),
        [poll, orchestrators, workers] => Ok(RuntimeOptions {
            dispatcher_min_poll_interval: Duration::from_millis(poll.parse()?),
            orchestration_concurrency: orchestrators.parse()?,
            worker_concurrency: workers.parse()?,
            ..RuntimeOptions::default()
        }),
        _ => Err("the tuning is three numbers".into()),
    }
}

fn figures(sorted: &[Duration], elapsed: Duration) -> Value {
    let percentile = |percent: usize| {
        let last = sorted.len().checked_sub(1)?;
        Some(sorted[(sorted.len() * percent / 100).min(last)].as_secs_f64() * 1_000.0)
    };
    json!({ "orders": sorted.len(), "seconds": elapsed.as_secs_f64(), "p50_ms": percentile(50), "p99_ms": percentile(99) })
}
