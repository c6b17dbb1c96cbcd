//! A gateway that does what UnionPay's documentation says, and can misbehave.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use paystate::executor::Clock;

use super::super::clock::FastClock;
use super::super::{form, keys};
use crate::connector_signing::Rsa;

pub(super) const MERCHANT: &str = "777290058110048";
pub(super) const CERT_ID: &str = "68759663125";

pub(super) type Fields = BTreeMap<String, String>;

/// What happens to the next request that is not a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It is done, and no answer comes.
    Hang,
    /// It is done, and answered after the notification of it.
    Slow,
    /// It is not done, and no answer comes.
    Lost,
    /// It is done, and somebody else signs the answer.
    Forged,
    /// It is done, and a page of a proxy comes instead of the answer.
    Page,
    /// It is done, and the answer says 03, 04 or 05.
    Unclear(&'static str),
    /// It is not done, and the answer says why.
    Refused(&'static str),
}

/// What happens to the next query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Deaf {
    /// It is not answered but by a proxy.
    Away,
    /// Somebody else answers that it is paid.
    SaysPaid,
    /// Somebody else answers that there is no such transaction.
    SaysNothing,
}

#[derive(Clone, Debug)]
pub(super) struct Trade {
    pub(super) kind: String,
    pub(super) order: String,
    pub(super) time: String,
    pub(super) amount: i64,
    pub(super) id: String,
    /// What a query answers as `origRespCode`; empty while the customer has not tried to pay.
    pub(super) code: &'static str,
    /// What a transaction in the background comes to.
    pub(super) ends: &'static str,
    pub(super) of: String,
}

#[derive(Default)]
pub(super) struct Books {
    pub(super) trades: Vec<Trade>,
    pub(super) faults: VecDeque<Fault>,
    pub(super) deaf: VecDeque<Deaf>,
    /// orderId and txnTime of all that came in, but queries.
    pub(super) came: Vec<(String, String)>,
    pub(super) queries: usize,
    /// The day of settlement is over.
    pub(super) next_day: bool,
    /// What refunds come to, when not to a success.
    pub(super) refunds_end: Option<&'static str>,
}

impl Books {
    fn sum(&self, kind: &str) -> i64 {
        let done = self.trades.iter().filter(|trade| trade.kind == kind && trade.code == "00");
        done.map(|trade| trade.amount).sum()
    }

    pub(super) fn received(&self) -> i64 {
        self.sum("01")
    }

    /// What was undone, and what was refunded.
    pub(super) fn went_back(&self) -> (i64, i64) {
        (self.sum("31"), self.sum("04"))
    }

    pub(super) fn refunded(&self) -> i64 {
        self.sum("04")
    }

    pub(super) fn of_kind(&self, kind: &str) -> Vec<Trade> {
        self.trades.iter().filter(|trade| trade.kind == kind).cloned().collect()
    }

    /// What of an earlier payment went back, or is about to.
    fn returned(&self, of: &str) -> i64 {
        self.trades.iter().filter(|trade| trade.of == of && matches!(trade.code, "00" | "05")).map(|t| t.amount).sum()
    }
}

#[derive(Clone)]
pub(super) struct UnionPay {
    books: Arc<Mutex<Books>>,
    /// That of its merchant, too.
    pub(super) clock: Arc<FastClock>,
    pub(super) ours: Arc<Rsa>,
    pub(super) theirs: Arc<Rsa>,
    /// Of `theirs`, and shown with every answer.
    certificate: Arc<str>,
}

impl UnionPay {
    pub(super) fn new() -> Self {
        let [ours, theirs, ..] = keys();
        let certificate = certificate(&theirs).into();
        Self { books: Arc::default(), clock: Arc::new(FastClock::new()), ours, theirs, certificate }
    }

    /// The same gateway with another certificate.
    pub(super) fn renewed(&self) -> Self {
        self.signing_with(&keys()[2])
    }

    /// Somebody in its place.
    pub(super) fn stranger(&self) -> Self {
        self.signing_with(&keys()[3])
    }

    fn signing_with(&self, keys: &Arc<Rsa>) -> Self {
        Self { certificate: certificate(keys).into(), theirs: Arc::clone(keys), ..self.clone() }
    }

    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// The customer tries to pay, at the cashier or in the app.
    pub(super) fn pays(&self, order: &str, code: &'static str) -> Trade {
        let mut books = self.books();
        let found = books.trades.iter_mut().find(|trade| trade.order == order && trade.kind == "01");
        let trade = found.expect("the customer pays what was ordered");
        assert_ne!(trade.code, "00", "nobody pays twice");
        trade.code = code;
        trade.clone()
    }

