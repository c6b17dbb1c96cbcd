//! The e-cheque: a payment order that its drawer has signed. Presented, cleared, returned unpaid (R01), stopped (R08).

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Gateway;
use super::cards::to_merchant;
use super::faults::{OperationKind, decline_of, notice_fault_of};
use super::forward::{Session, session};
use super::notices::Notice;
use super::operations::{Ask, OPERATIONS, Record, Status, Verdict, problem, run};
use crate::sandbox::bank::{Instruction, Kind};
use crate::sandbox::clock;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cheque {
    serial: String,
    drawer: String,
    payee: String,
    amount: i64,
    currency: String,
    /// `2026-03-01`; left out, the customer's device writes today's.
    #[serde(default)]
    date: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignedCheque {
    cheque: Cheque,
    /// Ed25519 of the drawer over the cheque's text, base64url.
    signature: String,
}

/// A drawer's key as the sandbox keeps it: the signing device in the customer's hand.
#[derive(Debug, Serialize, Deserialize)]
struct Device {
    seed: String,
}

/// For which order a cheque was presented; one cheque is for one order.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Presented {
    order: String,
}

const DEVICES: &str = "device";
const PRESENTED: &str = "cheque";
const STOPPED: &str = "stopped";
const CLEARED: &str = "cleared";
/// A cheque is stale after this many days.
const STALE_DAYS: i64 = 10;

impl Cheque {
    fn text(&self) -> String {
        let Self { serial, drawer, payee, amount, currency, date } = self;
        format!("{serial}|{drawer}|{payee}|{amount}|{currency}|{date}")
    }
}

