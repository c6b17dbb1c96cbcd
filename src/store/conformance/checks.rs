//! The checks, one promise each.

use std::sync::Arc;

use super::Problem;
use super::sample::{Next, Samples, order_id, posting, sources};
use crate::machine::Status;
use crate::store::{Commit, KeyRecord, Link, OpenOrder, OrderQuery, Store, StoreError};
use crate::types::{ConnectorName, EventId, OrderId, Pause, Pauses, Seq, StateName, Timestamp, Version, WorkflowName};

type Outcome = Result<(), Problem>;

pub(super) async fn reads_what_it_wrote(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    let id = order_id(1);
    same("an order that was never written", &store.order(id).await?.is_none(), &true)?;
    for to in ["a", "b", "busy", "done"] {
        let commit = step(&mut samples, id, to)?;
        let positions = store.commit(Arc::new(vec![commit.clone()])).await?;
        let stored = store.order(id).await?.ok_or_else(|| broken("the order is not there"))?;
        same("the snapshot", &*stored.snapshot, &*commit.snapshot)?;
        same("the tip", &vec![stored.tip], &positions)?;
    }
    same("an empty batch", &store.commit(Arc::new(Vec::new())).await?, &Vec::new())
}

pub(super) async fn tells_when_it_wrote_last(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    same("without a record", &store.last_at().await?, &None)?;
    for to in ["a", "b"] {
        let commit = step(&mut samples, order_id(1), to)?;
        let at = commit.entry.at;
        store.commit(Arc::new(vec![commit])).await?;
        same("the time of the last record", &store.last_at().await?, &Some(at))?;
    }
    Ok(())
}

pub(super) async fn follows_seq(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    let id = order_id(1);
    let (one, two, three) = (step(&mut samples, id, "a")?, step(&mut samples, id, "b")?, step(&mut samples, id, "c")?);
    damaged("a gap", store.commit(Arc::new(vec![two.clone()])).await)?;
    store.commit(Arc::new(vec![one.clone()])).await?;
    damaged("the same entry twice", store.commit(Arc::new(vec![one.clone()])).await)?;
    damaged("a gap after one", store.commit(Arc::new(vec![three.clone()])).await)?;
    damaged("a batch in the wrong order", store.commit(Arc::new(vec![three.clone(), two.clone()])).await)?;
    let mixed = Commit { entry: two.entry.clone(), snapshot: one.snapshot.clone() };
    damaged("another entry's snapshot", store.commit(Arc::new(vec![mixed])).await)?;
    store.commit(Arc::new(vec![two, three])).await?;
    let entries = store.journal(id, Seq(0), 10).await?;
    same("the sequence", &seqs(&entries), &vec![1, 2, 3])
}

pub(super) async fn sets_prev(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    let (a, b) = (order_id(1), order_id(2));
    let batch = vec![
        step(&mut samples, a, "x")?,
        step(&mut samples, b, "x")?,
        step(&mut samples, a, "y")?,
        step(&mut samples, b, "y")?,
    ];
    let first = store.commit(Arc::new(batch)).await?;
    let second = store.commit(Arc::new(vec![step(&mut samples, a, "z")?])).await?;
    let positions: Vec<_> = first.iter().chain(&second).copied().collect();
    same("that positions grow", &positions.is_sorted_by(|a, b| a < b), &true)?;
    let prevs: Vec<_> = store.journal(a, Seq(0), 10).await?.iter().map(|entry| entry.prev).collect();
    same("the chain of an order", &prevs, &vec![None, Some(first[0]), Some(first[2])])?;
    let prevs: Vec<_> = store.journal(b, Seq(0), 10).await?.iter().map(|entry| entry.prev).collect();
    same("the chain of the other", &prevs, &vec![None, Some(first[1])])
}

pub(super) async fn refuses_as_a_whole(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    let good = samples.next(order_id(1), &Next { to: "a".into(), ..keyed("k") }).ok_or_else(unfoldable)?;
    step(&mut samples, order_id(2), "a")?;
    let bad = step(&mut samples, order_id(2), "b")?;
    damaged("a batch with a gap at its end", store.commit(Arc::new(vec![good.clone(), bad])).await)?;
    same("the good half", &store.order(order_id(1)).await?.is_none(), &true)?;
    same("its key", &store.key("k").await?, &None)?;
    same("the list", &list(store, OrderQuery { limit: 10, ..OrderQuery::default() }).await?, &Vec::new())?;
    store.commit(Arc::new(vec![good])).await?;
    same("the good half alone", &store.order(order_id(1)).await?.is_some(), &true)
}

