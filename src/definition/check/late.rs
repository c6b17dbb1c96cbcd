//! A notification can come when the order has ended.

use std::collections::BTreeSet;

use super::Check;
use crate::definition::{StateKind, rules, suggest};
use crate::types::EventName;

impl<'a> Check<'a> {
    /// The events that the notifications of the connectors in use can bring.
    pub(super) fn notified(&self) -> BTreeSet<&'a EventName> {
        let used: BTreeSet<_> = super::calls(self.workflow).map(|call| &call.connector).collect();
        let connectors = self.workflow.connectors.iter().filter(|(name, _)| used.contains(name));
        let webhooks = connectors.filter_map(|(_, connector)| connector.webhooks.as_ref());
        webhooks.flat_map(|hooks| hooks.events.iter().map(|event| &event.event)).collect()
    }

    /// A provider that notifies does so in its own time. What the workflow waits for in one state can come in any
    /// later one, final states among them.
    pub(super) fn late(&self) {
        let notified = self.notified();
        let states = self.workflow.states.iter();
        let handled: BTreeSet<&EventName> =
            states.flat_map(|state| state.on.keys()).chain(self.workflow.on.keys()).collect();
        let handled: BTreeSet<&EventName> = handled.into_iter().chain(self.workflow.settling_events()).collect();
        let expected: Vec<&EventName> = notified.intersection(&handled).copied().collect();
        for state in &self.workflow.states {
            let StateKind::Final { late, .. } = &state.kind else { continue };
            let missing: Vec<&str> =
                expected.iter().filter(|event| !late.contains_key(**event)).map(|event| event.as_str()).collect();
            if missing.is_empty() {
                continue;
            }
            let message = format!(
                "{} can come when the order is already `{}`",
                suggest::one_of(missing.iter().copied()),
                state.name
            );
            let rules: Vec<String> = missing.iter().map(|event| format!("{event}: incident")).collect();
            let help = format!("say what then: `late: {{ {} }}`, or `ignore`, or a state", rules.join(", "));
            self.ctx.add(self.ctx.problem(rules::MISSING_LATE, &self.state_key(state), message).with_help(help));
        }
    }
}
