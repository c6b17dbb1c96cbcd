//! What the executor decides, without waiting for anything: the loop around it loads, commits and sends.
//!
//! **Invariant.** No async, no clock, no I/O. The same requests at the same times give the same commits.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::connector::{Hidden, Invocation};
use crate::definition::{Workflow, has_mark};
use crate::journal::{Entry, FORMAT_VERSION, Opening};
use crate::machine::{self, Command, Event, Outcome, Parent, Phase, Rejection, Snapshot, Status};
use crate::store::{Commit, Store, Stored};
use crate::types::{Attempt, CallId, OrderId, Position, Timestamp, Value};

/// The orders that one loop owns.
///
/// **Invariant.** An order that is not in memory has nothing under way: what its snapshot says of that waits for its turn,
/// or was interrupted.
#[derive(Debug, Default)]
pub struct Core {
    live: HashMap<OrderId, Live>,
    /// When each order wants to be looked at, whether it is in memory or not.
    alarms: BTreeSet<(Timestamp, OrderId)>,
    /// Orders that wait for something, once for each time that they began to. Some have gone on or ended since.
    idle: VecDeque<OrderId>,
    /// Calls that are said to be under way, and wait for their turn: nothing of them has been sent.
    queued: HashSet<(OrderId, CallId)>,
    fits: Fits,
    /// Up to here, what is due has been looked at and taken into memory.
    ahead: Option<(Timestamp, OrderId)>,
}

/// How large an order may become: why it may not become this.
#[derive(Default)]
struct Fits(Option<Arc<dyn Store>>);

#[derive(Debug)]
struct Live {
    snapshot: Arc<Snapshot>,
    workflow: Arc<Workflow>,
    tip: Option<Position>,
    alarm: Option<Timestamp>,
    /// Entries of this round that are not durable yet: until then the store knows an older order.
    uncommitted: u32,
    /// How often it is among the idle ones.
    idle: u32,
}

/// A new order.
#[derive(Debug)]
pub struct Opened {
    pub id: OrderId,
    pub workflow: Arc<Workflow>,
    pub input: Value,
    /// The client's key and the hash of its body.
    pub key: Option<(String, String)>,
    pub parent: Option<Parent>,
}

/// What becomes durable, and what leaves once it is.
#[derive(Debug)]
pub struct Staged {
    pub commit: Commit,
    pub dispatches: Vec<Dispatch>,
    /// The transitions taken, for coverage.
    pub walked: Vec<machine::Walked>,
    /// How the order ended, if it ended with this entry.
    pub ended: Option<Status>,
}

struct Decided {
    snapshot: Arc<Snapshot>,
    commands: Vec<Command>,
    postings: Vec<crate::ledger::Posting>,
}

/// Something to send.
#[derive(Debug)]
pub enum Dispatch {
    Invoke { call: CallId, invocation: Invocation },
    Inquire { call: CallId, inquiry: Attempt, invocation: Invocation },
    Report { parent: Parent, outcome: Outcome },
}

