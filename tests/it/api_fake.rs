//! An engine in memory: the real machine, without a store, a clock or providers.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use paystate::api::{
    Engine, EngineError, HookAnswer, HookError, HookNotice, How, Message, PauseError, Related, SendError, Sent, Server,
    ServerOptions, Submission, SubmitError, Submitted,
};
use paystate::connector::Acknowledged;
use paystate::definition::{Sources, Workflow, load};
use paystate::executor::{Doubt, Notice, Provider, Traffic};
use paystate::journal::{Entry, FORMAT_VERSION, Opening};
use paystate::machine::{self, Decision, Event, Outcome, Phase, Rejection, Resolution, Snapshot, Status};
use paystate::store::OrderQuery;
use paystate::types::{CallId, ConnectorName, EventId, OrderId, Pause, Seq, Timestamp, Version, WorkflowName};
use serde_json::json;
use tokio::sync::broadcast;

pub const WORKFLOW: &str = r#"
workflow: card
title: Card
description: A card, confirmed by the customer
# A line as long as people write them in their comments, beyond the width of a telephone and of most windows beside another.
input:
  type: object
  required: [amount, currency]
  additionalProperties: false
  properties:
    amount: { type: integer, minimum: 1 }
    currency: { type: string, pattern: "^[A-Z]{3}$" }
    payment: { type: string }
    note: { type: string }
money: { amount: "${input.amount}", currency: "${input.currency}" }
deadline: 7d
initial: verified
on: { cancel: cancelled }
states:
  verified:
    title: The customer confirms
    on: { customer.confirmed: authorized, customer.refused: cancelled }
    after: { 15m: cancelled }
  authorized:
    title: The gateway takes the money
    invoke:
      call: gateway.charge
      with: { amount: "${input.amount}", currency: "${input.currency}" }
      timeout: { attempt: 30s, total: 10m }
      retry: { attempts: 4, initial: 1s, factor: 2, max: 30s, jitter: none }
    on:
      ok: { target: settled, assign: { charge: "${result.id}" } }
      declined: declined
      failed: declined
  settled:
    title: The shop ships
    on: { shop.shipped: notified, cancel: { assign: { cancel_refused: true } } }
    after: { 1d: notified }
  notified: { final: success }
  cancelled: { final: failure }
  declined: { final: failure }
"#;

pub const CONNECTOR: &str = r#"
connector: gateway
title: Gateway
base_url: "${env.GATEWAY_URL}"
auth: { bearer: "${secret.gateway_key}" }
idempotency: { header: Idempotency-Key, replay: none, not_found_final_after: 5m }
operations:
  charge:
    post: /charges
    body: { reference: "${key}", amount: "${with.amount}", currency: "${with.currency}" }
    money: purchase
    integrity: [amount, currency]
    outcomes:
      ok: response.status == 201
      declined: response.status == 402
      code: response.body.code
    inquire:
      get: "/charges?reference=${key}"
      outcomes:
        ok: response.status == 200
        not_found: response.status == 404
      schedule: [1s, 5s]
"#;

const BEGIN: i64 = 1_795_000_000_000;
pub const SEALED: &str = concat!(
    "eyJhbGciOiJSU0EtT0FFUC0yNTYiLCJlbmMiOiJBMjU2R0NNIn0.OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgckCL9kiMT03JGe",
    ".48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX.XFBoMYUZodetZdvTiFvSkQ"
);

struct Order {
    snapshot: Arc<Snapshot>,
    entries: Vec<Entry>,
}

pub struct Fake {
    workflow: Arc<Workflow>,
    orders: Mutex<BTreeMap<OrderId, Order>>,
    keys: Mutex<HashMap<String, (String, OrderId)>>,
    ids: AtomicU64,
    changes: broadcast::Sender<Arc<Snapshot>>,
    /// What the next request is answered with.
    pub trouble: Mutex<Option<EngineError>>,
    pub in_flight: Mutex<Option<String>>,
    /// Whether its provider is paused.
    pub pause: Mutex<Option<Pause>>,
    /// Payment and refund.
    pub refunds: Mutex<Vec<(OrderId, OrderId)>>,
    /// Parent, child.
    pub children: Mutex<Vec<(OrderId, OrderId)>>,
    /// How long every submission takes.
    pub delay: Mutex<Duration>,
}

