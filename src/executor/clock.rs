//! The wall clock, sleeping, and the making of ids: the only file of the product that asks the machine for any of them.

use async_trait::async_trait;

use crate::types::{OrderId, Timestamp};

/// Time as the executor sees it. A test passes its own.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;

    /// Returns when `now` has reached `at`, or earlier: the caller looks at the clock again.
    async fn sleep_until(&self, at: Timestamp);

    /// An id that was never used before, sorted by `now`.
    fn order_id(&self) -> OrderId;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// The longest sleep at once: after it the wall clock is read again, so that a clock that was set takes effect.
const NAP_MAX: std::time::Duration = std::time::Duration::from_secs(1);

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    async fn sleep_until(&self, at: Timestamp) {
        let wait = at.since(self.now()).min(NAP_MAX);
        tokio::time::sleep(wait).await;
    }

    fn order_id(&self) -> OrderId {
        OrderId::from_bytes(*uuid::Uuid::now_v7().as_bytes())
    }
}

/// A moment for measuring how long something took.
pub fn instant() -> std::time::Instant {
    std::time::Instant::now()
}

/// Waits in real time, for servers that give something a while to end.
pub async fn pause(duration: std::time::Duration) {
    tokio::time::sleep(duration).await;
}

/// 128 random bits as text, for the ids of events that their sender did not name.
pub fn random_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}