impl Core {
    /// One whose orders are no larger than the store takes.
    pub fn bounded_by(store: Arc<dyn Store>) -> Self {
        Self { fits: Fits(Some(store)), ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Orders with a timer, in memory or not.
    pub fn timed(&self) -> usize {
        self.alarms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    pub fn contains(&self, id: OrderId) -> bool {
        self.live.contains_key(&id)
    }

    pub fn snapshot(&self, id: OrderId) -> Option<&Arc<Snapshot>> {
        self.live.get(&id).map(|live| &live.snapshot)
    }

    /// Sending a call of this order twice may do harm.
    pub fn is_risky(&self, id: OrderId, call: &machine::Call) -> bool {
        self.live.get(&id).is_none_or(|live| !machine::is_repeatable(&live.workflow, call))
    }

    /// Whether all that is known of the order here is durable.
    pub fn is_durable(&self, id: OrderId) -> bool {
        self.live.get(&id).is_none_or(|live| live.uncommitted == 0)
    }

    /// Takes an order up from the store.
    pub fn load(&mut self, stored: Stored, workflow: Arc<Workflow>) {
        let id = stored.snapshot.id;
        let live =
            Live { snapshot: stored.snapshot, workflow, tip: Some(stored.tip), alarm: None, uncommitted: 0, idle: 0 };
        self.live.insert(id, live);
        self.arm(id);
    }

    /// What a restart has to do for an order that was under way: an intent without an outcome is unknown, unless
    /// it certainly never left, and an inquiry is simply made again.
    pub fn interrupted(&self, id: OrderId, never_left: impl Fn(&machine::Call) -> bool) -> (Vec<Event>, Vec<Dispatch>) {
        let Some(live) = self.live.get(&id) else { return (Vec::new(), Vec::new()) };
        let mut events = Vec::new();
        let mut dispatches = Vec::new();
        for (&call, state) in live.snapshot.calls.iter().filter(|&(&call, _)| !self.queued.contains(&(id, call))) {
            match state.phase {
                // A notification may come twice, and none is lost for a restart.
                Phase::Sending if never_left(state) || machine::is_harmless_effect(&live.workflow, state) => {
                    dispatches.extend(live.invocation(call).map(|invocation| Dispatch::Invoke { call, invocation }));
                }
                Phase::Sending => {
                    let outcome = live.interrupted(state);
                    events.push(Event::Settled { call, attempt: state.attempt, outcome });
                }
                Phase::Unknown { asking: true } | Phase::Pending { asking: true, .. } => {
                    dispatches.extend(live.inquiry(call, state.inquiries));
                }
                _ => {}
            }
        }
        (events, dispatches)
    }

    pub fn open(&mut self, opened: Opened, now: Timestamp) -> Result<Staged, Rejection> {
        let Opened { id, workflow, input, key, parent } = opened;
        let event = Event::Started { input: input.clone(), parent: parent.clone() };
        let decision = machine::start(&workflow, id, input, parent, now)?;
        self.fits.check(&decision.snapshot)?;
        let opening = Opening { workflow: workflow.name.clone(), version: workflow.version.clone(), key };
        let snapshot = Arc::new(decision.snapshot);
        self.live.insert(
            id,
            Live { snapshot: Arc::clone(&snapshot), workflow, tip: None, alarm: None, uncommitted: 0, idle: 0 },
        );
        let decided = Decided { snapshot, commands: decision.commands, postings: decision.postings };
        Ok(self.stage(event, Some(opening), decided, decision.walked))
    }

    /// Applies an event to an order that is loaded.
    pub fn apply(&mut self, id: OrderId, event: Event, now: Timestamp) -> Result<Staged, Rejection> {
        let live = self.live.get(&id).ok_or(Rejection::Stale)?;
        let fitting = |decision: machine::Decision| self.fits.check(&decision.snapshot).map(|()| decision);
        let (event, decision) = match machine::transition(&live.workflow, &live.snapshot, &event, now).and_then(fitting)
        {
            Err(Rejection::Broken(reason)) => {
                tracing::error!(order = %id, %reason, "an invariant does not hold; the order is parked");
                live.parked(reason, now)?
            }
            // Who sends it can be told; what has happened cannot be refused.
            Err(Rejection::TooLarge(reason)) if event.id().is_none() => {
                tracing::error!(order = %id, %reason, "an order has become too large; it is parked");
                live.parked(reason, now)?
            }
            other => (event, other?),
        };
        let snapshot = Arc::new(decision.snapshot);
        let decided = Decided { snapshot, commands: decision.commands, postings: decision.postings };
        Ok(self.stage(event, None, decided, decision.walked))
    }

    fn stage(
        &mut self,
        event: Event,
        opening: Option<Opening>,
        decided: Decided,
        walked: Vec<machine::Walked>,
    ) -> Staged {
        let Decided { snapshot, commands, postings } = decided;
        let id = snapshot.id;
        let mut dispatches = Vec::new();
        let mut prev = None;
        let is_end = |status| matches!(status, Status::Succeeded | Status::Failed);
        let mut ended = Some(snapshot.status).filter(|&status| is_end(status));
        if let Some(live) = self.live.get_mut(&id) {
            // An order may be opened on the very state that ends it; later it ends once.
            if opening.is_none() && is_end(live.snapshot.status) {
                ended = None;
            }
            live.snapshot = Arc::clone(&snapshot);
            live.uncommitted += 1;
            prev = live.tip;
            dispatches = live.dispatches(&commands);
        }
        self.arm(id);
        let entry = Entry {
            v: FORMAT_VERSION,
            order: id,
            seq: snapshot.seq,
            at: snapshot.updated_at,
            opening,
            event,
            to: snapshot.state.clone(),
            commands,
            postings,
            prev,
        };
        Staged { commit: Commit { entry, snapshot }, dispatches, walked, ended }
    }

    /// The entry is durable.
    pub fn committed(&mut self, id: OrderId, tip: Position) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.tip = Some(tip);
        live.uncommitted = live.uncommitted.saturating_sub(1);
        self.release(id);
    }

    /// Takes back the opening of an order that has not been committed.
    pub fn withdraw(&mut self, id: OrderId) {
        self.disarm(id);
        self.live.remove(&id);
    }

    /// Lets an order go that has nothing left to do; one that waits may be let go from now on.
    pub fn release(&mut self, id: OrderId) {
        let Some(live) = self.live.get_mut(&id).filter(|live| live.uncommitted == 0) else { return };
        if !live.snapshot.is_open() {
            self.disarm(id);
            self.live.remove(&id);
        } else if live.is_idle(&self.queued) {
            live.idle += 1;
            self.idle.push_back(id);
        }
    }

    /// The call waits for its turn, and so does its order if it has nothing else to do.
    pub fn queue(&mut self, id: OrderId, call: CallId) {
        self.queued.insert((id, call));
        self.release(id);
    }

    /// The turn of a loaded order's call has come: what to send, if it is still wanted.
    pub fn take_turn(
        &mut self,
        id: OrderId,
        call: CallId,
        attempt: Attempt,
        inquiry: Option<Attempt>,
    ) -> Option<Dispatch> {
        self.queued.remove(&(id, call));
        let live = self.live.get(&id)?;
        let state = live.snapshot.calls.get(&call).filter(|state| state.attempt == attempt)?;
        match (&state.phase, inquiry) {
            (Phase::Sending, None) => live.invocation(call).map(|invocation| Dispatch::Invoke { call, invocation }),
            (Phase::Unknown { asking: true } | Phase::Pending { asking: true, .. }, Some(inquiry))
                if inquiry == state.inquiries =>
            {
                live.inquiry(call, inquiry)
            }
            _ => None,
        }
    }

    /// A cancel waits for the outcome of a call that has not left yet, and would be taken if it never did.
    pub fn is_called_off(&self, id: OrderId, call: CallId, attempt: Attempt, now: Timestamp) -> bool {
        let Some(live) = self.live.get(&id) else { return false };
        let waits = |snapshot: &Snapshot| snapshot.inbox.iter().any(|early| early.name.as_str() == machine::CANCEL);
        if !waits(&live.snapshot) || live.snapshot.calls.get(&call).is_none_or(|call| call.doubtful) {
            return false;
        }
        let outcome = Outcome::NotSent { reason: String::new(), retry_after_ms: None };
        let never = Event::Settled { call, attempt, outcome };
        let decided = machine::transition(&live.workflow, &live.snapshot, &never, now);
        let is_taken = |walked: &[machine::Walked]| walked.iter().any(|step| step.trigger == machine::CANCEL);
        decided.is_ok_and(|decided| is_taken(&decided.walked) && decided.snapshot.state != live.snapshot.state)
    }

    /// Lets orders go that wait, those first that have waited longest, until `keep` are left. Their alarms stay.
    pub fn park(&mut self, keep: usize) {
        while self.idle.len() > keep {
            let Some(id) = self.idle.pop_front() else { return };
            let Some(live) = self.live.get_mut(&id) else { continue };
            live.idle = live.idle.saturating_sub(1);
            if live.idle == 0 && live.is_idle(&self.queued) {
                self.live.remove(&id);
            }
        }
    }

    /// Wakes an order that is not in memory at a moment at which one of its timers is due.
    pub fn wake_at(&mut self, id: OrderId, at: Timestamp) {
        if !self.live.contains_key(&id) {
            self.alarms.insert((at, id));
        }
    }

    /// The next moment at which a timer is due.
    pub fn next_alarm(&self) -> Option<Timestamp> {
        self.alarms.first().map(|&(at, _)| at)
    }

    /// When the next order is due that has not been looked at ahead of time.
    pub fn next_unread(&self) -> Option<Timestamp> {
        self.unread().next().map(|&(at, _)| at)
    }

    /// Orders that are not in memory and are due by `until`, at most `limit`, each once: read ahead, so that many can be
    /// due at the same moment.
    pub fn upcoming(&mut self, until: Timestamp, limit: usize) -> Vec<OrderId> {
        let mut upcoming = Vec::new();
        let mut last = None;
        for &(at, id) in self.unread().take_while(|&&(at, _)| at <= until) {
            if upcoming.len() == limit {
                break;
            }
            last = Some((at, id));
            if !self.live.contains_key(&id) {
                upcoming.push(id);
            }
        }
        self.ahead = last.or(self.ahead);
        upcoming
    }

    fn unread(&self) -> impl Iterator<Item = &(Timestamp, OrderId)> {
        let above = self.ahead.map_or(Bound::Unbounded, Bound::Excluded);
        self.alarms.range((above, Bound::Unbounded))
    }

    /// Orders with a timer that is due, at most `limit`, each once: whatever else is due for them has the next round.
    pub fn due(&mut self, now: Timestamp, limit: usize) -> Vec<OrderId> {
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(&(at, id)) = self.alarms.first().filter(|&&(at, _)| at <= now)
        {
            self.alarms.remove(&(at, id));
            if let Some(live) = self.live.get_mut(&id) {
                live.alarm = None;
            }
            due.push(id);
        }
        due
    }

    /// The timer of a loaded order that is due first, if one is.
    pub fn timer(&mut self, id: OrderId, now: Timestamp) -> Option<Event> {
        let live = self.live.get(&id)?;
        let (&timer, &at) = live.snapshot.timers.iter().min_by_key(|&(timer, &at)| (at, *timer))?;
        (at <= now).then_some(Event::TimerFired { timer })
    }

    fn arm(&mut self, id: OrderId) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let next = live.snapshot.next_due();
        if live.alarm == next {
            return;
        }
        if let Some(at) = std::mem::replace(&mut live.alarm, next) {
            self.alarms.remove(&(at, id));
        }
        self.alarms.extend(next.map(|at| (at, id)));
    }

    fn disarm(&mut self, id: OrderId) {
        if let Some(at) = self.live.get_mut(&id).and_then(|live| live.alarm.take()) {
            self.alarms.remove(&(at, id));
        }
    }
}

impl Fits {
    fn check(&self, snapshot: &Snapshot) -> Result<(), Rejection> {
        self.0.as_ref().map_or(Ok(()), |store| store.admits(snapshot)).map_err(Rejection::TooLarge)
    }
}

impl std::fmt::Debug for Fits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fits").field(&self.0.is_some()).finish()
    }
}

