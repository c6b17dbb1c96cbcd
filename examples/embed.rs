//! Paystate inside a Rust program: a workflow from a file, a store in a folder, an order driven to its end.
//!
//! ```sh
//! cargo run --example embed
//! ```

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paystate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::read_workflow;
use paystate::executor::{Clock, Executor, Options, Refold, Submission, SystemClock};
use paystate::machine::Outcome;
use paystate::store::{SledOptions, SledStore};
use serde_json::json;

/// A provider in Rust. Whatever it cannot tell for certain it must answer with `Outcome::Unknown`.
struct Acme;

#[async_trait]
impl Connector for Acme {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        println!("charging {} under {}", invocation.with["amount"], invocation.key);
        Outcome::Ok { result: json!({ "id": "ch_1" }) }
    }

    async fn inquire(&self, _invocation: &Invocation) -> Outcome {
        Outcome::NotFound
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let workflow = read_workflow(std::path::Path::new("examples/acme/acme_card.yaml"))
        .map_err(|problems| problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("\n"))?;

    // The journal is the truth; the fold is how the working store is rebuilt from it.
    let store = SledStore::open(folder.path(), SledOptions::default(), Arc::new(Refold::default()))?;
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    connectors.register("acme".into(), Arc::new(Acme));

    let executor = Executor::start(
        Arc::new(store),
        Arc::new(SystemClock),
        connectors,
        vec![Arc::new(workflow)],
        Options::default(),
    )
    .await?;

    let submission = Submission {
        workflow: "acme_card".into(),
        input: json!({ "amount": 1200, "currency": "CNY", "token": "tok_1" }),
        key: None,
        child: None,
    };
    let order = executor.submit_and_wait(submission, Duration::from_secs(10)).await?;
    println!("order {} is in state {}, charge {}", order.id, order.state, order.data["charge"]);
    executor.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