pub(super) async fn pages_the_journal(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    let (id, other) = (order_id(1), order_id(2));
    let mut written = Vec::new();
    for n in 0..25 {
        let commit = step(&mut samples, id, if n % 2 == 0 { "a" } else { "b" })?;
        written.push(commit.entry.clone());
        store.commit(Arc::new(vec![commit, step(&mut samples, other, "c")?])).await?;
    }
    let all = store.journal(id, Seq(0), 100).await?;
    let plain = all.iter().map(|entry| crate::journal::Entry { prev: None, ..entry.clone() }).collect::<Vec<_>>();
    same("the entries", &plain, &written)?;
    same("a page", &seqs(&store.journal(id, Seq(0), 3).await?), &vec![1, 2, 3])?;
    same("a page in the middle", &seqs(&store.journal(id, Seq(20), 3).await?), &vec![21, 22, 23])?;
    same("the last page", &seqs(&store.journal(id, Seq(23), 9).await?), &vec![24, 25])?;
    same("after the end", &seqs(&store.journal(id, Seq(25), 9).await?), &vec![])?;
    same("no room", &seqs(&store.journal(id, Seq(0), 0).await?), &vec![])?;
    same("an unknown order", &seqs(&store.journal(order_id(9), Seq(0), 9).await?), &vec![])
}

pub(super) async fn lists_newest_first(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    for n in [3, 1, 2, 5, 4] {
        store.commit(Arc::new(vec![step(&mut samples, order_id(n), "a")?])).await?;
    }
    let query = |after, limit| OrderQuery { after, limit, ..OrderQuery::default() };
    same("all", &list(store, query(None, 10)).await?, &ids([5, 4, 3, 2, 1]))?;
    same("a page", &list(store, query(None, 2)).await?, &ids([5, 4]))?;
    same("the next page", &list(store, query(Some(order_id(4)), 2)).await?, &ids([3, 2]))?;
    same("the last page", &list(store, query(Some(order_id(2)), 2)).await?, &ids([1]))?;
    same("after the end", &list(store, query(Some(order_id(1)), 2)).await?, &Vec::new())?;
    same("after one that is not there", &list(store, query(Some(order_id(9)), 1)).await?, &ids([5]))
}

pub(super) async fn filters_lists(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    for (n, to) in [(1, "a"), (2, "done"), (3, "gone"), (4, "stuck"), (5, "busy"), (6, "a"), (7, "done")] {
        store.commit(Arc::new(vec![step(&mut samples, order_id(n), to)?])).await?;
    }
    let every = || OrderQuery { limit: 10, ..OrderQuery::default() };
    let card = Some(WorkflowName::new("card"));
    same("by workflow", &list(store, OrderQuery { workflow: card.clone(), ..every() }).await?, &ids([6, 4, 2]))?;
    let state = Some(StateName::new("a"));
    same("by state", &list(store, OrderQuery { state: state.clone(), ..every() }).await?, &ids([6, 1]))?;
    for (status, expected) in [
        (Status::Succeeded, ids([7, 2])),
        (Status::Failed, ids([3])),
        (Status::Incident, ids([4])),
        (Status::Running, ids([5])),
        (Status::Waiting, ids([6, 1])),
    ] {
        let query = OrderQuery { status: Some(status), ..every() };
        same("by status", &list(store, query).await?, &expected)?;
    }
    let both = OrderQuery { workflow: card, state, after: Some(order_id(7)), ..every() };
    same("by both", &list(store, both).await?, &ids([6]))?;
    let status = Some(Status::Waiting);
    same("one at a time", &list(store, OrderQuery { status, limit: 1, ..every() }).await?, &ids([6]))?;
    store.commit(Arc::new(vec![step(&mut samples, order_id(6), "done")?])).await?;
    same("after it moved", &list(store, OrderQuery { status, ..every() }).await?, &ids([1]))
}

