//! The circuit breaker: a pure machine. Time is passed in.
//!
//! Closed lets everything through and counts failures in a row; open lets nothing through; half-open lets one request
//! through, whose fate decides.

use std::time::Duration;

use crate::definition::Breaker as Settings;

/// What a dashboard shows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

/// How an admitted request ended, as a sign of the provider's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Healthy,
    Failed,
    /// It was cancelled before it said anything about the provider.
    Abandoned,
}

/// Permission for one request. Belongs to the phase in which it was given: an answer to a request of an earlier phase
/// says nothing about the present one.
#[derive(Debug)]
#[must_use = "an admitted request must be settled"]
pub(super) struct Pass {
    phase: u64,
}

#[derive(Debug)]
pub(super) struct Breaker {
    settings: Settings,
    state: State,
    phase: u64,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration },
    HalfOpen { probing: bool },
}

impl Breaker {
    /// A breaker that opens after no failures never opens at all.
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, state: State::Closed { failures: 0 }, phase: 0 }
    }

    /// Asks whether a request may go. `now` is the time since any fixed moment. Refused: how long to wait.
    pub(super) fn admit(&mut self, now: Duration) -> Result<Pass, Duration> {
        if let Some(wait) = self.refuses(now) {
            return Err(wait);
        }
        match &mut self.state {
            State::Closed { .. } => {}
            State::Open { .. } => self.enter(State::HalfOpen { probing: true }),
            State::HalfOpen { probing } => *probing = true,
        }
        Ok(Pass { phase: self.phase })
    }

    /// Whether `admit` would refuse, and for how long. Changes nothing.
    pub(super) fn refuses(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Open { until } if now < until => Some(until - now),
            State::HalfOpen { probing: true } => Some(self.settings.open),
            _ => None,
        }
    }

    pub(super) fn settle(&mut self, pass: Pass, verdict: Verdict, now: Duration) {
        if pass.phase != self.phase {
            return;
        }
        match (&mut self.state, verdict) {
            (State::Closed { failures }, Verdict::Healthy) => *failures = 0,
            (State::Closed { failures }, Verdict::Failed) => {
                *failures = failures.saturating_add(1);
                if self.settings.failures != 0 && *failures >= self.settings.failures {
                    self.open(now);
                }
            }
            (State::HalfOpen { .. }, Verdict::Healthy) => self.enter(State::Closed { failures: 0 }),
            (State::HalfOpen { .. }, Verdict::Failed) => self.open(now),
            (State::HalfOpen { probing }, Verdict::Abandoned) => *probing = false,
            (State::Open { .. }, _) | (State::Closed { .. }, Verdict::Abandoned) => {}
        }
    }

    /// An open breaker whose time is over is half-open already, though nobody has asked yet.
    pub(super) fn state(&self, now: Duration) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn open(&mut self, now: Duration) {
        self.enter(State::Open { until: now.saturating_add(self.settings.open) });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.phase += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn run(breaker: &mut Breaker, now: Duration, verdict: Verdict) {
        let pass = breaker.admit(now).expect("admitted");
        breaker.settle(pass, verdict, now);
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_success_closes_it() {
        let mut breaker = Breaker::new(Settings { failures: 3, open: s(10) });
        for verdict in [Verdict::Failed, Verdict::Failed, Verdict::Healthy, Verdict::Failed, Verdict::Failed] {
            run(&mut breaker, s(0), verdict);
        }
        assert_eq!(breaker.state(s(0)), BreakerState::Closed);
        run(&mut breaker, s(1), Verdict::Failed);
        assert_eq!(breaker.state(s(1)), BreakerState::Open);
        assert_eq!(breaker.admit(s(4)).unwrap_err(), s(7));

        assert_eq!(breaker.state(s(11)), BreakerState::HalfOpen);
        let probe = breaker.admit(s(11)).unwrap();
        assert!(breaker.admit(s(11)).is_err(), "only one request tries");
        breaker.settle(probe, Verdict::Healthy, s(12));
        assert_eq!(breaker.state(s(12)), BreakerState::Closed);
        run(&mut breaker, s(12), Verdict::Healthy);
    }

    #[test]
    fn a_failed_probe_opens_it_again_and_a_lost_one_does_not_block_it() {
        let mut breaker = Breaker::new(Settings { failures: 1, open: s(10) });
        run(&mut breaker, s(0), Verdict::Failed);
        run(&mut breaker, s(10), Verdict::Failed);
        assert_eq!(breaker.state(s(19)), BreakerState::Open);
        run(&mut breaker, s(20), Verdict::Abandoned);
        run(&mut breaker, s(20), Verdict::Healthy);
        assert_eq!(breaker.state(s(20)), BreakerState::Closed);
    }

    #[test]
    fn late_answers_of_an_earlier_phase_change_nothing() {
        let mut breaker = Breaker::new(Settings { failures: 1, open: s(10) });
        let (slow, fast) = (breaker.admit(s(0)).unwrap(), breaker.admit(s(0)).unwrap());
        breaker.settle(fast, Verdict::Failed, s(1));
        breaker.settle(slow, Verdict::Healthy, s(2));
        assert_eq!(breaker.state(s(2)), BreakerState::Open);
    }
}
