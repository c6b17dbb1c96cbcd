//! Time that goes a thousand times as fast, so that schedules of hours can be waited for.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use paystate::executor::{Clock, SystemClock};
use paystate::types::{OrderId, Timestamp};

const TIMES: u32 = 1_000;

pub(super) struct FastClock {
    begun: Instant,
    at: Timestamp,
}

impl FastClock {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), at: SystemClock.now() }
    }
}

#[async_trait]
impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        self.at.plus(self.begun.elapsed() * TIMES)
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
