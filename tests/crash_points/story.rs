//! A scenario that is told to a running executor, as its client would: what was not acknowledged is sent again.

use std::sync::Arc;
use std::time::Duration;

use paystate::definition::Workflow;
use paystate::executor::{ApplyError, Executor, Submission};
use paystate::journal::Entry;
use paystate::ledger::LimitTable;
use paystate::machine::{Rejection, Snapshot};
use paystate::sim::{Act, Endings, Expect, REST, Scenario};
use paystate::types::{OrderId, Seq};

use crate::checks::{DOUBLED, LOST};
use crate::otherwise::may_end_otherwise;
use crate::probe::{PATIENCE, Probe};
use crate::provider::StoryClock;
use crate::tales::kind_of_entry;

/// The client's key, and the hash of what it sends under it.
pub const KEY: (&str, &str) = ("key-1", "hash-1");
/// Timers that one wait may see, so that a story always ends.
const TIMERS_MAX: usize = 100_000;
/// How long something that is held may keep everything waiting.
const NAP: Duration = Duration::from_millis(20);
/// Entries of one order that are read at once.
const ALL: usize = 1_000_000;

/// A scenario, and what it comes to.
pub struct Story {
    pub name: String,
    pub scenario: Scenario,
    /// Its own, and those of the orders that it opens.
    pub workflows: Vec<Arc<Workflow>>,
    pub limits: Option<Arc<LimitTable>>,
    /// The journal of the simulated world, which has no crash and no disk, and what crashes may come to there. Without
    /// them the connectors that are built in are not played: they are the real ones, which the simulated world has not.
    pub simulated: Option<(Vec<Entry>, Endings)>,
}

impl Story {
    /// About how long it is.
    pub fn entries(&self) -> usize {
        self.simulated.as_ref().map_or(10, |(entries, _)| entries.len())
    }
}

/// How far the story came.
#[derive(Debug, PartialEq)]
pub enum Came {
    /// To a step that is a crash.
    ToCrash,
    /// To its end.
    ToEnd(OrderId),
}

/// A story on an executor.
pub struct Telling<'a> {
    pub story: &'a Story,
    pub executor: &'a Executor,
    pub probe: &'a Probe,
    pub clock: &'a StoryClock,
    /// Whatever is not as the scenario says is an error: there was no crash.
    pub strict: bool,
}

