//! One loop owns an order: requests come in, are decided, committed as a group, and only then acted upon.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::core::{Core, Opened};
use super::lanes::{Lanes, Traffic};
use super::round::{ROUND_MAX, Round};
use super::shared::Shared;
use crate::machine::{Event, Outcome, Rejection, Snapshot, Status};
use crate::store::StoreError;
use crate::types::{ConnectorName, OrderId, Pause, Timestamp, Value};

/// How much of a round timers that are due may take: what follows from them goes on as well.
const DUE_MAX: usize = ROUND_MAX / 4 * 3;

/// Orders are read this long before a timer of theirs is due, as many in a round as it takes no time to read, while there
/// are not too many in memory.
const AHEAD: Duration = Duration::from_secs(10);
const AHEAD_ROUND: usize = 64;
const AHEAD_MAX: usize = 32_768;

/// What a loop is asked to do.
#[derive(Debug)]
pub(super) enum Message {
    Open {
        opened: Box<Opened>,
        reply: Option<Reply>,
    },
    Apply {
        order: OrderId,
        event: Event,
        reply: Option<Reply>,
    },
    /// A call that had a place at its provider is over.
    Done {
        order: OrderId,
        event: Event,
        connector: ConnectorName,
    },
    /// Tell when the order has ended or needs a person.
    Watch {
        order: OrderId,
        reply: oneshot::Sender<Arc<Snapshot>>,
    },
    /// A person paused a provider, or lets it go on.
    Pause {
        connector: ConnectorName,
        pause: Option<Pause>,
    },
    /// What the loop has at each provider.
    Traffic {
        reply: oneshot::Sender<Vec<(ConnectorName, Traffic)>>,
    },
    /// A restart: go on with this order, which was under way.
    TakeUp {
        order: OrderId,
    },
    /// A restart: these orders wait, each until one of its timers is due.
    Wake {
        orders: Vec<(OrderId, Timestamp)>,
    },
    /// Finish what is under way and stop.
    Stop {
        reply: oneshot::Sender<()>,
    },
}

pub(super) type Reply = oneshot::Sender<Result<Applied, ApplyError>>;

/// What became of an event.
#[derive(Clone, Debug)]
pub struct Applied {
    pub snapshot: Arc<Snapshot>,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It moved the order, or is recorded as having no effect.
    Applied,
    /// It waits in the order's inbox for the state that handles it.
    Waiting,
    /// An event of this id was applied before; nothing happened.
    Duplicate,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("no such order")]
    NotFound,
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("too much is under way: try again in a moment")]
    Overloaded,
    #[error("the executor is shutting down")]
    ShuttingDown,
}

pub(super) struct Shard {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: mpsc::Receiver<Message>,
    pub(super) core: Core,
    keep_waiting: usize,
    /// Answers that were there at once, taken up in the next round.
    pub(super) ready: VecDeque<Message>,
    pub(super) lanes: Lanes,
    watchers: HashMap<OrderId, Vec<oneshot::Sender<Arc<Snapshot>>>>,
    pub(super) stopping: Option<oneshot::Sender<()>>,
}

impl Shard {
    pub(super) fn new(index: usize, shared: Arc<Shared>, inbox: mpsc::Receiver<Message>, keep_waiting: usize) -> Self {
        let core = Core::bounded_by(Arc::clone(&shared.store));
        Self {
            index,
            shared,
            inbox,
            core,
            keep_waiting,
            ready: VecDeque::new(),
            lanes: Lanes::default(),
            watchers: HashMap::new(),
            stopping: None,
        }
    }

    /// Runs until it is told to stop, or the store fails: nothing may be acknowledged after that.
    pub(super) async fn run(mut self) {
        while self.stopping.is_none() {
            let mut round = Round::default();
            self.gather(&mut round).await;
            if let Err(error) = self.finish(round).await {
                tracing::error!(%error, shard = self.index, "the store failed; this executor stops");
                self.shared.fail(&error);
                return;
            }
            self.core.park(self.keep_waiting);
            if let Some(holding) = self.shared.holdings.get(self.index) {
                holding.resident.store(count(self.core.len()), Ordering::Relaxed);
                holding.timed.store(count(self.core.timed()), Ordering::Relaxed);
                holding.queued.store(count(self.lanes.waiting()), Ordering::Relaxed);
            }
        }
        if let Some(done) = self.stopping.take() {
            // The receiver may have given up waiting; there is nobody to tell then.
            let _ = done.send(());
        }
    }

