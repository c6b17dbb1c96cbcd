//! Paystate inside a Rust program, with a connector in Rust: a workflow from a file, a store in a folder, an order driven
//! to its end.
//!
//! ```sh
//! cargo run --example embed
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paystate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::{Library, load};
use paystate::executor::{Clock, Executor, Options, Refold, SteadyClock, Submission, SystemClock};
use paystate::machine::Outcome;
use paystate::store::{SledOptions, SledStore};
use serde_json::json;

/// A provider in Rust. What it cannot tell for certain it must answer with `Outcome::Unknown`: then it is asked, by
/// `inquire`, before anything is sent again.
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
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/acme/acme_card.yaml");
    let workflow = load(Library::read_file(&file)?).map_err(|problems| format!("{problems:#?}"))?;

    // The journal is the truth; the fold is how the working store is rebuilt from it.
    let store = SledStore::open(folder.path(), SledOptions::default(), Arc::new(Refold::default()))?;
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    connectors.register("acme".into(), Arc::new(Acme));
    let workflows = vec![Arc::new(workflow)];
    let executor =
        Executor::start(Arc::new(store), Arc::new(SteadyClock::new()), connectors, workflows, Options::default())
            .await?;

    let input = json!({ "amount": 1200, "currency": "CNY", "token": "tok_1" });
    let submission = Submission { workflow: "acme_card".into(), input, key: None, child: None };
    let order = executor.submit_and_wait(submission, Duration::from_secs(10)).await?;
    println!("order {} is in state {}, charge {}", order.id, order.state, order.data["charge"]);
    executor.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
