//! The machine's clocks, sleeping, and the making of ids: the only file of the product that asks the machine for any of them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use uuid::{ContextV7, Uuid};

use crate::types::{OrderId, Timestamp};

/// Time as the executor sees it. A test passes its own.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;

    /// What the wall clock of the machine says, by which others date what they send. It may be set at any moment.
    fn wall(&self) -> Timestamp {
        self.now()
    }

    /// Time was at least this once: `now` is never before it from here on.
    fn not_before(&self, _at: Timestamp) {}

    /// Returns when `now` has reached `at`, or earlier: the caller looks at the clock again.
    async fn sleep_until(&self, at: Timestamp);

    /// An id that was never used before, sorted by `now`.
    fn order_id(&self) -> OrderId;
}

/// The machine's wall clock, which somebody may set at any moment. For what is dated for others, and for tools; an
/// executor is given a `SteadyClock`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// The longest sleep at once: after it the clock is read again, so that what the machine slept meanwhile takes effect.
const NAP_MAX: Duration = Duration::from_secs(1);

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        timestamp(since_1970())
    }

    async fn sleep_until(&self, at: Timestamp) {
        nap(at.since(self.now())).await;
    }

    fn order_id(&self) -> OrderId {
        OrderId::from_bytes(*Uuid::now_v7().as_bytes())
    }
}

/// What the clocks of a machine say. A test passes its own.
pub trait Readings: Send + Sync + 'static {
    /// The wall clock: time since 1970. It may be set, stand still, run back.
    fn wall(&self) -> Duration;

    /// Time that has passed since some fixed moment, with the time that the machine slept. It only goes on.
    fn passed(&self) -> Duration;
}

/// The clocks of this machine.
#[derive(Debug)]
pub struct Machine {
    origin: Instant,
    sleep: Mutex<Sleep>,
}

/// How long the machine slept: the one kind of clock goes on meanwhile, the other one does not.
#[derive(Debug)]
struct Sleep {
    /// What the machine's uptime was at the origin. None where the system does not tell it.
    uptime: Option<Duration>,
    /// When that was looked at last.
    looked: Duration,
    slept: Duration,
}

/// The uptime is told in hundredths of a second, and less often is enough.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const SLEEP_MIN: Duration = Duration::from_secs(1);

impl Default for Machine {
    fn default() -> Self {
        let sleep = Sleep { uptime: uptime(), looked: Duration::ZERO, slept: Duration::ZERO };
        Self { origin: Instant::now(), sleep: Mutex::new(sleep) }
    }
}

impl Readings for Machine {
    fn wall(&self) -> Duration {
        since_1970()
    }

    fn passed(&self) -> Duration {
        let awake = self.origin.elapsed();
        let mut sleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        if awake.saturating_sub(sleep.looked) >= LOOK_EVERY {
            sleep.looked = awake;
            sleep.look(awake, uptime());
        }
        awake.saturating_add(sleep.slept)
    }
}

impl Sleep {
    fn look(&mut self, awake: Duration, uptime: Option<Duration>) {
        let (Some(begun), Some(now)) = (self.uptime, uptime) else { return };
        let slept = now.saturating_sub(begun).saturating_sub(awake);
        if slept > self.slept.saturating_add(SLEEP_MIN) {
            let seconds = slept.saturating_sub(self.slept).as_secs();
            tracing::warn!(seconds, "the machine was asleep: what was due meanwhile is due now");
            self.slept = slept;
        }
    }
}

/// How long the machine has been up, asleep or not (`CLOCK_BOOTTIME`), where there is Linux's `/proc`.
fn uptime() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

pub(super) fn timestamp(since_1970: Duration) -> Timestamp {
    Timestamp::from_unix_ms(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

/// Makes ids that are sorted by the times that it is given, as long as these do not go back.
#[derive(Debug)]
pub(super) struct Ids(Mutex<ContextV7>);

impl Default for Ids {
    fn default() -> Self {
        Self(Mutex::new(ContextV7::new()))
    }
}

impl Ids {
    pub(super) fn make(&self, since_1970: Duration) -> OrderId {
        let at = uuid::Timestamp::from_unix(&self.0, since_1970.as_secs(), since_1970.subsec_nanos());
        OrderId::from_bytes(*Uuid::new_v7(at).as_bytes())
    }
}

/// Sleeps for a while, at most as long as a clock may go unread.
pub(super) async fn nap(wait: Duration) {
    tokio::time::sleep(wait.min(NAP_MAX)).await;
}

/// A moment for measuring how long something took.
pub fn instant() -> Instant {
    Instant::now()
}

/// Waits in real time, for servers that give something a while to end.
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// 128 random bits as text, for the ids of events that their sender did not name.
pub fn random_id() -> String {
    Uuid::now_v7().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_asleep_counts_once_and_the_grain_of_the_uptime_does_not() {
        let s = Duration::from_secs;
        let mut sleep = Sleep { uptime: Some(s(500)), looked: s(0), slept: s(0) };
        for (awake, uptime, slept) in
            [(10, 510, 0), (20, 521, 0), (21, 4_121, 3_600), (30, 4_130, 3_600), (31, 5_131, 4_600), (40, 5_130, 4_600)]
        {
            sleep.look(s(awake), Some(s(uptime)));
            assert_eq!(sleep.slept, s(slept), "awake for {awake} s");
        }
        sleep.look(s(50), None);
        assert_eq!(sleep.slept, s(4_600));
    }

    #[test]
    fn the_machine_goes_on() {
        let machine = Machine::default();
        let first = machine.passed();
        assert!(machine.passed() >= first);
        assert!(machine.wall() > Duration::from_secs(1_700_000_000));
    }
}
