//! The connectors that are part of Paystate: other orders, limits, and what may still be refunded.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use serde_json::json;

use super::desk::Counter;
use super::shared::Shared;
use super::submit::{Submission, SubmitError};
use super::{Executor, Keys};
use crate::connector::{Connector, Invocation};
use crate::ledger::{Caps, LimitTable};
use crate::machine::{Outcome, Parent, Snapshot, Status};
use crate::types::{CallId, ConnectorName, Currency, OrderId, Timestamp, Value};

/// Makes `orders`, `limits`, `refunds` and `told` known to the connectors of an executor. They hold it weakly: an executor that
/// is dropped must not be kept alive by its own connectors.
pub(super) fn register(executor: &Executor, limits: Option<Arc<LimitTable>>) {
    let weak = || Handle { shared: Arc::downgrade(&executor.shared), keys: Arc::downgrade(&executor.keys) };
    let connectors = &executor.shared.connectors;
    connectors.register(ConnectorName::from("orders"), Arc::new(Orders(weak())));
    connectors.register(ConnectorName::from("limits"), Arc::new(Limits(weak(), limits)));
    connectors.register(ConnectorName::from("refunds"), Arc::new(Refunds(weak())));
    connectors.register(ConnectorName::from("told"), Arc::new(Told));
}

struct Handle {
    shared: Weak<Shared>,
    keys: Weak<Keys>,
}

impl Handle {
    fn executor(&self) -> Result<Executor, Outcome> {
        let executor = self.shared.upgrade().zip(self.keys.upgrade());
        let (shared, keys) = executor.ok_or_else(|| not_sent("the executor has stopped"))?;
        Ok(Executor { shared, keys, loops: Arc::default() })
    }
}

struct Orders(Handle);
struct Limits(Handle, Option<Arc<LimitTable>>);
struct Refunds(Handle);
/// What a verified notification has said is true, and nobody can be asked about it.
struct Told;

#[async_trait]
impl Connector for Orders {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        let result = match invocation.operation.as_str() {
            "start" => self.start(invocation).await,
            "get" => self.get(invocation).await,
            other => Err(refused(&format!("orders has no operation {other}"))),
        };
        result.unwrap_or_else(|outcome| outcome)
    }

    async fn inquire(&self, invocation: &Invocation) -> Outcome {
        match self.child(invocation).await {
            Ok(Some(child)) => ending(&child),
            Ok(None) => Outcome::NotFound,
            Err(outcome) => outcome,
        }
    }
}

#[async_trait]
impl Connector for Told {
    async fn invoke(&self, _: &Invocation) -> Outcome {
        Outcome::Ok { result: Value::Null }
    }

    async fn inquire(&self, invocation: &Invocation) -> Outcome {
        self.invoke(invocation).await
    }

    fn is_instant(&self) -> bool {
        true
    }
}

impl Orders {
    async fn start(&self, invocation: &Invocation) -> Result<Outcome, Outcome> {
        let executor = self.0.executor()?;
        let with = &invocation.with;
        let workflow = text(with, "workflow")?;
        let input = with.get("input").cloned().unwrap_or(Value::Null);
        let id = child_id(invocation);
        let parent = Parent { order: invocation.order, call: call_of(&invocation.key) };
        let submission = Submission { workflow: workflow.as_str().into(), input, key: None, child: Some((id, parent)) };
        match executor.submit(submission).await {
            Ok(submitted) => Ok(match ending(&submitted.snapshot) {
                Outcome::Pending { .. } => Outcome::Pending { reference: Some(id.to_string()), result: Value::Null },
                ended => ended,
            }),
            Err(error @ (SubmitError::UnknownWorkflow { .. } | SubmitError::Invalid(_))) => {
                Ok(refused(&error.to_string()))
            }
            // The child's id is fixed, so a second start opens nothing twice.
            Err(error) => Ok(not_sent(&error.to_string())),
        }
    }

    async fn get(&self, invocation: &Invocation) -> Result<Outcome, Outcome> {
        let executor = self.0.executor()?;
        let Some(order) = find(&executor, &text(&invocation.with, "order")?).await? else {
            return Ok(refused("no_such_order"));
        };
        Ok(Outcome::Ok { result: order_result(&order) })
    }

    async fn child(&self, invocation: &Invocation) -> Result<Option<Arc<Snapshot>>, Outcome> {
        let executor = self.0.executor()?;
        let id = child_id(invocation);
        executor.order(id).await.map_err(|error| unknown(&error.to_string()))
    }
}