impl Fake {
    pub fn new() -> Arc<Self> {
        let sources = Sources {
            path: "workflows/card.yaml".to_owned(),
            workflow: WORKFLOW.to_owned(),
            connectors: BTreeMap::from([("gateway".to_owned(), CONNECTOR.to_owned())]),
            schemas: BTreeMap::new(),
        };
        let workflow = load(sources).unwrap_or_else(|problems| panic!("{problems:#?}"));
        Arc::new(Self {
            workflow: Arc::new(workflow),
            orders: Mutex::default(),
            keys: Mutex::default(),
            ids: AtomicU64::new(0),
            changes: broadcast::channel(64).0,
            trouble: Mutex::default(),
            in_flight: Mutex::default(),
            delay: Mutex::default(),
            pause: Mutex::default(),
            refunds: Mutex::default(),
            children: Mutex::default(),
        })
    }

    fn providers(&self) -> Vec<Provider> {
        vec![Provider {
            name: ConnectorName::new("gateway"),
            title: "The gateway".to_owned(),
            pause: self.pause.lock().unwrap().clone(),
            traffic: Traffic { under_way: 2, waiting: 1_000 },
            gate: None,
            doubt: Some(Doubt { calls: 3, more: true }),
        }]
    }

    pub fn serve(self: &Arc<Self>) -> Server {
        self.serve_with(ServerOptions::default())
    }

    pub fn serve_with(self: &Arc<Self>, options: ServerOptions) -> Server {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Server::start(Arc::clone(self) as Arc<dyn Engine>, listener, options).unwrap()
    }

    /// A new order, without HTTP.
    pub fn open(&self, input: serde_json::Value) -> OrderId {
        let number = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let now = Timestamp::from_unix_ms(BEGIN + i64::try_from(number).unwrap() * 60_000);
        let mut bytes = [0_u8; 16];
        bytes[..6].copy_from_slice(&now.unix_ms().to_be_bytes()[2..]);
        bytes[6] = 0x70;
        bytes[8] = 0x80;
        bytes[15] = u8::try_from(number).unwrap();
        let id = OrderId::from_bytes(bytes);
        let decision = machine::start(&self.workflow, id, input.clone(), None, now).unwrap();
        self.keep(id, Event::Started { input, parent: None }, decision);
        id
    }

    pub fn apply(&self, id: OrderId, event: Event) -> Result<Arc<Snapshot>, Rejection> {
        let before = Arc::clone(&self.orders.lock().unwrap()[&id].snapshot);
        let now = match &event {
            Event::TimerFired { timer } => before.timers[timer],
            _ => before.updated_at.plus(Duration::from_millis(1_250)),
        };
        let decision = machine::transition(&self.workflow, &before, &event, now)?;
        Ok(self.keep(id, event, decision))
    }

    /// Answers the call that is on its way.
    pub fn settle(&self, id: OrderId, outcome: Outcome) -> Arc<Snapshot> {
        let snapshot = Arc::clone(&self.orders.lock().unwrap()[&id].snapshot);
        let sending = snapshot.calls.iter().find(|(_, call)| call.phase == Phase::Sending);
        let (&call, state) = sending.expect("a call is on its way");
        self.apply(id, Event::Settled { call, attempt: state.attempt, outcome }).unwrap()
    }

    pub fn receive(&self, id: OrderId, name: &str) -> Arc<Snapshot> {
        let event =
            Event::Received { id: name.into(), name: name.into(), payload: json!({}), source: "test".to_owned() };
        self.apply(id, event).unwrap()
    }

    /// The answer is lost, and nobody can say what became of the call.
    pub fn park(&self, id: OrderId, reason: &str) -> Arc<Snapshot> {
        self.receive(id, "customer.confirmed");
        let unknown = || Outcome::Unknown { reason: reason.to_owned(), retry_after_ms: None };
        let mut snapshot = self.settle(id, unknown());
        while snapshot.status != Status::Incident {
            let asked = snapshot.calls.iter().find(|(_, call)| call.phase == Phase::Unknown { asking: true });
            let event = match asked {
                Some((&call, state)) => Event::Inquired { call, inquiry: state.inquiries, outcome: unknown() },
                None => {
                    let (&timer, _) = snapshot.timers.iter().min_by_key(|(_, at)| **at).expect("a timer");
                    Event::TimerFired { timer }
                }
            };
            snapshot = self.apply(id, event).unwrap();
        }
        snapshot
    }

    fn keep(&self, id: OrderId, event: Event, decision: Decision) -> Arc<Snapshot> {
        let snapshot = Arc::new(decision.snapshot);
        let opening = matches!(event, Event::Started { .. }).then(|| Opening {
            workflow: self.workflow.name.clone(),
            version: self.workflow.version.clone(),
            key: None,
        });
        let entry = Entry {
            v: FORMAT_VERSION,
            order: id,
            seq: snapshot.seq,
            at: snapshot.updated_at,
            opening,
            event,
            to: snapshot.state.clone(),
            commands: decision.commands,
            postings: decision.postings,
            prev: None,
        };
        let mut orders = self.orders.lock().unwrap();
        let order = orders.entry(id).or_insert_with(|| Order { snapshot: Arc::clone(&snapshot), entries: Vec::new() });
        order.snapshot = Arc::clone(&snapshot);
        order.entries.push(entry);
        let _ = self.changes.send(Arc::clone(&snapshot));
        snapshot
    }