    async fn gather(&mut self, round: &mut Round) {
        if self.ready.is_empty() {
            let alarm = self.wakes_at();
            let clock = Arc::clone(&self.shared.clock);
            fault_point!("executor::before-waiting");
            tokio::select! {
                biased;
                message = self.inbox.recv() => match message {
                    Some(message) => self.handle(message, round).await,
                    None => self.stopping = Some(oneshot::channel().0),
                },
                () = async { match alarm {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                } } => {}
            }
            fault_point!("executor::woken");
        }
        let now = self.shared.clock.now();
        for order in self.core.due(now, DUE_MAX) {
            self.fire(order, round, now).await;
        }
        while !round.is_full() {
            let Some(message) = self.ready.pop_front() else { break };
            self.handle(message, round).await;
        }
        while !round.is_full() {
            let Ok(message) = self.inbox.try_recv() else { break };
            self.handle(message, round).await;
        }
        self.take_turns(round, now).await;
        if self.core.len() < AHEAD_MAX {
            for order in self.core.upcoming(now.plus(AHEAD), AHEAD_ROUND) {
                // What cannot be read is told when it is due.
                let _ = self.load(order, round, now).await;
            }
        }
    }

    /// When there is something to do although nobody asks.
    fn wakes_at(&self) -> Option<Timestamp> {
        let unread = self.core.next_unread().filter(|_| self.core.len() < AHEAD_MAX);
        let read_at = unread.map(|at| at.minus(AHEAD));
        self.core.next_alarm().into_iter().chain(read_at).chain(self.lanes.next_due()).min()
    }

    async fn handle(&mut self, message: Message, round: &mut Round) {
        let now = self.shared.clock.now();
        match message {
            Message::Open { opened, reply } => self.open(*opened, reply, round, now).await,
            Message::Apply { order, event, reply } => {
                // What has lost entries is halted before anything else happens to it.
                let halts = matches!(event, Event::Halted { .. });
                let loaded = if halts { self.fetch(order).await } else { self.load(order, round, now).await };
                if let Err(error) = loaded {
                    return answer(reply, Err(error));
                }
                match self.is_duplicate(order, &event, round).await {
                    Ok(false) => self.apply(order, event, reply, round, now),
                    Ok(true) => {
                        self.shared.counts.duplicates.fetch_add(1, Ordering::Relaxed);
                        self.answer_duplicate(order, reply, round);
                    }
                    Err(error) => answer(reply, Err(error.into())),
                }
            }
            Message::Done { order, event, connector } => {
                self.lanes.leave(&connector);
                Box::pin(self.handle(Message::Apply { order, event, reply: None }, round)).await;
            }
            Message::Watch { order, reply } => self.watch(order, reply, round, now).await,
            Message::Pause { connector, pause } => self.pause(&connector, pause.as_ref()),
            Message::Traffic { reply } => {
                let traffic = self.lanes.traffic().map(|(name, traffic)| (name.clone(), traffic)).collect();
                // Whoever asked may have gone.
                let _ = reply.send(traffic);
            }
            Message::TakeUp { order } => {
                if let Err(error) = self.load(order, round, now).await {
                    tracing::error!(%order, %error, "an order cannot be taken up again");
                }
                self.core.release(order);
            }
            Message::Wake { orders } => orders.into_iter().for_each(|(order, at)| self.core.wake_at(order, at)),
            Message::Stop { reply } => self.stopping = Some(reply),
        }
    }

    async fn open(&mut self, opened: Opened, reply: Option<Reply>, round: &mut Round, now: Timestamp) {
        let id = opened.id;
        // A child order has an id of its own making: opening it twice opens it once.
        if opened.parent.is_some() {
            match self.load(id, round, now).await {
                Ok(()) => return self.answer_duplicate(id, reply, round),
                Err(ApplyError::NotFound) => {}
                Err(error) => return answer(reply, Err(error)),
            }
        }
        match self.core.open(opened, now) {
            Ok(staged) => round.add(id, staged, reply, None),
            Err(rejection) => answer(reply, Err(rejection.into())),
        }
    }

    /// Answers with the order as it stands, when that is durable: what it repeats may be in this very round.
    fn answer_duplicate(&mut self, order: OrderId, reply: Option<Reply>, round: &mut Round) {
        let found = self.core.snapshot(order).cloned().ok_or(ApplyError::NotFound);
        let found = found.map(|snapshot| Applied { snapshot, how: How::Duplicate });
        let is_durable = self.core.is_durable(order);
        self.core.release(order);
        match (reply, found) {
            (Some(reply), Ok(applied)) if !is_durable => round.replies.push((reply, applied)),
            (reply, found) => answer(reply, found),
        }
    }

    pub(super) fn apply(
        &mut self,
        order: OrderId,
        event: Event,
        reply: Option<Reply>,
        round: &mut Round,
        now: Timestamp,
    ) {
        let event_id = event.id().cloned();
        let reserved = reservation(&event);
        match self.core.apply(order, event, now) {
            Ok(staged) => round.add(order, staged, reply, event_id),
            Err(rejection) => {
                if let Some(result) = reserved {
                    self.shared.desk.give_back(&result);
                }
                self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
                if !matches!(rejection, Rejection::Stale) {
                    tracing::debug!(%order, %rejection, "an event was refused");
                }
                self.core.release(order);
                answer(reply, Err(rejection.into()));
            }
        }
    }

