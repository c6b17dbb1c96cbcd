//! What must hold of every order after every event, asserted before the event is committed.

use std::collections::BTreeMap;

use super::event::Timer;
use super::snapshot::{MoneyPosition, Phase, Role, Snapshot};
use crate::definition::{Activity, State, Workflow};
use crate::ledger::Posting;

pub(super) fn check(workflow: &Workflow, order: &Snapshot, postings: &[Posting]) -> Result<(), String> {
    let state = workflow.state(&order.state).ok_or_else(|| format!("no state {}", order.state))?;
    balanced(postings)?;
    money(order)?;
    calls(order)?;
    alive(state, order)
}

fn balanced(postings: &[Posting]) -> Result<(), String> {
    let mut sums = BTreeMap::new();
    for posting in postings {
        *sums.entry(posting.currency).or_insert(0i128) += i128::from(posting.amount);
    }
    match sums.into_iter().find(|(_, sum)| *sum != 0) {
        Some((currency, sum)) => Err(format!("the postings are off by {sum} {currency}")),
        None => Ok(()),
    }
}

fn money(order: &Snapshot) -> Result<(), String> {
    let MoneyPosition { held, captured, released, refunded, charged_back, currency: _ } = order.money;
    if held < 0 || captured < 0 || released < 0 || refunded < 0 || charged_back < 0 {
        return Err("a money position is negative".to_owned());
    }
    Ok(())
}

fn calls(order: &Snapshot) -> Result<(), String> {
    for (id, call) in &order.calls {
        let timer = match call.phase {
            Phase::Backoff => Some(Timer::Retry { call: *id }),
            Phase::Unknown { asking: false } => Some(Timer::Inquire { call: *id }),
            _ => None,
        };
        if let Some(timer) = timer
            && !order.timers.contains_key(&timer)
        {
            return Err(format!("call {id} waits for a timer that is not set"));
        }
        let reversed = |of| order.calls.contains_key(&of);
        if let Role::Reversal { of, .. } = call.role
            && !reversed(of)
        {
            return Err(format!("call {id} reverses a call that is gone"));
        }
        if call.epoch.0 == 0 || call.attempt.0 == 0 || id.0 >= order.next_call.0 {
            return Err(format!("call {id} has an impossible number"));
        }
    }
    Ok(())
}

/// Every order that is not final has something that will move it on: a call, a timer, an event to wait for, a person.
fn alive(state: &State, order: &Snapshot) -> Result<(), String> {
    if state.is_final() {
        return if order.timers.keys().any(|timer| matches!(timer, Timer::After { .. } | Timer::Deadline)) {
            Err(format!("final state {} has a timer of its own", state.name))
        } else {
            Ok(())
        };
    }
    let moves = order.incident.is_some()
        || !order.calls.is_empty()
        || !order.timers.is_empty()
        || !state.on.is_empty()
        || matches!(state.activity, Activity::None) && !state.always.is_empty();
    if moves { Ok(()) } else { Err(format!("nothing will ever move the order on from {}", state.name)) }
}
