//! `GET /v1/orders/{id}/journal`: everything that ever happened to an order.

use std::collections::HashMap;

use axum::Json as Reply;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream::{once, unfold};

use super::params::{Params, order_id};
use super::problem::{Failure, NO_ORDER};
use super::redact::redact;
use super::state::Api;
use super::wire::{Entry, JournalPage, Problem};
use crate::journal::{self, Lost, Record, event_text};
use crate::machine::{Command, Event, Timer};
use crate::types::{CallId, OrderId, Seq, Value};

/// Entries that are folded to find the names of calls. A longer journal is shown with the numbers of its calls.
const FOLD_MAX: usize = 1_000;
/// Entries that are read at once for a recorded journal.
const RECORDED_PAGE: usize = 500;

/// An order's journal, oldest first.
#[utoipa::path(get, path = "/v1/orders/{id}/journal", tag = "orders",
    params(
        ("id" = String, Path, description = "The order"),
        ("after" = Option<u64>, Query, description = "Only entries after this one: `next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 500; 50 unless told"),
    ),
    responses(
        (status = 200, description = "A page of entries", body = JournalPage),
        (status = 404, description = "There is no such order", body = Problem),
    ))]
pub(super) async fn journal(
    State(api): State<Api>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Reply<JournalPage>, Failure> {
    let params = Params::read(&uri, &["after", "limit"])?;
    let limit = params.limit()?;
    let after = params.parse("after", |text| text.parse::<u64>().map_err(|_| "must be a number".to_owned()))?;
    let id = order_id(&id)?;
    let history = History::read(&api, id, Seq(after.unwrap_or(0)), limit).await?;
    Ok(Reply(history.page(id, limit)))
}

/// An order's journal with the text of its workflow's version, as a recorded journal: one JSON record on each line, which
/// `paystate test` replays. Sealed payments are cut down.
#[utoipa::path(get, path = "/v1/orders/{id}/recording", tag = "orders",
    params(("id" = String, Path, description = "The order")),
    responses(
        (status = 200, description = "The definition, then every entry", body = String, content_type = "application/x-ndjson"),
        (status = 404, description = "There is no such order", body = Problem),
    ))]
