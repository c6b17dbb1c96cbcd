//! The connectors that are part of Paystate: `orders`, `limits`, `refunds`, `told`.

use std::sync::Arc;
use std::time::Duration;

use super::expr::Expr;
use super::{
    Connector, ConnectorKind, Idempotency, Inquiry, MoneyKind, Needs, Operation, OutcomeKind, OutcomeRule, Outcomes,
    Replay,
};
use crate::types::{ConnectorName, OperationName, Value, Version};

/// An operation of a built-in connector: how it can end, and the arguments that it takes.
struct Builtin {
    connector: &'static str,
    operation: &'static str,
    outcomes: &'static [OutcomeKind],
    required: &'static [&'static str],
    optional: &'static [&'static str],
    /// It goes on after it was accepted, and can be asked about.
    asked: bool,
    /// What its success books.
    money: Option<MoneyKind>,
}

/// Books what a notification has said.
const fn told(operation: &'static str, kind: MoneyKind) -> Builtin {
    let required = &["amount", "currency"];
    Builtin { connector: "told", operation, outcomes: &[OK], required, optional: &[], asked: false, money: Some(kind) }
}

const OK: OutcomeKind = OutcomeKind::Ok;
const DECLINED: OutcomeKind = OutcomeKind::Declined;
const PENDING: OutcomeKind = OutcomeKind::Pending;

const TABLE: &[Builtin] = &[
    Builtin {
        connector: "orders",
        operation: "start",
        outcomes: &[OK, DECLINED, PENDING],
        required: &["workflow", "input"],
        optional: &[],
        asked: true,
        money: None,
    },
    Builtin {
        connector: "orders",
        operation: "get",
        outcomes: &[OK, DECLINED],
        required: &["order"],
        optional: &[],
        asked: false,
        money: None,
    },
    Builtin {
        connector: "limits",
        operation: "reserve",
        outcomes: &[OK, DECLINED],
        required: &["account", "class", "factors", "amount", "currency"],
        optional: &[],
        asked: false,
        money: None,
    },
    Builtin {
        connector: "limits",
        operation: "release",
        outcomes: &[OK],
        // `accounts` is the list of counters that `reserve` answered.
        required: &["accounts", "amount", "currency"],
        optional: &["undoes"],
        asked: false,
        money: None,
    },
    Builtin {
        connector: "refunds",
        operation: "reserve",
        outcomes: &[OK, DECLINED],
        required: &["payment", "amount", "currency"],
        optional: &[],
        asked: false,
        money: None,
    },
    Builtin {
        connector: "refunds",
        operation: "release",
        outcomes: &[OK],
        required: &["payment", "amount", "currency"],
        optional: &["undoes"],
        asked: false,
        money: None,
    },
    told("hold", MoneyKind::Hold),
    told("capture", MoneyKind::Capture),
    told("purchase", MoneyKind::Purchase),
    told("release", MoneyKind::Release),
    told("refund", MoneyKind::Refund),
    told("capture_failure", MoneyKind::CaptureFailure),
    told("refund_return", MoneyKind::RefundReturn),
    told("chargeback", MoneyKind::Chargeback),
];

/// All of them.
pub(super) fn connectors() -> Vec<Arc<Connector>> {
    let mut names: Vec<&str> = TABLE.iter().map(|builtin| builtin.connector).collect();
    names.dedup();
    let made = names.into_iter().map(|name| {
        let operations = TABLE.iter().filter(|builtin| builtin.connector == name);
        let operations = operations.map(|builtin| (OperationName::from(builtin.operation), operation(builtin)));
        Arc::new(Connector {
            name: ConnectorName::from(name),
            version: Version::from("builtin"),
            title: format!("Paystate's own `{name}`"),
            kind: ConnectorKind::Builtin,
            operations: operations.collect(),
            webhooks: None,
            tables: Value::Null,
            needs: Needs::default(),
        })
    });
    made.collect()
}

/// The arguments of a built-in operation: those it needs, and those it also takes.
pub(super) fn arguments(
    connector: &str,
    operation: &str,
) -> Option<(&'static [&'static str], &'static [&'static str])> {
    let found = TABLE.iter().find(|builtin| builtin.connector == connector && builtin.operation == operation);
    found.map(|builtin| (builtin.required, builtin.optional))
}

pub(crate) fn is_builtin(connector: &str) -> bool {
    TABLE.iter().any(|builtin| builtin.connector == connector)
}

fn operation(builtin: &Builtin) -> Arc<Operation> {
    let minute = Duration::from_secs(60);
    let inquire = builtin.asked.then(|| Inquiry {
        request: None,
        outcomes: outcomes(builtin.outcomes),
        integrity: None,
        auth: None,
        sign: None,
        same: false,
        schedule: vec![Duration::from_secs(1), Duration::from_secs(5), minute],
    });
    Arc::new(Operation {
        name: OperationName::from(builtin.operation),
        request: None,
        money: builtin.money,
        asks: builtin.money.is_some(),
        integrity: Vec::new(),
        outcomes: outcomes(builtin.outcomes),
        inquire,
        // The key names what was done: a repeat finds it done.
        idempotency: Idempotency {
            header: None,
            natural_key: Vec::new(),
            replay: if builtin.money.is_some() { Replay::Safe } else { Replay::Intent },
            window: None,
            not_found_final_after: Duration::ZERO,
        },
        poll: vec![minute],
        follow_up: None,
        auth: Default::default(),
        sign: None,
        verify: None,
    })
}

/// Which outcomes there can be; nothing evaluates the rules.
fn outcomes(kinds: &[OutcomeKind]) -> Outcomes {
    let rules =
        kinds.iter().filter_map(|&outcome| Some(OutcomeRule { outcome, when: Expr::compile("true", &[]).ok()? }));
    Outcomes { rules: rules.collect(), ..Outcomes::default() }
}
