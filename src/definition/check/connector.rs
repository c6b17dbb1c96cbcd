//! What a connector must promise before it moves money.

use crate::definition::document::Node;
use crate::definition::read::Ctx;
use crate::definition::{Connector, rules};

pub(in crate::definition) fn connector(ctx: &Ctx<'_>, root: &Node, connector: &Connector) {
    let shared = root.get("idempotency").is_some();
    for entry in root.get("operations").map(Node::entries).unwrap_or_default() {
        let Some(operation) = connector.operations.get(entry.key.as_str()) else { continue };
        let (Some(kind), Some(money)) = (operation.money, entry.node.entry("money")) else { continue };
        if entry.node.get("inquire").is_none() {
            let message = format!("`{}` moves money ({}) and cannot be asked about", entry.key, kind.name());
            let help = "after a lost answer only an inquiry tells what happened: \
                        add `inquire: { get: \"/…?reference=${key}\" }`";
            ctx.add(ctx.problem(rules::MONEY_WITHOUT_INQUIRE, &money.key_span, message).with_help(help.to_owned()));
        }
        let stated = shared || entry.node.get("idempotency").is_some() || entry.node.get("repeat").is_some();
        if !stated {
            let message = format!("`{}` moves money ({}) and does not say what a repeat does", entry.key, kind.name());
            let help = "add `idempotency: { replay: stored, window: 24h }`; \
                        `replay: none` says that it must never be sent twice";
            ctx.add(ctx.problem(rules::MONEY_WITHOUT_IDEMPOTENCY, &money.key_span, message).with_help(help.to_owned()));
        }
    }
}
