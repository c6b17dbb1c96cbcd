//! Pages on which a customer decides: a challenge, the bank's approval page, UnionPay's cashier, a QR code, a call.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::faults::{NoticeFault, decline_of, notice_fault_of};
use super::notices::Notice;
use super::operations::{Ask, OPERATIONS, Record, Status, Verdict, problem};
use super::{Gateway, page};
use crate::sandbox::bank::Instruction;
use crate::sandbox::clock;
use crate::types::Timestamp;

/// A page that waits for its customer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Visit {
    pub(crate) id: String,
    pub(crate) order: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) state: VisitState,
    pub(crate) expires: Timestamp,
    pub(crate) purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VisitState {
    Open,
    Confirmed,
    Refused,
    Expired,
    /// The payment was called off: there is nothing to decide any more.
    Cancelled,
}

/// What the customer's decision is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// A challenge in the manner of 3-D Secure, or a payment password.
    StepUp,
    /// Online banking is to be activated for the account.
    Activation { account: String },
    /// Confirmed, it is paid: the operation of this reference waits for it. `sender` notifies.
    Payment { instruction: Box<Instruction>, sender: Sender },
    /// A telephone call: pressing 1, or hanging up.
    Call,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sender {
    Unionpay,
    Ebank,
    Thirdparty,
}

pub(crate) const VISITS: &str = "visit";
/// How long after a payment's time its late notification comes.
const LATE: Duration = Duration::from_secs(20 * 60);

impl Sender {
    const fn name(self) -> &'static str {
        match self {
            Self::Unionpay => "unionpay",
            Self::Ebank => "ebank",
            Self::Thirdparty => "thirdparty",
        }
    }

    /// As its customers call it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Unionpay => "UnionPay",
            Self::Ebank => "Your bank",
            Self::Thirdparty => "Your payment account",
        }
    }
}

/// Makes a page and returns the answer that sends the customer to it.
pub(crate) fn open(gateway: &Gateway, ask: &Ask, purpose: Purpose, status: Status) -> Verdict {
    let visit = Visit {
        id: clock::fresh_id("ch"),
        order: ask.order.clone(),
        amount: ask.amount,
        currency: ask.currency.clone(),
        state: VisitState::Open,
        expires: gateway.clock.now().plus(gateway.options.visit),
        purpose,
    };
    if gateway.tables.put(VISITS, &visit.id, &visit).is_err() {
        return Verdict::declined("try_again_later", true);
    }
    if let Some(delay) = gateway.options.auto_customer {
        let url = format!("{}/challenge/{}", gateway.base, visit.id);
        gateway.notices.confirm_by_itself(url, delay);
    }
    Verdict { status, expires: Some(visit.expires), ..Verdict::default() }
        .with("challenge", visit.id.as_str())
        .with("challenge_url", format!("{}/challenge/{}", gateway.base, visit.id))
        .with("expires_at", visit.expires.to_string())
}

/// The bank wants the customer to confirm before it says yes.
pub(crate) fn step_up(gateway: &Gateway, ask: &Ask) -> Verdict {
    let mut verdict = open(gateway, ask, Purpose::StepUp, Status::ActionRequired);
    // The operation itself is over; the next one brings the challenge along.
    verdict.expires = None;
    verdict
}

/// Whether the customer has confirmed this challenge, for this order and at least this amount.
pub(crate) fn passed(gateway: &Gateway, challenge: &str, ask: &Ask) -> Result<(), Verdict> {
    let visit: Option<Visit> = gateway.tables.get(VISITS, challenge);
    match visit {
        Some(visit) if visit.order != ask.order || visit.amount < ask.amount => {
            Err(Verdict::declined("challenge_of_another_order", false))
        }
        Some(Visit { state: VisitState::Confirmed, .. }) => Ok(()),
        Some(Visit { state: VisitState::Refused, .. }) => Err(Verdict::declined("challenge_refused", false)),
        Some(_) => Err(Verdict::declined("challenge_not_passed", false)),
        None => Err(Verdict::declined("no_such_challenge", false)),
    }
}

