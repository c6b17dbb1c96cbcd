//! The real daemon, and far more clients than it can answer at once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{PATIENCE, kib};
use crate::support::{paystate, soak};

const WORKFLOW: &str = "
workflow: flood
input: { type: object }
deadline: 30d
initial: waits
states:
  waits: { after: { 200ms: done } }
  done: { final: success }
";
const BODY_MAX: u64 = 1 << 20;
/// What a connection may cost beside the body of its request: buffers, tasks, the answer.
const CONNECTION: u64 = 256 << 10;
/// What the working store may keep of what it has read and written, and as much again for what is being written.
const CACHE: u64 = 2 * (256 << 20);

const CONTINUE: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A daemon that may have few files open, so that a crowd of clients is soon too many.
struct Daemon {
    child: Child,
    url: String,
    address: String,
    requests: usize,
    log: std::path::PathBuf,
}

impl Daemon {
    fn start(folder: &Path, files: usize) -> Self {
        let workflows = folder.join("workflows");
        std::fs::create_dir(&workflows).unwrap();
        std::fs::write(workflows.join("flood.yaml"), WORKFLOW).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n \"$1\" && shift && exec \"$@\"", "sh", &files.to_string()])
            .arg(paystate())
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--workflows"])
            .arg(&workflows)
            .arg("--data")
            .arg(folder.join("data"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .expect("the daemon starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).expect("it says where it listens");
        let url = told["api"].as_str().unwrap().to_owned();
        let address = url.trim_start_matches("http://").to_owned();
        // Half of the files are for connections, and half of those may have a request under way.
        Self { child, url, address, requests: files / 4, log: folder.join("log") }
    }

    /// A request that has begun, and has its place until the rest of it comes.
    async fn half_a_request(&self, n: usize) -> (TcpStream, String) {
        let body = body(n, 0).to_string();
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\nexpect: 100-continue\r\n\r\n",
            self.address,
            body.len()
        );
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut told = [0; CONTINUE.len()];
        socket.read_exact(&mut told).await.unwrap();
        assert_eq!(told, *CONTINUE, "it has a place, and is asked for the rest");
        (socket, body)
    }

    async fn orders(&self, client: &reqwest::Client) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page: Value = client
                .get(format!("{}/v1/orders?limit=500{after}", self.url))
                .send()
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            let orders = page["orders"].as_array().unwrap_or_else(|| panic!("{page}")).clone();
            let Some(last) = orders.last() else { return all };
            after = format!("&after={}", last["id"].as_str().unwrap());
            all.extend(orders);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the daemon: {ended:?}\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

fn body(n: usize, pad: usize) -> Value {
    json!({ "workflow": "flood", "input": { "n": n, "pad": "x".repeat(pad) } })
}

/// No connection is used twice, so that every request has to get in anew.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build().unwrap()
}

/// One try: accepted, or refused with how long to wait. Anything else is a failure of the test.
async fn attempt(client: &reqwest::Client, url: &str, n: usize, pad: usize) -> Result<(), Duration> {
    let request = client.post(format!("{url}/v1/orders")).header("Idempotency-Key", format!("flood-{n}"));
    let answer = request.json(&body(n, pad)).send().await.unwrap_or_else(|error| panic!("order {n}: {error:?}"));
    let status = answer.status().as_u16();
    let wait = answer.headers().get(RETRY_AFTER).map(|wait| wait.to_str().unwrap().parse().unwrap());
    let text = answer.text().await.unwrap_or_else(|error| panic!("order {n}: {error:?}"));
    match (status, wait) {
        (200 | 201, _) => Ok(()),
        (429 | 503, Some(seconds)) => Err(Duration::from_secs(seconds)),
        _ => panic!("order {n} is answered with {status}: {text}"),
    }
}

#[derive(Default)]
struct Times(std::sync::Mutex<Vec<Duration>>);

impl Times {
    fn note(&self, begun: Instant) {
        self.0.lock().unwrap().push(begun.elapsed());
    }

