//! What a million open orders cost that only wait: memory, a cold start after a kill, and how late their timers are when
//! many are due at once. Prints one line of JSON.
//!
//! `cargo bench --bench waiting -- [orders] [due]`: `due` of the orders are due within the same second. The directory is
//! that of the system's temporary files; a million orders take some 4 GB there.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may panic")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use paystate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::{self, Sources};
use paystate::executor::{Clock, Executor, Options, Refold, Submission, SystemClock};
use paystate::machine::Outcome;
use paystate::store::{SledOptions, SledStore};
use paystate::types::{ConnectorName, OrderId, Timestamp, WorkflowName};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WORKFLOW: &str = r#"
workflow: waiting
title: Waits for its customer
input: { type: object }
deadline: 30d
initial: waits
states:
  waits: { on: { customer.confirmed: asks }, after: { 10m: asks } }
  asks: { invoke: { call: bench.step, with: { since: "${order.created_at}" } }, on: { ok: done, declined: stopped } }
  done: { final: success }
  stopped: { final: failure }
"#;
const CONNECTOR: &str = r#"
connector: bench
title: Answers at once
base_url: https://bench.invalid
operations:
  step:
    post: /steps
    body: { since: "${with.since}" }
    outcomes: { ok: response.status == 200, declined: response.status == 422 }
"#;
const DELAY: Duration = Duration::from_secs(600);
/// From the start of the second process until the crowd is due.
const LEAD: Duration = Duration::from_secs(45);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize, unless: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(unless);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match arguments.first().map(String::as_str) {
        Some("fill") => runtime.block_on(fill(Path::new(&arguments[1]), number(2, 0), number(3, 0))),
        Some("wake") => runtime.block_on(wake(Path::new(&arguments[1]), number(2, 0), number(3, 0), number(4, 0))),
        _ => measure(number(0, 1_000_000), number(1, 100_000)),
    }
}

/// Fills a directory from one process, kills it, and lets another one take it up.
fn measure(orders: u64, due: u64) {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, filled) = run(&["fill", dir.path().to_str().unwrap(), &orders.to_string(), &due.to_string()]);
    child.kill().unwrap();
    child.wait().unwrap();
    let crowd = filled["crowd_ms"].to_string();
    let (mut child, woken) =
        run(&["wake", dir.path().to_str().unwrap(), &orders.to_string(), &due.to_string(), &crowd]);
    child.kill().unwrap();
    child.wait().unwrap();
    println!("{}", json!({ "orders": orders, "due_in_one_second": due, "filled": filled, "woken": woken }));
}