#[async_trait]
impl Connector for Limits {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        let result = match invocation.operation.as_str() {
            "reserve" => self.reserve(invocation).await,
            "release" => self.release(invocation).await,
            other => Err(refused(&format!("limits has no operation {other}"))),
        };
        result.unwrap_or_else(|outcome| outcome)
    }

    async fn inquire(&self, _invocation: &Invocation) -> Outcome {
        Outcome::NotFound
    }
}

impl Limits {
    async fn reserve(&self, invocation: &Invocation) -> Result<Outcome, Outcome> {
        let executor = self.0.executor()?;
        let with = &invocation.with;
        let (amount, currency) = money(with)?;
        let table = self.1.as_ref().ok_or_else(|| refused("no table of limits is configured"))?;
        let now = executor.shared.clock.now();
        let Caps { version, caps, counted } = table
            .caps(&text(with, "account")?, &text(with, "class")?, &text(with, "factors")?, currency, now)
            .map_err(|error| refused(&error.to_string()))?;
        let capped = caps.iter().map(|cap| Counter { account: cap.account.clone(), cap: cap.cap });
        let counters: Vec<Counter> =
            capped.chain(counted.into_iter().map(|account| Counter { account, cap: i64::MAX })).collect();
        let accounts: Vec<&String> = counters.iter().map(|counter| &counter.account).collect();
        let reserved = executor.shared.desk.reserve(&invocation.key, &counters, amount, currency).await;
        Ok(match reserved.map_err(|error| not_sent(&error.to_string()))? {
            Ok(postings) => {
                Outcome::Ok { result: json!({ "table": version, "accounts": accounts, "postings": postings }) }
            }
            Err((counter, left)) => {
                let full = caps.iter().find(|cap| (&cap.account, cap.cap) == (&counter.account, counter.cap));
                let mut result =
                    json!({ "table": version, "account": counter.account, "cap": counter.cap, "left": left });
                if let Some(cap) = full {
                    result["rule"] = json!(cap.rule);
                    result["period"] = json!(cap.period);
                    result["detail"] = json!(cap.refusal(left, amount, currency));
                }
                Outcome::Declined { code: "limit_exceeded".to_owned(), soft: false, result }
            }
        })
    }

    async fn release(&self, invocation: &Invocation) -> Result<Outcome, Outcome> {
        let executor = self.0.executor()?;
        let with = &invocation.with;
        let (amount, currency) = money(with)?;
        let accounts: Vec<String> = with
            .get("accounts")
            .and_then(|list| serde_json::from_value(list.clone()).ok())
            .ok_or_else(|| refused("limits.release wants `accounts`, the list that limits.reserve answered"))?;
        let released = executor.shared.desk.release(&invocation.key, &accounts, amount, currency).await;
        let postings = released.map_err(|error| not_sent(&error.to_string()))?;
        Ok(Outcome::Ok { result: json!({ "postings": postings }) })
    }
}

#[async_trait]
impl Connector for Refunds {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        let result = match invocation.operation.as_str() {
            "reserve" => self.reserve(invocation).await,
            "release" => self.release(invocation).await,
            other => Err(refused(&format!("refunds has no operation {other}"))),
        };
        result.unwrap_or_else(|outcome| outcome)
    }

    async fn inquire(&self, _invocation: &Invocation) -> Outcome {
        Outcome::NotFound
    }
}

impl Refunds {
    async fn reserve(&self, invocation: &Invocation) -> Result<Outcome, Outcome> {
        let executor = self.0.executor()?;
        let payment = text(&invocation.with, "payment")?;
        let Some(order) = find(&executor, &payment).await? else { return Ok(refused("no_such_payment")) };
        let (amount, currency) = money(&invocation.with)?;
        let captured = order.money.captured;
        // The customer has this money already, or fights for it.
        if order.money.charged_back > 0 {
            return Ok(refused("payment_charged_back"));
        }
        if order.status != Status::Succeeded || captured <= 0 {
            return Ok(refused("payment_not_refundable"));
        }
        if order.money.currency != Some(currency) {
            return Ok(refused("refund_in_another_currency"));
        }
        // What the payment's own order has given back is gone as well.
        let cap = captured - order.money.refunded;
        let counters = [Counter { account: refund_account(order.id), cap }];
        let reserved = executor.shared.desk.reserve(&invocation.key, &counters, amount, currency).await;
        Ok(match reserved.map_err(|error| not_sent(&error.to_string()))? {
            Ok(postings) => {
                let mut result = order_result(&order);
                if let Value::Object(fields) = &mut result {
                    fields.insert("captured".to_owned(), json!(captured));
                    fields.insert("postings".to_owned(), json!(postings));
                }
                Outcome::Ok { result }
            }
            Err((_, left)) => Outcome::Declined {
                code: "refund_exceeds_captured".to_owned(),
                soft: false,
                result: json!({ "captured": captured, "refundable": left }),
            },
        })
    }

