//! What orders were given and may not be written down. It is in memory for a while, and gone after a restart.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Map;

use crate::connector::{Hidden, Invocation};
use crate::definition::put_back;
use crate::types::{OrderId, Secret, Timestamp, Value};

/// A card's number is not kept for longer than a customer takes to confirm.
const KEPT_FOR: Duration = Duration::from_secs(3_600);
const ORDERS_MAX: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Kept {
    /// How many there are, so that nobody asks in vain where no workflow has any.
    count: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_order: HashMap<OrderId, Arc<Map<String, Value>>>,
    /// Oldest first. One that has ended may still be in it.
    since: VecDeque<(Timestamp, OrderId)>,
}

impl Kept {
    pub(super) fn keep(&self, order: OrderId, taken: Map<String, Value>, now: Timestamp) {
        if taken.is_empty() {
            return;
        }
        let mut inner = self.inner();
        inner.sweep(now);
        inner.by_order.insert(order, Arc::new(taken));
        inner.since.push_back((now, order));
        self.count.store(inner.by_order.len(), Ordering::Release);
    }

    /// Gives an order again what a restart may have forgotten. False: what it has is something else.
    pub(super) fn keep_again(&self, order: OrderId, taken: Map<String, Value>, now: Timestamp) -> bool {
        let known = self.inner().by_order.get(&order).cloned();
        match known {
            Some(known) => *known == taken,
            // Nothing is kept of a workflow that has none of it.
            None => {
                self.keep(order, taken, now);
                true
            }
        }
    }

    pub(super) fn forget(&self, order: OrderId) {
        if self.count.load(Ordering::Acquire) > 0 {
            let mut inner = self.inner();
            inner.by_order.remove(&order);
            self.count.store(inner.by_order.len(), Ordering::Release);
        }
    }

    /// Gives a call what it carries marks of. Its arguments stay as they are written down.
    pub(super) fn reveal(&self, invocation: &mut Invocation, now: Timestamp) {
        if !matches!(invocation.hidden, Hidden::Gone) {
            return;
        }
        let mut inner = self.inner();
        inner.sweep(now);
        if let Some(taken) = inner.by_order.get(&invocation.order)
            && let Some(with) = put_back(&invocation.with, taken)
        {
            let values = taken.values().flat_map(texts).map(Secret::new).collect();
            invocation.hidden = Hidden::There { with: Arc::new(with), values };
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn sweep(&mut self, now: Timestamp) {
        while let Some(&(since, order)) = self.since.front()
            && (now.since(since) > KEPT_FOR || self.since.len() >= ORDERS_MAX)
        {
            self.since.pop_front();
            self.by_order.remove(&order);
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("orders", &self.by_order.len()).finish_non_exhaustive()
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) => Vec::new(),
    }
}
