//! Time that goes a thousand times as fast, so that schedules of hours can be waited for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use paystate::executor::{Clock, SystemClock};
use paystate::types::{OrderId, Timestamp};

const TIMES: u32 = 1_000;

pub(super) struct FastClock {
    begun: Instant,
    at: Timestamp,
    /// Milliseconds that nobody waited for.
    leapt: AtomicU64,
}

impl FastClock {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), at: SystemClock.now(), leapt: AtomicU64::new(0) }
    }

    pub(super) fn leap(&self, time: Duration) {
        self.leapt.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::AcqRel);
    }
}

#[async_trait]
impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        self.at.plus(self.begun.elapsed() * TIMES + Duration::from_millis(self.leapt.load(Ordering::Acquire)))
    }

    /// What providers date their notifications by.
    fn wall(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        let wait = at.since(self.now()) / TIMES;
        tokio::time::sleep(wait.clamp(Duration::from_micros(100), Duration::from_millis(50))).await;
    }

    fn order_id(&self) -> OrderId {
        SystemClock.order_id()
    }
}
