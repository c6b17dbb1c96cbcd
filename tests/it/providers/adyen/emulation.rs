//! What Adyen's documentation says of its API, as a server that keeps books.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use paystate::executor::{HookError, Received};
use serde_json::{Value, json};

use crate::providers::World;

pub(super) const MERCHANT: &str = "TestMerchant";
pub(super) const API_KEY: &str = "AQEyhmfxK_test";
pub(super) const HMAC: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";

/// What becomes of the next request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    None,
    /// It is done, and no answer comes.
    Hang,
    /// Nothing is done, and no answer comes.
    Lost,
    /// Nothing is done, and the answer says so.
    Busy,
    /// It is done, and a proxy on the way answers.
    Gateway,
    /// One with the same key is under way, as far as Adyen knows.
    UnderWay,
    /// It is done, and the answer is about another amount.
    OtherAmount,
}

#[derive(Default)]
pub(super) struct Books {
    /// Answers by key, with what was asked.
    pub(super) keys: BTreeMap<String, (String, u16, Value)>,
    pub(super) payments: Vec<Payment>,
    pub(super) faults: VecDeque<Fault>,
    pub(super) requests: usize,
    /// The next modification is received, and not carried out.
    pub(super) refuses: bool,
    /// Notifications that are to be sent.
    pub(super) outbox: Vec<Value>,
    /// What no client should have sent.
    pub(super) wrong: Vec<String>,
    numbers: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) psp: String,
    pub(super) reference: String,
    amount: i64,
    currency: String,
    pub(super) held: i64,
    pub(super) captured: i64,
    pub(super) refunded: i64,
    /// Where the customer is to go first.
    away: bool,
}

#[derive(Clone, Default)]
pub(super) struct Adyen(pub(super) Arc<Mutex<Books>>);