/// `POST /customer/echeques`: the customer's device signs a cheque.
pub(crate) async fn sign(State(gateway): State<Arc<Gateway>>, Json(mut cheque): Json<Cheque>) -> Response {
    if cheque.date.is_empty() {
        let now = gateway.clock.now().to_string();
        now.get(..10).unwrap_or_default().clone_into(&mut cheque.date);
    }
    match gateway.bank.account(&cheque.drawer).await {
        Ok(Some(_)) => {}
        Ok(None) => return problem(StatusCode::NOT_FOUND, "no_such_account"),
        Err(error) => return problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
    match device(&gateway, &cheque.drawer) {
        Some(key) => {
            let signature = URL_SAFE_NO_PAD.encode(key.sign(cheque.text().as_bytes()));
            (StatusCode::CREATED, Json(json!({ "cheque": cheque, "signature": signature }))).into_response()
        }
        None => problem(StatusCode::INTERNAL_SERVER_ERROR, "no_device"),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stop {
    drawer: String,
    serial: String,
}

/// `POST /customer/echeques/stop`: the drawer stops the payment of a cheque that is not cleared yet.
pub(crate) async fn stop(State(gateway): State<Arc<Gateway>>, Json(stop): Json<Stop>) -> Response {
    let cheque = format!("{}/{}", stop.drawer, stop.serial);
    if gateway.tables.get(CLEARED, &cheque) == Some(true) {
        return problem(StatusCode::CONFLICT, "already_cleared");
    }
    match gateway.tables.put(STOPPED, &cheque, &true) {
        Ok(()) => (StatusCode::CREATED, Json(json!({ "status": "stopped" }))).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn device(gateway: &Gateway, drawer: &str) -> Option<Ed25519KeyPair> {
    let fresh = Device { seed: clock::fresh_secret() };
    let known = gateway.tables.claim(DEVICES, drawer, &fresh).ok()?;
    let seed = URL_SAFE_NO_PAD.decode(known.unwrap_or(fresh).seed).ok()?;
    Ed25519KeyPair::from_seed_unchecked(&seed).ok()
}

/// Looks at the cheque of a sealed payment: signature, amount, date, and that it was not presented for another order.
pub(crate) fn open(gateway: &Gateway, session: &mut Session, signed: SignedCheque) -> Verdict {
    let cheque = &signed.cheque;
    let Some(key) = device(gateway, &cheque.drawer) else { return Verdict::declined("no_such_drawer", false) };
    let signature = URL_SAFE_NO_PAD.decode(&signed.signature).unwrap_or_default();
    let key = UnparsedPublicKey::new(&ED25519, key.public_key().as_ref());
    if key.verify(cheque.text().as_bytes(), &signature).is_err() {
        return Verdict::declined("bad_signature", false);
    }
    if cheque.amount != session.amount || cheque.currency != session.currency {
        return Verdict::declined("cheque_of_another_amount", false);
    }
    let now = gateway.clock.now();
    let drawn: Option<crate::types::Timestamp> = format!("{}T00:00:00Z", cheque.date).parse().ok();
    match drawn {
        // A day of slack for the drawer's time zone.
        Some(at) if at.unix_ms() > now.unix_ms() + 86_400_000 => return Verdict::declined("post_dated", false),
        Some(at) if now.unix_ms() - at.unix_ms() <= (STALE_DAYS + 1) * 86_400_000 => {}
        _ => return Verdict::declined("stale_cheque", false),
    }
    let key = format!("{}/{}", cheque.drawer, cheque.serial);
    match gateway.tables.claim(PRESENTED, &key, &Presented { order: session.order.clone() }) {
        Ok(Some(known)) if known.order != session.order => return Verdict::declined("serial_already_used", false),
        Ok(_) => {}
        Err(_) => return Verdict::declined("try_again_later", true),
    }
    let verdict = Verdict::approved()
        .with("instrument", "echeque")
        .with("serial", cheque.serial.as_str())
        .with("drawer", cheque.drawer.as_str());
    session.account.clone_from(&cheque.drawer);
    session.cheque = Some(signed);
    verdict
}

/// `POST /echeque/presentments`: into the clearing. Pending; the outcome comes by notification and by query.
pub(crate) async fn present(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    let work = async move {
        let session = match session(&inner, &asked) {
            Ok(session) => session,
            Err(refused) => return Ok(refused),
        };
        if session.cheque.is_none() || asked.amount != session.amount {
            return Ok(Verdict::declined("no_cheque", false));
        }
        tokio::spawn(async move { clear(&inner, &asked, &session).await });
        Ok(Verdict { status: Status::Pending, ..Verdict::default() })
    };
    run(&gateway, OperationKind::Presentment, ask, work).await
}

/// Cheques that were in the clearing when the process ended.
pub(crate) fn take_up(gateway: &Arc<Gateway>) {
    let waiting = |record: &Record| record.kind == OperationKind::Presentment && record.is_open();
    for record in gateway.tables.select(OPERATIONS, waiting) {
        let gateway = Arc::clone(gateway);
        tokio::spawn(async move {
            if let Ok(session) = session(&gateway, &record.ask) {
                clear(&gateway, &record.ask, &session).await;
            }
        });
    }
}

/// The clearing house, a while later.
async fn clear(gateway: &Gateway, ask: &Ask, session: &Session) {
    clock::pause(gateway.options.clearing).await;
    let Some(SignedCheque { cheque, .. }) = &session.cheque else { return };
    let stopped: Option<bool> = gateway.tables.get(STOPPED, &format!("{}/{}", cheque.drawer, cheque.serial));
    let verdict = if stopped == Some(true) {
        Verdict::declined("R08", false)
    } else if decline_of(ask.amount).is_some() {
        Verdict::declined("R01", true)
    } else {
        let from = Some(session.account.clone());
        let instruction = Instruction { from, ..to_merchant(gateway, ask, Kind::Purchase) };
        match gateway.bank.instruct(&instruction).await {
            Ok(reply) if reply.status == "applied" => Verdict::approved(),
            Ok(reply) if reply.code.as_deref() == Some("insufficient_funds") => Verdict::declined("R01", true),
            Ok(_) => Verdict::declined("R02", false),
            Err(error) => return tracing::warn!(%error, "a cheque stays in the clearing"),
        }
    };
    let event = if verdict.status == Status::Approved { "echeque.cleared" } else { "echeque.returned" };
    if verdict.status == Status::Approved
        && let Err(error) = gateway.tables.put(CLEARED, &format!("{}/{}", cheque.drawer, cheque.serial), &true)
    {
        tracing::warn!(%error, "that a cheque is cleared could not be noted");
    }
    let code = verdict.code.clone();
    let settled = gateway.tables.update(OPERATIONS, &ask.reference, |record: &mut Record| {
        record.settle(verdict);
        true
    });
    if let Err(error) = settled {
        return tracing::warn!(%error, "a cheque could not be noted");
    }
    let notice = Notice {
        id: clock::fresh_id("evt"),
        sender: "echeque",
        event: event.to_owned(),
        order: ask.order.clone(),
        reference: ask.reference.clone(),
        amount: ask.amount,
        currency: ask.currency.clone(),
        data: json!({ "code": code }),
    };
    gateway.notices.send(notice, notice_fault_of(ask.amount));
}
