//! Replay: fold a journal again, and compare what is decided with what was recorded.

use super::entry::Entry;
use super::line::command_text;
use crate::definition::Workflow;
use crate::ledger::Posting;
use crate::machine::{self, Command, Decision, Event, Snapshot};
use crate::types::{Money, Seq, StateName, Timestamp};

/// Where a journal and the machine disagree first.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Divergence {
    #[error("entry {seq} ({at}) leads to {now}, and led to {then}")]
    State { seq: Seq, at: Timestamp, then: StateName, now: StateName },
    /// Both in words, as are the postings.
    #[error("entry {seq} ({at}) decides differently: it asked for {then}, and would now ask for {now}")]
    Commands { seq: Seq, at: Timestamp, then: String, now: String },
    #[error("entry {seq} ({at}) books differently: it booked {then}, and would now book {now}")]
    Postings { seq: Seq, at: Timestamp, then: String, now: String },
    #[error("entry {seq} ({at}) would now be refused: {why}")]
    Refused { seq: Seq, at: Timestamp, why: String },
    #[error("the journal is not in order: entry {found} where {expected} belongs")]
    Order { expected: Seq, found: Seq },
    #[error("the journal is empty")]
    Empty,
}

/// Folds all entries of one order. Nothing is sent: the machine only decides.
pub fn replay(workflow: &Workflow, entries: &[Entry]) -> Result<Snapshot, Divergence> {
    replay_with(workflow, entries, &mut |_| ())
}

/// The same, and shows what each entry decides.
pub fn replay_with(
    workflow: &Workflow,
    entries: &[Entry],
    see: &mut dyn FnMut(&Decision),
) -> Result<Snapshot, Divergence> {
    let mut order: Option<Snapshot> = None;
    for entry in entries {
        let expected = order.as_ref().map_or(Seq(1), |snapshot| snapshot.seq.next());
        if entry.seq != expected {
            return Err(Divergence::Order { expected, found: entry.seq });
        }
        let decided = match (&order, &entry.event) {
            (None, Event::Started { input, parent }) => {
                machine::start(workflow, entry.order, input.clone(), parent.clone(), entry.at)
            }
            (Some(order), event) => machine::transition(workflow, order, event, entry.at),
            (None, _) => return Err(Divergence::Order { expected: Seq(1), found: entry.seq }),
        };
        let decision = decided.map_err(|refused| Divergence::Refused {
            seq: entry.seq,
            at: entry.at,
            why: refused.to_string(),
        })?;
        compare(order.as_ref(), entry, &decision)?;
        see(&decision);
        order = Some(decision.snapshot);
    }
    order.ok_or(Divergence::Empty)
}

fn compare(before: Option<&Snapshot>, entry: &Entry, decision: &Decision) -> Result<(), Divergence> {
    let (seq, at) = (entry.seq, entry.at);
    if decision.snapshot.state != entry.to {
        return Err(Divergence::State { seq, at, then: entry.to.clone(), now: decision.snapshot.state.clone() });
    }
    if decision.commands != entry.commands {
        let calls = |id| decision.snapshot.calls.get(&id).or_else(|| before?.calls.get(&id));
        let name = |id| {
            calls(id).map_or_else(|| format!("call {id}"), |call| format!("{}.{}", call.connector, call.operation))
        };
        let text = |command: &Command| command_text(command, &|due| format!("at {due}"), &name);
        let (then, now) = (list(&entry.commands, text), list(&decision.commands, text));
        return Err(Divergence::Commands { seq, at, then, now });
    }
    if decision.postings != entry.postings {
        let text =
            |posting: &Posting| format!("{} on {}", Money::new(posting.amount, posting.currency), posting.account);
        let (then, now) = (list(&entry.postings, text), list(&decision.postings, text));
        return Err(Divergence::Postings { seq, at, then, now });
    }
    Ok(())
}

fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    match items {
        [] => "nothing".to_owned(),
        items => items.iter().map(text).collect::<Vec<_>>().join(", "),
    }
}
