//! A loop that is busy, with a full queue: what is too much is refused at once, and what was accepted comes to its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use paystate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::{Sources, load};
use paystate::executor::{ApplyError, Clock, Executor, Options, SteadyClock, Submission, SubmitError, SystemClock};
use paystate::machine::Outcome;
use paystate::store::MemoryStore;
use paystate::types::{ConnectorName, OrderId};
use serde_json::json;

use super::until;

const WORKFLOW: &str = r#"
workflow: plugged
input: { type: object }
deadline: 30d
initial: takes
states:
  takes: { invoke: { call: plug.take }, on: { ok: done, declined: stopped } }
  done: { final: success }
  stopped: { final: failure }
"#;
const CONNECTOR: &str = r#"
connector: plug
base_url: https://plug.invalid
auth: none
operations:
  take: { post: /take, repeat: safe, outcomes: { ok: response.status == 200 } }
"#;
/// Requests that may wait for a loop.
const QUEUE: usize = 4_096;

/// Keeps the loop that calls it until it is pulled.
#[derive(Default)]
struct Plug {
    pulled: Mutex<bool>,
    told: Condvar,
    calls: Mutex<usize>,
}

#[async_trait]
impl Connector for Plug {
    async fn invoke(&self, _invocation: &Invocation) -> Outcome {
        *self.calls.lock().unwrap() += 1;
        drop(self.told.wait_while(self.pulled.lock().unwrap(), |pulled| !*pulled).unwrap());
        Outcome::Ok { result: json!({}) }
    }

    async fn inquire(&self, _invocation: &Invocation) -> Outcome {
        Outcome::NotFound
    }

    fn is_instant(&self) -> bool {
        true
    }
}

async fn submit(executor: Executor) -> Result<OrderId, SubmitError> {
    let submission = Submission { workflow: "plugged".into(), input: json!({}), key: None, child: None };
    executor.submit(submission).await.map(|submitted| submitted.snapshot.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_queue_refuses_at_once_and_loses_nothing() {
    let sources = Sources {
        path: "plugged.yaml".to_owned(),
        workflow: WORKFLOW.to_owned(),
        connectors: BTreeMap::from([("plug".to_owned(), CONNECTOR.to_owned())]),
        schemas: BTreeMap::new(),
    };
    let workflow = Arc::new(load(sources).unwrap_or_else(|problems| panic!("{problems:#?}")));
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    let plug = Arc::<Plug>::default();
    connectors.register(ConnectorName::from("plug"), Arc::<Plug>::clone(&plug));
    let store = Arc::new(MemoryStore::default());
    let options = Options { shards: 1, ..Options::default() };
    let clock = Arc::new(SteadyClock::new());
    let executor =
        Executor::start(Arc::<MemoryStore>::clone(&store), clock, connectors, vec![workflow], options).await.unwrap();

    submit(executor.clone()).await.unwrap();
    until("the loop is held", || *plug.calls.lock().unwrap(), |&calls| calls == 1).await;
    let mut waiting = tokio::task::JoinSet::new();
    let mut refused = 0;
    // Each is either in the queue or refused before the next one comes.
    for _ in 0..QUEUE + 100 {
        let mut sent = Box::pin(submit(executor.clone()));
        match futures_util::poll!(&mut sent) {
            std::task::Poll::Pending => {
                waiting.spawn(sent);
            }
            std::task::Poll::Ready(answer) => {
                let error = answer.unwrap_err();
                assert!(matches!(error, SubmitError::Refused(ApplyError::Overloaded)), "{error}");
                refused += 1;
            }
        }
    }
    let taken = waiting.len();
    assert!(refused >= 100 && taken > QUEUE / 2, "{taken} wait, {refused} are refused");
    *plug.pulled.lock().unwrap() = true;
    plug.told.notify_all();
    let accepted = waiting.join_all().await;
    assert!(accepted.iter().all(Result::is_ok));
    until("they end", || executor.tally().succeeded, |&succeeded| succeeded == taken as u64 + 1).await;
    assert_eq!(executor.tally().opened, taken as u64 + 1, "nothing is left of what was refused");
    submit(executor.clone()).await.expect("there is room again");
    println!("queue: {taken} waited and ended, {refused} were refused");
    executor.shutdown(Duration::from_secs(10)).await.unwrap();
}
