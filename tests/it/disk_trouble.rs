//! The executor on a disk that is full or fails: what is refused, what goes on, and what waits.

use std::sync::Arc;
use std::time::Duration;

use paystate::connector::{ConnectorConfig, Connectors};
use paystate::definition::{Library, Workflow};
use paystate::executor::{ApplyError, Clock, Executor, Options, Submission, SubmitError, Submitted, SystemClock};
use paystate::machine::{Event, Status};
use paystate::store::{MemoryStore, OrderQuery, StoreError};
use paystate::types::{EventId, EventName, OrderId};
use serde_json::json;

/// Long enough for a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for an event, or until it is time; then opens a child and is done.
const PARENT: &str = "
workflow: NAME
input: { type: object }
deadline: 1d
initial: waiting
states:
  waiting:
    on: { order.go: opening }
    after: { TIME: opening }
  opening:
    invoke: { call: orders.start, with: { workflow: child, input: {} } }
    on: { ok: done, declined: stopped }
  done: { final: success, late: { order.go: ignore } }
  stopped: { final: failure, late: { order.go: ignore } }
";
const CHILD: &str = "
workflow: child
input: { type: object }
deadline: 1d
initial: begun
states:
  begun: { always: done }
  done: { final: success }
";
const SHORT: &str = "
workflow: short
input: { type: object }
deadline: 1d
initial: waiting
states:
  waiting: { on: { order.go: done }, after: { 1d: done } }
  done: { final: success, late: { order.go: ignore } }
";

async fn start(store: &Arc<MemoryStore>) -> Executor {
    let folder = tempfile::tempdir().unwrap();
    for (name, time) in [("late", "1d"), ("soon", "300ms")] {
        let text = PARENT.replace("NAME", name).replace("TIME", time);
        std::fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
    }
    std::fs::write(folder.path().join("child.yaml"), CHILD).unwrap();
    std::fs::write(folder.path().join("short.yaml"), SHORT).unwrap();
    let (workflows, problems) = Library::read_dir(folder.path()).unwrap().load();
    assert_eq!(problems, []);
    let workflows: Vec<Arc<Workflow>> = workflows.into_iter().map(Arc::new).collect();
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    let options = Options { shards: 1, ..Options::default() };
    let store: Arc<MemoryStore> = Arc::clone(store);
    Executor::start(store, Arc::new(SystemClock), connectors, workflows, options).await.unwrap()
}

async fn submit(executor: &Executor, key: &str, workflow: &str) -> Result<Submitted, SubmitError> {
    let key = Some((key.to_owned(), "hash".to_owned()));
    executor.submit(Submission { workflow: workflow.into(), input: json!({}), key, child: None }).await
}

fn go(number: usize) -> Event {
    let id = EventId::new(format!("event-{number}"));
    Event::Received { id, name: EventName::new("order.go"), payload: json!({}), source: "test".to_owned() }
}

