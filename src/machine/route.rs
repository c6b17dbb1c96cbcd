//! Taking transitions: guards, assignments, leaving and entering states.

use std::sync::Arc;

use super::Walked;
use super::calls::declared;
use super::event::Timer;
use super::run::Run;
use super::scope::Given;
use super::settles::may_have_happened;
use super::snapshot::{Call, Early, Phase, Role};
use crate::definition::{
    Activity, EvalError, Late, MoneyKind, Stage, State, StateKind, Transition, Verdict, scalar_text,
};
use crate::types::{CallId, EventName, Money, StateName, Value};

/// Transitions that one event may cause. More can only be a loop that the checker did not see.
const HOPS_MAX: u32 = 100;

/// What became of an event that was offered to the present state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// No transition has this name, or no guard holds.
    No,
}

impl<'w> Run<'w> {
    /// Offers a name to the state, and then to the workflow's own `on`.
    pub(super) fn raise(&mut self, name: &str, given: &Given) -> Result<Taken, EvalError> {
        let Some(state) = self.state() else { return Ok(Taken::No) };
        if let Some(transitions) = state.on.get(name) {
            return self.choose(name, transitions, given);
        }
        match self.workflow.on.get(name) {
            Some(transitions) if !state.is_final() => self.choose_from(ANYWHERE, name, transitions, given),
            _ => Ok(Taken::No),
        }
    }

    /// Takes the first transition of the present state whose guard holds.
    fn choose(&mut self, trigger: &str, transitions: &'w [Transition], given: &Given) -> Result<Taken, EvalError> {
        let from = self.snapshot.state.clone();
        self.choose_from(from.as_str(), trigger, transitions, given)
    }

    fn choose_from(
        &mut self,
        from: &str,
        trigger: &str,
        transitions: &'w [Transition],
        given: &Given,
    ) -> Result<Taken, EvalError> {
        for (index, transition) in transitions.iter().enumerate() {
            let fits = match &transition.when {
                Some(guard) => guard.eval_bool(&self.scope(given))?,
                None => true,
            };
            if fits {
                self.walked.push(Walked { state: from.into(), trigger: trigger.to_owned(), index });
                self.take(transition, given)?;
                return Ok(Taken::Yes);
            }
        }
        Ok(Taken::No)
    }

    fn take(&mut self, transition: &'w Transition, given: &Given) -> Result<(), EvalError> {
        self.assign(transition, given)?;
        if !given.label.is_empty() {
            self.snapshot.outcome.clone_from(&given.label);
        }
        if let Some(target) = &transition.target {
            self.leave();
            self.enter(target.clone());
        }
        if let Some(reason) = &transition.incident {
            self.want_person(reason);
        }
        Ok(())
    }

    pub(super) fn assign(&mut self, transition: &Transition, given: &Given) -> Result<(), EvalError> {
        if transition.assign.is_empty() {
            return Ok(());
        }
        let mut values = Vec::with_capacity(transition.assign.len());
        for (name, template) in &transition.assign {
            values.push((name.clone(), template.render(&self.scope(given))?));
        }
        self.set_data(values);
        Ok(())
    }

    pub(super) fn set_data(&mut self, values: impl IntoIterator<Item = (String, Value)>) {
        if let Value::Object(data) = Arc::make_mut(&mut self.snapshot.data) {
            for (name, value) in values {
                if self.workflow.references.contains(&name)
                    && let Some(text) = scalar_text(&value).filter(|text| !text.is_empty())
                {
                    self.snapshot.references.insert(name.clone(), text);
                }
                data.insert(name, value);
            }
        }
    }

    /// Drops what belongs to the present state. Effects of the outbox go on.
    pub(super) fn leave(&mut self) {
        // An order that something late takes up again must end as any other.
        if self.is_final() {
            self.arm_deadline();
        }
        self.snapshot.timers.retain(|timer, _| !matches!(timer, Timer::After { .. }));
        self.snapshot.due.retain(|timer| !matches!(timer, Timer::After { .. }));
        let superseded: Vec<CallId> = self
            .snapshot
            .calls
            .iter()
            .filter(|(_, call)| !matches!(call.role, Role::Effect { .. }))
            .map(|(&id, _)| id)
            .collect();
        for id in superseded {
            self.drop_call(id);
        }
    }

