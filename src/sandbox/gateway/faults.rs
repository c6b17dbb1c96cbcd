//! Trouble on demand: by the last three digits of an amount, or by a script for one order and operation.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::afterwards::Aftermath;
use crate::sandbox::bank::Misreport;

/// What an operation is; also its name in scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OperationKind {
    Forward,
    Authorization,
    Purchase,
    Capture,
    Void,
    Refund,
    Reversal,
    /// UnionPay's front request.
    Front,
    /// A transfer by online banking.
    Transfer,
    Activation,
    /// A hold in a wallet.
    Hold,
    /// The customer's payment password for a wallet's hold.
    Confirmation,
    /// A wallet's hold is posted to the merchant.
    Post,
    /// E-cash is handed in.
    Deposit,
    /// An e-cheque is presented for clearing.
    Presentment,
    /// A QR code is made for a third-party payment.
    Precreate,
    Close,
    /// A third-party account is topped up.
    Credit,
    Call,
    /// The charge after a confirmed telephone call.
    Charge,
    /// The customer's bank takes a payment back: of its own accord, so it is asked about and never asked for.
    Chargeback,
}

/// One way to go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Fine,
    Decline {
        code: String,
        soft: bool,
    },
    StepUp,
    /// Done, and the connection ends without an answer.
    CommitNoAnswer,
    /// Not done, and the connection ends without an answer.
    NoCommitNoAnswer,
    CommitThen500,
    CommitThenHtml,
    CommitThenTruncated,
    /// Refused before anything was done.
    Refuse503,
    Slow(Duration),
    /// Done without an answer, and inquiries do not find it for so long.
    QueryBlind(Duration),
    /// Done without an answer, and so many inquiries fail.
    QueryFails(u32),
    /// The answer and the notification say another amount.
    AnswerOffByOne,
    /// The request is under way for so long, and its caller hears nothing: what is sent after it comes before it.
    ArrivesLate(Duration),
    /// Done, and so much later something becomes of it.
    Afterwards(Aftermath, Duration),
    /// Done, and the settlement file does not tell the truth about it.
    Settlement(Misreport),
}

/// How the notification about an operation goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NoticeFault {
    None,
    FiveTimes,
    BeforeAnswer,
    Never,
    /// The last one first.
    Reversed,
    WrongAmount,
    BadSignature,
    /// Signed with a key that is being rotated out as well as the new one.
    Rotated,
    OldTimestamp,
    /// Only after the payment's time is over.
    AfterExpiry,
    /// Two at the same moment.
    Twins,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    scripts: Mutex<HashMap<(String, OperationKind), VecDeque<Fault>>>,
    /// Amount faults that have struck: each strikes an operation of an order once, so that a second try gets through.
    struck: Mutex<HashSet<(String, OperationKind)>>,
}

#[derive(Debug, thiserror::Error)]
#[error("not a fault: {0}; there are {list}", list = FAULTS.join(", "))]
pub(crate) struct FaultError(String);

/// How scripts call the faults, each with an argument where it needs one.
const FAULTS: [&str; 21] = [
    "ok",
    "decline:CODE",
    "soft_decline:CODE",
    "step_up",
    "commit_then_no_answer",
    "no_commit_no_answer",
    "commit_then_500",
    "commit_then_502_html",
    "commit_then_truncated",
    "refuse_503",
    "slow:2s",
    "query_blind:5s",
    "query_fails:3",
    "answer_off_by_one",
    "arrives_late:5s",
    "capture_fails:2h",
    "refund_returns:3d",
    "chargeback:30d",
    "settlement_missing",
    "settlement_extra",
    "settlement_fee",
];

/// More scripts than any test needs.
const SCRIPTS_MAX: usize = 100_000;

impl OperationKind {
    /// Whatever can be asked for, and so be scripted.
    pub(crate) const ASKED_FOR: [Self; 20] = [
        Self::Forward,
        Self::Authorization,
        Self::Purchase,
        Self::Capture,
        Self::Void,
        Self::Refund,
        Self::Reversal,
        Self::Front,
        Self::Activation,
        Self::Transfer,
        Self::Hold,
        Self::Confirmation,
        Self::Post,
        Self::Deposit,
        Self::Presentment,
        Self::Precreate,
        Self::Close,
        Self::Credit,
        Self::Call,
        Self::Charge,
    ];

