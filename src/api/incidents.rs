//! Orders that need a person, with what is at stake.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::Uri;

use super::orders::must_exist;
use super::params::{PAGE_MAX, Params};
use super::problem::Failure;
use super::state::Api;
use super::wire::{Incident, IncidentItem, IncidentPage, Money, Problem};
use crate::machine::{self, Snapshot, Status};
use crate::store::OrderQuery;
use crate::types::{self, OrderId};

/// Pages that one request looks through, for the few that are about a call.
const PAGES: usize = 20;

/// Orders that need a person, newest first.
#[utoipa::path(get, path = "/v1/incidents", tag = "incidents",
    params(
        ("workflow" = Option<String>, Query, description = "Only orders of this workflow"),
        ("call" = Option<String>, Query, description = "Only those about this call, such as `notify.merchant`, or about any call of a connector, such as `notify`"),
        ("limit" = Option<u32>, Query, description = "1 to 500; 50 unless told"),
        ("after" = Option<String>, Query, description = "Only orders older than this one"),
    ),
    responses(
        (status = 200, description = "A page of incidents", body = IncidentPage),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 422, description = "There is no such workflow", body = Problem),
    ))]
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Reply<IncidentPage>, Failure> {
    let params = Params::read(&uri, &["workflow", "call", "limit", "after"])?;
    let limit = params.limit()?;
    let workflow = params.get("workflow");
    must_exist(&api, workflow, None)?;
    let query = OrderQuery {
        workflow: workflow.map(Into::into),
        status: Some(Status::Incident),
        after: params.order("after")?,
        limit: limit + 1,
        ..OrderQuery::default()
    };
    let (found, next) = match params.get("call") {
        Some(call) => about(&api, query, call).await?,
        None => {
            let mut found = api.engine.list(query).await?;
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().filter(|_| more).map(|snapshot| snapshot.id);
            (found, next)
        }
    };
    let at_stake = at_stake(found.iter().filter_map(|snapshot| match api.engine.version(&snapshot.version) {
        Some(workflow) => machine::at_stake(&workflow, snapshot),
        None => snapshot.incident.as_ref()?.at_stake,
    }));
    let incidents = found.iter().filter_map(|snapshot| item(&api, snapshot)).collect();
    Ok(Reply(IncidentPage { incidents, at_stake, next }))
}

/// The incidents about a call, or about any call of a connector, and where to go on looking.
async fn about(api: &Api, mut query: OrderQuery, call: &str) -> Result<(Vec<Arc<Snapshot>>, Option<OrderId>), Failure> {
    let wanted = std::mem::replace(&mut query.limit, PAGE_MAX) - 1;
    let mut found = Vec::new();
    for _ in 0..PAGES {
        let page = api.engine.list(query.clone()).await?;
        if page.is_empty() {
            return Ok((found, None));
        }
        for snapshot in page {
            query.after = Some(snapshot.id);
            if is_about(&snapshot, call) {
                found.push(snapshot);
            }
            if found.len() == wanted {
                return Ok((found, query.after));
            }
        }
    }
    Ok((found, query.after))
}

fn is_about(snapshot: &Snapshot, wanted: &str) -> bool {
    let call = snapshot.incident.as_ref().and_then(|incident| snapshot.calls.get(&incident.call?));
    call.is_some_and(|call| match wanted.split_once('.') {
        Some((connector, operation)) => call.connector.as_str() == connector && call.operation.as_str() == operation,
        None => call.connector.as_str() == wanted,
    })
}

fn item(api: &Api, snapshot: &Snapshot) -> Option<IncidentItem> {
    let workflow = api.engine.version(&snapshot.version);
    let Incident { reason, opened_at, at_stake, call, role, needs, ways } =
        Incident::of(snapshot, workflow.as_deref())?;
    Some(IncidentItem {
        id: snapshot.id,
        workflow: snapshot.workflow.to_string(),
        title: workflow.map_or_else(|| snapshot.workflow.to_string(), |workflow| workflow.title.clone()),
        state: snapshot.state.to_string(),
        reason,
        opened_at,
        at_stake,
        call,
        amount: snapshot.amount.map(Into::into),
        attempts: snapshot.attempts,
        role,
        needs,
        ways,
    })
}

/// Sums by currency. A sum that does not fit is left at the largest that does.
fn at_stake(amounts: impl Iterator<Item = types::Money>) -> Vec<Money> {
    let mut sums: Vec<types::Money> = Vec::new();
    for amount in amounts {
        match sums.iter_mut().find(|sum| sum.currency == amount.currency) {
            Some(sum) => sum.amount = sum.amount.saturating_add(amount.amount),
            None => sums.push(amount),
        }
    }
    sums.sort_by_key(|sum| sum.currency);
    sums.into_iter().map(Into::into).collect()
}
