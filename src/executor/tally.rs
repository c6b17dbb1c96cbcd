//! What has been counted since the start, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::machine::{Command, Event, Outcome, Status};
use crate::store::Commit;

#[derive(Debug, Default)]
pub(super) struct Counts {
    opened: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    incidents: AtomicU64,
    entries: AtomicU64,
    commits: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) duplicates: AtomicU64,
    outcomes: [AtomicU64; OUTCOMES.len()],
}

const OUTCOMES: [&str; 7] = ["ok", "declined", "not_sent", "pending", "action_required", "unknown", "not_found"];

/// The counts at one moment.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub opened: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub incidents: u64,
    pub entries: u64,
    pub commits: u64,
    pub refused: u64,
    pub duplicates: u64,
    /// Orders held in memory.
    pub resident: u64,
    /// Orders that a timer will wake, in memory or not.
    pub timed: u64,
    /// Calls that wait for their turn at a provider.
    pub queued: u64,
    outcomes: [u64; OUTCOMES.len()],
}

impl Tally {
    /// Answers of providers, by the name of their outcome.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.into_iter().zip(self.outcomes)
    }
}

impl Counts {
    /// A group of entries has become durable.
    pub(super) fn committed(&self, commits: &[Commit]) {
        add(&self.commits, 1);
        add(&self.entries, u64::try_from(commits.len()).unwrap_or(u64::MAX));
        for commit in commits {
            self.entry(&commit.entry.event, &commit.entry.commands);
        }
    }

    fn entry(&self, event: &Event, commands: &[Command]) {
        match event {
            Event::Started { .. } => add(&self.opened, 1),
            Event::Settled { outcome, .. } | Event::Inquired { outcome, .. } => {
                if let Some(count) = self.outcomes.get(place(outcome)) {
                    add(count, 1);
                }
            }
            _ => {}
        }
        if commands.iter().any(|command| matches!(command, Command::OpenIncident { .. })) {
            add(&self.incidents, 1);
        }
    }

    /// An order has come to its end.
    pub(super) fn ended(&self, status: Status) {
        match status {
            Status::Succeeded => add(&self.succeeded, 1),
            Status::Failed => add(&self.failed, 1),
            Status::Running | Status::Waiting | Status::Incident => {}
        }
    }

    pub(super) fn read(&self, resident: u64, timed: u64, queued: u64) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            opened: read(&self.opened),
            succeeded: read(&self.succeeded),
            failed: read(&self.failed),
            incidents: read(&self.incidents),
            entries: read(&self.entries),
            commits: read(&self.commits),
            refused: read(&self.refused),
            duplicates: read(&self.duplicates),
            resident,
            timed,
            queued,
            outcomes: std::array::from_fn(|at| self.outcomes.get(at).map_or(0, read)),
        }
    }
}

fn place(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Ok { .. } => 0,
        Outcome::Declined { .. } => 1,
        Outcome::NotSent { .. } => 2,
        Outcome::Pending { .. } => 3,
        Outcome::ActionRequired { .. } => 4,
        Outcome::Unknown { .. } => 5,
        Outcome::NotFound => 6,
    }
}

fn add(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}
