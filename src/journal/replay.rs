//! Replay: fold a journal again, and compare what is decided with what was recorded.

use super::entry::Entry;
use crate::definition::Workflow;
use crate::machine::{self, Command, Decision, Event, Snapshot};
use crate::types::{Seq, StateName};

/// Where a journal and the machine disagree first.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Divergence {
    #[error("entry {seq} leads to {now}, and led to {then}")]
    State { seq: Seq, then: StateName, now: StateName },
    #[error("entry {seq} decides differently: it asked for {then:?}, and would now ask for {now:?}")]
    Commands { seq: Seq, then: Vec<Command>, now: Vec<Command> },
    #[error("entry {seq} books other postings")]
    Postings { seq: Seq },
    #[error("entry {seq} would now be refused: {why}")]
    Refused { seq: Seq, why: String },
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
        let decision = decided.map_err(|refused| Divergence::Refused { seq: entry.seq, why: refused.to_string() })?;
        compare(entry, &decision)?;
        see(&decision);
        order = Some(decision.snapshot);
    }
    order.ok_or(Divergence::Empty)
}

fn compare(entry: &Entry, decision: &Decision) -> Result<(), Divergence> {
    let seq = entry.seq;
    if decision.snapshot.state != entry.to {
        return Err(Divergence::State { seq, then: entry.to.clone(), now: decision.snapshot.state.clone() });
    }
    if decision.commands != entry.commands {
        return Err(Divergence::Commands { seq, then: entry.commands.clone(), now: decision.commands.clone() });
    }
    if decision.postings != entry.postings {
        return Err(Divergence::Postings { seq });
    }
    Ok(())
}