    async fn release(&self, invocation: &Invocation) -> Result<Outcome, Outcome> {
        let executor = self.0.executor()?;
        let payment: OrderId =
            text(&invocation.with, "payment")?.parse().map_err(|_| refused("payment is not an order id"))?;
        let (amount, currency) = money(&invocation.with)?;
        let accounts = [refund_account(payment)];
        let released = executor.shared.desk.release(&invocation.key, &accounts, amount, currency).await;
        let postings = released.map_err(|error| not_sent(&error.to_string()))?;
        Ok(Outcome::Ok { result: json!({ "postings": postings }) })
    }
}

fn refund_account(payment: OrderId) -> String {
    format!("refund/{payment}")
}

async fn find(executor: &Executor, id: &str) -> Result<Option<Arc<Snapshot>>, Outcome> {
    let Ok(id) = id.parse::<OrderId>() else { return Ok(None) };
    executor.order(id).await.map_err(|error| not_sent(&error.to_string()))
}

fn order_result(order: &Snapshot) -> Value {
    json!({
        "id": order.id.to_string(),
        "workflow": order.workflow.as_str(),
        "state": order.state.as_str(),
        "status": order.status,
        "input": *order.input,
        "data": *order.data,
        "money": order.money,
    })
}

fn ending(order: &Snapshot) -> Outcome {
    let result = || json!({ "id": order.id.to_string(), "state": order.state.as_str(), "data": *order.data });
    match order.status {
        Status::Succeeded => Outcome::Ok { result: result() },
        Status::Failed => Outcome::Declined { code: order.state.to_string(), soft: false, result: result() },
        Status::Running | Status::Waiting | Status::Incident => {
            Outcome::Pending { reference: Some(order.id.to_string()), result: Value::Null }
        }
    }
}

/// A child's id is a hash of its parent's call, behind the time of that call, so that ids still sort by time.
fn child_id(invocation: &Invocation) -> OrderId {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, invocation.key.as_bytes());
    let mut bytes = [0u8; 16];
    bytes.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    let created = invocation.context.get("created_at").and_then(Value::as_str).and_then(|at| at.parse().ok());
    let ms = created.map_or(invocation.sent_at, |at: Timestamp| at).unix_ms().to_be_bytes();
    bytes.iter_mut().zip(&ms[2..]).for_each(|(to, from)| *to = *from);
    // The version and variant bits of a custom UUID (RFC 9562, version 8).
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    OrderId::from_bytes(bytes)
}

/// The call's number out of its key, `{order}-{call}-{epoch}`.
fn call_of(key: &str) -> CallId {
    CallId(key.rsplit('-').nth(1).and_then(|call| call.parse().ok()).unwrap_or_default())
}

fn text(with: &Value, field: &str) -> Result<String, Outcome> {
    let found = with.get(field).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| refused(&format!("`with` has no text `{field}`")))
}

fn money(with: &Value) -> Result<(i64, Currency), Outcome> {
    let amount = with.get("amount").and_then(Value::as_i64).filter(|amount| *amount >= 0);
    let amount = amount.ok_or_else(|| refused("`amount` is not a whole number of minor units"))?;
    let currency = text(with, "currency")?.parse().map_err(|_| refused("`currency` is not an ISO 4217 code"))?;
    Ok((amount, currency))
}

fn refused(code: &str) -> Outcome {
    Outcome::Declined { code: code.to_owned(), soft: false, result: Value::Null }
}

fn not_sent(reason: &str) -> Outcome {
    Outcome::NotSent { reason: reason.to_owned(), retry_after_ms: None }
}

fn unknown(reason: &str) -> Outcome {
    Outcome::Unknown { reason: reason.to_owned(), retry_after_ms: None }
}
