//! UnionPay online: a front request makes a page at the cashier; the customer pays there; a notification comes only of
//! a success, so the query by reference is half of the protocol.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;

use super::Gateway;
use super::cards::to_merchant;
use super::faults::OperationKind;
use super::forward::session;
use super::operations::{Ask, Status, Verdict, run};
use super::visits::{self, Purpose, Sender};
use crate::sandbox::bank::{Instruction, Kind};

/// `POST /unionpay/front`: the customer is to be sent to `challenge_url`. `txn_time` is part of the key.
pub(crate) async fn front(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move {
        if asked.txn_time.is_none() {
            return Ok(Verdict::declined("txn_time_is_needed", false));
        }
        let session = match session(&inner, &asked) {
            Ok(session) => session,
            Err(refused) => return Ok(refused),
        };
        let from = Some(session.account);
        let instruction = Box::new(Instruction { from, ..to_merchant(&inner, &asked, Kind::Purchase) });
        let purpose = Purpose::Payment { instruction, sender: Sender::Unionpay };
        Ok(visits::open(&inner, &asked, purpose, Status::Pending))
    };
    run(&gateway, OperationKind::Front, ask, work).await
}
