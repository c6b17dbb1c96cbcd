//! The bank's books: double entry, holds with expiry, one application per reference.
//!
//! **Invariant.** Every movement debits one account and credits another, so all balances of a currency add up to zero.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::accounts::{Account, AccountKind, HOLDS, opening_accounts, opening_postings};
use super::settlement::{Cleared, Misreport};
use crate::sandbox::clock::clearing_day;
use crate::types::Timestamp;

/// What the gateway may tell the bank to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Hold,
    Capture,
    Release,
    Purchase,
    /// Undoes everything that a payment did, on its clearing day.
    Void,
    Refund,
    /// Between two accounts, such as the credit of a top-up.
    Transfer,
    /// Undoes what one reference did, or forbids it when it has not come yet.
    Reverse,
    /// A capture or a purchase fails after all, when it is cleared.
    CaptureFailure,
    /// A refund comes back from the customer's bank.
    RefundReturn,
    /// The customer disputes a payment: what is left of it is taken back.
    Chargeback,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instruction {
    pub(crate) reference: String,
    pub(crate) order: String,
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) amount: i64,
    #[serde(default)]
    pub(crate) currency: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// The reference that this is about: the hold of a capture, what a reversal undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) original: Option<String>,
    /// The order that was paid, for refunds and voids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) payment_order: Option<String>,
    /// To whom a refund goes, where that is not the account that paid: the holder of an e-cash coin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) holder: Option<String>,
    /// The last capture: what is left of the hold goes back to the customer.
    #[serde(default)]
    pub(crate) last: bool,
    /// Apply it even if the reference was seen: a bank without idempotency, to try the proof on.
    #[serde(default)]
    pub(crate) careless: bool,
}

/// Why the bank refuses. Nothing has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refusal {
    #[error("the account does not have the money")]
    InsufficientFunds,
    #[error("there is no such account")]
    NoSuchAccount,
    #[error("the account is frozen")]
    AccountFrozen,
    #[error("there is no such hold")]
    NoSuchHold,
    #[error("the hold has expired or was released")]
    HoldOver,
    #[error("more than what is left")]
    TooMuch,
    #[error("the reference was used for something else")]
    ReferenceReused,
    #[error("the reference was reversed")]
    Reversed,
    #[error("the clearing day of the payment is over")]
    ClearingDayOver,
    #[error("only a payment as a whole can be voided, or fail")]
    NotWhole,
    #[error("the order has no payment")]
    NoPayment,
    #[error("an amount is a positive number of minor units")]
    BadAmount,
}

impl Refusal {
    pub(crate) fn code(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// One thing that was done to the money of an order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Effect {
    pub(crate) kind: &'static str,
    pub(crate) reference: String,
    pub(crate) order: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    /// How often it was applied: anything but 1 is a doubled effect.
    pub(crate) applied: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) order: String,
    pub(crate) account: String,
    pub(crate) to: String,
    pub(crate) currency: String,
    pub(crate) left: i64,
    pub(crate) expires: Timestamp,
}

/// A payment that moved to a merchant, and what has gone back of it.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub(crate) order: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) currency: String,
    pub(crate) amount: i64,
    pub(crate) returned: i64,
    pub(crate) at: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) instruction: Instruction,
    pub(crate) result: Result<(), Refusal>,
}

#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) accounts: BTreeMap<String, Account>,
    pub(crate) balances: HashMap<(String, String), i64>,
    pub(crate) seen: HashMap<String, Seen>,
    pub(crate) holds: BTreeMap<String, Hold>,
    pub(crate) moved: BTreeMap<String, Moved>,
    /// By order: the references that moved money to somebody, oldest first.
    pub(crate) payments: HashMap<String, Vec<String>>,
    /// By order: its holds.
    pub(crate) holds_of: HashMap<String, Vec<String>>,
    pub(crate) effects: HashMap<String, Vec<Effect>>,
    /// References that a reversal, or a void that came first, has forbidden.
    pub(crate) tombstones: HashMap<String, String>,
    /// What moved to and from the merchant, in the order of its happening.
    pub(super) cleared: Vec<Cleared>,
    /// References of which the settlement file does not tell the truth.
    pub(super) misreports: HashMap<String, Misreport>,
    /// When the instruction came that is being carried out.
    pub(super) at: Timestamp,
}

