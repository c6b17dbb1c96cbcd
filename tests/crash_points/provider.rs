//! The scripted providers of a story, and the clock. Both outlive a crash: what a provider has done is made again by
//! asking a new one the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use paystate::connector::{Connector, Invocation};
use paystate::executor::Clock;
use paystate::machine::{Event, Outcome};
use paystate::sim::{Scenario, Stage};
use paystate::types::{Attempt, OrderId, Timestamp, Value, Version};
use serde::{Deserialize, Serialize};

use crate::checks::Journals;
use crate::probe::Probe;

/// A request that has reached a provider: what of it the provider looks at.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub connector: String,
    pub operation: String,
    pub key: String,
    pub attempt: Attempt,
    pub with: Value,
    pub asks: bool,
}

impl Request {
    fn new(invocation: &Invocation, asks: bool) -> Self {
        Self {
            connector: invocation.connector.to_string(),
            operation: invocation.operation.to_string(),
            key: invocation.key.clone(),
            attempt: invocation.attempt,
            with: Value::clone(&invocation.with),
            asks,
        }
    }

    fn invocation(&self) -> Invocation {
        Invocation {
            reference: None,
            hidden: paystate::connector::Hidden::None,
            order: OrderId::from_bytes([0; 16]),
            connector: self.connector.as_str().into(),
            operation: self.operation.as_str().into(),
            version: Version::new(""),
            key: self.key.clone(),
            attempt: self.attempt,
            with: Arc::new(self.with.clone()),
            context: Arc::default(),
            timeout: Duration::ZERO,
            sent_at: Timestamp::default(),
        }
    }
}

/// The providers as they are after these requests.
pub fn after(scenario: &Scenario, requests: &[Arc<Request>]) -> Stage {
    let stage = Stage::new(&scenario.answers);
    requests.iter().for_each(|request| drop(ask(&stage, request)));
    stage
}

/// Takes back inquiries whose answers were lost, as if they had not arrived: a scenario has so many answers to them, and
/// stories are told with one crash in mind. A second one must not use up what is left for the others.
pub fn forget_lost_inquiries(requests: &mut Vec<Arc<Request>>, journals: &Journals) {
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for entry in journals.values().flatten() {
        if let Event::Inquired { call, .. } = &entry.event {
            *known.entry(format!("{}-{call}", entry.order)).or_default() += 1;
        }
    }
    requests.retain(|request| {
        if !request.asks {
            return true;
        }
        let call = request.key.rsplit_once('-').map_or(request.key.as_str(), |(call, _)| call);
        let left = known.entry(call.to_owned()).or_default();
        let keep = *left > 0;
        *left = left.saturating_sub(1);
        keep
    });
}

fn ask(stage: &Stage, request: &Request) -> Outcome {
    let invocation = request.invocation();
    let answer =
        if request.asks { stage.inquire(&invocation).now_or_never() } else { stage.invoke(&invocation).now_or_never() };
    answer.expect("a scripted provider answers at once")
}

/// All providers of a story. What they do and that it is known here is one step, whatever picture is taken.
pub struct Providers {
    pub probe: Arc<Probe>,
    pub stage: Arc<Stage>,
}

impl Providers {
    fn take(&self, invocation: &Invocation, asks: bool) -> Outcome {
        let mut gate = self.probe.settled_gate();
        let request = Arc::new(Request::new(invocation, asks));
        let outcome = ask(&self.stage, &request);
        gate.requests.push(request);
        outcome
    }
}

#[async_trait]
impl Connector for Providers {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        self.take(invocation, false)
    }

    async fn inquire(&self, invocation: &Invocation) -> Outcome {
        self.take(invocation, true)
    }
}

/// Stands still until it is moved, and tells when somebody wants to be woken.
pub struct StoryClock {
    probe: Arc<Probe>,
    alarm: std::sync::Mutex<Option<Timestamp>>,
    moved: tokio::sync::Notify,
}

impl StoryClock {
    pub fn new(probe: &Arc<Probe>) -> Self {
        let (alarm, moved) = (std::sync::Mutex::default(), tokio::sync::Notify::new());
        Self { probe: Arc::clone(probe), alarm, moved }
    }

    /// When the loop wants to be woken next.
    pub fn alarm(&self) -> Option<Timestamp> {
        *self.alarm.lock().unwrap()
    }

    pub fn move_to(&self, now: Timestamp) {
        self.probe.settled_gate().client.now = now;
        self.moved.notify_waiters();
    }
}

/// Somebody waits for a moment; until it is dropped.
struct Alarm<'a>(&'a StoryClock);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        *self.0.alarm.lock().unwrap() = None;
    }
}

#[async_trait]
impl Clock for StoryClock {
    fn now(&self) -> Timestamp {
        self.probe.gate().client.now
    }

    async fn sleep_until(&self, at: Timestamp) {
        let alarm = Alarm(self);
        loop {
            let moved = self.moved.notified();
            if self.now() >= at {
                // Whatever is ready comes first, as it does where time passes by itself.
                tokio::task::yield_now().await;
                break;
            }
            *self.alarm.lock().unwrap() = Some(at);
            moved.await;
        }
        drop(alarm);
    }

    fn order_id(&self) -> OrderId {
        let mut gate = self.probe.gate();
        gate.client.ids += 1;
        OrderId::from_bytes([1, 0x8f, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, gate.client.ids])
    }
}
