//! What every operation of the gateway has in common: one application per reference, a stored answer, faults, inquiry.

use std::future::Future;
use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Gateway;
use super::faults::{Fault, OperationKind};
use super::to_bank::BankSilent;
use crate::sandbox::bank::Reply;
use crate::sandbox::clock;
use crate::types::Timestamp;

/// What a connector asks for. Each endpoint says which of the fields it needs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ask {
    /// Our own name for this request: the key under which it is applied once, and asked about.
    pub(crate) reference: String,
    /// The order at Paystate.
    pub(crate) order: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    /// What `forward` returned for the sealed payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    /// The reference of the operation that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) original: Option<String>,
    /// A challenge that the customer has confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) challenge: Option<String>,
    /// The merchant's number of the order, where no sealed payment has brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) merchant_order: Option<String>,
    /// The order that was paid: for voids and refunds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payment_order: Option<String>,
    /// The last capture of a hold.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    /// Whom it is for, where that is not the merchant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payee: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phone: Option<String>,
    /// UnionPay's txnTime, frozen with the intent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) txn_time: Option<String>,
}

/// How an operation ended, before it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) status: Status,
    pub(crate) code: Option<String>,
    pub(crate) soft: bool,
    /// What else the answer says.
    pub(crate) more: Map<String, Value>,
    /// A pending operation is declined as `expired` from then on.
    pub(crate) expires: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Approved,
    Declined,
    ActionRequired,
    #[default]
    Pending,
    /// The customer has decided; the bank is being asked.
    Processing,
}

/// What the gateway remembers of an operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) kind: OperationKind,
    pub(crate) ask: Ask,
    pub(crate) fingerprint: String,
    /// None while it is under way.
    pub(crate) status: Option<Status>,
    pub(crate) code: Option<String>,
    pub(crate) soft: bool,
    pub(crate) more: Map<String, Value>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) visible: Timestamp,
    pub(crate) query_failures: u32,
    /// Until then inquiries see it unpaid, though it is paid: a fault.
    pub(crate) late: Option<Timestamp>,
    /// Said in answers instead of the real amount: a fault.
    pub(crate) told_amount: Option<i64>,
}

pub(crate) const OPERATIONS: &str = "operation";
const REFERENCE_MAX: usize = 200;

impl Verdict {
    pub(crate) fn approved() -> Self {
        Self { status: Status::Approved, ..Self::default() }
    }

