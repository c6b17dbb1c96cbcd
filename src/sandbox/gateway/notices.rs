//! Notifications, signed as the Standard Webhooks specification says, sent until they are acknowledged.
//!
//! Each is a row of the tables until then, so that the end of the process does not lose it: it comes at least once.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::Gateway;
use super::faults::{NoticeFault, OperationKind, notice_fault_of};
use super::operations::{Record, Status};
use super::tables::{TableError, Tables};
use super::visits::Visit;
use crate::sandbox::clock::{self, Clock};
use crate::types::{Secret, Timestamp};

/// Something that the gateway tells Paystate of its own accord.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    /// What the receiver knows it by: told twice, it is recognised.
    pub(crate) id: String,
    /// The connector: `unionpay`.
    pub(crate) sender: &'static str,
    /// The event: `unionpay.paid`.
    pub(crate) event: String,
    pub(crate) order: String,
    pub(crate) reference: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) data: Value,
}

#[derive(Debug)]
pub(crate) struct Notices {
    client: reqwest::Client,
    secrets: BTreeMap<&'static str, Secret>,
    clock: Arc<Clock>,
    tables: Arc<Tables>,
    inside: Mutex<Inside>,
    wake: Notify,
    sending: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Inside {
    /// Paystate's base address; nothing is sent while there is none.
    base: Option<String>,
    due: BTreeMap<(Timestamp, u64), Delivery>,
    next: u64,
    /// Orders whose first notification is being held back, so that the second overtakes it.
    held_back: HashSet<String>,
    worker: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Delivery {
    /// The row that it is kept in.
    row: String,
    due: Timestamp,
    id: String,
    sender: String,
    body: String,
    attempt: usize,
    fault: NoticeFault,
}

/// The oldest notifications are dropped beyond this: nobody listens any more.
const QUEUE_MAX: usize = 200_000;
const ANSWER: Duration = Duration::from_secs(10);
const NOTICES: &str = "notice";

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// The schedules of the providers, each wait after the one before.
fn schedule(sender: &str) -> &'static [Duration] {
    const STANDARD_WEBHOOKS: [Duration; 9] = [
        Duration::from_secs(5),
        minutes(5),
        minutes(30),
        minutes(120),
        minutes(300),
        minutes(600),
        minutes(840),
        minutes(1200),
        minutes(1440),
    ];
    const UNIONPAY: [Duration; 4] = [minutes(1), minutes(2), minutes(4), minutes(5)];
    const WECHAT: [Duration; 8] = [
        Duration::from_secs(15),
        Duration::from_secs(15),
        Duration::from_secs(30),
        minutes(3),
        minutes(10),
        minutes(20),
        minutes(30),
        minutes(60),
    ];
    match sender {
        "unionpay" => &UNIONPAY,
        "thirdparty" => &WECHAT,
        _ => &STANDARD_WEBHOOKS,
    }
}

impl Notice {
    pub(crate) fn about_visit(sender: &'static str, event: &str, visit: &Visit) -> Self {
        Self {
            id: clock::fresh_id("evt"),
            sender,
            event: event.to_owned(),
            order: visit.order.clone(),
            reference: visit.order.clone(),
            amount: visit.amount,
            currency: visit.currency.clone(),
            data: json!({ "challenge": visit.id, "status": visit.state }),
        }
    }
}

impl Notices {
    /// Takes up what was not acknowledged before the process ended.
    pub(crate) fn start(
        client: reqwest::Client,
        secrets: BTreeMap<&'static str, Secret>,
        clock: Arc<Clock>,
        tables: Arc<Tables>,
    ) -> Arc<Self> {
        let notices = Arc::new(Self {
            client,
            secrets,
            clock,
            tables,
            inside: Mutex::default(),
            wake: Notify::new(),
            sending: Arc::new(Semaphore::new(32)),
        });
        for delivery in notices.tables.select(NOTICES, |_: &Delivery| true) {
            notices.enqueue(delivery);
        }
        let worker = tokio::spawn(work(Arc::clone(&notices)));
        notices.inside().worker = Some(worker);
        notices
    }

