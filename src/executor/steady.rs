//! Time that goes on whatever happens to the wall clock.
//!
//! **Invariant.** Of two readings the later one is never smaller, and a stretch of `t` is told as one between 15/16 and
//! 17/16 of `t`: a timer fires neither at once nor never because somebody has set the clock. The one exception is a
//! start on a clock that was behind the journal: it becomes right in one step, forward, when that clock is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::clock::{Clock, Ids, Machine, Readings, nap, timestamp};
use crate::types::{OrderId, Timestamp};

/// The clock of an executor: begins with the wall clock, goes on with the machine's steady one, and approaches the wall
/// clock slowly where the two come apart.
#[derive(Debug)]
pub struct SteadyClock<R = Machine> {
    readings: R,
    time: Mutex<Time>,
    ids: Ids,
}

/// By which part of the time that passes a difference is made smaller.
const BEND: u32 = 16;
/// Differences beyond this are not followed: nobody knows what that clock shows.
const FOLLOW_MAX: Duration = Duration::from_secs(86_400);
/// How far ahead of the journal's last entry a start believes the wall clock without being told to.
pub(super) const AHEAD_MAX: Duration = Duration::from_secs(90 * 86_400);
/// Differences that are said. The synchronisation of clocks makes smaller ones every day.
const SAID_MIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Time {
    /// The time that is told, since 1970.
    told: Duration,
    /// What had passed when it was told.
    passed: Duration,
    /// The wall clock was behind what is known to have been, and has not yet caught up.
    behind: bool,
    /// How far the wall clock was from what is told, when that was said last.
    said: Option<Difference>,
}

/// How far the wall clock is from the time that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Difference {
    by: Duration,
    ahead: bool,
}

impl SteadyClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self::of(Machine::default())
    }
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Readings> SteadyClock<R> {
    /// A clock on other readings than those of the machine.
    pub fn of(readings: R) -> Self {
        let time = Time { told: readings.wall(), passed: readings.passed(), behind: false, said: None };
        Self { readings, time: Mutex::new(time), ids: Ids::default() }
    }

    fn tell(&self) -> Duration {
        let mut time = self.time();
        // Read with the lock held: whoever comes later sees a later reading.
        let (wall, passed) = (self.readings.wall(), self.readings.passed());
        time.go_on(wall, passed);
        time.told
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<R: Readings> Clock for SteadyClock<R> {
    fn now(&self) -> Timestamp {
        timestamp(self.tell())
    }

    fn wall(&self) -> Timestamp {
        timestamp(self.readings.wall())
    }

    fn not_before(&self, at: Timestamp) {
        let at = Duration::from_millis(u64::try_from(at.unix_ms()).unwrap_or(0));
        let mut time = self.time();
        if time.told < at {
            // An id of that very millisecond may be greater than the next one would be.
            time.told = at + Duration::from_millis(1);
            time.behind = true;
        }
    }

    async fn sleep_until(&self, at: Timestamp) {
        nap(at.since(self.now())).await;
    }

    fn order_id(&self) -> OrderId {
        self.ids.make(self.tell())
    }
}

impl Time {
    fn go_on(&mut self, wall: Duration, passed: Duration) {
        let by = passed.saturating_sub(self.passed);
        self.passed = self.passed.max(passed);
        self.told = self.told.saturating_add(by);
        let off = Difference::new(wall, self.told);
        if self.behind && off.ahead && off.by <= AHEAD_MAX {
            tracing::warn!(
                "the machine's clock is no longer behind the last entry of the journal: it is believed again"
            );
            (self.told, self.behind, self.said) = (wall, false, None);
            return;
        }
        if off.by <= FOLLOW_MAX {
            let step = off.by.min(by / BEND);
            self.told = if off.ahead { self.told.saturating_add(step) } else { self.told.saturating_sub(step) };
        }
        self.say(Difference::new(wall, self.told));
    }

    /// Says that the wall clock differs, when it begins to and when it has become much more or less.
    fn say(&mut self, off: Difference) {
        let seconds = off.by.as_secs();
        match self.said {
            Some(_) if off.by < SAID_MIN / 2 => {
                tracing::warn!("the machine's clock agrees again with the time that has passed");
                self.said = None;
            }
            Some(said) if said.ahead == off.ahead && off.by / 2 < said.by && said.by / 2 < off.by => {}
            None if off.by < SAID_MIN => {}
            _ => {
                let side = if off.ahead { "ahead of" } else { "behind" };
                tracing::error!(
                    seconds,
                    "the machine's clock is {side} the time that has passed since the start: somebody has set it, or it \
                     does not run. Timers go on with the time that passes, and approach it slowly if it is less than a \
                     day; to believe it at once, restart the daemon"
                );
                self.said = Some(off);
            }
        }
    }
}

impl Difference {
    fn new(wall: Duration, told: Duration) -> Self {
        Self { by: wall.abs_diff(told), ahead: wall > told }
    }
}
