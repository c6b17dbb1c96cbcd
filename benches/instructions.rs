//! How many instructions a six-step order takes, counted by valgrind: the same on every run, however busy the machine is,
//! so that a regression shows.
//!
//! `cargo bench --bench instructions` prints one line of JSON; with `-- --check` it fails when a figure is more than 3 %
//! above the one that is kept in `benches/instructions.json`, and with `-- --keep` it keeps the new ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measurement may panic")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use async_trait::async_trait;
use paystate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::{self, Sources};
use paystate::executor::{Clock, Executor, Options, Refold, Submission, SystemClock};
use paystate::machine::{Outcome, Status};
use paystate::store::{MemoryStore, SledOptions, SledStore, Store};
use paystate::types::{ConnectorName, WorkflowName};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Orders of the run that counts; the other one has one, for what a start takes.
const ORDERS: u64 = 1_000;
const CLIENTS: u64 = 32;
const TOLERANCE: f64 = 1.03;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [drive, store, orders] = &arguments[..]
        && drive == "drive"
    {
        self::drive(store, orders.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let counted: BTreeMap<String, u64> =
        ["memory", "journal and sled"].iter().map(|&store| (store.to_owned(), count(store))).collect();
    println!("{}", json!({ "instructions_per_order": counted }));
    let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.json");
    if arguments.iter().any(|argument| argument == "--keep") {
        std::fs::write(&kept, serde_json::to_string_pretty(&counted).unwrap() + "\n").unwrap();
    }
    if arguments.iter().any(|argument| argument == "--check") {
        return check(&counted, &serde_json::from_str(&std::fs::read_to_string(&kept).unwrap()).unwrap());
    }
    ExitCode::SUCCESS
}

fn check(counted: &BTreeMap<String, u64>, kept: &BTreeMap<String, u64>) -> ExitCode {
    let mut good = true;
    for (store, &before) in kept {
        let now = counted.get(store).copied().unwrap_or_default();
        if now as f64 > before as f64 * TOLERANCE {
            println!("{store}: {now} instructions an order, {before} are kept");
            good = false;
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Instructions of one order: those of many, without those of a start.
fn count(store: &str) -> u64 {
    (collected(store, ORDERS + 1) - collected(store, 1)) / ORDERS
}

fn collected(store: &str, orders: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["drive", store, &orders.to_string()])
        .output()
        .expect("valgrind is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let line = said.lines().find_map(|line| line.split_once("Collected : ")).expect("callgrind counts").1;
    line.trim().parse().unwrap()
}

fn drive(store: &str, orders: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = match store {
        "memory" => Arc::new(MemoryStore::default()),
        _ => Arc::new(SledStore::open(folder.path(), SledOptions::default(), Arc::new(Refold::default())).unwrap()),
    };
    runtime.block_on(async {
        let executor = start(store).await;
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..CLIENTS.min(orders) {
            let executor = executor.clone();
            let share = orders / CLIENTS.min(orders) + u64::from(client < orders % CLIENTS.min(orders));
            clients.spawn(async move {
                for _ in 0..share {
                    let workflow = WorkflowName::from("six_steps");
                    let submission = Submission { workflow, input: json!({ "amount": 1000 }), key: None, child: None };
                    let order =
                        executor.submit_and_wait(submission, std::time::Duration::from_secs(600)).await.unwrap();
                    assert_eq!(order.status, Status::Succeeded);
                }
            });
        }
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
        executor.shutdown(std::time::Duration::from_secs(10)).await.unwrap();
    });
}

async fn start(store: Arc<dyn Store>) -> Executor {
    let sources = Sources {
        path: "six_steps.yaml".to_owned(),
        workflow: include_str!("../src/cli/bench/six_steps.yaml").to_owned(),
        connectors: BTreeMap::from([(
            "bench".to_owned(),
            include_str!("../src/cli/bench/bench.connector.yaml").to_owned(),
        )]),
        schemas: BTreeMap::new(),
    };
    let workflow = Arc::new(definition::load(sources).unwrap());
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    connectors.register(ConnectorName::from("bench"), Arc::new(AtOnce));
    Executor::start(store, Arc::new(SystemClock), connectors, vec![workflow], Options::default()).await.unwrap()
}

struct AtOnce;

#[async_trait]
impl Connector for AtOnce {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        Outcome::Ok { result: json!({ "id": invocation.key, "status": "approved", "at": "2026-01-01T00:00:00Z" }) }
    }

    async fn inquire(&self, _invocation: &Invocation) -> Outcome {
        Outcome::NotFound
    }

    fn is_instant(&self) -> bool {
        true
    }
}
