//! Orders: one, and pages of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::{Path, State};
use axum::http::Uri;

use super::params::{Params, order_id};
use super::problem::{Failure, NO_ORDER, UNKNOWN_STATE, UNKNOWN_WORKFLOW};
use super::state::Api;
use super::wire::{Order, OrderPage, Problem, Related, Status};
use crate::definition::suggest::one_of;
use crate::machine::Snapshot;
use crate::store::OrderQuery;

/// One order.
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders",
    params(("id" = String, Path, description = "The order")),
    responses(
        (status = 200, description = "The order as it stands, with its children, its refunds, or the payment that it refunds", body = Order),
        (status = 404, description = "There is no such order", body = Problem),
    ))]
pub(super) async fn one(State(api): State<Api>, Path(id): Path<String>) -> Result<Reply<Order>, Failure> {
    let found = api.engine.order(order_id(&id)?).await?;
    let snapshot = found.ok_or_else(|| NO_ORDER.because("there is no order of this id"))?;
    Ok(Reply(whole(&api, &snapshot).await))
}

/// An order with those that belong to it.
pub(super) async fn whole(api: &Api, snapshot: &Snapshot) -> Order {
    let mut order = view(api, snapshot);
    match api.engine.related(snapshot.id).await {
        Ok(related) => {
            let one = |one: &Arc<Snapshot>| Related::of(one, api.engine.version(&one.version).as_deref());
            order.children = related.children.iter().map(one).collect();
            order.refunds = related.refunds.iter().map(one).collect();
            order.refund_of = related.refund_of;
        }
        // How the order stands is known all the same, and is what most ask for.
        Err(error) => tracing::warn!(order = %snapshot.id, %error, "what belongs to it cannot be read and is left out"),
    }
    order
}

/// Orders, newest first. Those that are archived are not among them.
#[utoipa::path(get, path = "/v1/orders", tag = "orders",
    params(
        ("workflow" = Option<String>, Query, description = "Only orders of this workflow"),
        ("state" = Option<String>, Query, description = "Only orders in this state"),
        ("status" = Option<Status>, Query, description = "Only orders of this status"),
        ("limit" = Option<u32>, Query, description = "1 to 500; 50 unless told"),
        ("after" = Option<String>, Query, description = "Only orders older than this one: `next` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of orders", body = OrderPage),
        (status = 400, description = "A parameter cannot be read", body = Problem),
        (status = 422, description = "There is no such workflow, or no such state", body = Problem),
    ))]
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Reply<OrderPage>, Failure> {
    let params = Params::read(&uri, &["workflow", "state", "status", "limit", "after"])?;
    let limit = params.limit()?;
    let (workflow, state) = (params.get("workflow"), params.get("state"));
    must_exist(&api, workflow, state)?;
    let query = OrderQuery {
        workflow: workflow.map(Into::into),
        state: state.map(Into::into),
        status: params.parse("status", status)?.map(Into::into),
        after: params.order("after")?,
        // One more than is shown tells whether there is a next page.
        limit: limit + 1,
    };
    let mut found = api.engine.list(query).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|snapshot| snapshot.id);
    Ok(Reply(OrderPage { orders: found.iter().map(|snapshot| view(&api, snapshot)).collect(), next }))
}

/// Refuses to look for what no order can have: a name that is misspelt would look like an empty list. What orders were
/// opened on at any time is known.
pub(super) fn must_exist(api: &Api, workflow: Option<&str>, state: Option<&str>) -> Result<(), Failure> {
    let mut versions = api.engine.versions();
    if let Some(name) = workflow {
        let known: BTreeSet<String> = versions.iter().map(|version| version.name.to_string()).collect();
        if !known.contains(name) {
            return Err(Failure::known(UNKNOWN_WORKFLOW, "workflow", name, known.into_iter().collect()));
        }
        versions.retain(|version| version.name.as_str() == name);
    }
    if let Some(name) = state {
        let states = versions.iter().flat_map(|version| &version.states);
        let known: BTreeSet<String> = states.map(|state| state.name.to_string()).collect();
        if !known.contains(name) {
            return Err(Failure::known(UNKNOWN_STATE, "state", name, known.into_iter().collect()));
        }
    }
    Ok(())
}

/// An order with the titles and next events of the version that it is on.
pub(super) fn view(api: &Api, snapshot: &Snapshot) -> Order {
    let workflow = api.engine.version(&snapshot.version);
    Order::of(snapshot, workflow.as_deref())
}

fn status(text: &str) -> Result<Status, String> {
    let all = [Status::Running, Status::Waiting, Status::Succeeded, Status::Failed, Status::Incident];
    all.into_iter().find(|status| status.name() == text).ok_or_else(|| format!("must be {}", one_of(Status::NAMES)))
}