impl Hold {
    fn is_over(&self, now: Timestamp) -> bool {
        self.left > 0 && self.expires <= now
    }
}

impl Books {
    pub(crate) fn new() -> Self {
        let mut books = Self {
            accounts: opening_accounts(),
            balances: HashMap::new(),
            seen: HashMap::new(),
            holds: BTreeMap::new(),
            moved: BTreeMap::new(),
            payments: HashMap::new(),
            holds_of: HashMap::new(),
            effects: HashMap::new(),
            tombstones: HashMap::new(),
            cleared: Vec::new(),
            misreports: HashMap::new(),
            at: Timestamp::from_unix_ms(0),
        };
        for (account, currency, amount) in opening_postings() {
            books.post("world", &account, amount, currency);
        }
        books
    }

    /// Does what the gateway says, once for each reference.
    pub(crate) fn apply(&mut self, instruction: &Instruction, now: Timestamp) -> Result<(), Refusal> {
        if self.tombstones.contains_key(&instruction.reference) {
            return Err(Refusal::Reversed);
        }
        if !instruction.careless
            && let Some(seen) = self.seen.get(&instruction.reference)
        {
            return if seen.instruction == *instruction { seen.result } else { Err(Refusal::ReferenceReused) };
        }
        self.at = now;
        let result = self.carry_out(instruction, now);
        let seen = Seen { instruction: instruction.clone(), result };
        self.seen.insert(instruction.reference.clone(), seen);
        result
    }

    fn carry_out(&mut self, i: &Instruction, now: Timestamp) -> Result<(), Refusal> {
        let needs_amount = !matches!(i.kind, Kind::Reverse | Kind::Release | Kind::Void | Kind::Chargeback);
        if i.amount < 0 || (needs_amount && i.amount == 0) {
            return Err(Refusal::BadAmount);
        }
        match i.kind {
            Kind::Hold => self.hold(i, now),
            Kind::Capture => self.capture(i, now),
            Kind::Release => self.release(i),
            Kind::Purchase => self.purchase(i, now),
            Kind::Void => self.void(i, now),
            Kind::Refund => self.refund(i),
            Kind::Transfer => self.transfer(i),
            Kind::Reverse => self.reverse(i),
            Kind::CaptureFailure => self.capture_failure(i),
            Kind::RefundReturn => self.refund_return(i),
            Kind::Chargeback => self.chargeback(i),
        }
    }

    /// Books one movement. The only place that changes a balance.
    pub(super) fn post(&mut self, from: &str, to: &str, amount: i64, currency: &str) {
        debug_assert!(amount > 0, "a movement is positive");
        *self.balances.entry((from.to_owned(), currency.to_owned())).or_default() -= amount;
        *self.balances.entry((to.to_owned(), currency.to_owned())).or_default() += amount;
    }

    pub(super) fn balance(&self, account: &str, currency: &str) -> i64 {
        self.balances.get(&(account.to_owned(), currency.to_owned())).copied().unwrap_or(0)
    }

    /// The account that is to pay: known, not frozen, and with enough money unless it belongs to the bank itself.
    pub(super) fn payer(&self, id: Option<&String>, amount: i64, currency: &str) -> Result<String, Refusal> {
        let account = id.and_then(|id| self.accounts.get(id)).ok_or(Refusal::NoSuchAccount)?;
        if account.frozen {
            return Err(Refusal::AccountFrozen);
        }
        if account.kind != AccountKind::Bank && self.balance(&account.id, currency) < amount {
            return Err(Refusal::InsufficientFunds);
        }
        Ok(account.id.clone())
    }

    pub(super) fn payee(&self, id: Option<&String>) -> Result<String, Refusal> {
        let account = id.and_then(|id| self.accounts.get(id)).ok_or(Refusal::NoSuchAccount)?;
        if account.frozen { Err(Refusal::AccountFrozen) } else { Ok(account.id.clone()) }
    }

