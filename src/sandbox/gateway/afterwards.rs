//! What happens long after an operation was answered with yes: a capture that fails when it is cleared, a refund that the
//! customer's bank sends back, a chargeback. The bank books it, and Paystate is notified.
//!
//! What is planned is a row of the tables, so that it outlives the process; the agenda in memory says what is due.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;

use super::Gateway;
use super::cards::to_merchant;
use super::faults::{Fault, NoticeFault, OperationKind};
use super::notices::Notice;
use super::operations::{Ask, OPERATIONS, Record, Status, Verdict};
use super::tables::TableError;
use crate::sandbox::bank::{Instruction, Kind};
use crate::sandbox::clock;
use crate::types::Timestamp;

/// What becomes of an operation that was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aftermath {
    CaptureFails,
    RefundReturns,
    Chargeback,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Plan {
    at: Timestamp,
    aftermath: Aftermath,
    /// The operation that it becomes of.
    reference: String,
}

/// What is planned, by when it is due.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    plans: Mutex<BTreeMap<(Timestamp, String), Plan>>,
    moved: Notify,
}

/// Operations that anything becomes of later; beyond this the rest stay as they are.
const PLANS_MAX: usize = 100_000;
const PLANS: &str = "plan";
const HOUR: Duration = Duration::from_secs(3600);

impl Aftermath {
    pub(super) const fn of_digits(digits: i64) -> Option<Self> {
        match digits {
            90 => Some(Self::CaptureFails),
            92 => Some(Self::RefundReturns),
            99 => Some(Self::Chargeback),
            _ => None,
        }
    }

    /// As scripts call it.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        match name {
            "capture_fails" => Some(Self::CaptureFails),
            "refund_returns" => Some(Self::RefundReturns),
            "chargeback" => Some(Self::Chargeback),
            _ => None,
        }
    }

    pub(super) fn usual_delay(self) -> Duration {
        match self {
            Self::CaptureFails => 2 * HOUR,
            Self::RefundReturns => 3 * 24 * HOUR,
            Self::Chargeback => 30 * 24 * HOUR,
        }
    }

    pub(super) const fn follows(self, operation: OperationKind) -> bool {
        match self {
            Self::CaptureFails | Self::Chargeback => {
                matches!(operation, OperationKind::Capture | OperationKind::Purchase)
            }
            Self::RefundReturns => matches!(operation, OperationKind::Refund),
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::CaptureFails => Kind::CaptureFailure,
            Self::RefundReturns => Kind::RefundReturn,
            Self::Chargeback => Kind::Chargeback,
        }
    }

    /// What the operation is declined as from then on; a chargeback leaves it as it is and has a reference of its own.
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::CaptureFails => Some("capture_failed"),
            Self::RefundReturns => Some("refund_returned"),
            Self::Chargeback => None,
        }
    }

    /// It was on its way already when the process ended.
    fn is_noted_in(self, record: &Record) -> bool {
        self.code().is_some() && record.code.as_deref() == self.code()
    }

    const fn event(self) -> &'static str {
        match self {
            Self::CaptureFails => "capture.failed",
            Self::RefundReturns => "refund.returned",
            Self::Chargeback => "chargeback.opened",
        }
    }
}

impl Agenda {
    /// The clock was moved: something may be due.
    pub(crate) fn wake(&self) {
        self.moved.notify_one();
    }

    fn add(&self, plan: Plan) {
        self.plans().insert((plan.at, plan.reference.clone()), plan);
    }

    fn take_due(&self, now: Timestamp) -> Vec<Plan> {
        let mut plans = self.plans();
        let later = plans.split_off(&(now.plus(Duration::from_millis(1)), String::new()));
        std::mem::replace(&mut *plans, later).into_values().collect()
    }