    pub(crate) fn stop(&self) {
        if let Some(worker) = self.inside().worker.take() {
            worker.abort();
        }
    }

    /// From now on notifications go to `{base}/hooks/{connector}`.
    pub(crate) fn send_to(&self, base: Option<String>) {
        self.inside().base = base.map(|base| base.trim_end_matches('/').to_owned());
        self.wake.notify_one();
    }

    pub(crate) fn is_listened_to(&self) -> bool {
        self.inside().base.is_some()
    }

    /// The clock was moved: something may be due.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) fn send(&self, notice: Notice, fault: NoticeFault) {
        self.send_at(notice, fault, None);
    }

    /// One that cannot be kept is not sent.
    pub(crate) fn send_at(&self, notice: Notice, fault: NoticeFault, at: Option<Timestamp>) {
        if let Err(error) = self.keep_and_send(notice, fault, at) {
            tracing::warn!(%error, "a notification is not sent");
        }
    }

    /// When this returns, it outlives the process.
    pub(crate) fn keep_and_send(
        &self,
        notice: Notice,
        fault: NoticeFault,
        at: Option<Timestamp>,
    ) -> Result<(), TableError> {
        let deliveries = self.deliveries(notice, fault, at);
        for delivery in &deliveries {
            self.tables.put(NOTICES, &delivery.row, delivery)?;
        }
        for delivery in deliveries {
            self.enqueue(delivery);
        }
        self.wake.notify_one();
        Ok(())
    }

    fn deliveries(&self, notice: Notice, fault: NoticeFault, at: Option<Timestamp>) -> Vec<Delivery> {
        let now = self.clock.now();
        let amount = if fault == NoticeFault::WrongAmount { notice.amount + 1 } else { notice.amount };
        let body = json!({
            "id": notice.id, "type": notice.event, "order": notice.order, "reference": notice.reference,
            "amount": amount, "currency": notice.currency, "data": notice.data, "created_at": now,
        });
        let body = body.to_string();
        let due = at.unwrap_or(now);
        let delivery = |later: u64| Delivery {
            row: clock::fresh_id("ntc"),
            due: due.plus(Duration::from_millis(later)),
            id: notice.id.clone(),
            sender: notice.sender.to_owned(),
            body: body.clone(),
            attempt: 0,
            fault,
        };
        match fault {
            NoticeFault::Never => Vec::new(),
            NoticeFault::FiveTimes => (0..5).map(|n| delivery(200 * n)).collect(),
            NoticeFault::Twins => vec![delivery(0), delivery(0)],
            NoticeFault::Reversed if self.inside().held_back.insert(notice.order.clone()) => vec![delivery(2_000)],
            _ => vec![delivery(0)],
        }
    }

    fn enqueue(&self, delivery: Delivery) {
        let dropped = {
            let mut inside = self.inside();
            inside.next += 1;
            let key = (delivery.due, inside.next);
            inside.due.insert(key, delivery);
            if inside.due.len() > QUEUE_MAX { inside.due.pop_first() } else { None }
        };
        if let Some((_, dropped)) = dropped {
            self.forget(&dropped);
        }
    }

    fn forget(&self, delivery: &Delivery) {
        if let Err(error) = self.tables.remove(NOTICES, &delivery.row) {
            tracing::warn!(%error, "a notification will come again");
        }
    }

    /// Sends it again after a while, unless its schedule is over.
    fn put_off(&self, mut delivery: Delivery) {
        let Some(wait) = schedule(&delivery.sender).get(delivery.attempt) else { return self.forget(&delivery) };
        delivery.attempt += 1;
        delivery.due = self.clock.now().plus(*wait);
        if let Err(error) = self.tables.put(NOTICES, &delivery.row, &delivery) {
            tracing::warn!(%error, "an attempt to notify could not be noted");
        }
        self.enqueue(delivery);
    }

