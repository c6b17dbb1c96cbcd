//! The payment institution: accounts with classes, QR codes that a buyer pays, top-ups.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Gateway;
use super::cards::to_merchant;
use super::faults::OperationKind;
use super::forward::session;
use super::operations::{Ask, OPERATIONS, Record, Status, Verdict, problem, run};
use super::visits::{self, Purpose, Sender};
use crate::sandbox::bank::{INSTITUTION, Instruction, Kind};

/// `GET /thirdparty/accounts/{id}`: the account's class, and how strongly its holder identifies.
pub(crate) async fn account(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>) -> Response {
    match gateway.bank.account(&id).await {
        Ok(Some(account)) => {
            let status = if account["frozen"] == true { "frozen" } else { "active" };
            let (class, factors) = (&account["class"], &account["factors"]);
            Json(json!({ "account": id, "status": status, "class": class, "factors": factors })).into_response()
        }
        Ok(None) => problem(StatusCode::NOT_FOUND, "no_such_account"),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// `POST /thirdparty/codes`: a code that the holder of the session's account scans and pays.
pub(crate) async fn precreate(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move {
        let session = match session(&inner, &asked) {
            Ok(session) => session,
            Err(refused) => return Ok(refused),
        };
        let from = Some(session.account);
        let instruction = Box::new(Instruction { from, ..to_merchant(&inner, &asked, Kind::Purchase) });
        let purpose = Purpose::Payment { instruction, sender: Sender::Thirdparty };
        let verdict = visits::open(&inner, &asked, purpose, Status::Pending);
        let code = verdict.more.get("challenge_url").cloned().unwrap_or_default();
        Ok(verdict.with("qr_code", code))
    };
    run(&gateway, OperationKind::Precreate, ask, work).await
}

/// `POST /v1/closings`: nobody can pay `original` any more. Declined as `already_paid` when somebody has.
pub(crate) async fn close(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move { Ok(close_payment(&inner, &asked)) };
    run(&gateway, OperationKind::Close, ask, work).await
}

fn close_payment(gateway: &Gateway, ask: &Ask) -> Verdict {
    let now = gateway.clock.now();
    let mut verdict = Verdict::declined("no_such_payment", false);
    let original = ask.original.as_deref().unwrap_or_default();
    let closed = gateway.tables.update(OPERATIONS, original, |record: &mut Record| {
        // A payment that shows only later looks closed, as it does at a real provider.
        let hidden = record.late.is_some_and(|late| late > now);
        verdict = match record.status {
            Some(Status::Approved) if !hidden => Verdict::declined("already_paid", false),
            Some(Status::Processing) | None => Verdict::declined("being_paid", true),
            _ => Verdict::approved(),
        };
        let open = record.is_open();
        if open {
            record.settle(Verdict::declined("closed", false));
        }
        open
    });
    match closed {
        Ok(record) => {
            if let Some(record) = record.filter(|record| record.code.as_deref() == Some("closed")) {
                visits::called_off(gateway, &record);
            }
            verdict
        }
        Err(_) => Verdict::declined("try_again_later", true),
    }
}

/// `POST /thirdparty/credits`: the institution credits `account` with money that has arrived at its reserve.
pub(crate) async fn credit(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move {
        let instruction = Instruction {
            from: Some(INSTITUTION.to_owned()),
            to: asked.account.clone(),
            ..to_merchant(&inner, &asked, Kind::Transfer)
        };
        Ok(inner.bank.instruct(&instruction).await?.into())
    };
    run(&gateway, OperationKind::Credit, ask, work).await
}