    pub(crate) fn declined(code: &str, soft: bool) -> Self {
        Self { status: Status::Declined, code: Some(code.to_owned()), soft, ..Self::default() }
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

impl From<Reply> for Verdict {
    fn from(reply: Reply) -> Self {
        match reply.status.as_str() {
            "applied" => Self::approved(),
            _ => Self::declined(reply.code.as_deref().unwrap_or("refused"), false),
        }
    }
}

impl Record {
    pub(crate) fn begun(kind: OperationKind, ask: &Ask, now: Timestamp) -> Self {
        Self {
            id: clock::fresh_id("op"),
            kind,
            fingerprint: fingerprint(kind, ask),
            ask: ask.clone(),
            status: None,
            code: None,
            soft: false,
            more: Map::new(),
            expires: None,
            visible: now,
            query_failures: 0,
            late: None,
            told_amount: None,
        }
    }

    pub(crate) fn settle(&mut self, verdict: Verdict) {
        self.status = Some(verdict.status);
        self.code = verdict.code;
        self.soft = verdict.soft;
        self.more.extend(verdict.more);
        self.expires = verdict.expires;
    }

    /// The answer, the same for a request, its repetition and an inquiry.
    pub(crate) fn answer(&self) -> Value {
        let status = match self.status {
            Some(Status::Processing) | None => Status::Pending,
            Some(status) => status,
        };
        let mut answer = json!({
            "id": self.id,
            "kind": self.kind,
            "reference": self.ask.reference,
            "order": self.ask.order,
            "status": status,
            "amount": self.told_amount.unwrap_or(self.ask.amount),
            "currency": self.ask.currency,
        });
        if let Some(code) = &self.code {
            answer["code"] = json!(code);
            answer["soft"] = json!(self.soft);
        }
        if let Some(answer) = answer.as_object_mut() {
            answer.extend(self.more.clone());
        }
        answer
    }

    /// Still waits for its customer.
    pub(crate) fn is_open(&self) -> bool {
        self.status == Some(Status::Pending)
    }

    /// What an inquiry sees of a payment that shows only later.
    fn unpaid(&self, now: Timestamp) -> Value {
        let mut record = self.clone();
        record.more = Map::new();
        let over = self.expires.is_some_and(|expires| expires <= now);
        record.settle(if over { Verdict::declined("expired", false) } else { Verdict::default() });
        record.answer()
    }

    fn http_status(&self) -> StatusCode {
        match self.status {
            Some(Status::Approved) => StatusCode::CREATED,
            Some(Status::Declined) => StatusCode::PAYMENT_REQUIRED,
            _ => StatusCode::ACCEPTED,
        }
    }
}

/// Runs an operation once for its reference. A repetition gets the stored answer; a repetition with other parameters
/// is refused. The work goes on when the caller has hung up, as at every real gateway.
pub(crate) async fn run<F>(gateway: &Arc<Gateway>, kind: OperationKind, ask: Ask, work: F) -> Response
where
    F: Future<Output = Result<Verdict, BankSilent>> + Send + 'static,
{
    if ask.reference.is_empty() || ask.reference.len() > REFERENCE_MAX || ask.order.is_empty() {
        return problem(StatusCode::BAD_REQUEST, "reference_and_order_are_needed");
    }
    // The currency is shown on pages, so nothing but a code passes.
    if !(ask.currency.is_empty() || ask.currency.len() == 3 && ask.currency.bytes().all(|b| b.is_ascii_uppercase())) {
        return problem(StatusCode::BAD_REQUEST, "currency_is_an_iso_4217_code");
    }
    if ask.amount < 0 {
        return problem(StatusCode::BAD_REQUEST, "amount_is_below_zero");
    }
    let record = Record::begun(kind, &ask, gateway.clock.now());
    match gateway.tables.claim(OPERATIONS, &ask.reference, &record) {
        Err(error) => return problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        Ok(Some(known)) if gateway.options.idempotent => return repeated(&known, &record),
        Ok(_) => {}
    }
    let gateway = Arc::clone(gateway);
    let finished = tokio::spawn(async move {
        let mut response = take_in(&gateway, record, work).await;
        response.headers_mut().insert("paystate-sandbox", HeaderValue::from_static("gateway"));
        response
    });
    finished.await.unwrap_or_else(|_| problem(StatusCode::INTERNAL_SERVER_ERROR, "failed"))
}

fn repeated(known: &Record, asked: &Record) -> Response {
    if known.fingerprint != asked.fingerprint {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "reference_reused");
    }
    if known.status.is_none() {
        return problem(StatusCode::CONFLICT, "in_flight");
    }
    (known.http_status(), Json(known.answer())).into_response()
}

/// A request that comes at once, or is still under way when its caller has given up.
async fn take_in<F>(gateway: &Arc<Gateway>, record: Record, work: F) -> Response
where
    F: Future<Output = Result<Verdict, BankSilent>> + Send + 'static,
{
    let ask = &record.ask;
    let names = names(gateway, ask);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let faults = gateway.faults.strike(&names, record.kind, ask.amount);
    let late = faults.iter().find_map(|fault| match fault {
        Fault::ArrivesLate(delay) => Some(*delay),
        _ => None,
    });
    let Some(delay) = late else { return carry_out(gateway, record, faults, work).await };
    let _nobody_has_seen_it = forget(gateway, &ask.reference, StatusCode::SERVICE_UNAVAILABLE);
    let later = Arc::clone(gateway);
    tokio::spawn(async move {
        clock::pause(delay).await;
        // One that was sent again in the meantime has come already.
        let known = later.tables.claim(OPERATIONS, &record.ask.reference, &record);
        if matches!(known, Ok(None)) || !later.options.idempotent {
            carry_out(&later, record, Vec::new(), work).await;
        }
    });
    no_answer(gateway).await
}

/// What scripts may call the order: its own id, the merchant's number, and of a void or a refund those of the payment.
fn names(gateway: &Gateway, ask: &Ask) -> Vec<String> {
    let mut names = Vec::new();
    for order in [Some(&ask.order), ask.payment_order.as_ref()].into_iter().flatten() {
        names.push(order.clone());
        names.extend(gateway.tables.get::<String>("alias", order));
    }
    names.extend(ask.merchant_order.clone());
    names
}

async fn carry_out<F>(gateway: &Gateway, mut record: Record, faults: Vec<Fault>, work: F) -> Response
where
    F: Future<Output = Result<Verdict, BankSilent>> + Send + 'static,
{
    let ask = record.ask.clone();
    for fault in &faults {
        match fault {
            Fault::Slow(duration) => clock::pause(*duration).await,
            Fault::Refuse503 => return forget(gateway, &ask.reference, StatusCode::SERVICE_UNAVAILABLE),
            Fault::NoCommitNoAnswer => {
                let _forgotten = forget(gateway, &ask.reference, StatusCode::SERVICE_UNAVAILABLE);
                return no_answer(gateway).await;
            }
            Fault::QueryBlind(duration) => record.visible = record.visible.plus(*duration),
            Fault::QueryFails(times) => record.query_failures = *times,
            Fault::AnswerOffByOne => record.told_amount = Some(ask.amount + 1),
            Fault::Settlement(misreport) => {
                if let Err(error) = gateway.bank.misreport(&ask.reference, *misreport).await {
                    return problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
                }
            }
            _ => {}
        }
    }
    let declined = faults.iter().find_map(|fault| match fault {
        Fault::Decline { code, soft } => Some(Verdict::declined(code, *soft)),
        Fault::StepUp if ask.challenge.is_none() => Some(super::visits::step_up(gateway, &ask)),
        _ => None,
    });
    let verdict = match declined {
        Some(verdict) => verdict,
        None => match work.await {
            Ok(verdict) => verdict,
            // The record stays open: an inquiry asks the bank.
            Err(error) => return problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
    };
    record.settle(verdict);
    // A reversal may have come in the meantime: what it says of the operation stays.
    let settled = gateway.tables.update(OPERATIONS, &ask.reference, |known: &mut Record| {
        let ours = known.status.is_none() || !gateway.options.idempotent;
        if ours {
            known.clone_from(&record);
        }
        ours
    });
    match settled {
        Ok(Some(known)) => record = known,
        Ok(None) => {}
        Err(error) => return problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
    super::afterwards::plan(gateway, &record, &faults);
    super::notices::after_operation(gateway, &record).await;
    respond(gateway, &record, &faults).await
}

async fn respond(gateway: &Gateway, record: &Record, faults: &[Fault]) -> Response {
    let good = (record.http_status(), Json(record.answer())).into_response();
    for fault in faults {
        match fault {
            Fault::CommitNoAnswer | Fault::QueryBlind(_) | Fault::QueryFails(_) => return no_answer(gateway).await,
            Fault::CommitThen500 => return problem(StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
            Fault::CommitThenHtml => {
                let page = "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>";
                return (StatusCode::BAD_GATEWAY, [(header::CONTENT_TYPE, "text/html")], page).into_response();
            }
            Fault::CommitThenTruncated => {
                let mut text = record.answer().to_string();
                text.truncate(text.len() / 2);
                return (record.http_status(), [(header::CONTENT_TYPE, "application/json")], text).into_response();
            }
            _ => {}
        }
    }
    good
}

fn forget(gateway: &Gateway, reference: &str, status: StatusCode) -> Response {
    match gateway.tables.remove(OPERATIONS, reference) {
        Ok(()) => problem(status, "try_again_later"),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Stands in a response for there being none: not a byte of it is sent.
#[derive(Clone, Copy, Debug)]
struct Silence;

/// Keeps the caller waiting; `fall_silent` then closes the connection.
async fn no_answer(gateway: &Gateway) -> Response {
    clock::pause(gateway.options.no_answer).await;
    let mut nothing = StatusCode::NO_CONTENT.into_response();
    nothing.extensions_mut().insert(Silence);
    nothing
}

/// The outermost layer. The server sends whatever a handler returns, so a connection that ends without an answer is one whose
/// task ends: it unwinds, past the panic hook, and takes nothing else with it.
pub(crate) async fn fall_silent(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.extensions().get::<Silence>().is_some() {
        std::panic::resume_unwind(Box::new(Silence));
    }
    response
}

/// `GET /v1/operations?reference=`: what became of a reference.
pub(crate) async fn look_up(gateway: &Gateway, reference: &str) -> Response {
    let now = gateway.clock.now();
    let mut failing = false;
    let found = gateway.tables.update(OPERATIONS, reference, |record: &mut Record| {
        let waiting = matches!(record.status, Some(Status::Pending | Status::ActionRequired));
        if record.query_failures > 0 {
            record.query_failures -= 1;
            failing = true;
            return true;
        }
        if waiting && record.expires.is_some_and(|expires| expires <= now) {
            record.settle(Verdict::declined("expired", false));
            return true;
        }
        false
    });
    if failing {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "internal_error");
    }
    match found {
        Ok(Some(record)) if record.visible > now => problem(StatusCode::NOT_FOUND, "not_found"),
        Ok(Some(record)) if record.late.is_some_and(|late| late > now) => Json(record.unpaid(now)).into_response(),
        Ok(Some(record)) if record.status.is_none() => match ask_bank(gateway, reference).await {
            response if response.status() == StatusCode::NOT_FOUND => Json(record.answer()).into_response(),
            response => response,
        },
        Ok(Some(record)) => Json(record.answer()).into_response(),
        Ok(None) => ask_bank(gateway, reference).await,
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// The gateway has no note of it, perhaps because it was killed in between; the bank's books decide.
async fn ask_bank(gateway: &Gateway, reference: &str) -> Response {
    match gateway.bank.instruction(reference).await {
        Ok(None) => problem(StatusCode::NOT_FOUND, "not_found"),
        Ok(Some(known)) => {
            let approved = known["status"] == "applied";
            let status = if approved { Status::Approved } else { Status::Declined };
            let instruction = &known["instruction"];
            Json(json!({
                "id": reference, "reference": reference, "status": status, "code": known["code"], "soft": false,
                "order": instruction["order"], "amount": instruction["amount"], "currency": instruction["currency"],
            }))
            .into_response()
        }
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Two requests are one if everything in them is equal.
fn fingerprint(kind: OperationKind, ask: &Ask) -> String {
    let text = json!([kind, ask]).to_string();
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

pub(crate) fn problem(status: StatusCode, code: &str) -> Response {
    let name = if status == StatusCode::NOT_FOUND { "not_found" } else { "error" };
    (status, Json(json!({ "status": name, "code": code }))).into_response()
}
