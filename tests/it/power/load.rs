//! Clients that send orders and events, and remember what was acknowledged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::rig::PATIENCE;
use crate::journal_disk::Dice;

/// Orders with one child each, and an event that ends them.
const WORKFLOW: &str = "power_order";
const CLIENTS: u64 = 8;
/// The status that says that an order was not taken, for certain.
pub(super) const FULL: u16 = 507;

/// Everything that was sent. Cheap to clone.
#[derive(Clone)]
pub(super) struct Load {
    client: reqwest::Client,
    sent: Arc<Mutex<Sent>>,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
struct Sent {
    orders: BTreeMap<String, Order>,
    next: u64,
    refused_full: u64,
    /// When the last request that was acknowledged had been sent.
    last_acknowledged: Option<SystemTime>,
}

#[derive(Clone)]
struct Order {
    input: Value,
    /// Once it is acknowledged.
    id: Option<String>,
    /// Events of it that were acknowledged, by their ids.
    events: Vec<String>,
    /// It has been looked for, with all its events, since the last power cut.
    seen: bool,
}

/// An answer, or none because the daemon was gone.
type Answer = Option<(u16, Value)>;

impl Load {
    pub(super) fn new() -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { client, sent: Arc::default(), stop: Arc::default() }
    }

    /// Runs clients against a daemon until it is gone, or `ended` says so.
    pub(super) fn run(&self, url: &str, dice: &mut Dice) -> tokio::task::JoinSet<()> {
        self.stop.store(false, Ordering::Release);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let (load, url, mut dice) = (self.clone(), url.to_owned(), Dice(dice.roll(u64::MAX)));
            clients.spawn(async move { while load.one(&url, &mut dice).await.is_some() {} });
        }
        clients
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// One order and its event. None when the daemon does not take any more.
    async fn one(&self, url: &str, dice: &mut Dice) -> Option<()> {
        if self.stop.load(Ordering::Acquire) {
            return None;
        }
        let size = if dice.roll(4) == 0 { dice.roll(20_000) } else { dice.roll(400) };
        let input = json!({ "pad": "x".repeat(usize::try_from(size).unwrap()) });
        let key = self.begin(&input);
        let id = match self.submit(url, &key, &input).await? {
            Ok(id) => id,
            Err(FULL) => {
                self.sent().orders.remove(&key);
                self.sent().refused_full += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
                return Some(());
            }
            Err(_) => return None,
        };
        if dice.roll(4) > 0 {
            self.event(url, &key, &id, dice.roll(u64::MAX)).await?;
        }
        Some(())
    }

    /// Thinks of an order: its key.
    pub(super) fn begin(&self, input: &Value) -> String {
        let mut sent = self.sent();
        sent.next += 1;
        let key = format!("key-{:07}", sent.next);
        sent.orders.insert(key.clone(), Order { input: input.clone(), id: None, events: Vec::new(), seen: false });
        key
    }

    /// Sends an order under its key, for the first time or again.
    pub(super) async fn submit(&self, url: &str, key: &str, input: &Value) -> Option<Result<String, u16>> {
        let body = json!({ "workflow": WORKFLOW, "input": input });
        let at = SystemTime::now();
        let request = self.client.post(format!("{url}/v1/orders")).header("Idempotency-Key", key).json(&body);
        let (status, order) = answer(request).await?;
        if !matches!(status, 200 | 201) {
            return Some(Err(status));
        }
        let id = order["id"].as_str().expect("an order has an id").to_owned();
        let mut sent = self.sent();
        sent.last_acknowledged = sent.last_acknowledged.max(Some(at));
        let order = sent.orders.get_mut(key).unwrap();
        assert!(order.id.as_ref().is_none_or(|known| *known == id), "{key} stands for two orders");
        order.id = Some(id.clone());
        Some(Ok(id))
    }

    /// Sends the event that ends an order; the status of the answer.
    async fn event(&self, url: &str, key: &str, id: &str, number: u64) -> Option<u16> {
        let event = format!("event-{number:016x}");
        let at = SystemTime::now();
        let body = json!({ "event": "order.go", "id": event });
        let (status, _) = answer(self.client.post(format!("{url}/v1/orders/{id}/events")).json(&body)).await?;
        if matches!(status, 200 | 202) {
            let mut sent = self.sent();
            sent.last_acknowledged = sent.last_acknowledged.max(Some(at));
            sent.orders.get_mut(key).unwrap().events.push(event);
        }
        Some(status)
    }

    /// The power was cut: everything is to be looked for again.
    pub(super) fn doubt(&self, all: bool) {
        let mut sent = self.sent();
        let newest = sent.next.saturating_sub(300);
        let recent = format!("key-{newest:07}");
        sent.orders.iter_mut().filter(|(key, _)| all || **key >= recent).for_each(|(_, order)| order.seen = false);
    }

