//! What Paystate believes of an order's money, held against the bank's books.

use std::sync::Arc;

use crate::machine::{Snapshot, Status};
use crate::types::Value;

/// What is wrong with an order that should have succeeded; none if the bank agrees. The bank books a refund on the payment
/// that it gives back, Paystate on the refund's own order: `refunds` is what other orders gave back of this one.
pub(super) fn disagreement(order: &Snapshot, oracle: &Value, refunds: i64) -> Option<String> {
    if order.status != Status::Succeeded {
        let incident = order.incident.as_ref().map(|incident| format!(": {}", incident.reason)).unwrap_or_default();
        return Some(format!("ended as {:?} in state {} ({}){incident}", order.status, order.state, order.outcome));
    }
    let none = Vec::new();
    let effects = oracle.get("effects").and_then(Value::as_array).unwrap_or(&none);
    if let Some(doubled) = effects.iter().find(|effect| effect.get("applied").and_then(Value::as_u64) != Some(1)) {
        return Some(format!("the bank applied an effect more than once: {doubled}"));
    }
    let sum = |kinds: &[&str]| -> i64 {
        let of_kind =
            |effect: &&Value| effect.get("kind").and_then(Value::as_str).is_some_and(|kind| kinds.contains(&kind));
        let amounts = effects.iter().filter(of_kind).filter_map(|effect| effect.get("amount").and_then(Value::as_i64));
        amounts.sum()
    };
    let money = order.money;
    let believed = money.held + money.captured - money.refunded - money.charged_back - refunds;
    let given = sum(&["release", "void", "reverse", "expire", "refund", "capture_failure", "chargeback"]);
    let taken = sum(&["purchase", "hold", "refund_return"]) - given;
    (believed != taken).then(|| format!("Paystate believes that {believed} were taken, and the bank took {taken}"))
}

/// What refunds, orders of their own, have given back of a payment.
pub(super) fn refunds_of(payment: &Snapshot, orders: &[Arc<Snapshot>]) -> i64 {
    let id = payment.id.to_string();
    let refunds = orders.iter().filter(|order| order.input.get("payment").and_then(Value::as_str) == Some(id.as_str()));
    refunds.map(|refund| refund.money.refunded).sum()
}
