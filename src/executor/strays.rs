//! Notifications that came before their order knew how its provider calls it.
//!
//! They are not acknowledged, so that their sender keeps them and sends them again; but not for ever, since others may use
//! the same account of a provider, and their notifications never find an order here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::types::Timestamp;

/// More strangers than these are acknowledged at once.
const KNOWN_MAX: usize = 10_000;

/// Until when each may wait, by its connector and id. Kept in memory alone: after a restart their patience begins anew.
#[derive(Debug, Default)]
pub(super) struct Strays(Mutex<BTreeMap<String, Timestamp>>);

impl Strays {
    /// Whether it may still find its order later. `came`: when it came this time; `patience`: how long it may wait from the
    /// first time on.
    pub(super) fn may_wait(&self, id: &str, came: Timestamp, now: Timestamp, patience: Duration) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = known.get(id) {
            return now < *until;
        }
        if known.len() >= KNOWN_MAX {
            known.retain(|_, until| now < *until);
        }
        let until = came.plus(patience);
        if known.len() >= KNOWN_MAX || now >= until {
            return false;
        }
        known.insert(id.to_owned(), until);
        true
    }

    pub(super) fn found(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_sent_back_for_a_while_and_there_are_not_too_many() {
        let (strays, at) = (Strays::default(), |seconds: i64| Timestamp::from_unix_ms(seconds * 1_000));
        let may_wait = |id: &str, now| strays.may_wait(id, at(now), at(now + 3), Duration::from_secs(900));
        assert!(may_wait("a", 0) && may_wait("a", 896) && !may_wait("a", 897));
        strays.found("a");
        assert!(may_wait("a", 2_000));
        assert!(!strays.may_wait("b", at(0), at(3), Duration::from_secs(1)), "it has waited long enough already");
        for nth in 1..KNOWN_MAX {
            assert!(may_wait(&nth.to_string(), 2_000));
        }
        assert!(!may_wait("one more", 2_001));
        assert!(may_wait("one more", 3_000), "the patience with the others is over");
    }
}