    /// As scripts call it.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ASKED_FOR.into_iter().find(|operation| operation.name() == name)
    }

    /// The first operation that asks for the customer's money: amounts that decline strike here.
    const fn asks_for_money(self) -> bool {
        matches!(
            self,
            Self::Authorization
                | Self::Purchase
                | Self::Front
                | Self::Transfer
                | Self::Hold
                | Self::Deposit
                | Self::Presentment
                | Self::Precreate
                | Self::Charge
        )
    }

    const fn moves_money(self) -> bool {
        !matches!(self, Self::Forward | Self::Activation | Self::Call | Self::Close | Self::Confirmation)
    }

    /// Its answer can be that the customer must confirm first.
    const fn asks_the_customer(self) -> bool {
        matches!(self, Self::Authorization | Self::Purchase | Self::Confirmation)
    }

    /// What it moves has a line in the settlement file: money to the merchant, or from it.
    const fn is_settled(self) -> bool {
        match self {
            Self::Authorization | Self::Hold | Self::Credit => false,
            _ => self.moves_money(),
        }
    }

    const fn has_amount(self) -> bool {
        !matches!(self, Self::Activation | Self::Close)
    }

    /// Declined when the customer decides or the cheque is cleared, not when it is asked for.
    const fn is_deferred(self) -> bool {
        matches!(self, Self::Front | Self::Transfer | Self::Precreate | Self::Presentment)
    }

    pub(crate) fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl Faults {
    /// False when there are too many already.
    pub(crate) fn script(&self, order: &str, operation: OperationKind, faults: Vec<Fault>) -> bool {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        let room = scripts.len() < SCRIPTS_MAX;
        if room {
            scripts.insert((order.to_owned(), operation), faults.into());
        }
        room
    }

    /// What goes wrong with this request. A script for the order, or for its merchant's order, comes before the amount.
    pub(crate) fn strike(&self, names: &[&str], operation: OperationKind, amount: i64) -> Vec<Fault> {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if let Some(script) = scripts.get_mut(&((*name).to_owned(), operation)) {
                return script.pop_front().into_iter().collect();
            }
        }
        drop(scripts);
        if operation.is_deferred() && decline_of(amount).is_some() {
            return Vec::new();
        }
        let faults = of_amount(operation, amount);
        if faults.is_empty() || faults.iter().any(|fault| matches!(fault, Fault::Decline { .. } | Fault::StepUp)) {
            let once = amount.rem_euclid(1000) == 96;
            return if once && !self.first_strike(names, operation) { Vec::new() } else { faults };
        }
        if self.first_strike(names, operation) { faults } else { Vec::new() }
    }

    fn first_strike(&self, names: &[&str], operation: OperationKind) -> bool {
        let name = names.first().copied().unwrap_or_default();
        self.struck.lock().unwrap_or_else(PoisonError::into_inner).insert((name.to_owned(), operation))
    }
}

/// How the customer's bank declines an amount.
pub(crate) fn decline_of(amount: i64) -> Option<(&'static str, bool)> {
    match amount.rem_euclid(1000) {
        51 => Some(("insufficient_funds", false)),
        5 => Some(("do_not_honor", false)),
        91 | 96 => Some(("issuer_unavailable", true)),
        _ => None,
    }
}

pub(crate) fn notice_fault_of(amount: i64) -> NoticeFault {
    match amount.rem_euclid(1000) {
        80 => NoticeFault::FiveTimes,
        81 => NoticeFault::BeforeAnswer,
        82 => NoticeFault::Never,
        83 => NoticeFault::Reversed,
        84 => NoticeFault::WrongAmount,
        85 => NoticeFault::BadSignature,
        86 => NoticeFault::Rotated,
        87 => NoticeFault::OldTimestamp,
        88 => NoticeFault::AfterExpiry,
        89 => NoticeFault::Twins,
        _ => NoticeFault::None,
    }
}

