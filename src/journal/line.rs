//! An entry as one line that a person reads: `paystate journal`, and the golden journals of the tests.

use std::fmt::Write as _;

use super::entry::Entry;
use crate::machine::{Command, Event, Outcome, Resolution, Timer};
use crate::types::{CallId, Timestamp, format_duration};

/// `seq  +time  event  from -> to  commands`, with times since the first entry.
pub fn lines(entries: &[Entry], name_of: &dyn Fn(&Entry, CallId) -> Option<String>) -> Vec<String> {
    let Some(first) = entries.first() else { return Vec::new() };
    let mut from = "-".to_owned();
    let mut lines = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = |call: CallId| name_of(entry, call).unwrap_or_else(|| format!("call {call}"));
        let due = |at: Timestamp| format!("in {}", format_duration(at.since(entry.at)));
        let commands: Vec<String> = entry.commands.iter().map(|command| command_text(command, &due, &name)).collect();
        let mut line = format!(
            "{:<3} {:<9} {:<44} {from} -> {}",
            entry.seq.to_string(),
            format!("+{}", format_duration(entry.at.since(first.at))),
            event_text(&entry.event, &name),
            entry.to
        );
        if !commands.is_empty() {
            let _ = write!(line, "  [{}]", commands.join(", "));
        }
        lines.push(line);
        from = entry.to.to_string();
    }
    lines
}

/// What happened, in a few words. `name` gives a call its operation.
pub fn event_text(event: &Event, name: &dyn Fn(CallId) -> String) -> String {
    match event {
        Event::Started { .. } => "started".to_owned(),
        Event::Received { name, id, .. } => format!("received {name} ({id})"),
        Event::Settled { call, attempt, outcome } => format!("{} #{attempt}: {}", name(*call), outcome_text(outcome)),
        Event::Inquired { call, inquiry, outcome } => {
            format!("{} inquiry {inquiry}: {}", name(*call), outcome_text(outcome))
        }
        Event::TimerFired { timer } => format!("timer {}", timer_text(*timer, name)),
        Event::CancelRequested { by, .. } => format!("cancel requested by {by}"),
        Event::RetryRequested { by, .. } => format!("retry requested by {by}"),
        Event::Parked { reason } => format!("parked: {reason}"),
        Event::Halted { reason } => format!("halted: {reason}"),
        Event::Resolved { by, resolution, .. } => match resolution {
            Resolution::Ok { .. } => format!("resolved as ok by {by}"),
            Resolution::Declined { code } => format!("resolved as declined ({code}) by {by}"),
            Resolution::State { state, .. } => format!("resolved to {state} by {by}"),
            Resolution::Dismissed => format!("dismissed by {by}"),
        },
    }
}

/// `ok`, `declined (insufficient_funds)`, `unknown (timed out)`.
pub fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ok { .. } => "ok".to_owned(),
        Outcome::Declined { code, soft: true, .. } => format!("declined softly ({code})"),
        Outcome::Declined { code, .. } => format!("declined ({code})"),
        Outcome::NotSent { reason, .. } => format!("not sent ({reason})"),
        Outcome::Pending { .. } => "pending".to_owned(),
        Outcome::ActionRequired { .. } => "action required".to_owned(),
        Outcome::Unknown { reason, .. } => format!("unknown ({reason})"),
        Outcome::NotFound => "not found".to_owned(),
    }
}

fn timer_text(timer: Timer, name: &dyn Fn(CallId) -> String) -> String {
    match timer {
        Timer::After { index } => format!("after {index}"),
        Timer::Deadline => "deadline".to_owned(),
        Timer::Retry { call } => format!("retry {}", name(call)),
        Timer::Inquire { call } => format!("inquire {}", name(call)),
    }
}

/// What was asked for, in a few words. `due` says when a timer is due.
pub(super) fn command_text(
    command: &Command,
    due: &dyn Fn(Timestamp) -> String,
    name: &dyn Fn(CallId) -> String,
) -> String {
    match command {
        Command::Invoke { call, attempt } => format!("invoke {} #{attempt}", name(*call)),
        Command::Inquire { call, inquiry } => format!("inquire {} #{inquiry}", name(*call)),
        Command::StartTimer { timer, at } => format!("timer {} {}", timer_text(*timer, name), due(*at)),
        Command::CancelTimer { timer } => format!("cancel timer {}", timer_text(*timer, name)),
        Command::Report { .. } => "report to parent".to_owned(),
        Command::OpenIncident { reason, at_stake: Some(money) } => format!("incident: {reason} ({money} at stake)"),
        Command::OpenIncident { reason, at_stake: None } => format!("incident: {reason}"),
        Command::CloseIncident => "incident closed".to_owned(),
    }
}
