//! How much of a provider is used at once: requests under way, requests in a second, and none while it is down.
//!
//! **Invariant.** Nothing was sent when the gate refuses, and waiting at it ends with the deadline of the call.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::DefaultDirectRateLimiter;
use governor::clock::{Clock, DefaultClock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use super::breaker::{Breaker, BreakerState, Pass, Verdict};
use crate::definition::Limits;

/// What every request to one provider passes.
#[derive(Debug)]
pub(super) struct Gate {
    permits: Arc<Semaphore>,
    capacity: u32,
    rate: Option<DefaultDirectRateLimiter>,
    breaker: Mutex<Breaker>,
    origin: Instant,
}

/// Why a request may not go. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub reason: &'static str,
    pub retry_after: Option<Duration>,
}

/// What metrics and a dashboard show of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct GateStatus {
    pub breaker: BreakerState,
    pub under_way: u32,
    pub capacity: u32,
}

/// One request inside the gate. Dropped without a verdict, as when the call is cancelled, it counts as abandoned.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    gate: &'a Gate,
    pass: Option<Pass>,
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    pub(super) fn new(limits: &Limits) -> Self {
        let capacity = limits.concurrency.clamp(1, 1 << 20);
        Self {
            permits: Arc::new(Semaphore::new(capacity as usize)),
            capacity,
            rate: limits
                .rate_per_second
                .and_then(NonZeroU32::new)
                .map(|rate| DefaultDirectRateLimiter::direct(quota(rate))),
            breaker: Mutex::new(Breaker::new(limits.breaker)),
            origin: Instant::now(),
        }
    }

    /// Waits for a turn, until `deadline` at most. An open breaker refuses at once.
    pub(super) async fn enter(&self, deadline: Instant) -> Result<Entry<'_>, Refused> {
        if let Some(wait) = self.breaker().refuses(self.now()) {
            return Err(Refused::breaker(wait));
        }
        self.wait_for_rate(deadline).await?;
        let permit = timeout_at(deadline, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| Refused { reason: "no free connection before the deadline", retry_after: None })?
            .map_err(|_| Refused { reason: "shutting down", retry_after: None })?;
        // Asked last: a probe that had to wait for its turn would keep the breaker half-open for nothing.
        let pass = self.breaker().admit(self.now()).map_err(Refused::breaker)?;
        Ok(Entry { gate: self, pass: Some(pass), _permit: permit })
    }

    pub(super) fn status(&self) -> GateStatus {
        let free = u32::try_from(self.permits.available_permits()).unwrap_or(u32::MAX);
        GateStatus {
            breaker: self.breaker().state(self.now()),
            under_way: self.capacity.saturating_sub(free),
            capacity: self.capacity,
        }
    }

    async fn wait_for_rate(&self, deadline: Instant) -> Result<(), Refused> {
        let Some(rate) = &self.rate else { return Ok(()) };
        while let Err(not_yet) = rate.check() {
            let wait = not_yet.wait_time_from(DefaultClock::default().now()).max(Duration::from_millis(1));
            if Instant::now() + wait >= deadline {
                return Err(Refused { reason: "the rate limit leaves no time before the deadline", retry_after: None });
            }
            sleep(wait).await;
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry<'_> {
    pub(super) fn settle(mut self, verdict: Verdict) {
        self.finish(verdict);
    }

    fn finish(&mut self, verdict: Verdict) {
        if let Some(pass) = self.pass.take() {
            self.gate.breaker().settle(pass, verdict, self.gate.now());
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.finish(Verdict::Abandoned);
    }
}

impl Refused {
    fn breaker(wait: Duration) -> Self {
        Self { reason: "the circuit breaker is open", retry_after: Some(wait) }
    }
}

/// Evenly spread, but for as many as fall into the clock's grain: providers count the requests of any second, and a
/// bucket of a second's worth that refills meanwhile would let twice as many through.
fn quota(rate: NonZeroU32) -> governor::Quota {
    let at_once = NonZeroU32::new(rate.get() / 50).unwrap_or(NonZeroU32::MIN);
    governor::Quota::per_second(rate).allow_burst(at_once)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(concurrency: u32, rate_per_second: Option<u32>) -> Limits {
        let breaker = crate::definition::Breaker { failures: 1, open: Duration::from_millis(60) };
        Limits { concurrency, rate_per_second, breaker, body_max: 1 << 20 }
    }

    fn soon(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    #[tokio::test]
    async fn waiting_for_a_turn_ends_with_the_deadline() {
        let gate = Gate::new(&limits(1, None));
        let first = gate.enter(soon(1_000)).await.unwrap();
        assert_eq!(gate.status().under_way, 1);
        let started = Instant::now();
        let refused = gate.enter(soon(250)).await.unwrap_err();
        assert_eq!(refused.reason, "no free connection before the deadline");
        assert!((Duration::from_millis(250)..Duration::from_millis(900)).contains(&started.elapsed()));
        drop(first);
        gate.enter(soon(250)).await.unwrap().settle(Verdict::Healthy);
        assert_eq!(gate.status().under_way, 0);
    }

    #[tokio::test]
    async fn an_open_breaker_refuses_without_waiting_and_a_cancelled_probe_is_given_back() {
        let gate = Gate::new(&limits(4, None));
        gate.enter(soon(100)).await.unwrap().settle(Verdict::Failed);
        let refused = gate.enter(soon(60_000)).await.unwrap_err();
        assert_eq!(refused.reason, "the circuit breaker is open");
        assert!(refused.retry_after.is_some_and(|wait| wait <= Duration::from_millis(60)));
        sleep(Duration::from_millis(70)).await;
        drop(gate.enter(soon(100)).await.unwrap());
        gate.enter(soon(100)).await.unwrap().settle(Verdict::Healthy);
        assert_eq!(gate.status().breaker, BreakerState::Closed);
    }

    #[tokio::test]
    async fn the_rate_refuses_what_cannot_go_in_time() {
        let gate = Gate::new(&limits(100, Some(5)));
        gate.enter(soon(1)).await.unwrap().settle(Verdict::Healthy);
        assert!(gate.enter(soon(20)).await.is_err());
        let started = Instant::now();
        gate.enter(soon(2_000)).await.unwrap().settle(Verdict::Healthy);
        assert!(started.elapsed() > Duration::from_millis(100));
    }

    /// By the limiter's own clock, which nobody waits for.
    #[test]
    fn no_second_has_more_than_the_rate_and_what_is_at_once() {
        for (rate, at_once) in [(1, 1), (20, 1), (99, 1), (100, 2), (5_000, 100)] {
            let clock = governor::clock::FakeRelativeClock::default();
            let limiter =
                governor::RateLimiter::direct_with_clock(quota(NonZeroU32::new(rate).unwrap()), clock.clone());
            let mut let_through = 0;
            for _ in 0..10_000 {
                while limiter.check().is_ok() {
                    let_through += 1;
                }
                clock.advance(Duration::from_micros(100));
            }
            assert!((rate..=rate + at_once).contains(&let_through), "{rate}/s: {let_through}");
        }
    }
}
