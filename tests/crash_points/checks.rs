//! What must be true after a crash, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use paystate::journal::{Entry, replay};
use paystate::machine::{Command, Snapshot};
use paystate::store::{OpenOrder, OrderQuery, SledStore, Store, StoreError};
use paystate::types::{Currency, OrderId, Seq};

use crate::image::Image;
use crate::probe::Client;
use crate::story::{KEY, Story};

/// How what is wrong begins, by the kinds that are counted.
pub const LOST: &str = "lost: ";
pub const DOUBLED: &str = "doubled: ";
pub const UNOPENED: &str = "not opened: ";

const ALL: usize = 1_000_000;

/// The journal of every order.
pub type Journals = BTreeMap<OrderId, Vec<Entry>>;

/// What is booked on each account.
pub type Books = BTreeMap<(String, Currency), i64>;

/// Reads all journals that there are.
pub async fn journals(store: &SledStore) -> Result<Journals, String> {
    let mut journals = Journals::new();
    for order in orders(store).await? {
        let entries = store.journal(order.id, Seq(0), ALL).await.map_err(read)?;
        journals.insert(order.id, entries);
    }
    Ok(journals)
}

async fn orders(store: &SledStore) -> Result<Vec<Snapshot>, String> {
    let query = OrderQuery { limit: 100, ..OrderQuery::default() };
    Ok(store.list(&query).await.map_err(read)?.iter().map(|order| Snapshot::clone(order)).collect())
}

fn read(error: StoreError) -> String {
    error.to_string()
}

/// Right after the start of the store, before anything was done: everything that was acknowledged is there, nothing is
/// there that was not before the crash, and nothing has left that was not durable.
pub async fn after_crash(store: &SledStore, image: &Image, before: &Journals) -> Result<(), String> {
    let client = &image.client;
    let record = store.key(KEY.0).await.map_err(read)?;
    let order = record.as_ref().map(|record| record.order);
    if client.order.is_some() && order != client.order {
        return Err(format!("{LOST}the key leads to {order:?}, and {:?} was acknowledged", client.order));
    }
    let journals = journals(store).await?;
    for (order, entries) in &journals {
        let then = before.get(order).and_then(|then| then.get(..entries.len()));
        if then != Some(entries) {
            return Err(format!("{} entries of {order} are there that were not, or are others", entries.len()));
        }
    }
    let known = order.and_then(|order| journals.get(&order)).map_or(0, Vec::len) as u64;
    if known < client.seq.0 {
        return Err(format!("{LOST}{known} entries are there, and {} were acknowledged", client.seq));
    }
    acknowledged(store, client, &journals).await?;
    let asked: BTreeSet<String> = journals.values().flatten().flat_map(intents).collect();
    for request in &image.requests {
        let call = request.key.rsplit_once('-').map_or(request.key.as_str(), |(call, _)| call);
        if !asked.contains(call) {
            let (operation, key) = (&request.operation, &request.key);
            return Err(format!("{DOUBLED}{operation} was sent under {key}, which no durable entry asks for"));
        }
    }
    Ok(())
}

/// The calls that an entry asks for, each as the key that it is sent under begins.
fn intents(entry: &Entry) -> impl Iterator<Item = String> + '_ {
    entry.commands.iter().filter_map(|command| match command {
        Command::Invoke { call, .. } | Command::Inquire { call, .. } => Some(format!("{}-{call}", entry.order)),
        _ => None,
    })
}

async fn acknowledged(store: &SledStore, client: &Client, journals: &Journals) -> Result<(), String> {
    for id in &client.acknowledged {
        let order = client.order.ok_or("an event was acknowledged of no order")?;
        let seen = store.seen(order, id).await.map_err(read)?;
        let entries = journals.get(&order).into_iter().flatten();
        let times = entries.filter(|entry| entry.event.id() == Some(id)).count();
        if times > 1 {
            return Err(format!("{DOUBLED}the event {id} is there {times} times"));
        }
        if seen.is_none() || times == 0 {
            return Err(format!("{LOST}the event {id} was acknowledged; it is known: {seen:?}, and there: {times}"));
        }
    }
    Ok(())
}

/// At the end of a story: everything that is stored fits together. Returns what was booked.
pub async fn at_end(story: &Story, store: &SledStore, client: &Client) -> Result<Books, String> {
    let journals = journals(store).await?;
    acknowledged(store, client, &journals).await?;
    let orders = orders(store).await?;
    let asked_for: Vec<OrderId> = orders.iter().filter(|order| order.parent.is_none()).map(|order| order.id).collect();
    if client.order.is_none() || !client.order.iter().eq(&asked_for) {
        let kind = if asked_for.len() > 1 { DOUBLED } else { LOST };
        return Err(format!("{kind}one order was asked for, and there are {asked_for:?}"));
    }
    for order in &orders {
        let workflow = story.workflows.iter().find(|workflow| workflow.name == order.workflow).ok_or("no workflow")?;
        let entries = journals.get(&order.id).ok_or("an order without a journal")?;
        let folded = replay(workflow, entries).map_err(|error| format!("it does not replay: {error}"))?;
        if folded != *order {
            return Err("what is stored is not the fold of the journal".to_owned());
        }
    }
    let open = store.open_orders(None, 100).await.map_err(read)?;
    let open: BTreeSet<_> = open.iter().map(|open| (open.id, open.due)).collect();
    let is_open = orders.iter().filter(|order| order.is_open()).map(OpenOrder::from);
    let expected: BTreeSet<_> = is_open.map(|open| (open.id, open.due)).collect();
    if open != expected {
        return Err(format!("the open orders are {open:?}, and should be {expected:?}"));
    }
    let mut books = Books::new();
    for posting in journals.values().flatten().flat_map(|entry| &entry.postings) {
        *books.entry((posting.account.clone(), posting.currency)).or_default() += posting.amount;
    }
    for ((account, currency), booked) in &books {
        let balance = store.balance(account, *currency).await.map_err(read)?;
        if balance != *booked {
            return Err(format!("{account} has {balance}, and {booked} was booked"));
        }
    }
    Ok(books)
}

/// Without a crash the executor and the simulated world decide the same at the same times.
pub fn as_simulated(simulated: &[Entry], entries: &[Entry]) -> Result<(), String> {
    let strip = |entry: &Entry| {
        let mut entry = entry.clone();
        entry.prev = None;
        if let Some(opening) = &mut entry.opening {
            opening.key = None;
        }
        entry
    };
    for (number, (real, simulated)) in entries.iter().zip(simulated).enumerate() {
        let (real, simulated) = (strip(real), strip(simulated));
        if real != simulated {
            return Err(format!("entry {} is not as simulated:\n{real:?}\n{simulated:?}", number + 1));
        }
    }
    if entries.len() != simulated.len() {
        return Err(format!("{} entries, and {} simulated", entries.len(), simulated.len()));
    }
    Ok(())
}