/// The table of magic amounts, as docs have it.
fn of_amount(operation: OperationKind, amount: i64) -> Vec<Fault> {
    if operation.asks_for_money()
        && let Some((code, soft)) = decline_of(amount)
    {
        return vec![Fault::Decline { code: code.to_owned(), soft }];
    }
    if amount.rem_euclid(1000) == 65 && operation.asks_the_customer() {
        return vec![Fault::StepUp];
    }
    if !operation.moves_money() {
        return Vec::new();
    }
    match amount.rem_euclid(1000) {
        68 => vec![Fault::CommitNoAnswer],
        69 => vec![Fault::NoCommitNoAnswer],
        70 => vec![Fault::CommitThen500],
        71 => vec![Fault::CommitThenHtml],
        72 => vec![Fault::CommitThenTruncated],
        73 => vec![Fault::Slow(Duration::from_secs(3))],
        74 => vec![Fault::QueryBlind(Duration::from_secs(5))],
        75 => vec![Fault::QueryFails(3)],
        93 if operation.asks_for_money() || operation == OperationKind::Capture => {
            vec![Fault::ArrivesLate(Duration::from_secs(5))]
        }
        94 => vec![Fault::Settlement(Misreport::Missing)],
        95 => vec![Fault::Settlement(Misreport::Extra)],
        97 => vec![Fault::AnswerOffByOne],
        98 => vec![Fault::Settlement(Misreport::Fee)],
        digits => Aftermath::of_digits(digits)
            .filter(|aftermath| aftermath.follows(operation))
            .map(|aftermath| Fault::Afterwards(aftermath, aftermath.usual_delay()))
            .into_iter()
            .collect(),
    }
}

impl Fault {
    /// Whether it changes anything for such an operation, or for its order.
    pub(super) const fn is_possible(&self, operation: OperationKind) -> bool {
        match self {
            Self::Afterwards(aftermath, _) => aftermath.follows(operation),
            Self::StepUp => operation.asks_the_customer(),
            Self::Settlement(_) => operation.is_settled(),
            Self::AnswerOffByOne => operation.has_amount(),
            _ => true,
        }
    }

    /// The names of those that are possible for an operation.
    pub(super) fn possible(operation: OperationKind) -> Vec<&'static str> {
        let possible = |name: &&str| name.parse::<Self>().is_ok_and(|fault| fault.is_possible(operation));
        FAULTS.into_iter().filter(possible).collect()
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, argument) = text.split_once(':').unwrap_or((text, ""));
        let takes_one = |known: &&str| known.split_once(':').is_some_and(|(known, _)| known == name);
        if !argument.is_empty() && !FAULTS.iter().any(takes_one) {
            return Err(FaultError(text.to_owned()));
        }
        let duration = || crate::types::parse_duration(argument).map_err(|_| FaultError(text.to_owned()));
        if let Some(aftermath) = Aftermath::of_name(name) {
            let delay = if argument.is_empty() { aftermath.usual_delay() } else { duration()? };
            return Ok(Self::Afterwards(aftermath, delay));
        }
        let fault = match name {
            "ok" => Self::Fine,
            "decline" | "soft_decline" => {
                let code = if argument.is_empty() { "do_not_honor" } else { argument };
                Self::Decline { code: code.to_owned(), soft: name == "soft_decline" }
            }
            "step_up" => Self::StepUp,
            "commit_then_no_answer" => Self::CommitNoAnswer,
            "no_commit_no_answer" => Self::NoCommitNoAnswer,
            "commit_then_500" => Self::CommitThen500,
            "commit_then_502_html" => Self::CommitThenHtml,
            "commit_then_truncated" => Self::CommitThenTruncated,
            "refuse_503" => Self::Refuse503,
            "slow" => Self::Slow(duration()?),
            "query_blind" => Self::QueryBlind(duration()?),
            "query_fails" => Self::QueryFails(argument.parse().map_err(|_| FaultError(text.to_owned()))?),
            "answer_off_by_one" => Self::AnswerOffByOne,
            "arrives_late" => Self::ArrivesLate(duration()?),
            "settlement_missing" => Self::Settlement(Misreport::Missing),
            "settlement_extra" => Self::Settlement(Misreport::Extra),
            "settlement_fee" => Self::Settlement(Misreport::Fee),
            _ => return Err(FaultError(text.to_owned())),
        };
        Ok(fault)
    }
}