pub(super) async fn pages_open_orders(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    for (n, to) in [(4, "a"), (1, "a"), (2, "done"), (3, "stuck"), (5, "gone"), (6, "busy")] {
        store.commit(Arc::new(vec![step(&mut samples, order_id(n), to)?])).await?;
    }
    let open = async |after, limit| -> Result<Vec<OrderId>, StoreError> {
        Ok(store.open_orders(after, limit).await?.iter().map(|open| open.id).collect())
    };
    same("all", &open(None, 10).await?, &ids([1, 3, 4, 6]))?;
    same("a page", &open(None, 2).await?, &ids([1, 3]))?;
    same("the next", &open(Some(order_id(3)), 2).await?, &ids([4, 6]))?;
    same("after the end", &open(Some(order_id(6)), 2).await?, &Vec::new())?;
    store
        .commit(Arc::new(vec![step(&mut samples, order_id(3), "gone")?, step(&mut samples, order_id(5), "a")?]))
        .await?;
    same("after some moved", &open(None, 10).await?, &ids([1, 4, 5, 6]))?;
    for known in store.open_orders(None, 10).await? {
        let snapshot = store.order(known.id).await?.ok_or_else(|| broken("an open order is not there"))?.snapshot;
        same("what is known of it", &known, &OpenOrder::from(&*snapshot))?;
    }
    Ok(())
}

pub(super) async fn remembers_events(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    let (id, event) = (order_id(1), EventId::new("evt_1"));
    same("before", &store.seen(id, &event).await?, &None)?;
    store.commit(Arc::new(vec![step(&mut samples, id, "a")?])).await?;
    let said = Next { to: "b".into(), event: Some("evt_1".into()), ..Next::default() };
    store.commit(Arc::new(vec![samples.next(id, &said).ok_or_else(unfoldable)?])).await?;
    same("after", &store.seen(id, &event).await?, &Some(Seq(2)))?;
    same("of another order", &store.seen(order_id(2), &event).await?, &None)?;
    same("another event", &store.seen(id, &EventId::new("evt_")).await?, &None)?;
    store.commit(Arc::new(vec![step(&mut samples, id, "done")?])).await?;
    same("when the order has ended", &store.seen(id, &event).await?, &Some(Seq(2)))
}

pub(super) async fn remembers_keys(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    same("before", &store.key("key").await?, &None)?;
    let commit = samples.next(order_id(1), &Next { to: "a".into(), ..keyed("key") }).ok_or_else(unfoldable)?;
    store.commit(Arc::new(vec![commit, step(&mut samples, order_id(1), "done")?])).await?;
    let record = KeyRecord { order: order_id(1), body_hash: "hash of key".to_owned() };
    same("after", &store.key("key").await?, &Some(record))?;
    same("a longer one", &store.key("key2").await?, &None)?;
    same("the empty one", &store.key("").await?, &None)
}

pub(super) async fn sums_balances(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    let id = order_id(1);
    let legs =
        |amount| [posting("held", amount, "CNY"), posting("customer", -amount, "CNY"), posting("held", 1, "JPY")];
    for amount in [600, 25, -100] {
        let postings = legs(amount).into_iter().flatten().collect();
        let next = Next { to: "a".into(), postings, ..Next::default() };
        store.commit(Arc::new(vec![samples.next(id, &next).ok_or_else(unfoldable)?])).await?;
    }
    let currency = |code: &str| code.parse().map_err(|_| broken("the currency does not exist"));
    same("held", &store.balance("held", currency("CNY")?).await?, &525)?;
    same("customer", &store.balance("customer", currency("CNY")?).await?, &-525)?;
    same("in another currency", &store.balance("held", currency("JPY")?).await?, &3)?;
    same("never posted to", &store.balance("hel", currency("CNY")?).await?, &0)
}