    pub(super) fn enter(&mut self, target: StateName) {
        self.hops += 1;
        if self.hops > HOPS_MAX {
            return self.open_incident(None, format!("more than {HOPS_MAX} transitions without an event"));
        }
        let Some(state) = self.workflow.state(&target) else {
            return self.open_incident(None, format!("the workflow has no state {target}"));
        };
        self.snapshot.state = target;
        self.snapshot.entered_at = self.now;
        self.forget_order_value();
        self.pass_stage(state);
        for (index, after) in (0..).zip(&state.after) {
            self.snapshot.timers.insert(Timer::After { index }, self.now.plus(after.delay));
        }
        if state.is_final() {
            self.snapshot.timers.remove(&Timer::Deadline);
            self.snapshot.due.clear();
            // What was wrong with the order as a whole, such as its deadline, is over when the order is.
            if self
                .snapshot
                .incident
                .as_ref()
                .is_some_and(|incident| incident.call.is_none() && incident.wanted.is_none())
            {
                self.snapshot.incident = None;
            }
            self.leaves_no_money(state);
        }
        let (next_call, attempts, commands) = (self.snapshot.next_call, self.snapshot.attempts, self.commands.len());
        if let Err(error) = self.activate(state) {
            // All of the state's work begins, or none of it, so that a person can have it tried again.
            self.snapshot.calls.retain(|&id, _| id < next_call);
            (self.snapshot.next_call, self.snapshot.attempts) = (next_call, attempts);
            self.commands.truncate(commands);
            self.open_incident(None, error.to_string());
            if let Some(incident) = &mut self.snapshot.incident {
                incident.unbegun = incident.call.is_none();
            }
        }
    }

    /// An order that has failed and still has the customer's money is a mistake of its workflow: nobody would look again.
    /// What the customer's bank leaves of a payment that it took back is the merchant's; what the workflow leaves on purpose
    /// it has said.
    fn leaves_no_money(&mut self, state: &State) {
        let failed = matches!(state.kind, StateKind::Final { verdict: Verdict::Failure, .. });
        let money = self.snapshot.money;
        let invokes = || self.workflow.states.iter().flat_map(State::invokes);
        let left = |kinds: &[MoneyKind]| {
            invokes().any(|invoke| invoke.left && invoke.operation.money.is_some_and(|kind| kinds.contains(&kind)))
        };
        let is_held = money.held > 0 && !left(&[MoneyKind::Hold]);
        let taken = if money.charged_back > 0 { 0 } else { money.captured - money.refunded };
        let is_taken = taken > 0 && !left(&[MoneyKind::Capture, MoneyKind::Purchase]);
        let Some(currency) = money.currency.filter(|_| failed && (is_held || is_taken)) else { return };
        let (held, taken) = (Money::new(money.held, currency), Money::new(taken, currency));
        let name = &state.name;
        self.want_person(&format!(
            "the order ends in {name} as failed while {held} are held and {taken} have been taken: \
             see to it that they are given back, then dismiss this"
        ));
    }

    fn activate(&mut self, state: &'w State) -> Result<(), EvalError> {
        self.begin_effects(state)?;
        match &state.activity {
            Activity::None => {}
            Activity::Invoke(invokes) => {
                for invoke in invokes {
                    self.begin_invoke(state, invoke)?;
                }
            }
            Activity::Compensate => return self.undo_next(),
        }
        if !state.always.is_empty() {
            self.choose("always", &state.always, &Given::default())?;
        }
        Ok(())
    }

