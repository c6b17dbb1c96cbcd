//! Orders to test stores with: small, deterministic, and foldable without a workflow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::definition::Sources;
use crate::journal::{Entry, FORMAT_VERSION, Opening};
use crate::ledger::Posting;
use crate::machine::{Call, Event, MoneyPosition, Parent, Phase, Role, Snapshot, Status, Timer};
use crate::store::{Commit, Fold};
use crate::types::{
    Attempt, CallId, ConnectorName, Currency, Epoch, EventId, EventName, OperationName, OrderId, Seq, StateName,
    Timestamp, Value, Version, WorkflowName,
};

/// Builds commits that follow one another, and remembers what was built.
#[derive(Debug, Default)]
pub struct Samples {
    orders: BTreeMap<OrderId, Arc<Snapshot>>,
}

/// What the next entry of a sample order says.
#[derive(Clone, Debug, Default)]
pub struct Next {
    /// The state to go to: `done` succeeds, `gone` fails, `stuck` is an incident, `busy` runs, all else waits.
    pub to: String,
    /// The id of the event; without one, a timer fires.
    pub event: Option<String>,
    pub postings: Vec<Posting>,
    /// The client's key, for a first entry.
    pub key: Option<(String, String)>,
    /// Text that is kept in the order's data.
    pub note: String,
    /// The payment that the order refunds, for a first entry.
    pub refund_of: Option<OrderId>,
    /// The order that the order is a child of, for a first entry.
    pub child_of: Option<OrderId>,
}

/// `fold`, for a store that asks for one.
#[derive(Clone, Copy, Debug, Default)]
pub struct SampleFold;

/// The n-th id: they sort as their numbers do.
pub fn order_id(n: u64) -> OrderId {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&(0x0190_0000_0000 + n).to_be_bytes()[2..]);
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    bytes[15] = 1;
    OrderId::from_bytes(bytes)
}

/// A posting, or none when the currency does not exist.
pub fn posting(account: &str, amount: i64, currency: &str) -> Option<Posting> {
    let currency: Currency = currency.parse().ok()?;
    Some(Posting { account: account.to_owned(), amount, currency })
}

/// Texts of a definition.
pub fn sources(text: &str) -> Sources {
    Sources {
        path: format!("workflows/{text}.yaml"),
        workflow: format!("workflow: {text}\n"),
        connectors: BTreeMap::from([("gateway".to_owned(), format!("connector: gateway # {text}\n"))]),
        schemas: BTreeMap::new(),
    }
}

/// The fold of sample orders, as the machine's fold is that of real ones.
pub fn fold(before: Option<&Snapshot>, entry: &Entry) -> Result<Snapshot, String> {
    let mut snapshot = match (before, &entry.opening) {
        (Some(before), None) => before.clone(),
        (None, Some(opening)) => first(entry, opening),
        (Some(_), Some(_)) => return Err(format!("{} was opened twice", entry.order)),
        (None, None) => return Err(format!("{} was never opened", entry.order)),
    };
    if entry.seq != before.map(|before| before.seq).unwrap_or_default().next() {
        return Err(format!("entry {} of {} does not follow", entry.seq, entry.order));
    }
    if let Event::Received { payload, name, .. } = &entry.event
        && let Value::Object(data) = Arc::make_mut(&mut snapshot.data)
    {
        data.insert(name.to_string(), payload.clone());
    }
    // The call that reserves is settled by whatever comes next.
    snapshot.calls = refund_of(entry).map(|payment| (CallId(1), reserving(payment, entry.at))).into_iter().collect();
    if snapshot.state != entry.to {
        snapshot.entered_at = entry.at;
    }
    snapshot.seq = entry.seq;
    snapshot.state = entry.to.clone();
    snapshot.status = status(entry.to.as_str());
    // Whoever waits does so until a deadline.
    let waits = snapshot.status == Status::Waiting;
    snapshot.timers = waits.then(|| (Timer::Deadline, entry.at.plus(Duration::from_secs(60)))).into_iter().collect();
    snapshot.updated_at = entry.at;
    Ok(snapshot)
}

impl Fold for SampleFold {
    fn fold(&self, before: Option<&Snapshot>, entry: &Entry) -> Result<Snapshot, String> {
        fold(before, entry)
    }

    fn define(&self, _workflow: &WorkflowName, _version: &Version, _sources: &Sources) -> Result<(), String> {
        Ok(())
    }
}

impl Samples {
    pub fn new() -> Self {
        Self::default()
    }

