//! The connectors that are shipped, driven over HTTP against emulations of their providers: servers of ours that check
//! what arrives as the providers' documentation says, and keep books of what happened to the money.

mod adyen;
mod alipay;
mod clock;
mod stripe;
mod unionpay;
mod wechat;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use paystate::connector::{Arrived, ConnectorConfig, Connectors};
use paystate::definition::{Sources, load};
use paystate::executor::{Clock, Executor, HookError, Options, Received, Submission, SystemClock};
use paystate::machine::{Event, Snapshot};
use paystate::store::MemoryStore;
use paystate::types::{EventId, Pause, Secret};
use serde_json::{Value, json};

use self::clock::FastClock;
use crate::connector_signing::{Rsa, rsa};

/// Made once: the time that a pair takes would be long for the clock.
static KEYS: LazyLock<[Arc<Rsa>; 4]> = LazyLock::new(|| std::array::from_fn(|_| Arc::new(rsa())));

/// A pair of ours, the provider's, the one that the provider had before, and a stranger's.
fn keys() -> [Arc<Rsa>; 4] {
    KEYS.clone()
}

/// An executor with one method on one shipped connector.
struct World {
    executor: Executor,
    connector: &'static str,
    clock: Arc<FastClock>,
}

impl World {
    async fn with(connector: &'static str, method: &str, env: &[(&str, &str)], secrets: &[(&str, Secret)]) -> Self {
        Self::on(Arc::new(FastClock::new()), connector, method, env, secrets).await
    }

    /// With the clock of a provider that looks at how old a request is.
    async fn on(
        clock: Arc<FastClock>,
        connector: &'static str,
        method: &str,
        env: &[(&str, &str)],
        secrets: &[(&str, Secret)],
    ) -> Self {
        let read = |path: String| std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let text = read(format!("workflows/connectors/{connector}.yaml"));
        let workflow = load(Sources {
            path: format!("tests/providers/{method}.yaml"),
            workflow: read(format!("tests/providers/{method}.yaml")),
            connectors: BTreeMap::from([(connector.to_owned(), text)]),
            schemas: BTreeMap::new(),
        });
        let workflow = Arc::new(workflow.unwrap_or_else(|problems| panic!("{problems:#?}")));
        let mut config = ConnectorConfig::new(Arc::new(|| SystemClock.now()));
        config.env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        config.secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let connectors = Arc::new(Connectors::new(config));
        let (store, told) = (Arc::new(MemoryStore::new()), Arc::<FastClock>::clone(&clock));
        let executor = Executor::start(store, told, connectors, vec![workflow], Options::default()).await.unwrap();
        Self { executor, connector, clock }
    }

    async fn submit(&self, workflow: &str, input: Value) -> Arc<Snapshot> {
        let submission = Submission { workflow: workflow.into(), input, key: None, child: None };
        self.executor.submit(submission).await.unwrap().snapshot
    }

    /// Its provider is paused while a request is not answered, until what follows from that waits.
    async fn waits_at(&self, connector: &str) {
        let (by, since) = ("kim".to_owned(), self.clock.now());
        let pause = Pause { drain: false, by, note: "the line is down".to_owned(), since, in_force: None };
        self.executor.pause(&connector.into(), Some(pause)).await.unwrap();
        for _ in 0..1_000 {
            let providers = self.executor.providers(false).await.unwrap();
            let here = providers.iter().find(|provider| provider.name.as_str() == connector).unwrap();
            if here.traffic.under_way == 0 && here.traffic.waiting > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nothing waits at {connector}");
    }

    async fn goes_on(&self, connector: &str) {
        self.executor.pause(&connector.into(), None).await.unwrap();
    }

    /// Something that the customer's page tells.
    async fn event(&self, order: &Snapshot, name: &str, payload: Value) {
        let (id, source) = (EventId::new(format!("{name}-1")), "api".to_owned());
        let event = Event::Received { id, name: name.into(), payload, source };
        self.executor.apply(order.id, event).await.unwrap();
    }

    /// A notification as it comes in.
    async fn hook(&self, headers: &[(&str, &str)], body: &str) -> Result<Received, HookError> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let arrived = Arrived { headers: &headers, query: &json!({}), path: "", body: body.as_bytes(), from: None };
        self.executor.hook(self.connector, &arrived).await
    }

    /// Waits until the order has come to a state.
    async fn comes_to(&self, order: &Snapshot, state: &str) -> Arc<Snapshot> {
        for _ in 0..1_500 {
            let now = self.executor.order(order.id).await.unwrap().unwrap();
            if now.state.as_str() == state {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let now = self.executor.order(order.id).await.unwrap().unwrap();
        panic!("it is in {} and not in {state}: {} {:?}", now.state, now.outcome, now.incident);
    }

    async fn now(&self, order: &Snapshot) -> Arc<Snapshot> {
        self.executor.order(order.id).await.unwrap().unwrap()
    }

    /// Nobody can be reached for so long, with the last request not answered; then what waits is taken up again.
    async fn is_cut_off_for(&self, time: Duration) {
        self.waits_at(self.connector).await;
        self.clock.leap(time);
        self.goes_on(self.connector).await;
    }

    async fn ends(&self, order: &Snapshot) -> Arc<Snapshot> {
        self.executor.wait(order.id, Duration::from_secs(30)).await.expect("it ends, or needs a person")
    }
}

/// Waits for something that a provider does.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} does not happen");
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Serves an emulation on the loopback; gives its address.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// The fields of a form, decoded by other code than what wrote them.
fn form(text: &str) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://form.invalid/?{text}")).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}