    fn pass_stage(&mut self, state: &State) {
        let named = Stage::ALL.into_iter().find(|stage| stage.name() == state.name.as_str());
        if let Some(stage) = state.stage.or(named)
            && !self.snapshot.stages.contains(&stage)
        {
            self.snapshot.stages.push(stage);
        }
    }

    /// Applies what waits in the inbox, and timers that were put off, as far as the present state lets them.
    pub(super) fn drain(&mut self) {
        if self.snapshot.is_halted() {
            return;
        }
        while self.hops <= HOPS_MAX {
            if self.is_final() {
                return self.drain_late();
            }
            if self.take_early() || self.take_due() {
                continue;
            }
            return;
        }
    }

    fn take_early(&mut self) -> bool {
        for at in 0..self.snapshot.inbox.len() {
            let Some(early) = self.snapshot.inbox.get(at).cloned() else { break };
            if self.settles_a_call(&early) {
                self.hops += 1;
                self.snapshot.inbox.retain(|waiting| waiting.id != early.id);
                return true;
            }
            if !self.may_take(early.name.as_str()) {
                continue;
            }
            match self.raise(early.name.as_str(), &Given::event(early.name.as_str(), &early.payload)) {
                Ok(Taken::No) => {}
                Ok(Taken::Yes) => {
                    self.hops += 1;
                    self.snapshot.inbox.retain(|waiting| waiting.id != early.id);
                    return true;
                }
                Err(error) => {
                    // The event stays in the inbox, so nothing is lost; a person sees why it did not apply.
                    self.open_incident(None, error.to_string());
                }
            }
        }
        false
    }

    fn take_due(&mut self) -> bool {
        if self.snapshot.due.is_empty() || self.outcome_is_open() {
            return false;
        }
        if let Some(id) = self.pending_money() {
            self.time_is_up(id);
            return true;
        }
        let timer = self.snapshot.due.remove(0);
        self.hops += 1;
        self.fire(timer);
        true
    }

    /// Events that waited for a state that never came.
    fn drain_late(&mut self) {
        // Each takes one out of the inbox, so that this ends.
        while !self.snapshot.inbox.is_empty() && self.is_final() {
            let early = self.snapshot.inbox.remove(0);
            self.late(&early);
        }
    }

    /// What a final state does with an event.
    pub(super) fn late(&mut self, event: &Early) {
        let Some(State { kind: StateKind::Final { late, .. }, name, .. }) = self.state() else { return };
        // A cancel that finds the order finished has nothing left to undo.
        if event.name.as_str() == CANCEL || self.settles_a_call(event) {
            return;
        }
        match late.get(event.name.as_str()) {
            Some(Late::Ignore) => {}
            Some(Late::Transition(transitions)) => {
                let trigger = format!("late {}", event.name);
                match self.choose(&trigger, transitions, &Given::event(event.name.as_str(), &event.payload)) {
                    Ok(Taken::Yes) => {}
                    Ok(Taken::No) => self.open_incident(None, format!("no late rule of {name} fits {}", event.name)),
                    Err(error) => self.open_incident(None, error.to_string()),
                }
            }
            Some(Late::Incident) | None => {
                self.open_incident(None, format!("{} came after the order had ended in {name}", event.name));
            }
        }
    }

    /// An `after` or the deadline has come, and the outcome of every call is known.
    pub(super) fn fire(&mut self, timer: Timer) {
        let given = Given { label: "timed out".to_owned(), ..Given::default() };
        let taken = match timer {
            Timer::After { index } => {
                let at = usize::try_from(index).unwrap_or(usize::MAX);
                let Some(after) = self.state().and_then(|state| state.after.get(at)) else { return };
                self.choose(&after.label(), std::slice::from_ref(&after.transition), &given)
            }
            Timer::Deadline => {
                let Some(deadline) = &self.workflow.deadline else { return };
                if deadline.transition.target.is_none() {
                    return self.open_incident(None, "the order is past its deadline".to_owned());
                }
                self.choose_from(ANYWHERE, "deadline", std::slice::from_ref(&deadline.transition), &given)
            }
            Timer::Retry { .. } | Timer::Inquire { .. } => return,
        };
        if let Err(error) = taken {
            self.open_incident(None, error.to_string());
        }
    }

