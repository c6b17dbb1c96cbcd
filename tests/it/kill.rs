//! The real daemon, killed with SIGKILL under load and in its starts, and started again, with the bank as the judge.
//!
//! `PAYSTATE_KILL_CYCLES` says how often under load; the test command runs 50. `PAYSTATE_BINARY` names another build.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use paystate::sandbox::Customer;
use serde_json::{Value, json};

use crate::support::{paystate, root};

/// Orders that are sent between two kills, at the most.
const LOAD: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_is_lost_and_no_charge_doubled() {
    let cycles: usize = std::env::var("PAYSTATE_KILL_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut world = World::start(folder.path()).await;
    let mut recoveries = 0;
    for cycle in 0..cycles {
        let begun = Instant::now();
        let (mut daemon, _) = start(&mut serve(folder.path(), world.port));
        let took = begun.elapsed();
        let alive = Duration::from_millis([5, 60, 150, 300, 500][cycle % 5]);
        world.load_until(Instant::now() + alive).await;
        daemon.kill();
        // The next start is let pass, or dies on its way, or it does and so does the one after it.
        for again in 0..cycle % 3 {
            let share = [0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0][(cycle / 3 + again * 3) % 7];
            let mut dies = Process(quietly(&mut serve(folder.path(), world.port)));
            tokio::time::sleep(took.mul_f64(share)).await;
            dies.kill();
            recoveries += 1;
        }
    }
    let (_daemon, _) = start(&mut serve(folder.path(), world.port));
    let (orders, succeeded) = world.judge().await;
    // Even where a start takes longer than most lives.
    assert!(orders * 5 >= cycles, "there was load: {orders} orders");
    println!(
        "{cycles} kills under load, {recoveries} in a start, {orders} orders, {succeeded} paid: 0 lost, 0 doubled, 0 that \
         do not open"
    );
}

/// A sandbox, and the orders that were sent to a daemon at `port`, which may come and go.
pub(crate) struct World {
    pub(crate) port: u16,
    client: reqwest::Client,
    customer: Customer,
    bank: Bank,
    /// By the client's key.
    orders: BTreeMap<String, Sent>,
    next: usize,
    _sandbox: Process,
}

struct Sent {
    input: Value,
    id: Option<String>,
}

impl World {
    /// A sandbox by itself: what it did outlives the daemon. Its files are in the folder `sandbox`.
    pub(crate) async fn start(folder: &Path) -> Self {
        let port = free_port();
        let (sandbox, told) = start(
            Command::new(paystate())
                .args(["sandbox", "--json", "--paystate", &format!("http://127.0.0.1:{port}"), "--dir"])
                .arg(folder.join("sandbox")),
        );
        let ca = std::fs::read_to_string(text(&told, "ca")).expect("the sandbox's certificate");
        let customer = Customer::connect(text(&told, "gateway"), &ca).await.expect("the customer reaches the gateway");
        let (bank, client) = (Bank::new(text(&told, "bank"), &ca), reqwest::Client::new());
        Self { port, client, customer, bank, orders: BTreeMap::new(), next: 0, _sandbox: sandbox }
    }

    /// Sends orders until the daemon is to die.
    pub(crate) async fn load_until(&mut self, killed: Instant) {
        while Instant::now() < killed && self.unanswered() < LOAD {
            let input = self.customer.sample("bank_card", 10_000, "CNY").await.expect("a sealed payment");
            self.submit(input, killed).await;
        }
        tokio::time::sleep_until(killed.into()).await;
    }

    /// Sees all orders to their end, and compares each with the books of the bank; how many there were, and how many
    /// were paid.
    pub(crate) async fn judge(&mut self) -> (usize, usize) {
        self.settle_keys().await;
        self.all_end(Duration::from_secs(180)).await;
        let mut succeeded = 0;
        for (key, sent) in &self.orders {
            let id = sent.id.as_deref().unwrap_or_else(|| panic!("{key} was never answered"));
            let order = self.order(id).await.unwrap_or_else(|| panic!("order {id} was acknowledged, and is lost"));
            let books = self.bank.oracle(id).await;
            let good = is_settled(&order);
            succeeded += usize::from(good);
            assert!(good || order["status"] == "failed", "{order}");
            for effect in books["effects"].as_array().expect("effects") {
                assert_eq!(effect["applied"], 1, "an effect was applied twice: {books}");
            }
            let taken = amount(&books, "purchased") - amount(&books, "released") - amount(&books, "refunded");
            assert_eq!(taken, if good { 10_000 } else { 0 }, "{order}\n{books}");
        }
        // An order that is cut off again and again may use its tries up and end as definitely failed; most do not.
        assert!(succeeded * 2 >= self.orders.len(), "{succeeded} of {} orders succeeded", self.orders.len());
        (self.orders.len(), succeeded)
    }

    fn unanswered(&self) -> usize {
        self.orders.values().filter(|sent| sent.id.is_none()).count()
    }

    async fn submit(&mut self, input: Value, killed: Instant) {
        self.next += 1;
        let key = format!("kill-{:05}", self.next);
        self.orders.insert(key.clone(), Sent { input: input.clone(), id: None });
        let left = killed.saturating_duration_since(Instant::now());
        // Whether the answer comes before the kill or not is what this test is about.
        let answer = tokio::time::timeout(left, self.post(&key, &input)).await;
        if let Ok(Some(id)) = answer {
            self.orders.get_mut(&key).expect("it was just put there").id = Some(id);
        }
    }

    /// The id of the order, if the daemon has acknowledged it.
    async fn post(&self, key: &str, input: &Value) -> Option<String> {
        let body = json!({ "workflow": "bank_card", "input": input });
        let url = format!("http://127.0.0.1:{}/v1/orders", self.port);
        let answer = self.client.post(url).header("Idempotency-Key", key).json(&body).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let order: Value = answer.json().await.ok()?;
        order["id"].as_str().map(str::to_owned)
    }

    /// Sends again what got no answer, under the same key: the same order, or a first one.
    async fn settle_keys(&mut self) {
        let open: Vec<(String, Value)> = self
            .orders
            .iter()
            .filter(|(_, sent)| sent.id.is_none())
            .map(|(key, sent)| (key.clone(), sent.input.clone()))
            .collect();
        for (key, input) in open {
            let id = self.post(&key, &input).await;
            self.orders.get_mut(&key).expect("it is there").id = id;
        }
    }

    async fn order(&self, id: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/v1/orders/{id}", self.port);
        let answer = self.client.get(url).send().await.expect("the daemon answers");
        answer.status().is_success().then_some(())?;
        answer.json().await.ok()
    }

    async fn all_end(&self, patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            let mut open = Vec::new();
            for id in self.orders.values().filter_map(|sent| sent.id.as_deref()) {
                let order = self.order(id).await.unwrap_or_else(|| panic!("order {id} was acknowledged, and is lost"));
                if !is_decided(&order) {
                    open.push(order);
                }
            }
            if open.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "{} orders do not end, such as {}", open.len(), open[0]);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// The money has moved: what may still be under way is a notification, which has a schedule of days.
fn is_settled(order: &Value) -> bool {
    order["stages"].as_array().is_some_and(|stages| stages.contains(&json!("settled")))
}

fn is_decided(order: &Value) -> bool {
    is_settled(order) || order["status"] == "failed"
}

struct Bank {
    url: String,
    client: reqwest::Client,
}

impl Bank {
    fn new(url: &str, ca: &str) -> Self {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).expect("a certificate");
        let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().expect("a client");
        Self { url: url.to_owned(), client }
    }

    async fn oracle(&self, order: &str) -> Value {
        let url = format!("{}/oracle/references/{order}", self.url);
        self.client.get(url).send().await.expect("the bank answers").json().await.expect("in JSON")
    }
}

fn serve(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(paystate());
    command
        .args(["serve", "--json", "--listen", &format!("127.0.0.1:{port}"), "--config"])
        .arg(folder.join("sandbox/paystate.yaml"))
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--workflows")
        .arg(root().join("workflows"));
    command
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    /// SIGKILL: no handler runs, nothing is flushed.
    fn kill(&mut self) {
        self.0.kill().expect("the process is killed");
        self.0.wait().expect("and gone");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a process and reads the one line of JSON in which it says where it is.
fn start(command: &mut Command) -> (Process, Value) {
    let mut child = quietly(command);
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its first line");
    let told = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it did not start: {line:?}"));
    (Process(child), told)
}

fn quietly(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the process starts")
}

fn text<'a>(told: &'a Value, field: &str) -> &'a str {
    told[field].as_str().unwrap_or_else(|| panic!("no {field} in {told}"))
}

fn amount(books: &Value, field: &str) -> i64 {
    books[field].as_i64().expect("an amount")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}