    /// Fields with the certificate and the signature.
    fn signed(&self, mut fields: Fields) -> Fields {
        fields.insert("signPubKeyCert".into(), self.certificate.replace('\n', "\r\n"));
        let mut tag = vec![0; self.theirs.keys.public_modulus_len()];
        let text = digest_of(&fields);
        self.theirs.keys.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut tag).unwrap();
        fields.insert("signature".into(), BASE64_STANDARD.encode(tag));
        fields
    }

    /// A notification of a transaction, as the form that is posted.
    pub(super) fn notification(&self, trade: &Trade) -> String {
        let mut fields = told(&trade.kind, &trade.order, &trade.time);
        let (code, amount) = (trade.code, trade.amount.to_string());
        let more = [("respCode", code), ("queryId", &trade.id), ("txnAmt", &amount), ("currencyCode", "156")];
        fields.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let fields = self.signed(fields);
        let url = reqwest::Url::parse_with_params("http://form.invalid/", &fields).unwrap();
        url.query().unwrap().to_owned()
    }

    /// Signed by the merchant, with the certificate that is named, at about this time.
    fn refusal(&self, fields: &Fields) -> Option<&'static str> {
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.ours.public_der.clone());
        let tag = BASE64_STANDARD.decode(field("signature")).unwrap_or_default();
        if field("certId") != CERT_ID || public.verify(digest_of(fields).as_bytes(), &tag).is_err() {
            return Some("11");
        }
        let known = field("merId") == MERCHANT && field("version") == "5.1.0" && field("signMethod") == "01";
        let named = (8..=40).contains(&field("orderId").len())
            && field("orderId").bytes().all(|byte| byte.is_ascii_alphanumeric());
        // Written in Beijing, eight hours ahead.
        let beijing = TimeZone::fixed(Offset::constant(8));
        let time = DateTime::strptime("%Y%m%d%H%M%S", field("txnTime")).and_then(|time| beijing.to_timestamp(time));
        let Ok(time) = time else { return Some("10") };
        let age = self.clock.now().unix_ms() / 1_000 - time.as_second();
        let present = field("txnType") == "00" || (-300..7_200).contains(&age);
        (!known || !named || !present).then_some("10")
    }
}

/// A certificate of a key pair, signed by itself.
fn certificate(keys: &Rsa) -> String {
    let keys = rcgen::KeyPair::from_pem_and_sign_algo(&keys.private, &rcgen::PKCS_RSA_SHA256).unwrap();
    rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&keys).unwrap().pem()
}

/// `a=1&b=2` of all fields but the signature, in the order of their names, as 64 hexadecimal digits.
fn digest_of(fields: &Fields) -> String {
    let pairs: Vec<String> =
        fields.iter().filter(|(name, _)| *name != "signature").map(|(name, value)| format!("{name}={value}")).collect();
    hex::encode(digest::digest(&digest::SHA256, pairs.join("&").as_bytes()))
}