/// `GET /v1/challenges/{id}`: how a challenge stands. `POST …/close` ends one that is still open.
pub(crate) async fn status(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>) -> Response {
    shown(move_on(&gateway, &id, |_| None))
}

pub(crate) async fn close(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>) -> Response {
    shown(move_on(&gateway, &id, |_| Some(VisitState::Expired)))
}

/// `POST /v1/challenges/{id}/cancel`: the payment is called off, however its challenge stands.
pub(crate) async fn cancel(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>) -> Response {
    shown(call_off(&gateway, &id).map(|visit| (visit, false)))
}

/// The operation was closed or reversed: its page, if it has one, says so from now on.
pub(crate) fn called_off(gateway: &Gateway, record: &Record) {
    if let Some(id) = record.more.get("challenge").and_then(Value::as_str) {
        call_off(gateway, id);
    }
}

fn call_off(gateway: &Gateway, id: &str) -> Option<Visit> {
    let now = gateway.clock.now();
    let visit = gateway.tables.update(VISITS, id, |visit: &mut Visit| {
        visit.state = match visit.state {
            VisitState::Open if visit.expires <= now => VisitState::Expired,
            VisitState::Open | VisitState::Confirmed => VisitState::Cancelled,
            VisitState::Refused | VisitState::Expired | VisitState::Cancelled => return false,
        };
        true
    });
    visit.ok().flatten()
}

fn shown(visit: Option<(Visit, bool)>) -> Response {
    match visit {
        Some((visit, _)) => Json(json!({
            "challenge": visit.id, "order": visit.order, "status": visit.state,
            "amount": visit.amount, "currency": visit.currency, "expires_at": visit.expires,
        }))
        .into_response(),
        None => problem(StatusCode::NOT_FOUND, "not_found"),
    }
}

/// Changes an open page in one step. Returns it, and whether this call has changed it.
fn move_on(gateway: &Gateway, id: &str, next: impl FnOnce(&Visit) -> Option<VisitState>) -> Option<(Visit, bool)> {
    let now = gateway.clock.now();
    let mut decided = false;
    let visit = gateway.tables.update(VISITS, id, |visit: &mut Visit| {
        if visit.state != VisitState::Open {
            return false;
        }
        if visit.expires <= now {
            visit.state = VisitState::Expired;
            return true;
        }
        let Some(state) = next(visit) else { return false };
        visit.state = state;
        decided = true;
        true
    });
    visit.ok().flatten().map(|visit| (visit, decided))
}

/// `GET /challenge/{id}`: the page itself.
pub(crate) async fn view(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>) -> Response {
    move_on(&gateway, &id, |_| None).map_or_else(page::missing, |(visit, _)| page::show(&visit))
}

/// `POST /challenge/{id}` with `decision=confirm` or `refuse`, from the page's form or as JSON.
pub(crate) async fn decide(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    let decision = if is_json {
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        body["decision"].as_str().unwrap_or_default().to_owned()
    } else {
        String::from_utf8_lossy(&body).trim_start_matches("decision=").to_owned()
    };
    let state = match decision.as_str() {
        "confirm" => VisitState::Confirmed,
        "refuse" => VisitState::Refused,
        _ => return problem(StatusCode::BAD_REQUEST, "decision_is_confirm_or_refuse"),
    };
    // The work goes on when the browser goes away.
    let inner = Arc::clone(&gateway);
    let done = tokio::spawn(async move {
        let moved = move_on(&inner, &id, |_| Some(state));
        if let Some((visit, true)) = &moved {
            follow_up(&inner, visit).await;
        }
        // The payment may have been called off in the meantime.
        move_on(&inner, &id, |_| None)
    });
    match done.await {
        Ok(Some((visit, _))) if is_json => shown(Some((visit, false))),
        Ok(Some((visit, _))) => page::show(&visit),
        Ok(None) if !is_json => page::missing(),
        Ok(None) => problem(StatusCode::NOT_FOUND, "not_found"),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "failed"),
    }
}