/// The magic amounts and what they do, for the sandbox's own help page.
pub(crate) fn table() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("000", "approved"),
        ("005", "declined: do_not_honor"),
        ("051", "declined: insufficient_funds"),
        ("065", "the customer must confirm first (cards and wallets)"),
        ("068", "done, then no answer; inquiry finds it"),
        ("069", "not done, no answer; inquiry does not find it"),
        ("070", "done, then 500"),
        ("071", "done, then 502 with an HTML page"),
        ("072", "done, then half an answer"),
        ("073", "three seconds slow"),
        ("074", "done, no answer, and inquiries do not find it for five seconds"),
        ("075", "done, no answer, and three inquiries fail"),
        ("080", "the notification comes five times"),
        ("081", "the notification comes before the answer"),
        ("082", "the notification never comes"),
        ("083", "notifications come in reverse order"),
        ("084", "the notification has another amount"),
        ("085", "the notification has a bad signature first"),
        ("086", "the notification is signed with two keys"),
        ("087", "the notification's timestamp is ten minutes old first"),
        ("088", "the notification of what is paid on a page comes after its time is over"),
        ("089", "two notifications at the same moment"),
        ("090", "cards: captured or purchased, and two hours later it fails"),
        ("091", "declined softly: issuer_unavailable"),
        ("092", "refunded, and three days later the refund comes back"),
        ("093", "the request arrives five seconds late, after what is sent next"),
        ("094", "the settlement file has no line for it"),
        ("095", "the settlement file has a second line for it"),
        ("096", "declined softly once: issuer_unavailable (on a page: each time)"),
        ("097", "the answer's amount is off by one"),
        ("098", "the settlement file has another fee for it"),
        ("099", "cards: captured or purchased, and charged back thirty days later"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_strikes_each_operation_of_an_order_once() {
        let faults = Faults::default();
        assert_eq!(faults.strike(&["o"], OperationKind::Purchase, 10_068), vec![Fault::CommitNoAnswer]);
        assert_eq!(faults.strike(&["o"], OperationKind::Purchase, 10_068), vec![]);
        assert_eq!(faults.strike(&["p"], OperationKind::Purchase, 10_068), vec![Fault::CommitNoAnswer]);
    }

    #[test]
    fn declines_strike_only_what_asks_for_money() {
        let faults = Faults::default();
        assert!(matches!(faults.strike(&["o"], OperationKind::Authorization, 51)[..], [Fault::Decline { .. }]));
        assert_eq!(faults.strike(&["o"], OperationKind::Refund, 51), vec![]);
        assert_eq!(faults.strike(&["o"], OperationKind::Front, 51), vec![]);
    }

    #[test]
    fn a_script_comes_before_the_amount_and_is_used_up() {
        let faults = Faults::default();
        let room = faults.script("o", OperationKind::Capture, vec!["commit_then_500".parse().unwrap()]);
        assert!(room);
        assert_eq!(faults.strike(&["o"], OperationKind::Capture, 68), vec![Fault::CommitThen500]);
        assert_eq!(faults.strike(&["o"], OperationKind::Capture, 68), vec![]);
    }

    #[test]
    fn every_name_of_a_fault_is_one_and_needs_its_argument() {
        for fault in FAULTS {
            assert!(fault.parse::<Fault>().is_ok(), "{fault}");
        }
        for nonsense in ["slow", "slow:soon", "query_fails", "query_fails:-1", "ok:2s", "step_up:now", "explode", ""] {
            assert!(nonsense.parse::<Fault>().is_err(), "{nonsense}");
        }
    }

    #[test]
    fn whatever_can_be_asked_for_can_be_scripted() {
        // The list of all variants, as the library tells it.
        let unknown = serde_json::from_str::<OperationKind>("\"?\"").unwrap_err().to_string();
        let known: Vec<&str> = unknown.split('`').skip(3).step_by(2).filter(|name| *name != "chargeback").collect();
        assert_eq!(known.len(), OperationKind::ASKED_FOR.len(), "{known:?}");
        assert!(known.iter().all(|name| OperationKind::of_name(name).is_some()), "{known:?}");
        assert!(OperationKind::of_name("chargeback").is_none());
    }
}