    /// Applies the timer of an order that is due.
    async fn fire(&mut self, order: OrderId, round: &mut Round, now: Timestamp) {
        if let Err(error) = self.load(order, round, now).await {
            tracing::error!(%order, %error, "a timer is due, and its order cannot be read");
            return;
        }
        match self.core.timer(order, now) {
            Some(event) => self.apply(order, event, None, round, now),
            None => self.core.release(order),
        }
    }

    /// Commits the round and then acts on it: answers, sends, tells who watches.
    async fn finish(&mut self, mut round: Round) -> Result<(), StoreError> {
        fault_point!("executor::before-commit");
        let positions = match self.commit(&mut round).await {
            Ok(Some(positions)) if !positions.is_empty() => positions,
            Ok(_) => return Ok(()),
            Err(error) => {
                round.refuse(&error);
                return Err(error);
            }
        };
        fault_point!("executor::after-commit");
        let counts = &self.shared.counts;
        counts.committed(&round.commits);
        round.ended.iter().for_each(|&(_, status)| counts.ended(status));
        for (commit, &position) in round.commits.iter().zip(&positions) {
            self.core.committed(commit.entry.order, position);
            self.shared.desk.kept(&commit.entry.postings);
        }
        for (reply, applied) in round.replies {
            answer(Some(reply), Ok(applied));
        }
        fault_point!("executor::after-replies");
        for (id, dispatches) in round.dispatches {
            self.dispatch(id, dispatches);
        }
        fault_point!("executor::after-dispatches");
        for commit in &*round.commits {
            self.tell(commit.entry.order, &commit.snapshot);
        }
        Ok(())
    }

    fn tell(&mut self, id: OrderId, snapshot: &Arc<Snapshot>) {
        if snapshot.status.is_final() {
            self.shared.volatile.forget(id);
        }
        if is_at_rest(snapshot)
            && let Some(watchers) = self.watchers.remove(&id)
        {
            for watcher in watchers {
                // Whoever watched may have gone.
                let _ = watcher.send(Arc::clone(snapshot));
            }
        }
        self.shared.publish(snapshot);
    }

    async fn watch(
        &mut self,
        order: OrderId,
        reply: oneshot::Sender<Arc<Snapshot>>,
        round: &mut Round,
        now: Timestamp,
    ) {
        if self.load(order, round, now).await.is_err() {
            return;
        }
        let Some(snapshot) = self.core.snapshot(order).cloned() else { return };
        if is_at_rest(&snapshot) && self.core.is_durable(order) {
            let _ = reply.send(snapshot);
        } else {
            self.watchers.entry(order).or_default().push(reply);
        }
        self.core.release(order);
    }

    /// Takes an order into memory. What was under way when it was last there was interrupted by a restart.
    pub(super) async fn load(&mut self, id: OrderId, round: &mut Round, now: Timestamp) -> Result<(), ApplyError> {
        if self.core.contains(id) {
            return Ok(());
        }
        self.fetch(id).await?;
        let (events, dispatches) = self.core.interrupted(id, |call| self.shared.never_left(call));
        for event in events {
            self.apply(id, event, None, round, now);
        }
        self.dispatch(id, dispatches);
        Ok(())
    }

    async fn fetch(&mut self, id: OrderId) -> Result<(), ApplyError> {
        if self.core.contains(id) {
            return Ok(());
        }
        let stored = self.shared.store.order(id).await?.ok_or(ApplyError::NotFound)?;
        fault_point!("executor::loaded");
        let version = &stored.snapshot.version;
        let workflow =
            self.shared.catalog.version(version).ok_or_else(|| {
                StoreError::Damaged(format!("order {id} is on version {version}, which is not known"))
            })?;
        self.core.load(stored, workflow);
        Ok(())
    }

    async fn is_duplicate(&self, order: OrderId, event: &Event, round: &Round) -> Result<bool, StoreError> {
        let Some(id) = event.id() else { return Ok(false) };
        if round.events.contains(&(order, id.clone())) {
            return Ok(true);
        }
        let seen = self.shared.store.seen(order, id).await?;
        fault_point!("executor::looked-for-duplicate");
        Ok(seen.is_some())
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Nothing more will happen without somebody's doing.
pub(super) fn is_at_rest(snapshot: &Snapshot) -> bool {
    matches!(snapshot.status, Status::Succeeded | Status::Failed | Status::Incident)
}

/// Counters that an outcome has reserved: given back when nobody wants the outcome any more.
fn reservation(event: &Event) -> Option<Value> {
    match event {
        Event::Settled { outcome: Outcome::Ok { result }, .. } => result.get("postings").cloned(),
        _ => None,
    }
}

pub(super) fn answer(reply: Option<Reply>, answer: Result<Applied, ApplyError>) {
    if let Some(reply) = reply {
        // Whoever asked may have gone; the event counts all the same.
        let _ = reply.send(answer);
    }
}