    pub(super) fn is_final(&self) -> bool {
        self.state().is_some_and(State::is_final)
    }

    /// A request is on its way, or its effect is being undone: its answer must come first.
    fn is_sending(&self) -> bool {
        self.working_calls().any(|phase| matches!(phase, Phase::Sending | Phase::Reversing { .. }))
    }

    /// The outcome of some call of this state is not known.
    pub(super) fn outcome_is_open(&self) -> bool {
        self.is_sending()
            || self.working_calls().any(|phase| {
                matches!(
                    phase,
                    Phase::Unknown { .. } | Phase::Parked { unknown: true } | Phase::Pending { asking: true, .. }
                )
            })
            || self.snapshot.calls.values().any(|call| call.doubtful && call.phase == Phase::Backoff)
    }

    /// What an event leads away from would be forgotten: where money may move, its outcome comes first. A provider's word on
    /// a call settles it, and is no way around it.
    fn may_take(&self, name: &str) -> bool {
        if name == CANCEL {
            !self.outcome_is_open() && !self.is_pending() && !self.is_undoing()
        } else {
            let stays = || self.handlers(name).is_some_and(leads_nowhere);
            !self.is_sending() && (stays() || !self.may_move_money())
        }
    }

    /// What the state, or else the workflow, says of an event.
    pub(super) fn handlers(&self, name: &str) -> Option<&'w [Transition]> {
        let own = self.state().and_then(|state| state.on.get(name));
        own.or_else(|| self.workflow.on.get(name)).map(Vec::as_slice)
    }

    /// A provider has accepted something and will decide on it: a cancel must hear the decision first. The state itself may
    /// say what a cancel means while it waits, but not of money that may yet move.
    fn is_pending(&self) -> bool {
        match self.state().and_then(|state| state.on.get(CANCEL)) {
            Some(list) => !leads_nowhere(list) && self.pending_money().is_some(),
            None => self.working_calls().any(|phase| matches!(phase, Phase::Pending { .. })),
        }
    }

    /// A call that a provider has accepted, and by which money may yet move. One that only asks moves none, though it may
    /// book what it finds.
    fn pending_money(&self) -> Option<CallId> {
        let pending = |call: &Call| matches!(call.phase, Phase::Pending { .. });
        self.snapshot.calls.iter().find(|(_, call)| pending(call) && self.moves_money(call)).map(|(&id, _)| id)
    }

    /// What becomes of some call that moves money is not known, or not decided.
    fn may_move_money(&self) -> bool {
        self.snapshot.calls.values().any(|call| may_have_happened(call) && self.moves_money(call))
    }

    pub(super) fn moves_money(&self, call: &Call) -> bool {
        let moves = declared(self.workflow, call).is_some_and(|declared| declared.operation.moves_money());
        moves && !matches!(call.role, Role::Effect { .. })
    }

    fn is_undoing(&self) -> bool {
        self.state().is_some_and(|state| matches!(state.activity, Activity::Compensate))
    }

    fn working_calls(&self) -> impl Iterator<Item = &Phase> {
        let calls = self.snapshot.calls.values();
        calls.filter(|call| !matches!(call.role, Role::Effect { .. })).map(|call| &call.phase)
    }

    /// Every event name that the workflow handles anywhere.
    pub(super) fn known_events(&self) -> Vec<EventName> {
        super::next::known_events(self.workflow)
    }
}

/// Whatever fits, the order stays where it is, and nothing of it is left behind.
fn leads_nowhere(list: &[Transition]) -> bool {
    list.iter().all(|transition| transition.target.is_none())
}

/// Where a transition of the workflow itself stands, in place of a state.
pub(super) const ANYWHERE: &str = "*";

/// The event of a cancel request.
pub const CANCEL: &str = "cancel";