impl Adyen {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap()
    }

    pub(super) fn fails(&self, faults: &[Fault]) {
        self.books().faults.extend(faults);
    }

    /// What is held, captured and refunded, of all payments together.
    pub(super) fn money(&self) -> (i64, i64, i64) {
        let books = self.books();
        assert!(books.wrong.is_empty(), "{:?}", books.wrong);
        let sum = |of: fn(&Payment) -> i64| books.payments.iter().map(of).sum();
        (sum(|payment| payment.held), sum(|payment| payment.captured), sum(|payment| payment.refunded))
    }

    pub(super) async fn requests(&self, number: usize) {
        for _ in 0..1_000 {
            if self.books().requests >= number {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("request {number} has not come");
    }

    /// Takes something out of what it has to tell.
    pub(super) fn has_to_tell(&self, event: &str) -> Option<Value> {
        let mut books = self.books();
        let at = books.outbox.iter().position(|item| item["eventCode"] == event)?;
        Some(books.outbox.remove(at))
    }

    /// The customer pays at the bank's page.
    pub(super) fn pays(&self) {
        let mut books = self.books();
        let payment = books.payments.iter_mut().find(|payment| payment.away).expect("somebody is away");
        payment.away = false;
        payment.held = payment.amount;
        let item =
            told(&payment.psp, None, &payment.reference, (payment.amount, &payment.currency), "AUTHORISATION", None);
        books.outbox.push(item);
    }

    /// The scheme refuses what was captured, or a bank sends back what was refunded; gives what Adyen tells of it.
    pub(super) fn takes_back(&self, item: &Value, event: &str) -> Value {
        let mut books = self.books();
        let payment = books.payments.iter_mut().find(|payment| item["originalReference"] == payment.psp.as_str());
        let (payment, amount) = (payment.unwrap(), item["amount"]["value"].as_i64().unwrap());
        if event == "CAPTURE_FAILED" {
            payment.captured -= amount
        } else {
            payment.refunded -= amount
        }
        drop(books);
        let mut item = item.clone();
        item["eventCode"] = json!(event);
        item
    }

    /// Sends what there is to be told, each thing twice, as a sender does that has not heard an acknowledgement.
    pub(super) async fn tells(&self, world: &World) {
        let items = std::mem::take(&mut self.books().outbox);
        for item in items {
            for _ in 0..2 {
                let received = tell(world, std::slice::from_ref(&signed(HMAC, item.clone()))).await.unwrap();
                assert_eq!(received.acknowledge.body.as_deref(), Some("[accepted]"));
            }
        }
    }
}

/// An item of a notification, not yet signed. A reason: it did not succeed.
pub(super) fn told(
    psp: &str,
    original: Option<&str>,
    reference: &str,
    (amount, currency): (i64, &str),
    event: &str,
    reason: Option<&str>,
) -> Value {
    let mut item = json!({
        "amount": {"value": amount, "currency": currency}, "eventCode": event, "eventDate": "2026-01-01T00:00:00+01:00",
        "merchantAccountCode": MERCHANT, "merchantReference": reference, "pspReference": psp, "paymentMethod": "visa",
        "reason": reason.unwrap_or_default(), "success": if reason.is_none() { "true" } else { "false" },
    });
    if let Some(original) = original {
        item["originalReference"] = json!(original);
    }
    item
}

pub(super) fn signed(key: &str, mut item: Value) -> Value {
    let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
    let content = [
        text("pspReference"),
        text("originalReference"),
        text("merchantAccountCode"),
        text("merchantReference"),
        item["amount"]["value"].to_string(),
        item["amount"]["currency"].as_str().unwrap().to_owned(),
        text("eventCode"),
        text("success"),
    ];
    let key = hmac::Key::new(hmac::HMAC_SHA256, &hex::decode(key).unwrap());
    let tag = BASE64_STANDARD.encode(hmac::sign(&key, content.join(":").as_bytes()));
    item["additionalData"] = json!({ "hmacSignature": tag });
    json!({ "NotificationRequestItem": item })
}

pub(super) async fn tell(world: &World, items: &[Value]) -> Result<Received, HookError> {
    let body = json!({"live": "false", "notificationItems": items}).to_string();
    world.hook(&[("content-type", "application/json")], &body).await
}

fn answer(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn error(status: u16, code: &str, message: &str) -> (u16, Value) {
    (status, json!({"status": status, "errorCode": code, "message": message, "errorType": "validation"}))
}

pub(super) async fn handle(State(adyen): State<Adyen>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header("x-api-key") != API_KEY {
        return answer(401, &json!({"status": 401, "errorCode": "000", "errorType": "security"}));
    }
    let (fault, (status, mut said)) = adyen.books().answered(header("idempotency-key"), parts.uri.path(), &body);
    match fault {
        Fault::Hang | Fault::Lost => tokio::time::sleep(Duration::from_secs(10)).await,
        Fault::Gateway => return (StatusCode::BAD_GATEWAY, "<html>nginx</html>").into_response(),
        Fault::OtherAmount => said["amount"]["value"] = json!(1),
        Fault::None | Fault::Busy | Fault::UnderWay => {}
    }
    answer(status, &said)
}

impl Books {
    fn answered(&mut self, key: &str, path: &str, body: &[u8]) -> (Fault, (u16, Value)) {
        self.requests += 1;
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::Lost => return (fault, (504, Value::Null)),
            Fault::Busy => return (fault, error(429, "010", "slow down")),
            Fault::UnderWay => return (fault, error(422, "704", "request already processed or in progress")),
            Fault::None | Fault::Hang | Fault::Gateway | Fault::OtherAmount => {}
        }
        if !(1..=64).contains(&key.len()) {
            self.wrong.push(format!("the key {key}"));
        }
        let asked = format!("{path} {}", String::from_utf8_lossy(body));
        if let Some((before, status, said)) = self.keys.get(key) {
            if *before != asked {
                self.wrong.push(format!("{asked} under the key of {before}"));
            }
            return (fault, (*status, said.clone()));
        }
        let (status, said) = self.done(path, &serde_json::from_slice(body).unwrap());
        self.keys.insert(key.to_owned(), (asked, status, said.clone()));
        (fault, (status, said))
    }

    fn number(&mut self) -> String {
        self.numbers += 1;
        format!("PSP{:013}", self.numbers)
    }

    fn done(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let psp = self.number();
        let steps: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        if steps != ["payments", "details"] && body["merchantAccount"] != MERCHANT {
            return error(403, "901", "Invalid Merchant Account");
        }
        match steps.as_slice() {
            ["payments"] => self.pay(psp, body),
            ["payments", "details"] => self.details(body),
            ["payments", of, what] => {
                let of = self.payments.iter().position(|payment| payment.psp == *of);
                self.modified(psp, of, what, body)
            }
            ["cancels"] => {
                let named = |payment: &Payment| body["paymentReference"] == payment.reference.as_str();
                let of = self.payments.iter().position(named);
                self.modified(psp, of, "cancels", body)
            }
            _ => error(404, "000", "no such page"),
        }
    }

    fn pay(&mut self, psp: String, body: &Value) -> (u16, Value) {
        let (amount, currency) =
            (body["amount"]["value"].as_i64().unwrap(), body["amount"]["currency"].as_str().unwrap());
        let reference = body["reference"].as_str().unwrap();
        let mut payment = Payment {
            psp: psp.clone(),
            reference: reference.to_owned(),
            amount,
            currency: currency.to_owned(),
            held: 0,
            captured: 0,
            refunded: 0,
            away: false,
        };
        let mut said = json!({"pspReference": psp, "merchantReference": reference, "amount": body["amount"]});
        let card = body["paymentMethod"]["encryptedCardNumber"].as_str().unwrap();
        let (code, event) = match card {
            "refused" => ("Refused", Some(Some("Refused"))),
            "slow" => ("Received", Some(None)),
            "silent" => ("Error", Some(Some("Acquirer Error"))),
            "redirect" => ("RedirectShopper", None),
            _ => ("Authorised", Some(None)),
        };
        said["resultCode"] = json!(code);
        match card {
            "refused" => said["refusalReasonCode"] = json!("2"),
            "redirect" => {
                payment.away = true;
                let url = format!("https://checkout.example/{reference}");
                said = json!({"resultCode": code, "action": {"type": "redirect", "method": "GET", "url": url}});
            }
            "silent" => {}
            _ => payment.held = amount,
        }
        if let Some(reason) = event {
            self.outbox.push(told(&psp, None, reference, (amount, currency), "AUTHORISATION", reason));
        }
        self.payments.push(payment);
        (200, said)
    }

    fn details(&mut self, body: &Value) -> (u16, Value) {
        let good = body["details"]["redirectResult"] == "good";
        let Some(payment) = self.payments.last_mut() else { return error(422, "101", "no such payment") };
        if good && payment.away {
            payment.held = payment.amount;
        }
        payment.away = false;
        let (code, reason) = if good { ("Authorised", None) } else { ("Refused", Some("Not 3D Authenticated")) };
        let of = (payment.amount, payment.currency.as_str());
        let item = told(&payment.psp, None, &payment.reference, of, "AUTHORISATION", reason);
        self.outbox.push(item);
        let amount = json!({"value": payment.amount, "currency": payment.currency});
        let mut said = json!({"resultCode": code, "pspReference": payment.psp, "amount": amount, "merchantReference": payment.reference});
        if !good {
            said["refusalReasonCode"] = json!("11");
        }
        (200, said)
    }

    /// It is received, whatever comes of it; that is told by a notification.
    fn modified(&mut self, psp: String, of: Option<usize>, what: &str, body: &Value) -> (u16, Value) {
        let (amount, reference) = (body["amount"]["value"].as_i64(), body["reference"].as_str().unwrap());
        let refuses = std::mem::take(&mut self.refuses);
        let event = match what {
            "captures" => "CAPTURE",
            "refunds" => "REFUND",
            _ => "TECHNICAL_CANCEL",
        };
        let payment = of.and_then(|at| self.payments.get_mut(at));
        let original = payment.as_ref().map(|payment| payment.psp.clone());
        let (worth, currency) = payment.as_ref().map_or((0, "EUR".to_owned()), |p| (p.amount, p.currency.clone()));
        let worth = amount.unwrap_or(worth);
        let reason = match payment {
            None => Some("Original pspReference required for this operation"),
            Some(_) if refuses => Some("Transaction hasn't been authorised"),
            Some(payment) => match event {
                "CAPTURE" if payment.held >= worth => {
                    // What is left of a hold is given back.
                    payment.held = 0;
                    payment.captured += worth;
                    None
                }
                "REFUND" if payment.captured - payment.refunded >= worth => {
                    payment.refunded += worth;
                    None
                }
                "TECHNICAL_CANCEL" if payment.held > 0 => {
                    payment.held = 0;
                    None
                }
                _ => Some("Insufficient balance on payment"),
            },
        };
        let item = told(&psp, original.as_deref(), reference, (worth, &currency), event, reason);
        self.outbox.push(item);
        let mut said =
            json!({"status": "received", "pspReference": psp, "reference": reference, "merchantAccount": MERCHANT});
        match original.filter(|_| what != "cancels") {
            Some(original) => said["paymentPspReference"] = json!(original),
            None => said["paymentReference"] = body["paymentReference"].clone(),
        }
        if amount.is_some() {
            said["amount"] = body["amount"].clone();
        }
        (201, said)
    }
}