    /// Notes an effect under its order, and under the order that was paid where that is another one.
    pub(super) fn note(&mut self, kind: &'static str, i: &Instruction, amount: i64, currency: &str, paid: &str) {
        let effect = Effect {
            kind,
            reference: i.reference.clone(),
            order: i.order.clone(),
            amount,
            currency: currency.to_owned(),
            applied: 1,
        };
        let mut orders = vec![i.order.as_str()];
        if paid != i.order {
            orders.push(paid);
        }
        for order in orders {
            let effects = self.effects.entry(order.to_owned()).or_default();
            match effects.iter_mut().find(|known| known.reference == i.reference && known.kind == kind) {
                Some(known) => {
                    known.applied += 1;
                    known.amount += amount;
                }
                None => effects.push(effect.clone()),
            }
        }
    }

    /// Gives back what is left of all holds whose time is over.
    pub(crate) fn expire_holds(&mut self, now: Timestamp) {
        let over: Vec<String> = self.holds.iter().filter(|(_, h)| h.is_over(now)).map(|(r, _)| r.clone()).collect();
        for reference in over {
            self.expire_hold(&reference, now);
        }
    }

    /// Gives back what is left of one hold, if its time is over.
    pub(super) fn expire_hold(&mut self, reference: &str, now: Timestamp) {
        let Some(hold) = self.holds.get_mut(reference).filter(|hold| hold.is_over(now)) else { return };
        let left = std::mem::take(&mut hold.left);
        let hold = hold.clone();
        self.post(HOLDS, &hold.account, left, &hold.currency);
        let expiry = Instruction {
            reference: format!("{reference}/expiry"),
            order: hold.order.clone(),
            kind: Kind::Release,
            amount: left,
            currency: hold.currency.clone(),
            from: None,
            to: None,
            original: Some(reference.to_owned()),
            payment_order: None,
            holder: None,
            last: false,
            careless: false,
        };
        self.note("expire", &expiry, left, &hold.currency, &hold.order);
    }

    /// What really happened to the money of an order.
    pub(crate) fn oracle(&mut self, order: &str, now: Timestamp) -> Value {
        let holds = self.holds_of.get(order).cloned().unwrap_or_default();
        for reference in &holds {
            self.expire_hold(reference, now);
        }
        let held: i64 = holds.iter().filter_map(|reference| self.holds.get(reference)).map(|hold| hold.left).sum();
        let none = Vec::new();
        let effects = self.effects.get(order).unwrap_or(&none);
        let sum =
            |kinds: &[&str]| -> i64 { effects.iter().filter(|e| kinds.contains(&e.kind)).map(|e| e.amount).sum() };
        json!({
            "order": order,
            "currency": effects.first().map(|effect| effect.currency.clone()),
            "purchased": sum(&["purchase"]),
            "held": held,
            "captured": sum(&["capture"]),
            "released": sum(&["release", "void", "reverse", "expire"]),
            "failed": sum(&["capture_failure"]),
            "refunded": sum(&["refund"]),
            "returned": sum(&["refund_return"]),
            "charged_back": sum(&["chargeback"]),
            "transferred": sum(&["transfer"]),
            "effects": effects,
        })
    }

    /// How much an instruction has moved.
    pub(crate) fn amount_of(&self, i: &Instruction) -> i64 {
        let effects = self.effects.get(&i.order).into_iter().flatten();
        effects.filter(|effect| effect.reference == i.reference).map(|effect| effect.amount).sum()
    }

    /// The sum of all balances of each currency: zero, or the books are wrong.
    pub(crate) fn totals(&self) -> BTreeMap<&str, i64> {
        let mut totals = BTreeMap::new();
        for ((_, currency), amount) in &self.balances {
            *totals.entry(currency.as_str()).or_insert(0) += amount;
        }
        totals
    }

    pub(crate) fn is_same_clearing_day(moved: &Moved, now: Timestamp) -> bool {
        clearing_day(moved.at) == clearing_day(now)
    }
}
