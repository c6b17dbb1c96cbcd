//! The sandbox's own clock: the wall clock, and how far tests have moved it ahead. Ids and randomness come from here too.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::types::Timestamp;

/// Which day an entry is cleared on: a number that moves on at 23:00 in Shanghai.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClearingDay(pub i64);

impl ClearingDay {
    /// The day that ends at 23:00 on this date in Shanghai, such as `2026-03-01`.
    pub fn of_date(date: &str) -> Option<Self> {
        let midnight: Timestamp = (date.len() == 10).then(|| format!("{date}T00:00:00Z").parse().ok())??;
        Some(Self(midnight.unix_ms().div_euclid(DAY_MS)))
    }

    pub fn date(self) -> String {
        let mut text = Timestamp::from_unix_ms(self.0.saturating_mul(DAY_MS)).to_string();
        text.truncate(10);
        text
    }
}

#[derive(Debug, Default)]
pub struct Clock {
    ahead_ms: AtomicI64,
}

/// 23:00 in Shanghai (UTC+8) is nine hours before midnight in UTC.
const CUT_OFF_MS: i64 = 9 * 3_600_000;
const DAY_MS: i64 = 24 * 3_600_000;

impl Clock {
    pub fn now(&self) -> Timestamp {
        let ms = self.wall().unix_ms();
        Timestamp::from_unix_ms(ms.saturating_add(self.ahead_ms.load(Ordering::Relaxed)))
    }

    /// The time that everybody else has: signatures of notifications are dated with it.
    pub fn wall(&self) -> Timestamp {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX))
    }

    /// Moves the sandbox's time forward, until it is so far ahead of the wall. It never goes back: holds would come to
    /// life again.
    pub fn move_ahead(&self, to_ms: i64) {
        self.ahead_ms.fetch_max(to_ms, Ordering::Relaxed);
    }

    pub fn clearing_day(&self) -> ClearingDay {
        clearing_day(self.now())
    }
}

pub(super) fn clearing_day(at: Timestamp) -> ClearingDay {
    ClearingDay((at.unix_ms() + CUT_OFF_MS).div_euclid(DAY_MS))
}

/// Waits in real time: for faults that are slow on purpose.
pub(super) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// A new id such as `op_5v1q…`.
pub(super) fn fresh_id(prefix: &str) -> String {
    format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 12]>()))
}

/// A new bearer secret.
pub(super) fn fresh_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// A new secret in the form of the Standard Webhooks specification.
pub(super) fn fresh_webhook_secret() -> String {
    format!("whsec_{}", STANDARD.encode(rand::random::<[u8; 24]>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clearing_day_ends_at_eleven_in_the_evening_in_shanghai() {
        let before: Timestamp = "2026-03-01T14:59:59Z".parse().unwrap();
        let after: Timestamp = "2026-03-01T15:00:00Z".parse().unwrap();
        assert_eq!(clearing_day(before).0 + 1, clearing_day(after).0);
        assert_eq!(clearing_day(before).date(), "2026-03-01");
        assert_eq!(ClearingDay::of_date("2026-03-01"), Some(clearing_day(before)));
        assert_eq!(ClearingDay::of_date("2026-3-1"), None);
    }
}