/// Customers' decisions that were cut off by the end of the process are carried out now.
pub(crate) fn take_up(gateway: &Arc<Gateway>) {
    let unfinished = |visit: &Visit| {
        let Purpose::Payment { instruction, .. } = &visit.purpose else { return false };
        let decided = matches!(visit.state, VisitState::Confirmed | VisitState::Refused);
        let status = status_of(gateway, &instruction.reference);
        decided && matches!(status, Some(Status::Pending | Status::Processing))
    };
    // Two steps: a row must not be looked up while the table is being walked.
    let payments = gateway.tables.select(VISITS, |visit: &Visit| matches!(visit.purpose, Purpose::Payment { .. }));
    for visit in payments.into_iter().filter(unfinished) {
        let gateway = Arc::clone(gateway);
        tokio::spawn(async move { follow_up(&gateway, &visit).await });
    }
}

fn status_of(gateway: &Gateway, reference: &str) -> Option<Status> {
    gateway.tables.get::<Record>(OPERATIONS, reference).and_then(|record| record.status)
}

/// What a decision leads to.
async fn follow_up(gateway: &Gateway, visit: &Visit) {
    let confirmed = visit.state == VisitState::Confirmed;
    let say = |sender: &'static str, event: &str| {
        gateway.notices.send(Notice::about_visit(sender, event, visit), notice_fault_of(visit.amount));
    };
    match &visit.purpose {
        Purpose::StepUp => say("gateway", if confirmed { "customer.confirmed" } else { "customer.refused" }),
        Purpose::Call => say("phone", if confirmed { "phone.confirmed" } else { "phone.hung_up" }),
        Purpose::Activation { account } => {
            let change = json!({ "activated": true });
            if confirmed && gateway.bank.change_account(account, &change).await.is_ok() {
                say("ebank", "ebank.activated");
            }
        }
        Purpose::Payment { instruction, sender } => pay(gateway, visit, instruction, *sender).await,
    }
}

/// The customer has decided about a payment that waits for it.
async fn pay(gateway: &Gateway, visit: &Visit, instruction: &Instruction, sender: Sender) {
    let mut ours = false;
    let claimed = gateway.tables.update(OPERATIONS, &instruction.reference, |record: &mut Record| {
        ours = record.is_open() || record.status == Some(Status::Processing);
        if ours {
            record.status = Some(Status::Processing);
        }
        ours
    });
    // Closed or reversed in the meantime, which its page says: the customer pays nothing.
    if !ours || !matches!(claimed, Ok(Some(_))) {
        return;
    }
    let verdict = match (visit.state, decline_of(visit.amount)) {
        (VisitState::Confirmed, Some((code, soft))) => Verdict::declined(code, soft),
        (VisitState::Confirmed, None) => match gateway.bank.instruct(instruction).await {
            Ok(reply) => reply.into(),
            Err(error) => return tracing::warn!(%error, "a payment stays open"),
        },
        _ => Verdict::declined("refused_by_customer", false),
    };
    let paid = verdict.status == Status::Approved;
    let fault = notice_fault_of(visit.amount);
    let late = (paid && fault == NoticeFault::AfterExpiry).then(|| visit.expires.plus(LATE));
    let settled = gateway.tables.update(OPERATIONS, &instruction.reference, |record: &mut Record| {
        // A reversal may have come in the meantime: what it says of the payment stays.
        let ours = record.status == Some(Status::Processing);
        if ours {
            let expires = record.expires;
            record.settle(verdict);
            (record.expires, record.late) = (expires, late);
        }
        ours
    });
    if let Err(error) = settled {
        tracing::warn!(%error, "a payment could not be noted");
    }
    let name = sender.name();
    let event = if paid { format!("{name}.paid") } else { format!("{name}.failed") };
    // UnionPay never notifies of a payment that failed.
    if paid || sender != Sender::Unionpay {
        let notice = Notice { reference: instruction.reference.clone(), ..Notice::about_visit(name, &event, visit) };
        gateway.notices.send_at(notice, fault, late);
    }
}
