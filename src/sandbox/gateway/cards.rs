//! Cards: authorise, capture, purchase, void, refund, and the reversal of whatever a reference did.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;

use super::faults::OperationKind;
use super::forward::session;
use super::operations::{Ask, OPERATIONS, Record, Status, Verdict, run};
use super::to_bank::BankSilent;
use super::{Gateway, visits};
use crate::sandbox::bank::{Behaviour, Instruction, Kind, MERCHANT};

/// `POST /v1/authorizations`: reserves the customer's money.
pub(crate) async fn authorize(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    run(&gateway, OperationKind::Authorization, ask, async move { pay(&inner, &asked, Kind::Hold).await }).await
}

/// `POST /v1/purchases`: authorised and paid in one message.
pub(crate) async fn purchase(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    run(&gateway, OperationKind::Purchase, ask, async move { pay(&inner, &asked, Kind::Purchase).await }).await
}

async fn pay(gateway: &Gateway, ask: &Ask, kind: Kind) -> Result<Verdict, BankSilent> {
    let session = match session(gateway, ask) {
        Ok(session) => session,
        Err(refused) => return Ok(refused),
    };
    let code = match session.behaviour {
        Some(Behaviour::Decline) => "do_not_honor",
        Some(Behaviour::InsufficientFunds) => "insufficient_funds",
        Some(Behaviour::Lost) => "lost_card",
        Some(Behaviour::Stolen) => "stolen_card",
        Some(Behaviour::Expired) => "expired_card",
        Some(Behaviour::Challenge) if ask.challenge.is_none() => return Ok(visits::step_up(gateway, ask)),
        Some(Behaviour::Challenge | Behaviour::Approve) => "",
        None => "not_a_card",
    };
    if !code.is_empty() {
        return Ok(Verdict::declined(code, false));
    }
    if let Some(challenge) = &ask.challenge
        && let Err(refused) = visits::passed(gateway, challenge, ask)
    {
        return Ok(refused);
    }
    let instruction = Instruction { from: Some(session.account), ..to_merchant(gateway, ask, kind) };
    Ok(gateway.bank.instruct(&instruction).await?.into())
}

/// `POST /v1/captures`: takes all or part of what an authorisation reserved.
pub(crate) async fn capture(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    run(&gateway, OperationKind::Capture, ask, async move { about(&inner, &asked, Kind::Capture).await }).await
}

/// `POST /v1/voids`: gives an authorisation back (`original`), or a payment of this clearing day (`payment_order`).
pub(crate) async fn void(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let kind = if ask.payment_order.is_some() { Kind::Void } else { Kind::Release };
    run(&gateway, OperationKind::Void, ask, async move { about(&inner, &asked, kind).await }).await
}

/// `POST /v1/refunds`: part or all of what the order `payment_order` paid.
pub(crate) async fn refund(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    run(&gateway, OperationKind::Refund, ask, async move { about(&inner, &asked, Kind::Refund).await }).await
}

/// `POST /v1/reversals`: undoes whatever `original` did. If it has not come yet, it is refused when it comes.
pub(crate) async fn reverse(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move {
        let verdict = about(&inner, &asked, Kind::Reverse).await?;
        if verdict.status == Status::Approved {
            undone(&inner, &asked);
        }
        Ok(verdict)
    };
    run(&gateway, OperationKind::Reversal, ask, work).await
}

pub(crate) async fn about(gateway: &Gateway, ask: &Ask, kind: Kind) -> Result<Verdict, BankSilent> {
    if matches!(kind, Kind::Capture | Kind::Reverse | Kind::Release) && ask.original.is_none() {
        return Ok(Verdict::declined("original_is_needed", false));
    }
    if kind == Kind::Reverse {
        close_for_good(gateway, ask);
    }
    let reply = gateway.bank.instruct(&to_merchant(gateway, ask, kind)).await?;
    let given_back = reply.amount;
    let verdict = Verdict::from(reply);
    // Nothing found is nothing to undo, and the caller may want to know which of the two it was.
    let undoes = matches!(kind, Kind::Reverse | Kind::Release) && verdict.status == Status::Approved;
    Ok(if undoes { verdict.with("given_back", given_back) } else { verdict })
}

/// What is being reversed cannot be paid by its customer any more.
fn close_for_good(gateway: &Gateway, ask: &Ask) {
    mark_reversed(gateway, ask, Record::is_open);
}

/// What was reversed is from now on declined: an inquiry that still said "approved" would deny the reversal.
fn undone(gateway: &Gateway, ask: &Ask) {
    mark_reversed(gateway, ask, |_| true);
}

fn mark_reversed(gateway: &Gateway, ask: &Ask, applies: impl FnOnce(&Record) -> bool) {
    let original = ask.original.as_deref().unwrap_or_default();
    let marked = gateway.tables.update(OPERATIONS, original, |record: &mut Record| {
        let applies = applies(record);
        if applies {
            record.settle(Verdict::declined("reversed", false));
        }
        applies
    });
    match marked {
        Ok(Some(record)) if record.code.as_deref() == Some("reversed") => visits::called_off(gateway, &record),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "a reversal could not be noted"),
    }
}

/// The instruction that an ask amounts to, paid to the merchant unless the ask names somebody else.
pub(crate) fn to_merchant(gateway: &Gateway, ask: &Ask, kind: Kind) -> Instruction {
    Instruction {
        reference: ask.reference.clone(),
        order: ask.order.clone(),
        kind,
        amount: ask.amount,
        currency: ask.currency.clone(),
        from: None,
        to: Some(ask.payee.clone().unwrap_or_else(|| MERCHANT.to_owned())),
        original: ask.original.clone(),
        payment_order: ask.payment_order.clone(),
        holder: None,
        last: ask.last.unwrap_or(false),
        careless: !gateway.options.idempotent,
    }
}