pub(super) async fn links_orders(store: &impl Store) -> Outcome {
    let mut samples = Samples::new();
    let (payment, other) = (order_id(1), order_id(2));
    store.commit(Arc::new(vec![step(&mut samples, payment, "done")?, step(&mut samples, other, "done")?])).await?;
    same("before", &store.linked(Link::Refund, payment, 10).await?, &Vec::new())?;
    for (n, of) in [(4, payment), (3, payment), (5, other), (6, payment)] {
        let next = Next { to: "a".into(), refund_of: Some(of), ..Next::default() };
        store.commit(Arc::new(vec![samples.next(order_id(n), &next).ok_or_else(unfoldable)?])).await?;
    }
    // What they were refunds of stays known when the call that reserved is settled.
    store
        .commit(Arc::new(vec![step(&mut samples, order_id(3), "done")?, step(&mut samples, order_id(6), "gone")?]))
        .await?;
    same("of the payment, newest first", &store.linked(Link::Refund, payment, 10).await?, &ids([6, 4, 3]))?;
    same("the newest", &store.linked(Link::Refund, payment, 2).await?, &ids([6, 4]))?;
    same("of the other", &store.linked(Link::Refund, other, 10).await?, &ids([5]))?;
    same("of a refund", &store.linked(Link::Refund, order_id(3), 10).await?, &Vec::new())?;
    same("what it refunds", &store.refund_of(order_id(3)).await?, &Some(payment))?;
    same("what the other refunds", &store.refund_of(order_id(5)).await?, &Some(other))?;
    same("what a payment refunds", &store.refund_of(payment).await?, &None)?;
    for (n, parent) in [(8, payment), (7, payment), (9, other)] {
        let next = Next { to: "a".into(), child_of: Some(parent), ..Next::default() };
        store.commit(Arc::new(vec![samples.next(order_id(n), &next).ok_or_else(unfoldable)?])).await?;
    }
    store.commit(Arc::new(vec![step(&mut samples, order_id(7), "done")?])).await?;
    same("children, newest first", &store.linked(Link::Child, payment, 10).await?, &ids([8, 7]))?;
    same("the newest child", &store.linked(Link::Child, payment, 1).await?, &ids([8]))?;
    same("children of the other", &store.linked(Link::Child, other, 10).await?, &ids([9]))?;
    same("refunds as before", &store.linked(Link::Refund, payment, 10).await?, &ids([6, 4, 3]))
}

pub(super) async fn keeps_definitions(store: &impl Store) -> Outcome {
    let (card, wallet) = (WorkflowName::new("card"), WorkflowName::new("wallet"));
    let (v1, v2) = (Version::new("v1"), Version::new("v2"));
    let at = Timestamp::from_unix_ms(1);
    store.keep_definition(&card, &v2, &sources("card two"), at).await?;
    store.keep_definition(&card, &v1, &sources("card one"), at).await?;
    store.keep_definition(&card, &v2, &sources("card two"), at).await?;
    store.keep_definition(&wallet, &v1, &sources("wallet"), at).await?;
    let expected = vec![
        (card.clone(), v2, sources("card two")),
        (card, v1.clone(), sources("card one")),
        (wallet, v1, sources("wallet")),
    ];
    same("the versions, oldest first", &store.definitions().await?, &expected)
}

pub(super) async fn keeps_pauses(store: &impl Store) -> Outcome {
    same("pauses of a new store", &store.pauses().await?, &Pauses::new())?;
    let pause = |drain, note: &str| {
        let since = Timestamp::from_unix_ms(1);
        Pause { drain, by: "kim".to_owned(), note: note.to_owned(), since, in_force: None }
    };
    let bank = (ConnectorName::new("bank"), pause(false, "maintenance"));
    let wallet = (ConnectorName::new("wallet"), pause(true, ""));
    let both = Pauses::from([bank.clone(), wallet]);
    store.keep_pauses(&both).await?;
    same("the pauses that were kept", &store.pauses().await?, &both)?;
    let one = Pauses::from([bank]);
    store.keep_pauses(&one).await?;
    same("the pauses that were kept last", &store.pauses().await?, &one)
}

fn step(samples: &mut Samples, id: OrderId, to: &str) -> Result<Commit, Problem> {
    samples.next(id, &Next { to: to.to_owned(), ..Next::default() }).ok_or_else(unfoldable)
}

fn keyed(key: &str) -> Next {
    Next { key: Some((key.to_owned(), format!("hash of {key}"))), ..Next::default() }
}

async fn list(store: &impl Store, query: OrderQuery) -> Result<Vec<OrderId>, StoreError> {
    Ok(store.list(&query).await?.iter().map(|snapshot| snapshot.id).collect())
}

fn ids<const N: usize>(numbers: [u64; N]) -> Vec<OrderId> {
    numbers.into_iter().map(order_id).collect()
}

fn seqs(entries: &[crate::journal::Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq.0).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, actual: &T, expected: &T) -> Outcome {
    if actual == expected {
        return Ok(());
    }
    Err(broken(&format!("{what}: expected {expected:?}, got {actual:?}")))
}

fn damaged<T: std::fmt::Debug>(what: &str, answer: Result<T, StoreError>) -> Outcome {
    match answer {
        Err(StoreError::Damaged(_)) => Ok(()),
        other => Err(broken(&format!("{what} was not refused as damaged but answered {other:?}"))),
    }
}

fn broken(what: &str) -> Problem {
    Problem::Broken(what.to_owned())
}

fn unfoldable() -> Problem {
    broken("the sample cannot be folded")
}