    /// The customer of a demonstration: confirms the page after a while.
    pub(crate) fn confirm_by_itself(&self, url: String, delay: Duration) {
        let client = self.client.clone();
        tokio::spawn(async move {
            clock::pause(delay).await;
            if let Err(error) = client.post(url).json(&json!({ "decision": "confirm" })).send().await {
                tracing::debug!(%error, "the customer could not confirm");
            }
        });
    }

    /// What is due now, and how long until something is.
    fn take_due(&self) -> (Vec<Delivery>, String) {
        let now = self.clock.now();
        let mut inside = self.inside();
        let Some(base) = inside.base.clone() else { return (Vec::new(), String::new()) };
        let later = inside.due.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut inside.due, later);
        (due.into_values().collect(), base)
    }

    async fn deliver(self: Arc<Self>, base: String, delivery: Delivery) {
        let at = self.clock.wall().unix_ms() / 1000;
        let first = delivery.attempt == 0;
        let stamp = if first && delivery.fault == NoticeFault::OldTimestamp { at - 600 } else { at };
        let signature = self.signature(&delivery, stamp);
        let request = self
            .client
            .post(format!("{base}/hooks/{}", delivery.sender))
            .timeout(ANSWER)
            .header("content-type", "application/json")
            .header("webhook-id", &delivery.id)
            .header("webhook-timestamp", stamp.to_string())
            .header("webhook-signature", signature)
            .body(delivery.body.clone());
        let status = request.send().await.map(|response| response.status().as_u16());
        match status {
            // 410: the receiver wants no more of them.
            Ok(200..=299 | 410) => self.forget(&delivery),
            _ => self.put_off(delivery),
        }
    }

    fn signature(&self, delivery: &Delivery, stamp: i64) -> String {
        let secret = self.secrets.get(delivery.sender.as_str()).map(Secret::reveal).unwrap_or_default();
        let good = sign(secret, &delivery.id, stamp, &delivery.body);
        let bad = sign("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &delivery.id, stamp, &delivery.body);
        match delivery.fault {
            NoticeFault::BadSignature if delivery.attempt == 0 => bad,
            NoticeFault::Rotated => format!("{bad} {good}"),
            _ => good,
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One loop for all notifications: it wakes when one comes, when the clock is moved, and five times a second.
async fn work(notices: Arc<Notices>) {
    loop {
        let (due, base) = notices.take_due();
        for delivery in due {
            let Ok(permit) = Arc::clone(&notices.sending).acquire_owned().await else { return };
            let (notices, base) = (Arc::clone(&notices), base.clone());
            tokio::spawn(async move {
                notices.deliver(base, delivery).await;
                drop(permit);
            });
        }
        tokio::select! {
            () = notices.wake.notified() => {}
            () = clock::pause(Duration::from_millis(200)) => {}
        }
    }
}

/// What the gateway notifies of after an operation that needed no customer.
pub(crate) async fn after_operation(gateway: &Gateway, record: &Record) {
    let event = match record.kind {
        OperationKind::Purchase | OperationKind::Capture | OperationKind::Deposit | OperationKind::Charge => {
            "payment.succeeded"
        }
        OperationKind::Refund => "refund.succeeded",
        _ => return,
    };
    if record.status != Some(Status::Approved) || !gateway.notices.is_listened_to() {
        return;
    }
    let fault = notice_fault_of(record.ask.amount);
    let notice = Notice {
        id: clock::fresh_id("evt"),
        sender: "gateway",
        event: event.to_owned(),
        order: record.ask.order.clone(),
        reference: record.ask.reference.clone(),
        amount: record.ask.amount,
        currency: record.ask.currency.clone(),
        data: json!({ "id": record.id }),
    };
    gateway.notices.send(notice, fault);
    if fault == NoticeFault::BeforeAnswer {
        clock::pause(Duration::from_millis(300)).await;
    }
}

/// `v1,` and the base64 of HMAC-SHA256 over id, timestamp and body.
pub(crate) fn sign(secret: &str, id: &str, stamp: i64, body: &str) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{stamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

#[cfg(test)]
mod tests {
    use super::sign;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        let signature = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
