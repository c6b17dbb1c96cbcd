//! Payment by fixed-line telephone: one call for one order; the customer presses 1, or hangs up.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;

use super::Gateway;
use super::cards::to_merchant;
use super::faults::OperationKind;
use super::forward::session;
use super::operations::{Ask, Status, Verdict, run};
use super::visits::{self, Purpose};
use crate::sandbox::bank::{Instruction, Kind};

/// `POST /phone/calls`: the platform rings `phone` and reads merchant and amount out. The challenge stands for the
/// keys: confirming it is pressing 1, refusing it is hanging up.
pub(crate) async fn call(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move {
        // 000 at the end: nobody answers.
        if asked.phone.as_deref().is_none_or(|phone| phone.ends_with("000")) {
            return Ok(Verdict::declined("no_answer", false));
        }
        let mut verdict = visits::open(&inner, &asked, Purpose::Call, Status::Approved);
        verdict.expires = None;
        Ok(verdict)
    };
    run(&gateway, OperationKind::Call, ask, work).await
}

/// `POST /phone/charges`: charges the session's account, if the customer has confirmed the call `challenge`. Hanging up afterwards
/// does not undo the confirmation.
pub(crate) async fn charge(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move {
        if let Err(refused) = visits::passed(&inner, asked.challenge.as_deref().unwrap_or_default(), &asked) {
            return Ok(refused);
        }
        let session = match session(&inner, &asked) {
            Ok(session) => session,
            Err(refused) => return Ok(refused),
        };
        let from = Some(session.account);
        let instruction = Instruction { from, ..to_merchant(&inner, &asked, Kind::Purchase) };
        Ok(inner.bank.instruct(&instruction).await?.into())
    };
    run(&gateway, OperationKind::Charge, ask, work).await
}