impl Live {
    /// The event that parks it, and what that decides.
    fn parked(&self, reason: String, now: Timestamp) -> Result<(Event, machine::Decision), Rejection> {
        let event = Event::Parked { reason };
        let decision = machine::transition(&self.workflow, &self.snapshot, &event, now)?;
        Ok((event, decision))
    }

    fn is_idle(&self, queued: &HashSet<(OrderId, CallId)>) -> bool {
        let waits = |call| queued.contains(&(self.snapshot.id, call));
        self.uncommitted == 0 && self.snapshot.calls_under_way().all(waits)
    }

    fn dispatches(&self, commands: &[Command]) -> Vec<Dispatch> {
        let dispatch = |command: &Command| match command {
            Command::Invoke { call, attempt } => self
                .invocation(*call)
                .filter(|invocation| invocation.attempt == *attempt)
                .map(|invocation| Dispatch::Invoke { call: *call, invocation }),
            Command::Inquire { call, inquiry } => self.inquiry(*call, *inquiry),
            Command::Report { parent, outcome } => {
                Some(Dispatch::Report { parent: parent.clone(), outcome: outcome.clone() })
            }
            Command::StartTimer { .. }
            | Command::CancelTimer { .. }
            | Command::OpenIncident { .. }
            | Command::CloseIncident => None,
        };
        commands.iter().filter_map(dispatch).collect()
    }

