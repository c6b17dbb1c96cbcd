//! What a definition may say and must not mean. Each file holds one family of rules; `rules.rs` lists them all.

mod arguments;
mod calls;
mod connector;
mod fields;
mod holds;
mod inputs;
mod late;
mod money;
mod names;
mod outcomes;
mod proof;
mod reach;
mod replies;
mod requests;
mod states;
mod targets;
mod timing;
mod undone;

use std::ops::Range;

use super::document::{Entry, Kind, Node};
use super::read::{Ctx, Read};
use super::{CallRef, State, Transition, Workflow, rules, suggest};

pub(super) use self::connector::connector;
use self::inputs::Inputs;

/// Where one of these is broken, transitions are missing, and what seems to follow from that would only distract.
const SHAPE: &[&str] = &[
    rules::UNKNOWN_KEY,
    rules::MISSING_KEY,
    rules::WRONG_TYPE,
    rules::BAD_VALUE,
    rules::BAD_NAME,
    rules::BAD_DURATION,
    rules::BAD_EXPRESSION,
    rules::UNKNOWN_VARIABLE,
    rules::UNKNOWN_STATE,
    rules::CONFLICTING_KEYS,
    rules::SECRET_OUTSIDE_AUTH,
];

/// The workflow, and the tree that it was read from, for the places.
struct Check<'a> {
    ctx: &'a Ctx<'a>,
    root: &'a Node,
    workflow: &'a Workflow,
}

/// Adds every problem of a workflow.
pub(super) fn workflow(ctx: &Ctx<'_>, root: &Node, read: &Read) {
    let check = Check { ctx, root, workflow: &read.workflow };
    check.targets();
    check.states();
    if check.has_its_ways() {
        check.reach();
        check.holds();
        check.undone();
    }
    check.outcomes();
    check.calls(&read.used_retries);
    check.timing();
    check.arguments();
    check.late();
    let inputs = Inputs::of(&read.workflow);
    check.names(&ctx.uses(), &inputs);
    check.money(&inputs);
}

/// Every call that a workflow makes: invokes, what undoes them, and effects.
pub(super) fn calls(workflow: &Workflow) -> impl Iterator<Item = &CallRef> {
    workflow.states.iter().flat_map(|state| {
        let invokes = state.invokes().iter();
        let invokes =
            invokes.flat_map(|i| std::iter::once(&i.call).chain(i.compensate.as_ref().map(|undo| &undo.call)));
        invokes.chain(state.entry.iter().map(|effect| &effect.call))
    })
}

/// Everything in this part was read.
fn is_whole(ctx: &Ctx<'_>, node: &Node) -> bool {
    !ctx.problems.any(&ctx.source.name, &node.span, SHAPE)
}

impl<'a> Check<'a> {
    fn is_whole(&self, node: &Node) -> bool {
        is_whole(self.ctx, node)
    }

    /// All transitions were read. What is wrong elsewhere, such as in a deadline that leads nowhere or in a retry policy,
    /// hides nothing of where they lead; a key that is not known may be one of those that hold them.
    fn has_its_ways(&self) -> bool {
        let holds = |entry: &Entry| match entry.key.as_str() {
            "states" | "on" | "initial" => true,
            "deadline" => matches!(entry.node.kind, Kind::Map(_)),
            key => suggest::nearest(key, ["states", "on", "initial", "deadline"]).is_some(),
        };
        let part = |entry: &Entry| entry.key_span.start..entry.node.span.end.max(entry.key_span.end);
        let broken = |entry: &&Entry| self.ctx.problems.any(&self.ctx.source.name, &part(entry), SHAPE);
        self.root.get("states").is_some()
            && self.root.get("initial").is_some()
            && !self.root.entries().iter().filter(|entry| holds(entry)).any(|entry| broken(&entry))
    }

    fn node(&self, path: &[&str]) -> Option<&'a Node> {
        path.iter().try_fold(self.root, |node, key| node.get(key))
    }

    fn entry(&self, path: &[&str]) -> Option<&'a Entry> {
        let (last, parents) = path.split_last()?;
        self.node(parents)?.entry(last)
    }

    /// Where a key stands; the beginning of the file if it does not.
    fn key(&self, path: &[&str]) -> Range<usize> {
        self.entry(path).map_or(0..0, |entry| entry.key_span.clone())
    }

    fn state_key(&self, state: &State) -> Range<usize> {
        self.key(&["states", state.name.as_str()])
    }

    fn state_node(&self, state: &State) -> Option<&'a Node> {
        self.node(&["states", state.name.as_str()])
    }

    /// The calls of a state with the places where they are written: one, or one for each branch.
    fn invoke_node(&self, state: &State, branch: &str) -> Option<&'a Node> {
        let invoke = self.state_node(state)?.get("invoke")?;
        if branch.is_empty() { Some(invoke) } else { invoke.get(branch) }
    }
}

/// Where the name of an operation stands in a call.
fn call_span(node: Option<&Node>, otherwise: Range<usize>) -> Range<usize> {
    let found = node.and_then(|node| if node.text().is_some() { Some(node) } else { node.get("call") });
    found.map_or(otherwise, |node| node.span.clone())
}

/// Every transition of a state but those of `late`.
fn transitions(state: &State) -> impl Iterator<Item = &Transition> {
    let on = state.on.values().flatten();
    on.chain(state.after.iter().map(|after| &after.transition)).chain(&state.always)
}
