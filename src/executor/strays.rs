//! Notifications that came before their order knew how its provider calls it.
//!
//! They are not acknowledged, so that their sender keeps them and sends them again; but not for ever, since others may use
//! the same account of a provider, and their notifications never find an order here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::types::Timestamp;

/// How long a notification is sent back to its sender.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// More strangers than these are acknowledged at once.
const KNOWN_MAX: usize = 10_000;

/// When each was first seen, by its connector and id. Kept in memory alone: after a restart their patience begins anew.
#[derive(Debug, Default)]
pub(super) struct Strays(Mutex<BTreeMap<String, Timestamp>>);

impl Strays {
    /// Whether it may still find its order later.
    pub(super) fn may_wait(&self, id: &str, now: Timestamp) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = known.get(id) {
            return now.since(*first) < PATIENCE;
        }
        if known.len() >= KNOWN_MAX {
            known.retain(|_, first| now.since(*first) < PATIENCE);
        }
        if known.len() >= KNOWN_MAX {
            return false;
        }
        known.insert(id.to_owned(), now);
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
        assert!(strays.may_wait("a", at(0)) && strays.may_wait("a", at(899)) && !strays.may_wait("a", at(900)));
        strays.found("a");
        assert!(strays.may_wait("a", at(2_000)));
        for nth in 1..KNOWN_MAX {
            assert!(strays.may_wait(&nth.to_string(), at(2_000)));
        }
        assert!(!strays.may_wait("one more", at(2_001)));
        assert!(strays.may_wait("one more", at(3_000)), "the patience with the others is over");
    }
}
