//! Every store keeps the same promises.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::Arc;

use paystate::machine::Status;
use paystate::store::conformance;
use paystate::store::conformance::sample::{Next, Samples, order_id, posting, sources};
use paystate::store::{Link, MemoryStore, OrderQuery, Store, StoreError};
use paystate::types::{EventId, Seq, Timestamp, Version, WorkflowName};
use proptest::prelude::*;

use crate::store_sled::{How, Reopening};

#[tokio::test]
async fn the_memory_store_conforms() {
    conformance::run_all(|| async { MemoryStore::new() }).await.unwrap();
}

#[tokio::test]
async fn the_sled_store_conforms() {
    conformance::run_all(|| async { Reopening::new(How::Never) }).await.unwrap();
}

#[tokio::test]
async fn the_sled_store_conforms_when_it_is_closed_and_opened_before_every_call() {
    conformance::run_all(|| async { Reopening::new(How::Closed) }).await.unwrap();
}

#[tokio::test]
async fn the_sled_store_conforms_when_it_dies_before_every_call() {
    conformance::run_all(|| async { Reopening::new(How::Dropped) }).await.unwrap();
}

#[tokio::test]
async fn the_sled_store_conforms_when_it_is_rebuilt_before_every_call() {
    conformance::run_all(|| async { Reopening::new(How::Rebuilt) }).await.unwrap();
}

#[tokio::test]
async fn a_failing_memory_store_answers_its_failure() {
    let store = MemoryStore::new();
    let mut samples = Samples::new();
    let mut next = |n| samples.next(order_id(n), &Next { to: "a".into(), ..Next::default() }).unwrap();
    store.fail_after(1, StoreError::Full);
    store.commit(Arc::new(vec![next(1)])).await.unwrap();
    assert!(matches!(store.commit(Arc::new(vec![next(2)])).await, Err(StoreError::Full)));
    assert!(matches!(store.order(order_id(1)).await, Err(StoreError::Full)));
    store.heal();
    assert!(store.order(order_id(1)).await.unwrap().is_some());
    assert!(store.order(order_id(2)).await.unwrap().is_none());
}

/// What happens to both stores.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(u64, Next)>),
    Define(u8),
    Restart(How),
    Archive,
}

fn next() -> impl Strategy<Value = (u64, Next)> {
    let to = prop::sample::select(vec!["a", "b", "busy", "stuck", "done", "gone"]);
    let event = prop::option::of(0..30_u8);
    let money = prop::collection::vec((0..3_u8, -500..500_i64), 0..3);
    let keys = prop::option::of(0..20_u8);
    let other = || prop::option::of(0..4_u64);
    (0..12_u64, to, event, money, keys, other(), other()).prop_map(|(order, to, event, money, key, payment, parent)| {
        let next = Next {
            to: to.to_owned(),
            event: event.map(|id| format!("evt_{id}")),
            postings: money.iter().flat_map(|(n, amount)| posting(&format!("account/{n}"), *amount, "CNY")).collect(),
            key: key.map(|key| (format!("key_{key}"), format!("hash_{key}"))),
            note: "x".repeat(usize::try_from(order).unwrap() * 7),
            // An order is opened after the one that it belongs to.
            refund_of: payment.filter(|payment| *payment < order).map(order_id),
            child_of: parent.filter(|parent| *parent < order).map(order_id),
        };
        (order, next)
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec(next(), 1..8).prop_map(Step::Commit),
        1 => (0..4_u8).prop_map(Step::Define),
        1 => prop::sample::select(vec![How::Closed, How::Dropped, How::Rebuilt]).prop_map(Step::Restart),
        1 => Just(Step::Archive),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_random_stream_gives_the_same_answers(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let (memory, sled) = (MemoryStore::new(), Reopening::new(How::Never));
            let (mut samples, mut archived) = (Samples::new(), false);
            for step in steps {
                match step {
                    Step::Commit(nexts) => {
                        let batch: Vec<_> =
                            nexts.iter().map(|(order, next)| samples.next(order_id(*order), next).unwrap()).collect();
                        memory.commit(Arc::new(batch.clone())).await.unwrap();
                        sled.commit(Arc::new(batch)).await.unwrap();
                    }
                    Step::Define(n) => {
                        let (workflow, version) = (WorkflowName::new("card"), Version::new(format!("v{n}")));
                        for store in [&memory as &dyn Store, &sled] {
                            let texts = sources(&format!("card {n}"));
                            store.keep_definition(&workflow, &version, &texts, Timestamp::default()).await.unwrap();
                        }
                    }
                    Step::Restart(how) => sled.restart(how).await,
                    Step::Archive => {
                        sled.archive().await;
                        archived = true;
                    }
                }
                compare(&memory, &sled, archived).await;
            }
        });
    }
}

/// Asks both stores everything. One from which orders were archived has forgotten keys, and does not list all that have ended.
async fn compare(left: &dyn Store, right: &dyn Store, archived: bool) {
    for n in 0..13 {
        let id = order_id(n);
        let (a, b) = (left.order(id).await.unwrap(), right.order(id).await.unwrap());
        assert_eq!(a.map(|stored| stored.snapshot), b.map(|stored| stored.snapshot));
        for (after, limit) in [(0, 100), (2, 3)] {
            let (a, b) = (left.journal(id, Seq(after), limit).await, right.journal(id, Seq(after), limit).await);
            let plain = |mut entries: Vec<paystate::journal::Entry>| {
                entries.iter_mut().for_each(|entry| entry.prev = None);
                entries
            };
            assert_eq!(plain(a.unwrap()), plain(b.unwrap()));
        }
        for event in (0..30).step_by(if archived { 4 } else { 1 }) {
            let event = EventId::new(format!("evt_{event}"));
            assert_eq!(left.seen(id, &event).await.unwrap(), right.seen(id, &event).await.unwrap());
        }
        assert_eq!(left.refund_of(id).await.unwrap(), right.refund_of(id).await.unwrap());
        for limit in [2, 100] {
            for link in [Link::Refund, Link::Child] {
                let linked =
                    [left.linked(link, id, limit).await.unwrap(), right.linked(link, id, limit).await.unwrap()];
                assert_eq!(linked[0], linked[1], "{link:?} of {id}");
            }
        }
        let key = format!("key_{n}");
        let (a, b) = (left.key(&key).await.unwrap(), right.key(&key).await.unwrap());
        assert!(a == b || (archived && b.is_none()), "{a:?}, {b:?}");
    }
    for n in 0..3 {
        let (account, currency) = (format!("account/{n}"), "CNY".parse().unwrap());
        let (a, b) = (left.balance(&account, currency).await, right.balance(&account, currency).await);
        assert_eq!(a.unwrap(), b.unwrap());
    }
    for status in [None, Some(Status::Waiting), Some(Status::Incident), Some(Status::Failed)] {
        for (after, limit) in [(None, 100), (Some(order_id(7)), 2)] {
            let limit = if archived { 100 } else { limit };
            let query = OrderQuery { status, after, limit, ..OrderQuery::default() };
            let (mut a, b) = (left.list(&query).await.unwrap(), right.list(&query).await.unwrap());
            a.retain(|order| !archived || !order.status.is_final() || b.contains(order));
            assert_eq!(a, b);
        }
    }
    let open = async |store: &dyn Store| -> BTreeSet<_> {
        store.open_orders(None, 100).await.unwrap().into_iter().map(|open| (open.id, open.due)).collect()
    };
    assert_eq!(open(left).await, open(right).await);
    assert_eq!(left.definitions().await.unwrap(), right.definitions().await.unwrap());
}
