//! Every target is a state.

use super::Check;
use crate::definition::document::{Kind, Node};
use crate::definition::{rules, suggest};
use crate::types::StateName;

impl Check<'_> {
    pub(super) fn targets(&self) {
        for state in self.node(&["states"]).map(Node::entries).unwrap_or_default() {
            let groups = ["on", "after", "late"].into_iter().filter_map(|key| state.node.get(key));
            groups.flat_map(Node::entries).for_each(|entry| self.target(&entry.node));
            state.node.get("always").into_iter().for_each(|node| self.target(node));
        }
        self.node(&["on"]).map(Node::entries).unwrap_or_default().iter().for_each(|entry| self.target(&entry.node));
        self.node(&["deadline", "target"]).into_iter().for_each(|node| self.target(node));
    }

    /// A name, a map with `target`, or a list of those.
    fn target(&self, node: &Node) {
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| self.target(item)),
            Kind::Map(_) => node.get("target").into_iter().for_each(|target| self.target(target)),
            Kind::Scalar(_) => {
                if let Some(name) = node.text() {
                    self.is_state(name, node);
                }
            }
        }
    }

    fn is_state(&self, name: &str, node: &Node) {
        if self.workflow.index.contains_key(name) || matches!(name, "ignore" | "incident") && self.is_late(node) {
            return;
        }
        let near = suggest::nearest(name, self.workflow.index.keys().map(StateName::as_str));
        let problem = self.ctx.problem(rules::UNKNOWN_STATE, &node.span, format!("there is no state `{name}`"));
        let help = near.map(|near| format!("did you mean `{near}`?"));
        self.ctx.add(problem.with_help(help).with_fix(near.map(str::to_owned)));
    }

    fn is_late(&self, node: &Node) -> bool {
        let states = self.node(&["states"]).map(Node::entries).unwrap_or_default();
        let late = states.iter().filter_map(|state| state.node.get("late"));
        late.flat_map(Node::entries).any(|entry| std::ptr::eq(&entry.node, node))
    }
}