    /// Looks for everything that was acknowledged, and tells what is not there. What got no answer is sent again, under
    /// the same key.
    pub(super) async fn losses(&self, url: &str) -> Vec<String> {
        let orders: Vec<(String, Order)> = {
            let sent = self.sent();
            let open = sent.orders.iter().filter(|(_, order)| !order.seen);
            open.map(|(key, order)| (key.clone(), order.clone())).collect()
        };
        let mut work = tokio::task::JoinSet::new();
        for part in orders.chunks(orders.len() / 8 + 1) {
            let (load, url, part) = (self.clone(), url.to_owned(), part.to_vec());
            work.spawn(async move {
                let mut losses = Vec::new();
                for (key, order) in part {
                    losses.extend(load.loss(&url, &key, &order).await);
                }
                losses
            });
        }
        work.join_all().await.concat()
    }

    async fn loss(&self, url: &str, key: &str, order: &Order) -> Option<String> {
        let Some(id) = &order.id else {
            let mut again = self.submit(url, key, &order.input).await;
            // A daemon that has just met a full disk needs a moment to open its working store again, and says so.
            for _ in 0..600 {
                if !matches!(again, Some(Err(507))) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                again = self.submit(url, key, &order.input).await;
            }
            return (!matches!(again, Some(Ok(_)))).then(|| format!("{key} is not taken after all: {again:?}"));
        };
        let page = format!("{url}/v1/orders/{id}/journal?limit=500");
        let (mut status, mut journal) = self.get(&page).await.expect("the daemon answers");
        for _ in 0..600 {
            if status != 507 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            (status, journal) = self.get(&page).await.expect("the daemon answers");
        }
        if status != 200 {
            return Some(format!("order {id} of {key} was acknowledged, and is lost: {journal}"));
        }
        let entries = journal["entries"].as_array().expect("entries");
        if (1..).zip(entries).any(|(number, entry)| entry["seq"] != number) {
            return Some(format!("the journal of {id} has a gap: {journal}"));
        }
        for event in &order.events {
            let times = entries.iter().filter(|entry| entry["event"]["id"] == **event).count();
            if times != 1 {
                return Some(format!("event {event} of {id} was acknowledged, and is there {times} times: {journal}"));
            }
        }
        self.sent().orders.get_mut(key)?.seen = true;
        None
    }

    /// Every order that there is stands for one key, and the other way round.
    pub(super) async fn count(&self, url: &str) -> usize {
        let mut found = BTreeMap::new();
        let mut after = String::new();
        loop {
            let page = format!("{url}/v1/orders?workflow={WORKFLOW}&limit=500{after}");
            let (_, page) = self.get(&page).await.expect("the daemon answers");
            let orders = page["orders"].as_array().unwrap_or_else(|| panic!("no orders in {page}")).clone();
            let Some(last) = orders.last() else { break };
            after = format!("&after={}", last["id"].as_str().expect("an id"));
            found.extend(orders.into_iter().map(|order| (order["id"].as_str().expect("an id").to_owned(), order)));
        }
        let sent = self.sent();
        let known: Vec<&str> = sent.orders.values().filter_map(|order| order.id.as_deref()).collect();
        let strange: Vec<_> = found.iter().filter(|(id, _)| !known.contains(&id.as_str())).collect();
        assert!(strange.is_empty(), "orders that no key stands for: {strange:?}");
        assert_eq!(found.len(), known.len(), "every key stands for an order");
        found.len()
    }

    /// A new order: its id, or with which status it was refused; none when there was no answer.
    pub(super) async fn open(&self, url: &str) -> Option<Result<String, u16>> {
        let input = json!({ "pad": "" });
        let key = self.begin(&input);
        let answer = self.submit(url, &key, &input).await;
        if answer == Some(Err(FULL)) {
            self.sent().orders.remove(&key);
        }
        answer
    }

    /// Sends the event that ends them to orders that wait for it; how many were taken.
    pub(super) async fn end(&self, url: &str, most: usize) -> usize {
        let waiting: Vec<(String, String)> = {
            let sent = self.sent();
            let waiting = sent.orders.iter().filter(|(_, order)| order.events.is_empty());
            waiting.filter_map(|(key, order)| Some((key.clone(), order.id.clone()?))).take(most).collect()
        };
        for (number, (key, id)) in (1..).zip(&waiting) {
            let until = Instant::now() + PATIENCE;
            loop {
                match self.event(url, key, id, number).await.expect("the daemon answers") {
                    200 | 202 => break,
                    status => assert_eq!(status, FULL, "an order that was accepted goes on: {id}"),
                }
                // For a moment the working store is being opened again.
                assert!(Instant::now() < until, "{id} does not go on");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        waiting.len()
    }

    pub(super) async fn get(&self, url: &str) -> Answer {
        answer(self.client.get(url)).await
    }

    pub(super) fn acknowledged(&self) -> (usize, usize) {
        let sent = self.sent();
        let orders = sent.orders.values().filter(|order| order.id.is_some()).count();
        (orders, sent.orders.values().map(|order| order.events.len()).sum())
    }

    pub(super) fn refused_full(&self) -> u64 {
        self.sent().refused_full
    }

    pub(super) fn last_acknowledged(&self) -> Option<SystemTime> {
        self.sent().last_acknowledged
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await;
    assert!(!answer.as_ref().is_err_and(reqwest::Error::is_timeout), "the daemon hangs");
    let answer = answer.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.ok()?))
}