    /// What is known of a call whose intent is durable and whose outcome is not. What a built-in operation reserves is
    /// made durable by its outcome alone, so without one it did nothing; all else may have happened.
    fn interrupted(&self, call: &machine::Call) -> Outcome {
        let reason = "interrupted by a restart".to_owned();
        if machine::leaves_no_trace(&self.workflow, call) {
            return Outcome::NotSent { reason, retry_after_ms: None };
        }
        Outcome::Unknown { reason, retry_after_ms: None }
    }

    fn inquiry(&self, call: CallId, inquiry: Attempt) -> Option<Dispatch> {
        self.invocation(call).map(|invocation| Dispatch::Inquire { call, inquiry, invocation })
    }

    fn invocation(&self, id: CallId) -> Option<Invocation> {
        invocation(&self.workflow, &self.snapshot, id)
    }
}

/// What is sent for a call of an order.
pub(super) fn invocation(workflow: &Workflow, snapshot: &Snapshot, id: CallId) -> Option<Invocation> {
    let call = snapshot.calls.get(&id)?;
    Some(Invocation {
        order: snapshot.id,
        connector: call.connector.clone(),
        operation: call.operation.clone(),
        version: workflow.connectors.get(&call.connector).map(|connector| connector.version.clone())?,
        key: snapshot.key(id, call),
        attempt: call.attempt,
        with: Arc::clone(&call.with),
        // Until the shell has put them in.
        hidden: if !workflow.volatile.is_empty() && has_mark(&call.with) { Hidden::Gone } else { Hidden::None },
        context: Arc::new(machine::order_value(snapshot)),
        timeout: machine::attempt_timeout(workflow, call),
        sent_at: call.sent_at,
        reference: match &call.phase {
            Phase::Pending { reference, .. } => reference.clone(),
            _ => None,
        },
    })
}
