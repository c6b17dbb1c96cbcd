//! Idempotency keys whose first request is still being worked on.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Keys {
    in_flight: Mutex<HashSet<String>>,
}

/// Holds a key until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    keys: Arc<Keys>,
    key: String,
}

impl Keys {
    /// Takes a key, unless somebody else holds it.
    pub(super) fn take(self: &Arc<Self>, key: &str) -> Option<Held> {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.insert(key.to_owned()).then(|| Held { keys: Arc::clone(self), key: key.to_owned() })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keys.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
