//! A world of one order: virtual time, a provider that answers as it is told, and crashes where one wants them.
//!
//! The machine and the executor's core are the ones that production runs; only the loop around them is another.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use crate::connector::{Connector, Invocation};
use crate::definition::Workflow;
use crate::executor::{Core, Dispatch, Opened, Staged};
use crate::journal::{self, Entry};
use crate::machine::{Event, Outcome, Phase, Rejection, Snapshot, Walked};
use crate::store::Stored;
use crate::types::{EventId, OrderId, Position, StateName, Timestamp, Value};

/// Timers that one `advance` may fire, so that a scenario always ends.
const TIMERS_MAX: usize = 100_000;

/// Where a run is cut off and taken up again from the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// After the entry with this number is durable.
    pub after_commit: usize,
    /// What it asks for has been sent, and the answers are lost.
    pub sent: bool,
}

pub struct World {
    workflow: Arc<Workflow>,
    provider: Arc<dyn Connector>,
    core: Core,
    entries: Vec<Entry>,
    seen: BTreeSet<EventId>,
    queue: VecDeque<Dispatch>,
    walked: BTreeSet<Walked>,
    id: OrderId,
    now: Timestamp,
    crash: Option<Crash>,
}

/// Why a world cannot go on: a bug in Paystate, or a scenario that asks for the impossible.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WorldError {
    #[error("{0}")]
    Refused(#[from] Rejection),
    #[error("after a crash the journal does not lead to the same order: {0}")]
    Replay(#[from] journal::Divergence),
    #[error("more than {TIMERS_MAX} timers fired in one `advance`, the last of them in state {0}: {1}")]
    Endless(StateName, String),
    #[error("the provider did not answer at once")]
    Slow,
}

impl World {
    /// A world at a fixed moment, so that runs can be compared.
    pub fn new(workflow: Arc<Workflow>, provider: Arc<dyn Connector>, crash: Option<Crash>) -> Self {
        Self {
            workflow,
            provider,
            core: Core::default(),
            entries: Vec::new(),
            seen: BTreeSet::new(),
            queue: VecDeque::new(),
            walked: BTreeSet::new(),
            id: OrderId::from_bytes([1, 0x8f, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1]),
            now: Timestamp::from_unix_ms(1_767_225_600_000),
            crash,
        }
    }

    pub fn submit(&mut self, input: Value) -> Result<(), WorldError> {
        let opened = Opened { id: self.id, workflow: Arc::clone(&self.workflow), input, key: None, parent: None };
        let staged = self.core.open(opened, self.now)?;
        self.commit(staged)?;
        self.run()
    }

    /// Applies an event; false when its id was applied before.
    pub fn event(&mut self, event: Event) -> Result<bool, WorldError> {
        if event.id().is_some_and(|id| self.seen.contains(id)) {
            return Ok(false);
        }
        self.apply(event)?;
        self.run()?;
        Ok(true)
    }

    /// Lets time pass; timers fire in their order, each at its moment.
    pub fn advance(&mut self, by: Duration) -> Result<(), WorldError> {
        let until = self.now.plus(by);
        for _ in 0..TIMERS_MAX {
            let Some(at) = self.core.next_alarm().filter(|&at| at <= until) else {
                self.now = until;
                return Ok(());
            };
            self.now = self.now.max(at);
            for id in self.core.due(self.now, 1) {
                if let Some(event) = self.core.timer(id, self.now) {
                    self.apply(event)?;
                }
            }
            self.run()?;
        }
        Err(self.endless())
    }

    /// What is done over and over: the calls that are under way, and what they wait for.
    fn endless(&self) -> WorldError {
        let order = match self.order() {
            Ok(order) => order,
            Err(error) => return error,
        };
        let calls = order.calls.values().map(|call| match &call.phase {
            Phase::Pending { .. } => {
                format!("{}.{} is asked about as long as it is pending", call.connector, call.operation)
            }
            _ => format!("{}.{} is tried {} times", call.connector, call.operation, call.attempt),
        });
        WorldError::Endless(order.state.clone(), calls.collect::<Vec<_>>().join(", "))
    }

    /// The process is killed and started again: the order is folded from its journal.
    pub fn crash(&mut self) -> Result<(), WorldError> {
        self.queue.clear();
        self.core = Core::default();
        let snapshot = journal::replay(&self.workflow, &self.entries)?;
        if !snapshot.is_open() {
            return Ok(());
        }
        let stored = Stored { snapshot: Arc::new(snapshot), tip: Position(0) };
        self.core.load(stored, Arc::clone(&self.workflow));
        let (events, dispatches) = self.core.interrupted(self.id, |_| false);
        self.queue.extend(dispatches);
        for event in events {
            self.apply(event)?;
        }
        self.run()
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    pub fn walked(&self) -> &BTreeSet<Walked> {
        &self.walked
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The order as its journal tells it.
    pub fn order(&self) -> Result<Snapshot, WorldError> {
        match self.core.snapshot(self.id) {
            Some(snapshot) => Ok(Snapshot::clone(snapshot)),
            None => Ok(journal::replay(&self.workflow, &self.entries)?),
        }
    }

    fn apply(&mut self, event: Event) -> Result<(), WorldError> {
        if !self.core.contains(self.id) {
            let stored = Stored { snapshot: Arc::new(self.order()?), tip: Position(0) };
            self.core.load(stored, Arc::clone(&self.workflow));
        }
        if let Some(id) = event.id() {
            self.seen.insert(id.clone());
        }
        let staged = match self.core.apply(self.id, event, self.now) {
            // The answer to something that a crash has forgotten.
            Err(Rejection::Stale) => return Ok(()),
            other => other?,
        };
        self.commit(staged)
    }

    fn commit(&mut self, staged: Staged) -> Result<(), WorldError> {
        self.walked.extend(staged.walked);
        self.entries.push(staged.commit.entry);
        self.core.committed(self.id, Position(0));
        self.queue.extend(staged.dispatches);
        match self.crash {
            Some(crash) if crash.after_commit == self.entries.len() => {
                self.crash = None;
                if crash.sent {
                    let lost: Vec<Dispatch> = self.queue.drain(..).collect();
                    for dispatch in lost {
                        self.send(dispatch)?;
                    }
                }
                self.crash()
            }
            _ => Ok(()),
        }
    }

    fn run(&mut self) -> Result<(), WorldError> {
        while let Some(dispatch) = self.queue.pop_front() {
            if let Some(event) = self.send(dispatch)? {
                self.apply(event)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, dispatch: Dispatch) -> Result<Option<Event>, WorldError> {
        Ok(match dispatch {
            Dispatch::Invoke { call, invocation } => {
                let outcome = self.call(&invocation, false)?;
                Some(Event::Settled { call, attempt: invocation.attempt, outcome })
            }
            Dispatch::Inquire { call, inquiry, invocation } => {
                let outcome = self.call(&invocation, true)?;
                Some(Event::Inquired { call, inquiry, outcome })
            }
            Dispatch::Report { .. } => None,
        })
    }

    fn call(&self, invocation: &Invocation, asks: bool) -> Result<Outcome, WorldError> {
        let connector = self.workflow.connectors.get(&invocation.connector);
        let operation = connector.and_then(|connector| connector.operations.get(&invocation.operation));
        if asks && operation.is_some_and(|operation| operation.is_told(invocation.reference.as_deref())) {
            let reason = "no notification has told of it".to_owned();
            return Ok(Outcome::Unknown { reason, retry_after_ms: None });
        }
        let answer = if asks {
            self.provider.inquire(invocation).now_or_never()
        } else {
            self.provider.invoke(invocation).now_or_never()
        };
        answer.ok_or(WorldError::Slow)
    }
}
