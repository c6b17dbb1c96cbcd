//! What Paystate believes happened to the money, as a position of the order and as postings of double entry.

use super::run::Run;
use super::snapshot::{Call, MoneyPosition, Role};
use super::transition::Rejection;
use crate::definition::{EvalError, MoneyKind, Scope, Workflow};
use crate::ledger::Posting;
use crate::types::{Currency, Money, Value};

/// What the workflow says is at stake, from the input of an order.
pub(super) fn at_stake(workflow: &Workflow, input: &Value) -> Result<Option<Money>, Rejection> {
    let Some(template) = &workflow.money else { return Ok(None) };
    let scope = Scope::new().with("input", input);
    let bad = |what: &str| Rejection::NotAllowed(format!("money: {what}"));
    let amount = template.amount.render(&scope).map_err(|error| bad(&error.to_string()))?;
    let currency = template.currency.render(&scope).map_err(|error| bad(&error.to_string()))?;
    let amount = amount.as_i64().ok_or_else(|| bad("the amount is not a whole number of minor units"))?;
    if amount < 0 {
        return Err(bad("the amount is below zero"));
    }
    let currency: Currency = currency
        .as_str()
        .ok_or_else(|| bad("the currency is not text"))?
        .parse()
        .map_err(|error| bad(&format!("{error}")))?;
    Ok(Some(Money::new(amount, currency)))
}

/// Refuses arguments of a call that moves money if they do not say how much: before it is sent, not after.
pub(super) fn check_arguments(kind: Option<MoneyKind>, with: &Value) -> Result<(), EvalError> {
    let given = |name: &str| kind.and_then(|_| with.get(name)).filter(|value| !value.is_null());
    let bad = |name: &str, what: &str| EvalError { source_text: format!("with.{name}"), message: what.to_owned() };
    if given("amount").is_some_and(|amount| amount.as_i64().is_none_or(|amount| amount < 0)) {
        return Err(bad("amount", "it is not a whole number of minor units, zero or more"));
    }
    let known = |currency: &Value| currency.as_str().is_some_and(|code| code.parse::<Currency>().is_ok());
    if given("currency").is_some_and(|currency| !known(currency)) {
        return Err(bad("currency", "it is not a currency of ISO 4217"));
    }
    Ok(())
}

impl Run<'_> {
    /// Refuses to capture more than is held: nobody could book it.
    pub(super) fn must_be_held(&self, kind: Option<MoneyKind>, with: &Value) -> Result<(), EvalError> {
        let amount = with.get("amount").and_then(Value::as_i64).or(self.snapshot.amount.map(|money| money.amount));
        let held = self.snapshot.money.held;
        match amount.filter(|amount| kind == Some(MoneyKind::Capture) && *amount > held) {
            Some(amount) => {
                let message = format!("{amount} would be captured, and {held} are held");
                Err(EvalError { source_text: "with.amount".to_owned(), message })
            }
            None => Ok(()),
        }
    }

    /// Books a call that succeeded. The error says why it cannot be true.
    pub(super) fn book(&mut self, call: &Call, result: &Value) -> Result<(), String> {
        let Some(declared) = self.declared(call) else { return Ok(()) };
        if declared.operation.request.is_none() {
            self.postings.extend(reserved(result)?);
        }
        let Some(kind) = declared.operation.money else { return Ok(()) };
        let money =
            self.stake(call).ok_or_else(|| format!("{kind:?}: neither the call nor the order has an amount"))?;
        let before = self.snapshot.money;
        let held = self.gives_back_a_hold(call, before, money.amount);
        let after = moved(before, kind, money, held)?;
        self.postings.extend(postings(kind, money, held));
        self.snapshot.money = after;
        Ok(())
    }

    /// A release gives back what is undone, a hold or a capture; where nothing says which, what is held goes first.
    fn gives_back_a_hold(&self, call: &Call, position: MoneyPosition, amount: i64) -> bool {
        match self.undone_kind(call) {
            Some(MoneyKind::Capture | MoneyKind::Purchase) => false,
            Some(MoneyKind::Hold) => true,
            _ => position.held >= amount,
        }
    }

    /// What the call that this one undoes did to the money.
    fn undone_kind(&self, call: &Call) -> Option<MoneyKind> {
        let (Role::Compensation { branch } | Role::Reversal { branch, .. }) = &call.role else { return None };
        let state = self.workflow.state(&call.state)?;
        state.invokes().iter().find(|invoke| invoke.branch == *branch)?.operation.money
    }

    /// The money that a call moves: `amount` and `currency` of its arguments, or what the order is about.
    pub(super) fn stake(&self, call: &Call) -> Option<Money> {
        let amount = call.with.get("amount").and_then(Value::as_i64);
        let currency = call.with.get("currency").and_then(Value::as_str).and_then(|code| code.parse().ok());
        let order = self.snapshot.amount;
        let currency = currency.or(order.map(|money| money.currency))?;
        Some(Money::new(amount.or(order.map(|money| money.amount))?, currency))
    }
}

/// The position after one more movement.
fn moved(position: MoneyPosition, kind: MoneyKind, money: Money, held: bool) -> Result<MoneyPosition, String> {
    let amount = money.amount;
    if amount < 0 {
        return Err(format!("{}: an amount is not negative", kind.name()));
    }
    if position.currency.is_some_and(|currency| currency != money.currency) {
        return Err(format!("{}: an order has one currency", kind.name()));
    }
    let mut after = MoneyPosition { currency: Some(money.currency), ..position };
    match kind {
        MoneyKind::Hold => after.held += amount,
        MoneyKind::Purchase => after.captured += amount,
        MoneyKind::Capture => {
            after.held -= amount;
            after.captured += amount;
        }
        MoneyKind::Release => {
            after.released += amount;
            if held { after.held -= amount } else { after.captured -= amount }
        }
        MoneyKind::Refund => after.refunded += amount,
        MoneyKind::CaptureFailure => {
            after.captured -= amount;
            after.released += amount;
        }
        MoneyKind::RefundReturn => after.refunded -= amount,
        MoneyKind::Chargeback => after.charged_back += amount,
    }
    // What was charged back and what was refunded came out of the same captures.
    let twice = after.charged_back > 0 && after.charged_back + after.refunded > after.captured;
    if after.held < 0 || after.captured < 0 || after.refunded < 0 || twice {
        return Err(format!("{} of {money} is more than the order has", kind.name()));
    }
    Ok(after)
}

fn postings(kind: MoneyKind, money: Money, held: bool) -> [Posting; 2] {
    let (from, to) = match kind {
        MoneyKind::Hold => ("customer", "held"),
        MoneyKind::Capture => ("held", "merchant"),
        MoneyKind::Purchase => ("customer", "merchant"),
        MoneyKind::Release if held => ("held", "customer"),
        MoneyKind::Release | MoneyKind::Refund | MoneyKind::CaptureFailure | MoneyKind::Chargeback => {
            ("merchant", "customer")
        }
        MoneyKind::RefundReturn => ("customer", "merchant"),
    };
    let leg = |account: &str, amount| Posting { account: account.to_owned(), amount, currency: money.currency };
    [leg(from, -money.amount), leg(to, money.amount)]
}

/// The counters that a built-in operation reserved or gave back, as `result.postings` says.
fn reserved(result: &Value) -> Result<Vec<Posting>, String> {
    match result.get("postings") {
        None => Ok(Vec::new()),
        Some(list) => serde_json::from_value(list.clone()).map_err(|error| format!("postings: {error}")),
    }
}
