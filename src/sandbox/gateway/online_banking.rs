//! Online banking: it must be activated first; a transfer waits for its customer's approval; only then money moves.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::Gateway;
use super::cards::to_merchant;
use super::faults::OperationKind;
use super::forward::{Session, find, session};
use super::operations::{Ask, Status, Verdict, problem, run};
use super::visits::{self, Purpose, Sender};
use crate::sandbox::bank::{Instruction, Kind};

#[derive(Debug, Deserialize)]
pub(crate) struct Whose {
    session: String,
    order: String,
}

/// `GET /ebank/activation?session=&order=`: whether the customer has activated online banking.
pub(crate) async fn activation(State(gateway): State<Arc<Gateway>>, Query(whose): Query<Whose>) -> Response {
    let ask = Ask { session: Some(whose.session), order: whose.order, ..Ask::default() };
    let session = match forgiving_session(&gateway, &ask) {
        Ok(session) => session,
        Err(_) => return problem(StatusCode::NOT_FOUND, "no_such_session"),
    };
    match gateway.bank.account(&session.account).await {
        Ok(Some(account)) => {
            let status = if account["activated"] == true { "activated" } else { "not_activated" };
            Json(json!({ "status": status, "account": session.account })).into_response()
        }
        Ok(None) => problem(StatusCode::NOT_FOUND, "no_such_account"),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// `POST /ebank/activations`: the customer is to be sent to `challenge_url` to activate it.
pub(crate) async fn activate(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move {
        Ok(match forgiving_session(&inner, &asked) {
            Ok(session) => {
                let purpose = Purpose::Activation { account: session.account };
                let mut verdict = visits::open(&inner, &asked, purpose, Status::Approved);
                verdict.expires = None;
                verdict
            }
            Err(refused) => refused,
        })
    };
    run(&gateway, OperationKind::Activation, ask, work).await
}

/// `POST /ebank/transfers`: waits for the customer's approval at `challenge_url`.
pub(crate) async fn transfer(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move {
        let session = match session(&inner, &asked) {
            Ok(session) => session,
            Err(refused) => return Ok(refused),
        };
        match inner.bank.account(&session.account).await? {
            Some(account) if account["activated"] == true => {}
            _ => return Ok(Verdict::declined("not_activated", false)),
        }
        let from = Some(session.account);
        let instruction = Box::new(Instruction { from, ..to_merchant(&inner, &asked, Kind::Purchase) });
        let purpose = Purpose::Payment { instruction, sender: Sender::Ebank };
        Ok(visits::open(&inner, &asked, purpose, Status::Pending))
    };
    run(&gateway, OperationKind::Transfer, ask, work).await
}

/// The session of a request that moves no money and so names no currency.
fn forgiving_session(gateway: &Gateway, ask: &Ask) -> Result<Session, Verdict> {
    let stored = find(gateway, ask)?;
    if stored.order == ask.order { Ok(stored) } else { Err(Verdict::declined("session_of_another_order", false)) }
}