/// What every answer and notification repeats.
fn told(kind: &str, order: &str, time: &str) -> Fields {
    let all = [
        ("version", "5.1.0"),
        ("encoding", "UTF-8"),
        ("signMethod", "01"),
        ("accessType", "0"),
        ("bizType", "000201"),
        ("merId", MERCHANT),
        ("txnType", kind),
        ("orderId", order),
        ("txnTime", time),
        ("respMsg", "成功[0000000] 100%"),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// `a=1&b=2`, not encoded, in any order.
fn plain(fields: &Fields) -> Response {
    let pairs: Vec<String> = fields.iter().rev().map(|(name, value)| format!("{name}={value}")).collect();
    let mut response = pairs.join("&").into_response();
    response.headers_mut().insert("content-type", "text/html;charset=UTF-8".parse().unwrap());
    response
}

fn page() -> Response {
    (StatusCode::BAD_GATEWAY, "<html>502 Bad Gateway</html>").into_response()
}

pub(super) async fn handle(State(gateway): State<UnionPay>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    assert_eq!(parts.headers["content-type"], "application/x-www-form-urlencoded");
    let body = String::from_utf8(axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    let fields = form(&body);
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let (order, time) = (field("orderId"), field("txnTime"));
    let answer = |signer: &UnionPay, more: Fields| {
        let mut all = told(&field("txnType"), &order, &time);
        all.extend(more);
        plain(&signer.signed(all))
    };
    let coded = |code: &str| Fields::from([("respCode".to_owned(), code.to_owned())]);
    if let Some(code) = gateway.refusal(&fields) {
        return answer(&gateway, coded(code));
    }
    let path = parts.uri.path().strip_prefix("/gateway/api/").unwrap_or_default();
    if path == "queryTrans.do" {
        gateway.books().queries += 1;
        let deaf = gateway.books().deaf.pop_front();
        return match deaf {
            Some(Deaf::Away) => page(),
            Some(Deaf::SaysPaid) => {
                let mut lie = coded("00");
                let more = [("origRespCode", "00"), ("queryId", "1"), ("txnAmt", "1250"), ("currencyCode", "156")];
                lie.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
                answer(&gateway.stranger(), lie)
            }
            Some(Deaf::SaysNothing) => answer(&gateway.stranger(), coded("34")),
            None => answer(&gateway, queried(&mut gateway.books(), &order, &time)),
        };
    }
    let fault = gateway.books().faults.pop_front();
    gateway.books().came.push((order.clone(), time.clone()));
    match fault {
        Some(Fault::Refused(code)) => return answer(&gateway, coded(code)),
        Some(Fault::Lost) => {
            tokio::time::sleep(Duration::from_secs(10)).await;
            return page();
        }
        _ => {}
    }
    let done = done(&mut gateway.books(), path, &fields);
    match fault {
        Some(Fault::Hang) => tokio::time::sleep(Duration::from_secs(10)).await,
        Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(500)).await,
        Some(Fault::Forged) => return answer(&gateway.stranger(), done),
        Some(Fault::Page) => return page(),
        Some(Fault::Unclear(code)) => return answer(&gateway, coded(code)),
        _ => {}
    }
    if path == "frontTransReq.do" { "<html>Cashier</html>".into_response() } else { answer(&gateway, done) }
}

fn done(books: &mut Books, path: &str, fields: &Fields) -> Fields {
    let refused = |code: &str| Fields::from([("respCode".to_owned(), code.to_owned())]);
    let (kind, order, amount) = (&fields["txnType"], &fields["orderId"], fields["txnAmt"].parse::<i64>().unwrap());
    let known = |trade: &&Trade| trade.order == *order && trade.time.get(..8) == fields["txnTime"].get(..8);
    if books.trades.iter().any(|trade| known(&trade)) {
        return refused("12");
    }
    let of = fields.get("origQryId").cloned().unwrap_or_default();
    match (path, kind.as_str()) {
        ("frontTransReq.do" | "appTransReq.do", "01") => {
            assert_eq!((fields["currencyCode"].as_str(), fields["bizType"].as_str()), ("156", "000201"));
            assert!(fields["payTimeout"] > fields["txnTime"] && fields.contains_key("backUrl"));
            assert_eq!(fields.contains_key("frontUrl"), path == "frontTransReq.do");
        }
        ("backTransReq.do", "31" | "04") => {
            let paid = books.trades.iter().find(|trade| trade.id == of && trade.kind == "01" && trade.code == "00");
            let Some(paid) = paid else { return refused("35") };
            let returned = books.returned(&of);
            if kind == "31" && (books.next_day || returned > 0) {
                return refused("35");
            }
            if amount + returned > paid.amount || (kind == "31" && amount != paid.amount) {
                return refused("36");
            }
        }
        _ => return refused("32"),
    }
    let id = format!("2026{:017}", books.trades.len() + 1);
    let (time, kind) = (fields["txnTime"].clone(), kind.clone());
    let ends = if kind == "04" { books.refunds_end.unwrap_or("00") } else { "00" };
    let code = if kind == "01" { "" } else { "05" };
    books.trades.push(Trade { kind, order: order.clone(), time, amount, id: id.clone(), code, ends, of });
    let more = [("respCode", "00"), ("queryId", &id), ("txnAmt", &amount.to_string()), ("tn", &id)];
    more.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A transaction in the background is under way when it is asked about first, and done afterwards.
fn queried(books: &mut Books, order: &str, time: &str) -> Fields {
    let found = books.trades.iter_mut().find(|trade| trade.order == order && trade.time == time);
    let Some(trade) = found.filter(|trade| !trade.code.is_empty()) else {
        return Fields::from([("respCode".to_owned(), "34".to_owned())]);
    };
    let amount = trade.amount.to_string();
    let more = [
        ("respCode", "00"),
        ("origRespCode", trade.code),
        ("queryId", &trade.id),
        ("txnAmt", &amount),
        ("currencyCode", "156"),
    ];
    let fields = more.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    if trade.code == "05" {
        trade.code = trade.ends;
    }
    fields
}
