//! A provider that answers as a scenario says, and that remembers what really happened.

mod answer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::json;

pub use self::answer::{Answer, Script, ScriptError};
use super::{Connector, Invocation};
use crate::machine::Outcome;
use crate::types::{Attempt, OperationName, Value};

/// Answers from scripts. As honest as a good provider: a key that has had an effect is answered with the first answer
/// and has no second effect, unless the script says `replay: none`.
///
/// Every request uses up one answer, a repeated one too: it decides whether the repeat gets through (`not_sent`) and
/// whether its answer is lost (`unknown`); what it says otherwise is the first answer of its key. Without a script every
/// invocation succeeds and every inquiry tells the truth.
#[derive(Debug, Default)]
pub struct ScriptedConnector {
    inner: Mutex<Inner>,
}

/// One request that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub operation: OperationName,
    pub inquiry: bool,
    pub key: String,
    pub attempt: Attempt,
    pub with: Arc<Value>,
    /// What the caller was told, which need not be what happened.
    pub told: Outcome,
}

/// What happened under one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    pub operation: OperationName,
    pub key: String,
    pub with: Arc<Value>,
    /// The provider's own view.
    pub truth: Outcome,
    /// How often it was done. More than once is the error that scenarios look for.
    pub times: u32,
}

#[derive(Debug, Default)]
struct Inner {
    operations: BTreeMap<OperationName, State>,
    /// In the order of their happening.
    effects: Vec<Effect>,
    recorded: Vec<Recorded>,
}

#[derive(Debug, Default)]
struct State {
    invoke: VecDeque<Answer>,
    inquire: VecDeque<Answer>,
    script: Script,
}

impl ScriptedConnector {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the script of an operation, in place of what is left of its last one.
    pub fn script(&self, operation: impl Into<OperationName>, script: Script) {
        let state = State { invoke: script.invoke.clone().into(), inquire: script.inquire.clone().into(), script };
        self.lock().operations.insert(operation.into(), state);
    }

    /// Sets the scripts of several operations: `{authorize: [{unknown: applied}, ok], capture: declined}`.
    pub fn load(&self, scripts: &Value) -> Result<(), ScriptError> {
        let Value::Object(scripts) = scripts else {
            return Err(ScriptError::new("expected a map from operations to answers"));
        };
        for (operation, script) in scripts {
            let script = Script::parse(script).map_err(|error| error.under(operation))?;
            self.script(operation.as_str(), script);
        }
        Ok(())
    }

    /// Every request that arrived, in order.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.lock().recorded.clone()
    }

    /// Everything that happened at the provider, in order.
    pub fn effects(&self) -> Vec<Effect> {
        self.lock().effects.clone()
    }

    /// How many effects of an operation succeeded, over all keys.
    pub fn succeeded(&self, operation: &str) -> u32 {
        let inner = self.lock();
        let of_it = inner.effects.iter().filter(|effect| effect.operation.as_str() == operation);
        of_it.filter(|effect| matches!(effect.truth, Outcome::Ok { .. })).map(|effect| effect.times).sum()
    }

    /// Answers that were scripted and not asked for, as (operation, invocations, inquiries).
    pub fn unused(&self) -> Vec<(OperationName, usize, usize)> {
        let left = |(name, state): (&OperationName, &State)| (name.clone(), state.invoke.len(), state.inquire.len());
        self.lock().operations.iter().map(left).filter(|(_, invoke, inquire)| invoke + inquire > 0).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Connector for ScriptedConnector {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        let mut inner = self.lock();
        let told = inner.invoke(invocation);
        inner.record(invocation, false, &told);
        told
    }

    async fn inquire(&self, invocation: &Invocation) -> Outcome {
        let mut inner = self.lock();
        let told = inner.inquire(invocation);
        inner.record(invocation, true, &told);
        told
    }
}

