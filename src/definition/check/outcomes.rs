//! Every outcome that can come is handled, and none that cannot.

use super::states::ends_in_time;
use super::{Check, call_span};
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::read::{OUTCOMES, UNKNOWN};
use crate::definition::{Activity, Invoke, Operation, OutcomeKind, Replay, State, rules, suggest};
use crate::types::{EventName, StateName};

impl Check<'_> {
    pub(super) fn outcomes(&self) {
        for state in self.workflow.states.iter().filter(|state| !state.is_final()) {
            if self.state_node(state).is_some_and(|node| self.is_whole(node)) {
                self.handled(state);
            }
            let on = self.state_node(state).and_then(|node| node.get("on")).map(Node::entries).unwrap_or_default();
            for entry in on {
                self.never_given(state, entry);
                self.named(entry, on);
                self.exhaustive(entry);
                self.leads_on(state, entry);
                self.left_behind(state, entry);
                self.unanswered(state, entry);
            }
        }
        for state in self.workflow.states.iter().filter(|state| state.is_final()) {
            let late = self.state_node(state).and_then(|node| node.get("late")).map(Node::entries).unwrap_or_default();
            late.iter().for_each(|entry| self.named_late(entry));
        }
        let shared = self.node(&["on"]).map(Node::entries).unwrap_or_default();
        for entry in shared {
            if OUTCOMES.contains(&entry.key.as_str()) {
                let message =
                    format!("`{}` is the outcome of a call, and belongs to the state that makes it", entry.key);
                self.ctx.report(rules::OUTCOME_NEVER_GIVEN, &entry.key_span, message);
            }
            self.named(entry, shared);
        }
    }

    fn handled(&self, state: &State) {
        if matches!(state.activity, Activity::Compensate) && !state.on.contains_key("compensated") {
            let at = self.key(&["states", state.name.as_str(), "compensate"]);
            self.missing(state, "compensated", at, "when everything is undone".to_owned());
        }
        for invoke in state.invokes().iter().filter(|invoke| is_known(&invoke.operation)) {
            let node = self.invoke_node(state, &invoke.branch);
            let at = call_span(node, self.state_key(state));
            if !state.on.contains_key("ok") {
                self.missing(state, "ok", at.clone(), format!("when `{}` succeeds", invoke.call));
            }
            if can(&invoke.operation, OutcomeKind::Declined) && !state.on.contains_key("declined") {
                self.missing(state, "declined", at.clone(), format!("when `{}` is declined", invoke.call));
            }
            if !can(&invoke.operation, OutcomeKind::ActionRequired) {
                continue;
            }
            if !invoke.branch.is_empty() {
                let message =
                    format!("`{}` may need the customer, for whom a parallel branch cannot wait", invoke.call);
                let problem = self.ctx.problem(rules::OUTCOME_NOT_HANDLED, &at, message);
                self.ctx.add(problem.with_help("call it in a state of its own".to_owned()));
            } else if !state.on.contains_key("action_required") {
                self.missing(state, "action_required", at, format!("when `{}` needs the customer", invoke.call));
            }
        }
    }

    fn missing(&self, state: &State, outcome: &str, at: std::ops::Range<usize>, when: String) {
        let message = format!("`{}` does not say where to go {when}", state.name);
        let problem = self.ctx.problem(rules::OUTCOME_NOT_HANDLED, &at, message);
        self.ctx.add(problem.with_help(format!("add `{outcome}` under `on`")));
    }

    fn never_given(&self, state: &State, entry: &Entry) {
        let invokes = state.invokes();
        if invokes.iter().any(|invoke| !is_known(&invoke.operation)) {
            return;
        }
        let any = |kind| invokes.iter().any(|invoke| can(&invoke.operation, kind));
        let undone = |invoke: &Invoke| invoke.compensate.is_some();
        let why = match entry.key.as_str() {
            "ok" | "declined" | "failed" if invokes.is_empty() => "the state has no `invoke`",
            "action_required" if !any(OutcomeKind::ActionRequired) => "no rule of the operation gives it",
            "pending" if !any(OutcomeKind::Pending) => "no rule of the operation gives it",
            "reversed" if !invokes.iter().any(undone) => "the call has no `compensate`",
            "reversed" if !invokes.iter().any(|invoke| undone(invoke) && !is_safe(&invoke.operation)) => {
                "what is safe to repeat is repeated, and then `failed`"
            }
            "compensated" if !matches!(state.activity, Activity::Compensate) => "the state has no `compensate: all`",
            "notified" if state.entry.is_empty() => "the state has no `entry` effects",
            _ => return,
        };
        let message = format!("`{}` never comes: {why}", entry.key);
        self.ctx.report(rules::OUTCOME_NEVER_GIVEN, &entry.key_span, message);
    }

    /// `decline` is no outcome, and no event: it would never come.
    fn named(&self, entry: &Entry, others: &[Entry]) {
        let known = || OUTCOMES.iter().copied().chain(["cancel"]);
        if entry.key.contains('.') {
            return self.event(entry);
        }
        if known().any(|outcome| outcome == entry.key) {
            return;
        }
        let message = format!("`{}` is no outcome, and the name of an event has a dot", entry.key);
        let problem = self.ctx.problem(rules::UNKNOWN_OUTCOME, &entry.key_span, message);
        let near = suggest::nearest(&entry.key, known());
        self.ctx.add(match (meant(&entry.key), near) {
            (Some(meant), _) => problem.with_help(meant.to_owned()),
            (None, Some(near)) if others.iter().any(|other| other.key == near) => {
                problem.with_help(format!("`{near}` is handled already; an event is named like `customer.confirmed`"))
            }
            (None, Some(near)) => problem.with_help(format!("did you mean `{near}`?")).with_fix(near.to_owned()),
            (None, None) => {
                let outcomes = suggest::one_of(known()).replace(" or ", " and ");
                problem.with_help(format!("outcomes are {outcomes}; an event is named like `customer.confirmed`"))
            }
        });
    }

    /// After the end no call has an outcome any more, and there is nothing left to cancel.
    fn named_late(&self, entry: &Entry) {
        let name = entry.key.as_str();
        if name.contains('.') {
            return self.event(entry);
        }
        let message = if name == "cancel" {
            "a `cancel` that finds the order finished changes nothing".to_owned()
        } else if OUTCOMES.contains(&name) {
            format!("`{name}` is the outcome of a call, and a final state makes none")
        } else {
            format!("`{name}` is no event: the name of an event has a dot")
        };
        let known = OUTCOMES.contains(&name) || name == "cancel";
        let rule = if known { rules::OUTCOME_NEVER_GIVEN } else { rules::UNKNOWN_OUTCOME };
        self.ctx.report(rule, &entry.key_span, message);
    }

    /// The name of an event is nearly, and not quite, what a provider's notifications are called.
    fn event(&self, entry: &Entry) {
        if entry.key.split('.').any(str::is_empty) {
            let message =
                format!("`{}` is no name of an event: something stands before and behind each dot", entry.key);
            return self.ctx.report(rules::BAD_NAME, &entry.key_span, message);
        }
        let notified = || self.notified().into_iter().map(EventName::as_str);
        if notified().any(|event| event == entry.key) {
            return;
        }
        if let Some(near) = suggest::nearest(&entry.key, notified()).filter(|near| slip(&entry.key, near)) {
            let message = format!("no notification is called `{}`", entry.key);
            let problem = self.ctx.problem(rules::UNKNOWN_OUTCOME, &entry.key_span, message);
            self.ctx.add(problem.with_help(format!("did you mean `{near}`?")).with_fix(near.to_owned()));
        }
    }

    /// When an outcome has come, the state has nothing more to wait for.
    fn leads_on(&self, state: &State, entry: &Entry) {
        let last = match &entry.node.kind {
            Kind::List(items) => items.last(),
            Kind::Map(_) | Kind::Scalar(_) => Some(&entry.node),
        };
        let stays = last.is_some_and(|last| matches!(last.kind, Kind::Map(_)) && last.get("target").is_none());
        let comes_once = OUTCOMES.contains(&entry.key.as_str()) && entry.key != "pending";
        if stays && comes_once && !ends_in_time(state) {
            let message = format!("after `{}` the order would stay in `{}` for ever", entry.key, state.name);
            let problem = self.ctx.problem(rules::OUTCOME_NOT_HANDLED, &entry.key_span, message);
            self.ctx.add(problem.with_help("say where it goes with `target`".to_owned()));
        }
    }

    /// What the provider has accepted it may still do, when nobody asks about it any more.
    fn left_behind(&self, state: &State, entry: &Entry) {
        let leads_away = |node: &Node| match node.kind {
            Kind::Scalar(_) => true,
            Kind::Map(_) => node.get("target").is_some(),
            Kind::List(_) => false,
        };
        let leads_away = match &entry.node.kind {
            Kind::List(items) => items.iter().any(leads_away),
            Kind::Map(_) | Kind::Scalar(_) => leads_away(&entry.node),
        };
        let moves = |invoke: &&Invoke| invoke.operation.moves_money() && can(&invoke.operation, OutcomeKind::Pending);
        let moves = state.invokes().iter().find(moves);
        if let Some(invoke) = moves.filter(|_| leads_away && entry.key == "pending") {
            let message = format!("`{}` would be left behind, and may still move money", invoke.call);
            let problem = self.ctx.problem(rules::PENDING_MONEY_LEFT, &entry.key_span, message);
            self.ctx.add(problem.with_help(format!(
                "without a target the order stays in `{}` and asks; `after` or the deadline bounds that, and the call is undone \
                 or shown to a person",
                state.name
            )));
        }
    }

    /// A call that only asks is `failed` when nobody answers, and what it asks about may have happened all the same.
    fn unanswered(&self, state: &State, entry: &Entry) {
        let books = |invoke: &&Invoke| {
            let operation = &invoke.operation;
            is_safe(operation) && operation.request.is_some() && operation.money.is_some()
        };
        let Some(invoke) = state.invokes().iter().find(books).filter(|_| entry.key == "failed") else { return };
        let given_up = |name: &StateName| {
            let target = self.workflow.state(name);
            target.is_some_and(|target| target.is_final() || matches!(target.activity, Activity::Compensate))
        };
        let targets = state.on.get("failed").into_iter().flatten().filter_map(|transition| transition.target.as_ref());
        if let Some(target) = targets.into_iter().find(|name| given_up(name)) {
            let message = format!(
                "`{}` only asks: when nobody answers, `{target}` takes for granted that there is nothing",
                invoke.call
            );
            let problem = self.ctx.problem(rules::UNANSWERED_TAKEN_FOR_NO, &entry.key_span, message);
            self.ctx.add(problem.with_help(
                "lead to a state that waits and asks again, or leave `failed` out: then a person is called".to_owned(),
            ));
        }
    }

    /// An outcome comes once: if no transition of its list fits, nothing ever happens.
    fn exhaustive(&self, entry: &Entry) {
        let guarded = match &entry.node.kind {
            Kind::List(items) => items.last().is_some_and(|last| last.get("when").is_some()),
            Kind::Map(_) => entry.node.get("when").is_some(),
            Kind::Scalar(_) => false,
        };
        if guarded && OUTCOMES.contains(&entry.key.as_str()) {
            let message = format!("if no `when` fits, `{}` leads nowhere", entry.key);
            let problem = self.ctx.problem(rules::OUTCOME_NOT_HANDLED, &entry.key_span, message);
            self.ctx.add(problem.with_help("end the list with a transition that has no `when`".to_owned()));
        }
    }
}

