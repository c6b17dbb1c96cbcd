//! The e-wallet: hold, confirm with the payment password, post.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;

use super::cards::{about, to_merchant};
use super::faults::OperationKind;
use super::forward::session;
use super::operations::{Ask, Verdict, run};
use super::{Gateway, visits};
use crate::sandbox::bank::{Instruction, Kind};

/// `POST /wallet/holds`: reserves the money of the account that the sealed payment names.
pub(crate) async fn hold(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move {
        let session = match session(&inner, &asked) {
            Ok(session) => session,
            Err(refused) => return Ok(refused),
        };
        let instruction = Instruction { from: Some(session.account), ..to_merchant(&inner, &asked, Kind::Hold) };
        Ok(inner.bank.instruct(&instruction).await?.into())
    };
    run(&gateway, OperationKind::Hold, ask, work).await
}

/// `POST /wallet/confirmations`: approved if the right password came with the payment, or with a passed challenge;
/// otherwise the customer must confirm at `challenge_url`.
pub(crate) async fn confirm(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move {
        let session = match session(&inner, &asked) {
            Ok(session) => session,
            Err(refused) => return Ok(refused),
        };
        if let Some(challenge) = &asked.challenge {
            return Ok(visits::passed(&inner, challenge, &asked).err().unwrap_or_else(Verdict::approved));
        }
        Ok(if session.password { Verdict::approved() } else { visits::step_up(&inner, &asked) })
    };
    run(&gateway, OperationKind::Confirmation, ask, work).await
}

/// `POST /wallet/postings`: moves what the hold `original` reserved to the merchant.
pub(crate) async fn post(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    run(&gateway, OperationKind::Post, ask, async move { about(&inner, &asked, Kind::Capture).await }).await
}