pub(super) async fn recording(State(api): State<Api>, Path(id): Path<String>, uri: Uri) -> Result<Response, Failure> {
    Params::read(&uri, &[])?;
    let id = order_id(&id)?;
    let found = api.engine.journal(id, Seq(0), RECORDED_PAGE).await?;
    let entries = found.ok_or_else(|| NO_ORDER.because("there is no order of this id"))?;
    let opened = entries.first().and_then(|first| Some((first.at, &first.opening.as_ref()?.version)));
    let definition = opened
        .and_then(|(at, version)| Some(Record::definition(&*api.engine.version(version)?, at)))
        .map(|definition| journal::recording_line(definition).unwrap_or_default());
    let pages = unfold(Some((Some(entries), Seq(0))), move |state| {
        let api = api.clone();
        async move {
            let (entries, after) = state?;
            let entries = match entries {
                Some(entries) => Ok(entries),
                None => api.engine.journal(id, after, RECORDED_PAGE).await.map(Option::unwrap_or_default),
            };
            match entries {
                Ok(entries) => {
                    let last = entries.last()?.seq;
                    let mut expected = after.next();
                    let line =
                        |entry: &journal::Entry| recorded(entry, std::mem::replace(&mut expected, entry.seq.next()));
                    Some((Ok(entries.iter().map(line).collect::<String>()), Some((None, last))))
                }
                // The answer breaks off: a reader must not take half a journal for a whole one.
                Err(error) => Some((Err(error), None)),
            }
        }
    });
    let begin = once(ready(Ok(definition.unwrap_or_default())));
    let body = Body::from_stream(begin.chain(pages));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// One line of a recorded journal, without what is sealed. Another one stands before it for entries that are lost.
fn recorded(entry: &journal::Entry, expected: Seq) -> String {
    let line = |record| journal::recording_line(record).unwrap_or_default();
    let lost = match entry.seq.0.saturating_sub(expected.0) {
        0 => String::new(),
        count => line(Record::Lost(Lost::entries(count))),
    };
    let shown: Option<Record> = serde_json::from_value(json(&Record::Entry(entry.clone()))).ok();
    lost + &shown.map(line).unwrap_or_default()
}

struct History {
    after: Seq,
    entries: Vec<journal::Entry>,
    /// The state before the first of the entries.
    before: Option<String>,
    names: HashMap<CallId, String>,
}

impl History {
    /// Reads from the beginning, because a call is named only where it began.
    async fn read(api: &Api, id: OrderId, after: Seq, limit: usize) -> Result<Self, Failure> {
        let skipped = usize::try_from(after.0).unwrap_or(usize::MAX);
        let whole = skipped.saturating_add(limit).saturating_add(1) <= FOLD_MAX;
        let (from, count) = if whole { (Seq(0), skipped + limit + 1) } else { (after, limit + 1) };
        let found = api.engine.journal(id, from, count).await?;
        let mut entries = found.ok_or_else(|| NO_ORDER.because("there is no order of this id"))?;
        let names = if whole { names(api, &entries) } else { HashMap::new() };
        let start = entries.partition_point(|entry| entry.seq <= after);
        let before = start.checked_sub(1).and_then(|last| entries.get(last)).map(|entry| entry.to.to_string());
        entries.drain(..start);
        Ok(Self { after, entries, before, names })
    }

    fn page(mut self, order: OrderId, limit: usize) -> JournalPage {
        let more = self.entries.len() > limit;
        self.entries.truncate(limit);
        let next = self.entries.last().filter(|_| more).map(|entry| entry.seq.0);
        let mut from = self.before;
        let mut entries = Vec::with_capacity(self.entries.len());
        let mut expected = self.after.next();
        for entry in &self.entries {
            if entry.seq > expected {
                entries.push(gap(expected, entry, from.clone().unwrap_or_default()));
            }
            expected = entry.seq.next();
            let to = entry.to.to_string();
            entries.push(show(entry, from.replace(to), &self.names));
        }
        JournalPage { order, entries, next }
    }
}

/// What each call of the order is, as far as the fold goes.
fn names(api: &Api, entries: &[journal::Entry]) -> HashMap<CallId, String> {
    let mut names = HashMap::new();
    let version = entries.first().and_then(|entry| entry.opening.as_ref()).map(|opening| &opening.version);
    let Some(workflow) = version.and_then(|version| api.engine.version(version)) else { return names };
    let mut see = |decision: &crate::machine::Decision| {
        for (&id, call) in &decision.snapshot.calls {
            names.entry(id).or_insert_with(|| format!("{}.{}", call.connector, call.operation));
        }
    };
    // A journal that does not replay is for `paystate replay` to explain; here it only costs names.
    let _ = journal::replay_with(&workflow, entries, &mut see);
    names
}

/// Stands for the entries from `first` up to one that can be read again.
fn gap(first: Seq, next: &journal::Entry, state: String) -> Entry {
    let count = next.seq.0 - first.0;
    let summary = if count == 1 { "1 entry is lost".to_owned() } else { format!("{count} entries are lost") };
    Entry {
        seq: first.0,
        at: next.at,
        summary,
        from: Some(state.clone()),
        to: state,
        call: None,
        event: serde_json::json!({ "type": "lost", "count": count }),
        commands: Vec::new(),
        postings: Vec::new(),
    }
}

fn show(entry: &journal::Entry, from: Option<String>, names: &HashMap<CallId, String>) -> Entry {
    let name = |call: CallId| names.get(&call).cloned().unwrap_or_else(|| format!("call {call}"));
    let call = match &entry.event {
        Event::Settled { call, .. } | Event::Inquired { call, .. } => names.get(call).cloned(),
        Event::TimerFired { timer: Timer::Retry { call } | Timer::Inquire { call } } => names.get(call).cloned(),
        _ => None,
    };
    Entry {
        seq: entry.seq.0,
        at: entry.at,
        summary: summary(entry, &name),
        from,
        to: entry.to.to_string(),
        call,
        event: json(&entry.event),
        commands: entry.commands.iter().map(json).collect(),
        postings: entry.postings.iter().map(json).collect(),
    }
}

/// What happened, and why it needs a person, where it does: that is asked about long after the incident is closed.
fn summary(entry: &journal::Entry, name: &dyn Fn(CallId) -> String) -> String {
    let happened = event_text(&entry.event, name);
    let incident = entry.commands.iter().find_map(|command| match command {
        Command::OpenIncident { reason, .. } => Some(reason),
        _ => None,
    });
    match incident {
        Some(reason) if !happened.contains(reason.as_str()) => format!("{happened}; incident: {reason}"),
        _ => happened,
    }
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).map(|value| redact(&value)).unwrap_or_default()
}