    /// The next commit of an order, which is opened if it is new. `None` when the sample cannot be folded.
    pub fn next(&mut self, order: OrderId, next: &Next) -> Option<Commit> {
        let before = self.orders.get(&order).cloned();
        let seq = before.as_ref().map(|before| before.seq).unwrap_or_default().next();
        let entry = Entry {
            v: FORMAT_VERSION,
            order,
            seq,
            at: Timestamp::from_unix_ms(1_700_000_000_000 + i64::try_from(seq.0).unwrap_or(0)),
            opening: before.is_none().then(|| Opening {
                workflow: workflow(order),
                version: Version::new("00112233aabbccdd"),
                key: next.key.clone(),
            }),
            event: event(before.is_none(), next),
            to: StateName::new(next.to.as_str()),
            commands: Vec::new(),
            postings: next.postings.clone(),
            prev: None,
        };
        let snapshot = Arc::new(fold(before.as_deref(), &entry).ok()?);
        self.orders.insert(order, Arc::clone(&snapshot));
        Some(Commit { entry, snapshot })
    }

    /// The sequence number that an order has reached.
    pub fn seq(&self, order: OrderId) -> Seq {
        self.orders.get(&order).map(|snapshot| snapshot.seq).unwrap_or_default()
    }
}

/// Orders are of two workflows, by the last bit of their number.
fn workflow(order: OrderId) -> WorkflowName {
    let even = order.as_bytes()[5] & 1 == 0;
    WorkflowName::new(if even { "card" } else { "wallet" })
}

fn event(first: bool, next: &Next) -> Event {
    if first {
        let mut input = serde_json::json!({ "amount": 600, "currency": "CNY", "note": next.note });
        if let Some(payment) = next.refund_of {
            input["payment"] = Value::String(payment.to_string());
        }
        let parent = next.child_of.map(|order| Parent { order, call: CallId(1) });
        return Event::Started { input, parent };
    }
    match &next.event {
        Some(id) => Event::Received {
            id: EventId::new(id.as_str()),
            name: EventName::new("said"),
            payload: Value::String(next.note.clone()),
            source: "conformance".to_owned(),
        },
        None => Event::TimerFired { timer: Timer::After { index: 0 } },
    }
}

fn refund_of(entry: &Entry) -> Option<OrderId> {
    match &entry.event {
        Event::Started { input, .. } => input.get("payment")?.as_str()?.parse().ok(),
        _ => None,
    }
}

fn reserving(payment: OrderId, at: Timestamp) -> Call {
    Call {
        role: Role::Invoke { branch: String::new() },
        state: StateName::new("reserving"),
        connector: ConnectorName::new("refunds"),
        operation: OperationName::new("reserve"),
        with: Arc::new(serde_json::json!({ "payment": payment.to_string(), "amount": 600, "currency": "CNY" })),
        epoch: Epoch(1),
        attempt: Attempt(1),
        spent: 0,
        phase: Phase::Sending,
        begun_at: at,
        sent_at: at,
        last_sent_at: at,
        deadline: None,
        inquiries: Attempt(0),
        trouble: String::new(),
        accepted: false,
        doubtful: false,
        done_as: None,
        reversed: false,
    }
}

fn status(state: &str) -> Status {
    match state {
        "done" => Status::Succeeded,
        "gone" => Status::Failed,
        "stuck" => Status::Incident,
        "busy" => Status::Running,
        _ => Status::Waiting,
    }
}

fn first(entry: &Entry, opening: &Opening) -> Snapshot {
    let (input, parent) = match &entry.event {
        Event::Started { input, parent } => (input.clone(), parent.clone()),
        _ => (Value::Null, None),
    };
    Snapshot {
        id: entry.order,
        workflow: opening.workflow.clone(),
        version: opening.version.clone(),
        seq: Seq(0),
        state: entry.to.clone(),
        status: Status::Running,
        created_at: entry.at,
        updated_at: entry.at,
        entered_at: entry.at,
        input: Arc::new(input),
        data: Arc::new(Value::Object(serde_json::Map::new())),
        references: BTreeMap::new(),
        amount: None,
        parent,
        stages: Vec::new(),
        calls: BTreeMap::new(),
        next_call: CallId(1),
        timers: BTreeMap::new(),
        renewed: BTreeMap::new(),
        undo: Vec::new(),
        due: Vec::new(),
        inbox: Vec::new(),
        incident: None,
        money: MoneyPosition::default(),
        attempts: 0,
        outcome: String::new(),
    }
}