    fn check(&self) -> Result<(), EngineError> {
        self.trouble.lock().unwrap().take().map_or(Ok(()), Err)
    }

    fn ask(&self, id: OrderId, event: Event) -> Result<Arc<Snapshot>, SendError> {
        self.check()?;
        if !self.orders.lock().unwrap().contains_key(&id) {
            return Err(SendError::NotFound);
        }
        self.apply(id, event).map_err(|rejection| match rejection {
            Rejection::UnknownEvent { name, known } => SendError::UnknownEvent { name: name.to_string(), known },
            Rejection::NoIncident => SendError::NoIncident,
            Rejection::Finished { state } => SendError::Finished { state },
            other => SendError::NotAllowed(other.to_string()),
        })
    }
}

fn fits(query: &OrderQuery, order: &Snapshot) -> bool {
    query.workflow.as_ref().is_none_or(|workflow| *workflow == order.workflow)
        && query.state.as_ref().is_none_or(|state| *state == order.state)
        && query.status.is_none_or(|status| status == order.status)
        && query.after.is_none_or(|after| order.id < after)
}

fn named(id: Option<EventId>) -> EventId {
    id.unwrap_or_else(|| "made-up".into())
}

#[async_trait]
impl Engine for Fake {
    async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        self.check()?;
        let Submission { workflow, input, key, body_hash } = submission;
        assert_ne!(workflow.as_str(), "panic", "a mistake of ours");
        if key.is_some() && *self.in_flight.lock().unwrap() == key {
            return Err(SubmitError::InFlight);
        }
        if let Some((hash, order)) = key.as_ref().and_then(|key| self.keys.lock().unwrap().get(key).cloned()) {
            if hash != body_hash {
                return Err(SubmitError::KeyReused { order });
            }
            let snapshot = Arc::clone(&self.orders.lock().unwrap()[&order].snapshot);
            return Ok(Submitted { snapshot, created: false });
        }
        if workflow != self.workflow.name {
            return Err(SubmitError::UnknownWorkflow { name: workflow.to_string(), known: vec!["card".to_owned()] });
        }
        self.workflow.input.validate(&input).map_err(SubmitError::Invalid)?;
        let id = self.open(input);
        if let Some(key) = key {
            self.keys.lock().unwrap().insert(key, (body_hash, id));
        }
        Ok(Submitted { snapshot: Arc::clone(&self.orders.lock().unwrap()[&id].snapshot), created: true })
    }

    async fn order(&self, id: OrderId) -> Result<Option<Arc<Snapshot>>, EngineError> {
        self.check()?;
        Ok(self.orders.lock().unwrap().get(&id).map(|order| Arc::clone(&order.snapshot)))
    }

    async fn related(&self, id: OrderId) -> Result<Related, EngineError> {
        self.check()?;
        let (orders, links) = (self.orders.lock().unwrap(), self.refunds.lock().unwrap());
        let linked = |links: &[(OrderId, OrderId)]| {
            let to = links.iter().rev().filter(|(to, _)| *to == id);
            to.map(|(_, order)| Arc::clone(&orders[order].snapshot)).collect()
        };
        let (refunds, children) = (linked(&links), linked(&self.children.lock().unwrap()));
        let refund_of = links.iter().find(|(_, refund)| *refund == id).map(|(payment, _)| *payment);
        Ok(Related { refunds, children, refund_of })
    }

    async fn list(&self, query: OrderQuery) -> Result<Vec<Arc<Snapshot>>, EngineError> {
        self.check()?;
        let orders = self.orders.lock().unwrap();
        let fitting = orders.values().rev().map(|order| &order.snapshot).filter(|snapshot| fits(&query, snapshot));
        Ok(fitting.take(query.limit).cloned().collect())
    }

    async fn journal(&self, id: OrderId, after: Seq, limit: usize) -> Result<Option<Vec<Entry>>, EngineError> {
        let orders = self.orders.lock().unwrap();
        let Some(order) = orders.get(&id) else { return Ok(None) };
        Ok(Some(order.entries.iter().filter(|entry| entry.seq > after).take(limit).cloned().collect()))
    }

    async fn send(&self, id: OrderId, message: Message) -> Result<Sent, SendError> {
        let Message { event: name, payload, id: event, source } = message;
        let seen = |entry: &Entry| event.is_some() && entry.event.id() == event.as_ref();
        if let Some(order) = self.orders.lock().unwrap().get(&id).filter(|order| order.entries.iter().any(seen)) {
            return Ok(Sent { how: How::Duplicate, snapshot: Arc::clone(&order.snapshot) });
        }
        let snapshot = self.ask(id, Event::Received { id: named(event.clone()), name, payload, source })?;
        let waits = snapshot.inbox.iter().any(|early| Some(&early.id) == event.as_ref());
        Ok(Sent { how: if waits { How::Waiting } else { How::Applied }, snapshot })
    }

    async fn cancel(
        &self,
        order: OrderId,
        id: Option<EventId>,
        by: String,
        reason: String,
    ) -> Result<Arc<Snapshot>, SendError> {
        self.ask(order, Event::CancelRequested { id: named(id), by, reason })
    }

    async fn retry(
        &self,
        order: OrderId,
        id: Option<EventId>,
        by: String,
        note: String,
    ) -> Result<Arc<Snapshot>, SendError> {
        self.ask(order, Event::RetryRequested { id: named(id), by, note })
    }

    async fn resolve(
        &self,
        order: OrderId,
        id: Option<EventId>,
        by: String,
        note: String,
        resolution: Resolution,
    ) -> Result<Arc<Snapshot>, SendError> {
        if let Resolution::State { state, .. } = &resolution
            && self.workflow.state(state).is_none()
        {
            let known = self.workflow.states.iter().map(|state| state.name.clone()).collect();
            return Err(SendError::UnknownState { name: state.to_string(), known });
        }
        self.ask(order, Event::Resolved { id: named(id), by, note, resolution })
    }

    async fn hook(&self, connector: ConnectorName, notice: HookNotice) -> Result<HookAnswer, HookError> {
        if connector.as_str() != "gateway" {
            return Err(HookError::UnknownConnector { name: connector.to_string() });
        }
        let body = &notice.body;
        match notice.headers.get("webhook-signature").map(String::as_str) {
            Some("good") if body.starts_with(b"{") => Ok(HookAnswer {
                how: How::Applied,
                order: None,
                event: Some(format!("payment.succeeded{}", notice.path).as_str().into()),
                acknowledge: Acknowledged { status: 200, body: None, content_type: "text/plain".to_owned() },
            }),
            Some("good") => Err(HookError::Malformed("the body is not JSON".to_owned())),
            _ => Err(HookError::BadSignature("no signature fits".to_owned())),
        }
    }

    async fn notices(&self, order: OrderId) -> Result<Option<Vec<Notice>>, EngineError> {
        self.check()?;
        Ok(self.orders.lock().unwrap().contains_key(&order).then(Vec::new))
    }

    async fn redeliver(&self, _: OrderId, call: CallId) -> Result<(Notice, Outcome), SendError> {
        self.check()?;
        Err(SendError::NotAllowed(format!("the order has no notification {call}")))
    }

    async fn providers(&self, _: bool) -> Result<Vec<Provider>, EngineError> {
        self.check()?;
        Ok(self.providers())
    }

    async fn pause(&self, connector: ConnectorName, pause: Option<Pause>) -> Result<(), PauseError> {
        self.check()?;
        let known: Vec<_> = self.providers().into_iter().map(|provider| provider.name).collect();
        if !known.contains(&connector) {
            return Err(PauseError::UnknownConnector { name: connector.to_string(), known });
        }
        *self.pause.lock().unwrap() = pause;
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_000)
    }

    fn workflows(&self) -> Vec<Arc<Workflow>> {
        vec![Arc::clone(&self.workflow)]
    }

    fn workflow(&self, name: &WorkflowName) -> Option<Arc<Workflow>> {
        (*name == self.workflow.name).then(|| Arc::clone(&self.workflow))
    }

    fn versions(&self) -> Vec<Arc<Workflow>> {
        self.workflows()
    }

    fn version(&self, version: &Version) -> Option<Arc<Workflow>> {
        (*version == self.workflow.version).then(|| Arc::clone(&self.workflow))
    }

    async fn wait(&self, id: OrderId, timeout: Duration) -> Option<Arc<Snapshot>> {
        let mut changes = self.changes.subscribe();
        let ended = async {
            loop {
                let snapshot = changes.recv().await.ok()?;
                if snapshot.id == id && matches!(snapshot.status, Status::Succeeded | Status::Failed) {
                    return Some(snapshot);
                }
            }
        };
        tokio::time::timeout(timeout, ended).await.ok()?
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<Snapshot>> {
        self.changes.subscribe()
    }

    async fn ready(&self) -> bool {
        self.trouble.lock().unwrap().is_none()
    }

    fn metrics_text(&self) -> String {
        "# EOF\n".to_owned()
    }
}