    fn plans(&self) -> MutexGuard<'_, BTreeMap<(Timestamp, String), Plan>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes up what was planned before the process ended, and works the agenda off until the gateway is gone.
pub(crate) fn start(gateway: &Arc<Gateway>) {
    for plan in gateway.tables.select(PLANS, |_: &Plan| true) {
        gateway.agenda.add(plan);
    }
    tokio::spawn(work(Arc::downgrade(gateway)));
}

async fn work(gateway: Weak<Gateway>) {
    while let Some(gateway) = gateway.upgrade() {
        for plan in gateway.agenda.take_due(gateway.clock.now()) {
            if let Err(error) = happen(&gateway, &plan).await {
                tracing::warn!(%error, reference = %plan.reference, "tried again");
                gateway.agenda.add(plan);
            }
        }
        tokio::select! {
            () = gateway.agenda.moved.notified() => {}
            () = clock::pause(Duration::from_millis(200)) => {}
        }
    }
}

/// Plans what the faults of an approved operation say.
pub(crate) fn plan(gateway: &Gateway, record: &Record, faults: &[Fault]) {
    if record.status != Some(Status::Approved) || gateway.agenda.plans().len() >= PLANS_MAX {
        return;
    }
    for fault in faults {
        let Fault::Afterwards(aftermath, delay) = fault else { continue };
        if !aftermath.follows(record.kind) {
            continue;
        }
        let at = gateway.clock.now().plus(*delay);
        let plan = Plan { at, aftermath: *aftermath, reference: record.ask.reference.clone() };
        if let Err(error) = gateway.tables.put(PLANS, &plan.reference, &plan) {
            tracing::warn!(%error, "a plan could not be noted");
        }
        gateway.agenda.add(plan);
    }
}

#[derive(Debug, thiserror::Error)]
enum AftermathError {
    #[error(transparent)]
    Bank(#[from] super::to_bank::BankSilent),
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Its time has come. Everything here is done once for its reference, and the plan is struck out at the very end, so it may
/// be tried again from any point on: cut off, Paystate is notified at least once.
async fn happen(gateway: &Gateway, plan: &Plan) -> Result<(), AftermathError> {
    let aftermath = plan.aftermath;
    let known: Option<Record> = gateway.tables.get(OPERATIONS, &plan.reference);
    let ours = |record: &Record| record.status == Some(Status::Approved) || aftermath.is_noted_in(record);
    let Some(record) = known.filter(ours) else {
        return Ok(gateway.tables.remove(PLANS, &plan.reference)?);
    };
    let ask = Ask {
        reference: format!("{}-{}", plan.reference, aftermath.event().replace('.', "-")),
        original: Some(plan.reference.clone()),
        // Of a chargeback the bank knows the amount: what is left of the payment.
        amount: if aftermath == Aftermath::Chargeback { 0 } else { record.ask.amount },
        ..record.ask.clone()
    };
    let instruction = Instruction { careless: false, ..to_merchant(gateway, &ask, aftermath.kind()) };
    let reply = gateway.bank.instruct(&instruction).await?;
    if reply.status == "applied" {
        let ask = Ask { amount: reply.amount, ..ask };
        // Who is notified asks whether it is true, so it is noted first.
        note(gateway, aftermath, &record, &ask)?;
        tell(gateway, aftermath, &record, &ask)?;
    } else {
        // Voided, reversed or refunded in the meantime: there is nothing left to go wrong.
        tracing::info!(reference = %plan.reference, code = ?reply.code, "nothing becomes of it");
    }
    Ok(gateway.tables.remove(PLANS, &plan.reference)?)
}

/// Inquiries say it from now on.
fn note(gateway: &Gateway, aftermath: Aftermath, record: &Record, ask: &Ask) -> Result<(), TableError> {
    let Some(code) = aftermath.code() else {
        let mut chargeback = Record::begun(OperationKind::Chargeback, ask, gateway.clock.now());
        chargeback.settle(Verdict::approved().with("original", record.ask.reference.as_str()));
        return gateway.tables.put(OPERATIONS, &ask.reference, &chargeback);
    };
    let changed = gateway.tables.update(OPERATIONS, &record.ask.reference, |record: &mut Record| {
        record.settle(Verdict::declined(code, false));
        true
    });
    changed.map(|_| ())
}

fn tell(gateway: &Gateway, aftermath: Aftermath, record: &Record, ask: &Ask) -> Result<(), TableError> {
    let about = if aftermath == Aftermath::Chargeback { &ask.reference } else { &record.ask.reference };
    let notice = Notice {
        // The same when it is told again.
        id: format!("evt_{}", hex::encode(digest::digest(&digest::SHA256, ask.reference.as_bytes()))),
        sender: "gateway",
        event: aftermath.event().to_owned(),
        order: record.ask.order.clone(),
        reference: about.clone(),
        amount: ask.amount,
        currency: ask.currency.clone(),
        data: json!({ "original": record.ask.reference }),
    };
    gateway.notices.keep_and_send(notice, NoticeFault::None, None)
}