impl Inner {
    fn invoke(&mut self, invocation: &Invocation) -> Outcome {
        let state = self.operations.entry(invocation.operation.clone()).or_default();
        let answer = state.invoke.pop_front().unwrap_or_else(|| state.script.otherwise.clone());
        let replays = state.script.replays;
        let number = 1 + self.effects.iter().filter(|effect| effect.operation == invocation.operation).count();
        let fresh = |outcome: Outcome| named(outcome, invocation, number);
        let happens = match &answer {
            Answer::Says(outcome) if outcome.has_effect() => Some(fresh(outcome.clone())),
            Answer::Lost(outcome) => Some(fresh(outcome.clone())),
            Answer::Says(_) | Answer::Auto => None,
        };
        let truth = happens.map(|outcome| self.happen(invocation, outcome, replays));
        match (answer, truth) {
            (Answer::Lost(_), _) => Answer::lost(),
            (_, Some(truth)) => truth,
            (Answer::Says(outcome), None) => outcome,
            (Answer::Auto, None) => self.truth(invocation),
        }
    }

    fn inquire(&mut self, invocation: &Invocation) -> Outcome {
        let state = self.operations.entry(invocation.operation.clone()).or_default();
        let answer = state.inquire.pop_front().unwrap_or_else(|| state.script.inquire_otherwise.clone());
        match answer {
            Answer::Auto => self.truth(invocation),
            Answer::Lost(_) => Answer::lost(),
            Answer::Says(outcome) if outcome.has_effect() => {
                let number = 1 + self.effects.iter().filter(|effect| effect.operation == invocation.operation).count();
                let outcome = named(outcome, invocation, number);
                // The scenario tells what had become of it, or that a pending call has come to its end.
                match self.find(invocation) {
                    None => self.effects.push(Effect::of(invocation, outcome.clone())),
                    Some(effect) if effect.is_open() => effect.truth = outcome.clone(),
                    Some(_) => {}
                }
                outcome
            }
            // An inquiry that was not sent says nothing about the call.
            Answer::Says(Outcome::NotSent { reason, retry_after_ms }) => Outcome::Unknown { reason, retry_after_ms },
            Answer::Says(outcome) => outcome,
        }
    }

    /// Makes `outcome` happen under the invocation's key, unless the key has had its effect. Returns what is true then.
    fn happen(&mut self, invocation: &Invocation, outcome: Outcome, replays: bool) -> Outcome {
        let Some(effect) = self.find(invocation) else {
            self.effects.push(Effect::of(invocation, outcome.clone()));
            return outcome;
        };
        if effect.is_open() {
            effect.truth = outcome;
        } else if !replays {
            effect.times += 1;
        }
        effect.truth.clone()
    }

    fn truth(&mut self, invocation: &Invocation) -> Outcome {
        self.find(invocation).map_or(Outcome::NotFound, |effect| effect.truth.clone())
    }

    fn find(&mut self, invocation: &Invocation) -> Option<&mut Effect> {
        let same = |effect: &&mut Effect| effect.key == invocation.key && effect.operation == invocation.operation;
        self.effects.iter_mut().find(same)
    }

    fn record(&mut self, invocation: &Invocation, inquiry: bool, told: &Outcome) {
        self.recorded.push(Recorded {
            operation: invocation.operation.clone(),
            inquiry,
            key: invocation.key.clone(),
            attempt: invocation.attempt,
            with: Arc::clone(&invocation.with),
            told: told.clone(),
        });
    }
}

impl Effect {
    fn of(invocation: &Invocation, truth: Outcome) -> Self {
        Self {
            operation: invocation.operation.clone(),
            key: invocation.key.clone(),
            with: Arc::clone(&invocation.with),
            truth,
            times: 1,
        }
    }

    /// Accepted, and not yet decided.
    fn is_open(&self) -> bool {
        matches!(self.truth, Outcome::Pending { .. } | Outcome::ActionRequired { .. })
    }
}

/// An `ok` without a result gets an id that is the same on every run.
fn named(outcome: Outcome, invocation: &Invocation, number: usize) -> Outcome {
    match outcome {
        Outcome::Ok { result: Value::Null } => {
            Outcome::Ok { result: json!({ "id": format!("{}-{number}", invocation.operation) }) }
        }
        other => other,
    }
}
