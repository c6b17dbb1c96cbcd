//! How far the sandbox's time was moved ahead. It stays so over a restart: a hold that is over, and a file of a clearing day
//! that has ended, do not come to life again.

use std::time::Duration;

use super::Gateway;
use super::tables::{TableError, Tables};
use crate::sandbox::clock::Clock;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TimeError {
    #[error("the sandbox's time cannot be moved more than a hundred years ahead in all")]
    TooFar,
    #[error(transparent)]
    Table(#[from] TableError),
}

const CLOCK: &str = "clock";
const AHEAD: &str = "ahead_ms";
/// Dates stay dates that everybody can read.
const AHEAD_MAX_MS: i64 = 100 * 365 * 24 * 3_600_000;

/// Writes the move down, then moves.
pub(crate) fn advance(gateway: &Gateway, by: Duration) -> Result<(), TimeError> {
    gateway.tables.claim(CLOCK, AHEAD, &0_i64)?;
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    let mut moved = None;
    gateway.tables.update(CLOCK, AHEAD, |ahead: &mut i64| {
        moved = ahead.checked_add(by).filter(|ahead| *ahead <= AHEAD_MAX_MS);
        *ahead = moved.unwrap_or(*ahead);
        moved.is_some()
    })?;
    gateway.clock.move_ahead(moved.ok_or(TimeError::TooFar)?);
    Ok(())
}

/// The time goes on where it was before the process ended.
pub(crate) fn take_up(tables: &Tables, clock: &Clock) {
    clock.move_ahead(tables.get(CLOCK, AHEAD).unwrap_or(0));
}
