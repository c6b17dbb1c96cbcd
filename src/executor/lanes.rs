//! Calls that wait for their turn at a provider. One that waits is a few words here: it has no task and no request yet,
//! and its order need not be in memory.

use std::collections::{HashMap, VecDeque};

use crate::types::{Attempt, CallId, ConnectorName, OrderId, Timestamp};

/// A call that has not been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) order: OrderId,
    pub(super) call: CallId,
    pub(super) attempt: Attempt,
    /// Set for an inquiry.
    pub(super) inquiry: Option<Attempt>,
    /// When it is too late: then it was not sent, for certain.
    pub(super) until: Timestamp,
}

/// By provider.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<ConnectorName, Lane>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Lane {
    under_way: usize,
    capacity: usize,
    waiting: VecDeque<Turn>,
}

/// What is to be done with a call whose wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Send(Turn),
    TooLate(Turn),
}

impl Lanes {
    /// Takes a place under way, if there is one.
    pub(super) fn enter(&mut self, connector: &ConnectorName, capacity: usize) -> bool {
        if !self.lanes.contains_key(connector) {
            self.lanes.insert(connector.clone(), Lane::default());
        }
        let Some(lane) = self.lanes.get_mut(connector) else { return true };
        // A newer version of a connector may allow more or less.
        lane.capacity = capacity.max(1);
        let enters = lane.under_way < lane.capacity;
        lane.under_way += usize::from(enters);
        enters
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self, connector: &ConnectorName) {
        if let Some(lane) = self.lanes.get_mut(connector) {
            lane.under_way = lane.under_way.saturating_sub(1);
        }
    }

    pub(super) fn wait(&mut self, connector: &ConnectorName, turn: Turn) {
        if let Some(lane) = self.lanes.get_mut(connector) {
            lane.waiting.push_back(turn);
            self.waiting += 1;
        }
    }

    /// A call whose wait is over, if there is one: there is room for it, or it is too late.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Over> {
        if self.waiting == 0 {
            return None;
        }
        let lane = self.lanes.values_mut().find(|lane| {
            lane.waiting.front().is_some_and(|turn| turn.until <= now || lane.under_way < lane.capacity)
        })?;
        let turn = lane.waiting.pop_front()?;
        self.waiting -= 1;
        Some(if turn.until <= now { Over::TooLate(turn) } else { Over::Send(turn) })
    }

    /// When the first of those that wait has waited long enough, as far as can be told at once.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.lanes.values().filter_map(|lane| lane.waiting.front()).map(|turn| turn.until).min()
    }

    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(order: u8, now: i64) -> Turn {
        let until = Timestamp::from_unix_ms(now + 300_000);
        Turn { order: OrderId::from_bytes([order; 16]), call: CallId(1), attempt: Attempt(1), inquiry: None, until }
    }

    #[test]
    fn turns_come_in_their_order_as_places_become_free_and_not_later_than_they_may() {
        let mut lanes = Lanes::default();
        let (slow, fast) = (ConnectorName::from("slow"), ConnectorName::from("fast"));
        let at = Timestamp::from_unix_ms;
        assert!(lanes.enter(&slow, 2) && lanes.enter(&slow, 2) && !lanes.enter(&slow, 2));
        for n in 1..=4 {
            lanes.wait(&slow, turn(n, i64::from(n)));
        }
        assert!(lanes.enter(&fast, 1), "another provider has a lane of its own");
        assert_eq!(lanes.next(at(5)), None);
        lanes.leave(&slow);
        assert_eq!(lanes.next(at(5)), Some(Over::Send(turn(1, 1))));
        assert!(lanes.enter(&slow, 2));
        assert_eq!((lanes.next(at(5)), lanes.waiting()), (None, 3));
        assert_eq!(lanes.next_due(), Some(at(300_002)));
        assert_eq!(lanes.next(at(300_002)), Some(Over::TooLate(turn(2, 2))));
        assert_eq!(lanes.next(at(300_002)), None);
    }
}