/// Starts this program again and waits for its one line.
fn run(arguments: &[&str]) -> (Child, Value) {
    let mut child =
        Command::new(std::env::current_exe().unwrap()).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

/// Opens the orders: the crowd within one second of the clock, the rest five minutes later, when none is due yet. Ends by being killed.
async fn fill(dir: &Path, orders: u64, due: u64) {
    let clock = Arc::new(Shifted::default());
    let (executor, _) = start(dir, &clock).await;
    let begun = Instant::now();
    let crowd = SystemClock.now();
    for (count, first) in [(due, crowd), (orders - due, crowd.plus(Duration::from_secs(300)))] {
        let next = Arc::new(AtomicU64::new(0));
        let clients = (0..512).map(|_| {
            let (executor, clock, next) = (executor.clone(), Arc::clone(&clock), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    // Evenly over one second.
                    clock.freeze(first.plus(Duration::from_millis(n * 1000 / count)));
                    let customer = format!("customer-{n}");
                    let input = json!({ "amount": 1999, "currency": "CNY", "customer": customer, "shop": "bench" });
                    let workflow = WorkflowName::from("waiting");
                    executor.submit(Submission { workflow, input, key: None, child: None }).await.unwrap();
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    // The working store is a second behind at most.
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!(
        "{}",
        json!({ "seconds": seconds, "crowd_ms": crowd.unix_ms(), "memory_mib": memory("VmRSS"), "disk_mib": disk(dir) >> 20 })
    );
    tokio::time::sleep(Duration::from_secs(3_600)).await;
}

/// Takes the directory up, and waits for the crowd.
async fn wake(dir: &Path, orders: u64, due: u64, crowd: u64) {
    let begun = Instant::now();
    let clock = Arc::new(Shifted::default());
    let first = Timestamp::from_unix_ms(i64::try_from(crowd).unwrap()).plus(DELAY);
    clock.shift(first.unix_ms() - SystemClock.now().unix_ms() - i64::try_from(LEAD.as_millis()).unwrap());
    let (executor, late) = start(dir, &clock).await;
    let opened = begun.elapsed();
    // What a client would ask first: an order of its own, acknowledged.
    let input = json!({ "amount": 1, "currency": "CNY" });
    let submission = Submission { workflow: WorkflowName::from("waiting"), input, key: None, child: None };
    executor.submit(submission).await.unwrap();
    let served = begun.elapsed();
    until(|| executor.tally().timed >= orders).await;
    let armed = begun.elapsed();
    let resident = memory("VmRSS");
    until(|| late.lock().unwrap().len() as u64 >= due).await;
    let mut late = late.lock().unwrap().clone();
    late.sort_unstable();
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    println!(
        "{}",
        json!({
            "opened_s": opened.as_secs_f64(), "first_request_s": served.as_secs_f64(), "armed_s": armed.as_secs_f64(),
            "memory_mib": resident, "memory_peak_mib": memory("VmHWM"),
            "late_p50_ms": at(0.5), "late_p99_ms": at(0.99), "late_max_ms": at(1.0),
        })
    );
    tokio::time::sleep(Duration::from_secs(3_600)).await;
}

async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

type Lateness = Arc<std::sync::Mutex<Vec<i64>>>;

async fn start(dir: &Path, clock: &Arc<Shifted>) -> (Executor, Lateness) {
    let sources = Sources {
        path: "waiting.yaml".to_owned(),
        workflow: WORKFLOW.to_owned(),
        connectors: BTreeMap::from([("bench".to_owned(), CONNECTOR.to_owned())]),
        schemas: BTreeMap::new(),
    };
    let workflow = Arc::new(definition::load(sources).unwrap());
    let fold = Arc::new(Refold::knowing([Arc::clone(&workflow)]));
    let store = SledStore::open(dir, SledOptions::default(), fold).unwrap();
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    let late = Lateness::default();
    let asked = Asked { clock: Arc::clone(clock), late: Arc::clone(&late) };
    connectors.register(ConnectorName::from("bench"), Arc::new(asked));
    let clock = Arc::<Shifted>::clone(clock);
    let executor = Executor::start(Arc::new(store), clock, connectors, vec![workflow], Options::default()).await;
    (executor.unwrap(), late)
}

/// Is asked once the timer's transition is durable, and notes how late that was.
struct Asked {
    clock: Arc<Shifted>,
    late: Lateness,
}

#[async_trait]
impl Connector for Asked {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        let since: Timestamp = serde_json::from_value(invocation.with["since"].clone()).unwrap();
        self.late.lock().unwrap().push(self.clock.now().unix_ms() - since.plus(DELAY).unix_ms());
        Outcome::Ok { result: json!({}) }
    }

    async fn inquire(&self, _invocation: &Invocation) -> Outcome {
        Outcome::NotFound
    }

    fn is_instant(&self) -> bool {
        true
    }
}

/// The machine's clock, set to another time, or standing still.
#[derive(Default)]
struct Shifted {
    by: AtomicI64,
    /// Where it stands, or 0.
    at: AtomicI64,
}

impl Shifted {
    fn freeze(&self, at: Timestamp) {
        self.at.fetch_max(at.unix_ms(), Ordering::Relaxed);
    }

    fn shift(&self, by: i64) {
        self.by.store(by, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        match self.at.load(Ordering::Relaxed) {
            0 => Timestamp::from_unix_ms(SystemClock.now().unix_ms() + self.by.load(Ordering::Relaxed)),
            at => Timestamp::from_unix_ms(at),
        }
    }

    async fn sleep_until(&self, at: Timestamp) {
        let wait = at.since(self.now()).min(Duration::from_secs(1));
        tokio::time::sleep(wait).await;
    }

    fn order_id(&self) -> OrderId {
        SystemClock.order_id()
    }
}

/// A line of the process's status, in MiB.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':')).unwrap();
    found.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn disk(folder: &Path) -> u64 {
    let size = |entry: std::fs::DirEntry| {
        let meta = entry.metadata().unwrap();
        if meta.is_dir() { disk(&entry.path()) } else { meta.len() }
    };
    std::fs::read_dir(folder).unwrap().map(|entry| size(entry.unwrap())).sum()
}