    /// How many, the middle one, and the hundredth from the end in a hundred.
    fn told(&self) -> (usize, Duration, Duration) {
        let mut times = self.0.lock().unwrap().clone();
        times.sort();
        let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).copied();
        (times.len(), at(50).unwrap_or_default(), at(99).unwrap_or_default())
    }
}

/// Sends an order until it is accepted, or until it is refused by somebody who does not come again.
async fn gets_in(client: &reqwest::Client, url: &str, n: usize, patient: bool, times: (&Times, &Times)) -> bool {
    // Some bodies are larger than what comes with the head of a request.
    let pad = if n.is_multiple_of(8) { 90_000 } else { 20 };
    loop {
        let begun = Instant::now();
        match attempt(client, url, n, pad).await {
            Ok(()) => {
                times.0.note(begun);
                return true;
            }
            Err(wait) => {
                times.1.note(begun);
                if !patient {
                    return false;
                }
                tokio::time::sleep(wait).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn far_more_clients_than_it_can_answer_are_refused_in_order_and_get_in_later() {
    let folder = tempfile::tempdir().unwrap();
    let (files, each) = if soak() { (4_096, 10) } else { (256, 3) };
    let daemon = Arc::new(Daemon::start(folder.path(), files));
    let process = daemon.child.id().to_string();
    let (client, begun_with) = (client(), kib(&process, "VmRSS"));

    // All places are taken: whoever comes is refused, and whoever watches is answered.
    let mut halves = Vec::new();
    for n in 0..daemon.requests {
        halves.push(daemon.half_a_request(n).await);
    }
    let refused_first = attempt(&client, &daemon.url, daemon.requests, 0).await;
    assert!(refused_first.is_err_and(|wait| wait > Duration::ZERO), "all places are taken");
    let health = client.get(format!("{}/healthz", daemon.url)).send().await.unwrap();
    assert_eq!(health.status(), 200);
    for (mut socket, body) in halves {
        socket.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "what was taken in is answered: {answer}");
    }

    // Ten times as many as there are places. A quarter gives up when it is refused, the others come again.
    let clients = 10 * daemon.requests;
    let next = Arc::new(AtomicUsize::new(daemon.requests + 1));
    let (accepted, refused) = (Arc::<Times>::default(), Arc::<Times>::default());
    let mut crowd = tokio::task::JoinSet::new();
    for place in 0..clients {
        let (daemon, client, next) = (Arc::clone(&daemon), client.clone(), Arc::clone(&next));
        let (accepted, refused) = (Arc::clone(&accepted), Arc::clone(&refused));
        crowd.spawn(async move {
            let mut known = Vec::new();
            for _ in 0..each {
                let n = next.fetch_add(1, Ordering::SeqCst);
                if gets_in(&client, &daemon.url, n, !place.is_multiple_of(4), (&accepted, &refused)).await {
                    known.push(n);
                }
            }
            known
        });
    }
    let mut known: BTreeSet<usize> = (0..daemon.requests).collect();
    known.extend(crowd.join_all().await.into_iter().flatten());

    let begun = Instant::now();
    loop {
        let orders = daemon.orders(&client).await;
        let there: BTreeSet<usize> =
            orders.iter().map(|order| usize::try_from(order["input"]["n"].as_u64().unwrap()).unwrap()).collect();
        assert_eq!(
            (orders.len(), &there),
            (known.len(), &known),
            "what was accepted is there, what was refused is not"
        );
        if orders.iter().all(|order| order["status"] == "succeeded") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "they do not all end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let peak = kib(&process, "VmHWM");
    let bound = begun_with + (2 * daemon.requests as u64 * (BODY_MAX + CONNECTION) + CACHE) / 1024;
    assert!(peak <= bound, "{peak} KiB at the peak, and {bound} are allowed");
    let ((yes, yes_middle, yes_late), (no, no_middle, no_late)) = (accepted.told(), refused.told());
    println!(
        "flood: {clients} clients on {} places; {yes} accepted (50 % within {yes_middle:?}, 99 % within {yes_late:?}), {no} \
         refused (50 % within {no_middle:?}, 99 % within {no_late:?}), 0 lost, 0 reset; {} MiB at the peak",
        daemon.requests,
        peak / 1024
    );
}