/// What people look for under `on`, and where it is said instead.
fn meant(name: &str) -> Option<&'static str> {
    match name {
        "timeout" | "timed_out" | "time_out" | "expired" => {
            Some("time is told under `after: { 15m: state }`; a call whose time is over is `failed`, or `reversed`")
        }
        "error" | "failure" | "fail" => Some("a call that is certainly not done is `failed`"),
        "success" | "done" | "succeeded" => Some("a call that is done is `ok`"),
        "unknown" => Some("what is unknown is asked about, and ends as another outcome or with a person"),
        "not_sent" => Some("what was not sent is sent again by `retry`; when that is used up, it is `failed`"),
        _ => None,
    }
}

/// Two slips at most, for names that may differ in a word on purpose, and fewer in a short name.
fn slip(name: &str, near: &str) -> bool {
    let slips = suggest::distance(name, near);
    slips <= 2 && slips * 4 <= name.len()
}

fn is_safe(operation: &Operation) -> bool {
    operation.idempotency.replay == Replay::Safe
}

fn is_known(operation: &Operation) -> bool {
    operation.name.as_str() != UNKNOWN
}

/// A reply, or the answer to an inquiry, can be this.
fn can(operation: &Operation, kind: OutcomeKind) -> bool {
    let asked = operation.inquiries().flat_map(|inquiry| &inquiry.outcomes.rules);
    operation.outcomes.rules.iter().chain(asked).any(|rule| rule.outcome == kind)
}
