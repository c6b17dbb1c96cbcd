//! Places on the way back through long journals: a page far from the end of one is found without going all the way.

use std::collections::{BTreeMap, VecDeque};

use crate::types::{OrderId, Position};

/// Entries from one place to the next.
pub(super) const STEP: u64 = 256;
/// Orders whose places are remembered.
const ORDERS_MAX: usize = 64;

/// Entries never move in a journal that is open, so that what is here stays true. A restart forgets it.
#[derive(Debug, Default)]
pub(super) struct Waypoints {
    orders: BTreeMap<OrderId, BTreeMap<u64, Position>>,
    /// In the order in which they came.
    known: VecDeque<OrderId>,
}

impl Waypoints {
    /// The place nearest behind the entry of this number: the number of the entry there, and where it is.
    pub(super) fn behind(&self, order: OrderId, seq: u64) -> Option<(u64, Position)> {
        self.orders.get(&order)?.range(seq..).next().map(|(&seq, &position)| (seq, position))
    }

    /// Remembers where the entry of this number is, if that is a place to remember.
    pub(super) fn pass(&mut self, order: OrderId, seq: u64, position: Position) {
        if !seq.is_multiple_of(STEP) {
            return;
        }
        if !self.orders.contains_key(&order) {
            if self.known.len() >= ORDERS_MAX
                && let Some(oldest) = self.known.pop_front()
            {
                self.orders.remove(&oldest);
            }
            self.known.push_back(order);
        }
        self.orders.entry(order).or_default().insert(seq, position);
    }
}