fn is_full(answer: &Result<Submitted, SubmitError>) -> bool {
    matches!(answer, Err(SubmitError::Refused(ApplyError::Store(StoreError::Full))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_orders_are_refused_while_those_in_flight_end() {
    let store = Arc::new(MemoryStore::new());
    let executor = start(&store).await;
    let mut in_flight: Vec<OrderId> = Vec::new();
    for number in 0..40 {
        let submitted = submit(&executor, &format!("old-{number}"), "late").await.unwrap();
        in_flight.push(submitted.snapshot.id);
    }
    store.fail_commits(|commit| commit.entry.is_new_order(), StoreError::Full);
    // All at once, so that new orders and events of others are in the same rounds.
    let mut events = tokio::task::JoinSet::new();
    let mut orders = tokio::task::JoinSet::new();
    for (number, &order) in in_flight.iter().enumerate() {
        let (one, other) = (executor.clone(), executor.clone());
        events.spawn(async move { one.apply(order, go(number)).await });
        orders.spawn(async move { submit(&other, &format!("new-{number}"), "late").await });
    }
    for answer in orders.join_all().await {
        assert!(is_full(&answer), "{answer:?}");
    }
    for answer in events.join_all().await {
        answer.unwrap();
    }
    for &order in &in_flight {
        let ended = executor.wait(order, PATIENCE).await.unwrap();
        assert_eq!(ended.status, Status::Succeeded, "an order that was accepted, and its child, go on: {ended:?}");
    }
    let all = executor.list(&OrderQuery { limit: 1_000, ..OrderQuery::default() }).await.unwrap();
    assert_eq!(all.len(), 2 * in_flight.len(), "each has a child, and nothing is left of what was refused");
    assert_eq!(executor.tally().opened, 80);
    assert_eq!(executor.tally().succeeded, 80);

    store.heal();
    let taken = submit(&executor, "new-0", "late").await.unwrap();
    assert!(taken.created, "the key of an order that was refused is free");
    executor.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_reserve_orders_wait_and_new_ones_do_not() {
    let store = Arc::new(MemoryStore::new());
    let executor = start(&store).await;
    let order = submit(&executor, "old", "soon").await.unwrap().snapshot.id;
    store.fail(StoreError::Full);
    // The order's timer comes, and waits for room; nothing else waits behind it.
    for number in 0..20 {
        let answer = tokio::time::timeout(PATIENCE, submit(&executor, &format!("new-{number}"), "late")).await;
        assert!(is_full(&answer.expect("it is refused at once")));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(executor.failure(), None);
    store.heal();
    let ended = executor.wait(order, PATIENCE).await.unwrap();
    assert_eq!(ended.status, Status::Succeeded);
    assert!(submit(&executor, "new-0", "late").await.unwrap().created);
    executor.shutdown(Duration::ZERO).await.unwrap();
}

/// On one thread, so that all of it is in one round: a repeat, and who waits for the end, are no earlier than the commit.
#[tokio::test]
async fn nothing_is_answered_before_it_is_durable() {
    let store = Arc::new(MemoryStore::new());
    let executor = start(&store).await;
    let order = submit(&executor, "old", "short").await.unwrap().snapshot.id;
    store.fail_commits(|_| true, StoreError::Fatal("the disk".to_owned()));
    let answers =
        tokio::join!(executor.apply(order, go(1)), executor.apply(order, go(1)), executor.wait(order, PATIENCE));
    let (first, repeat, end) = answers;
    assert!(matches!(first, Err(ApplyError::Store(StoreError::Fatal(_)))), "{first:?}");
    assert!(matches!(repeat, Err(ApplyError::Store(StoreError::Fatal(_)))), "{repeat:?}");
    assert_eq!(end, None);
    assert!(executor.failure().unwrap().contains("the disk"));
    assert_eq!(executor.tally().duplicates, 1, "the two were in one round");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_that_waits_for_room_can_be_stopped() {
    let store = Arc::new(MemoryStore::new());
    let executor = start(&store).await;
    let order = submit(&executor, "old", "late").await.unwrap().snapshot;
    store.fail_after(0, StoreError::Full);
    let (waiting, id) = (executor.clone(), order.id);
    let event = tokio::spawn(async move { waiting.apply(id, go(1)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stopped = tokio::time::timeout(PATIENCE, executor.shutdown(Duration::ZERO)).await;
    stopped.expect("it does not wait for room").unwrap();
    assert!(matches!(event.await.unwrap(), Err(ApplyError::Store(StoreError::Full) | ApplyError::ShuttingDown)));
    store.heal();
    // As after a crash: nothing of it was written.
    let executor = start(&store).await;
    assert_eq!(executor.order(id).await.unwrap().unwrap().seq, order.seq);
    executor.apply(id, go(1)).await.unwrap();
    assert_eq!(executor.wait(id, PATIENCE).await.unwrap().status, Status::Succeeded);
}