impl Telling<'_> {
    pub async fn go_on(&self) -> Result<Came, String> {
        self.idle().await?;
        let order = self.submit().await?;
        loop {
            let step = self.probe.gate().client.step;
            let Some(told) = self.story.scenario.steps.get(step) else { break };
            match &told.act {
                Act::Expect(expect) => self.expect(order, expect).await?,
                Act::Advance(by) => self.advance(*by).await?,
                Act::Crash => {
                    self.probe.gate().client.step += 1;
                    return Ok(Came::ToCrash);
                }
                Act::Event(_) | Act::Cancel(_) | Act::Retry(_) | Act::Resolve(_) => self.send(order, step).await?,
            }
            self.idle().await?;
            self.probe.gate().client.step += 1;
        }
        Ok(Came::ToEnd(order))
    }

    /// Gives the order time to come to rest if it is not where it belongs, and judges where it is.
    pub async fn judge(
        &self,
        endings: &Endings,
        order: OrderId,
        doubled: impl Fn() -> Option<(String, u32)>,
    ) -> Result<Snapshot, String> {
        let mut snapshot = self.snapshot(order).await?;
        let settled = endings.is_settled(&snapshot);
        if !settled {
            self.advance(REST).await?;
            snapshot = self.snapshot(order).await?;
        }
        if let Some((key, times)) = doubled() {
            return Err(format!("{DOUBLED}{key} took effect {times} times"));
        }
        if let Err(error) = endings.judge(&snapshot, settled, None) {
            let entries = self.journal(order).await?;
            let workflow = self.story.workflows.iter().find(|workflow| workflow.name == snapshot.workflow);
            let twice = self.probe.gate().client.crashes > 1;
            let otherwise = match &self.story.simulated {
                Some((told, _)) if twice && !snapshot.is_open() => {
                    may_end_otherwise(workflow.ok_or("no workflow")?, &entries, told)?
                }
                _ => false,
            };
            if !otherwise {
                let way: Vec<String> = entries.iter().map(kind_of_entry).collect();
                return Err(format!("{error}; it came by {way:?}"));
            }
        }
        Ok(snapshot)
    }

    /// Where nothing is simulated, the scenario itself says what must be true.
    async fn expect(&self, order: OrderId, expect: &Expect) -> Result<(), String> {
        let snapshot = self.snapshot(order).await?;
        let state = expect.state.as_ref().is_none_or(|state| *state == snapshot.state);
        if self.strict && !(state && expect.status.is_none_or(|status| status == snapshot.status)) {
            return Err(format!("it is in {} and {:?}", snapshot.state, snapshot.status));
        }
        Ok(())
    }

    async fn submit(&self) -> Result<OrderId, String> {
        if let Some(order) = self.probe.gate().client.order {
            return Ok(order);
        }
        let scenario = &self.story.scenario;
        let submission = Submission {
            workflow: scenario.workflow.clone(),
            input: scenario.input.clone(),
            key: Some((KEY.0.to_owned(), KEY.1.to_owned())),
            child: None,
        };
        let submitted = self.patiently(self.executor.submit(submission)).await?;
        let submitted = submitted.map_err(|error| format!("submit: {error}"))?;
        let order = submitted.snapshot.id;
        {
            let mut gate = self.probe.settled_gate();
            gate.client.order = Some(order);
            gate.client.seq = gate.client.seq.max(submitted.snapshot.seq);
        }
        self.idle().await?;
        Ok(order)
    }

    async fn send(&self, order: OrderId, step: usize) -> Result<(), String> {
        let told = &self.story.scenario.steps[step];
        let now = self.snapshot(order).await?;
        let workflow =
            self.story.workflows.iter().find(|workflow| workflow.name == now.workflow).ok_or("no workflow")?;
        let Some((event, refused)) = told.event(step + 1, workflow, Some(&now)) else { return Ok(()) };
        let (id, here) = (event.id().cloned(), format!("line {}, step {}", told.line, step + 1));
        match self.patiently(self.executor.apply(order, event)).await? {
            Ok(_) if refused && self.strict => return Err(format!("{here}: was not refused")),
            Ok(applied) => {
                let mut gate = self.probe.settled_gate();
                gate.client.acknowledged.extend(id);
                gate.client.seq = gate.client.seq.max(applied.snapshot.seq);
            }
            Err(ApplyError::Rejected(Rejection::Stale)) => {}
            Err(ApplyError::Rejected(_)) if refused || !self.strict => {}
            Err(error) => return Err(format!("{here}: {error}")),
        }
        Ok(())
    }

    /// Lets time pass; timers fire in their order, each at its moment. After a crash what is left of the time passes.
    async fn advance(&self, by: Duration) -> Result<(), String> {
        let until = {
            let mut gate = self.probe.settled_gate();
            let until = gate.client.now.plus(by);
            *gate.client.until.get_or_insert(until)
        };
        for _ in 0..TIMERS_MAX {
            self.idle().await?;
            let now = self.probe.gate().client.now;
            match self.clock.alarm().filter(|&at| at <= until) {
                Some(at) => self.clock.move_to(at.max(now)),
                None => {
                    self.clock.move_to(until);
                    self.probe.gate().client.until = None;
                    return Ok(());
                }
            }
        }
        Err(format!("more than {TIMERS_MAX} timers fired"))
    }

    /// Returns when nothing happens any more until somebody does something or time passes.
    pub async fn idle(&self) -> Result<(), String> {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(failure) = self.executor.failure() {
                    return Err(format!("the executor has stopped: {failure}"));
                }
                let before = self.probe.gate().steps();
                // Whatever is ready to run has its turn.
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
                let (idle, steps) = {
                    let gate = self.probe.settled_gate();
                    (gate.is_idle(), gate.steps())
                };
                if !idle {
                    self.patiently(self.probe.moved.notified()).await?;
                } else if steps == before && self.executor.in_flight() == 0 {
                    return Ok(());
                }
            }
        });
        waited.await.unwrap_or_else(|_| Err("it never comes to rest".to_owned()))
    }

    /// Waits for something that the working store may have to give room for: whoever waits for it does so in vain while it
    /// is held.
    async fn patiently<T>(&self, work: impl Future<Output = T>) -> Result<T, String> {
        let mut work = std::pin::pin!(work);
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                match tokio::time::timeout(NAP, &mut work).await {
                    Ok(done) => return done,
                    Err(_) => self.probe.release(false),
                }
            }
        });
        waited.await.map_err(|_| "there is no answer".to_owned())
    }

    pub async fn snapshot(&self, order: OrderId) -> Result<Snapshot, String> {
        let found = self.executor.order(order).await.map_err(|error| error.to_string())?;
        Ok(Snapshot::clone(&*found.ok_or_else(|| format!("{LOST}order {order} is gone"))?))
    }

    pub async fn journal(&self, order: OrderId) -> Result<Vec<Entry>, String> {
        self.executor.journal(order, Seq(0), ALL).await.map_err(|error| error.to_string())
    }
}
