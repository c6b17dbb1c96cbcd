//! Calls that wait for their turn at a provider. One that waits is a few words here: it has no task and no request yet,
//! and its order need not be in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::types::{Attempt, CallId, ConnectorName, OrderId, Pause, Timestamp};

/// A call that has not been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) order: OrderId,
    pub(super) call: CallId,
    pub(super) attempt: Attempt,
    /// Set for an inquiry.
    pub(super) inquiry: Option<Attempt>,
    /// It belongs to a call that may have happened already: an inquiry, or a repeat.
    pub(super) doubtful: bool,
    /// When it is too late: then it was not sent, for certain.
    pub(super) until: Timestamp,
    /// When it is too late however long the provider was paused.
    pub(super) deadline: Option<Timestamp>,
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
    opening: Opening,
    /// What may have happened already goes first: it is what is not known.
    doubtful: Queue,
    fresh: Queue,
}

/// Turns in their order, and those with a deadline also in the order of that.
#[derive(Debug, Default)]
struct Queue {
    came: u64,
    turns: BTreeMap<u64, Turn>,
    dated: BTreeSet<(Timestamp, u64)>,
}

/// What a provider is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Opening {
    #[default]
    All,
    /// Only what belongs to a call that may have happened already.
    Doubtful,
    Nothing,
}

impl Opening {
    pub(super) const fn of(pause: Option<&Pause>) -> Self {
        match pause {
            None => Self::All,
            Some(Pause { drain: true, .. }) => Self::Doubtful,
            Some(Pause { drain: false, .. }) => Self::Nothing,
        }
    }

    const fn lets(self, doubtful: bool) -> bool {
        match self {
            Self::All => true,
            Self::Doubtful => doubtful,
            Self::Nothing => false,
        }
    }
}

/// What one loop has at a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub under_way: usize,
    pub waiting: usize,
}

/// What is to be done with a call whose wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Send(Turn),
    TooLate(Turn),
}

impl Lanes {
    pub(super) fn drains(&self, connector: &ConnectorName) -> bool {
        self.lanes.get(connector).is_some_and(|lane| lane.opening == Opening::Doubtful)
    }

    /// Takes a place under way, if there is one.
    pub(super) fn enter(&mut self, connector: &ConnectorName, capacity: usize, doubtful: bool) -> bool {
        let lane = self.lane(connector);
        // A newer version of a connector may allow more or less.
        lane.capacity = capacity.max(1);
        let enters = lane.lets(doubtful);
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
        let lane = self.lane(connector);
        if turn.doubtful {
            lane.doubtful.push(turn)
        } else {
            lane.fresh.push(turn)
        }
        self.waiting += 1;
    }

    /// Pauses a provider, or lets it go on. What has waited through a pause has `patience` from then on, but for repeats:
    /// they were to leave while the provider still knows their key.
    pub(super) fn set(&mut self, connector: &ConnectorName, opening: Opening, patience: Timestamp) {
        let lane = self.lane(connector);
        let before = std::mem::replace(&mut lane.opening, opening);
        for (doubtful, queue) in [(true, &mut lane.doubtful), (false, &mut lane.fresh)] {
            if opening.lets(doubtful) && !before.lets(doubtful) {
                for turn in queue.turns.values_mut().filter(|turn| !turn.is_repeat()) {
                    turn.until = turn.deadline.map_or(patience, |deadline| patience.min(deadline)).max(turn.until);
                }
            }
        }
    }

    /// A call whose wait is over, if there is one: there is room for it, or it is too late.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Over> {
        if self.waiting == 0 {
            return None;
        }
        let over = self.lanes.values_mut().find_map(|lane| lane.next(now))?;
        self.waiting -= 1;
        Some(over)
    }

    /// When the first of those that wait has waited long enough, as far as can be told at once.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.lanes.values().flat_map(Lane::next_due).min()
    }

    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn traffic(&self) -> impl Iterator<Item = (&ConnectorName, Traffic)> {
        self.lanes.iter().map(|(name, lane)| {
            let waiting = lane.doubtful.turns.len() + lane.fresh.turns.len();
            (name, Traffic { under_way: lane.under_way, waiting })
        })
    }

    fn lane(&mut self, connector: &ConnectorName) -> &mut Lane {
        // Looked for twice, so that the name is not copied for each call.
        if !self.lanes.contains_key(connector) {
            self.lanes.insert(connector.clone(), Lane::default());
        }
        self.lanes.entry(connector.clone()).or_default()
    }
}

impl Lane {
    const fn lets(&self, doubtful: bool) -> bool {
        self.opening.lets(doubtful) && self.under_way < self.capacity
    }

    fn next(&mut self, now: Timestamp) -> Option<Over> {
        for doubtful in [true, false] {
            let (lets, is_open) = (self.lets(doubtful), self.opening.lets(doubtful));
            let queue = if doubtful { &mut self.doubtful } else { &mut self.fresh };
            if let Some((number, turn)) = queue.next(is_open, lets, now) {
                queue.turns.remove(&number);
                turn.deadline.map(|deadline| queue.dated.remove(&(deadline, number)));
                return Some(if late(&turn, is_open, now) { Over::TooLate(turn) } else { Over::Send(turn) });
            }
        }
        None
    }

    fn next_due(&self) -> impl Iterator<Item = Timestamp> {
        [self.doubtful.next_due(self.opening.lets(true)), self.fresh.next_due(self.opening.lets(false))]
            .into_iter()
            .flatten()
    }
}

impl Turn {
    const fn is_repeat(&self) -> bool {
        self.doubtful && self.inquiry.is_none()
    }
}

impl Queue {
    fn push(&mut self, turn: Turn) {
        self.came += 1;
        self.turns.insert(self.came, turn);
        turn.deadline.map(|deadline| self.dated.insert((deadline, self.came)));
    }

    /// While a provider is paused, waiting uses up no patience: only the calls' own deadlines count.
    fn next_due(&self, is_open: bool) -> Option<Timestamp> {
        if is_open {
            return self.turns.first_key_value().map(|(_, turn)| turn.until);
        }
        self.dated.first().map(|(deadline, _)| *deadline)
    }

    fn next(&self, is_open: bool, lets: bool, now: Timestamp) -> Option<(u64, Turn)> {
        let number = if is_open { *self.turns.first_key_value()?.0 } else { self.dated.first()?.1 };
        let turn = *self.turns.get(&number)?;
        (lets || late(&turn, is_open, now)).then_some((number, turn))
    }
}

fn late(turn: &Turn, is_open: bool, now: Timestamp) -> bool {
    let until = if is_open { Some(turn.until) } else { turn.deadline };
    until.is_some_and(|until| until <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    fn turn(order: u8, now: i64) -> Turn {
        let id = OrderId::from_bytes([order; 16]);
        let until = at(now + 300_000);
        Turn { order: id, call: CallId(1), attempt: Attempt(1), inquiry: None, doubtful: false, until, deadline: None }
    }

    #[test]
    fn turns_come_in_their_order_as_places_become_free_and_not_later_than_they_may() {
        let mut lanes = Lanes::default();
        let (slow, fast) = (ConnectorName::from("slow"), ConnectorName::from("fast"));
        assert!(lanes.enter(&slow, 2, false) && lanes.enter(&slow, 2, false) && !lanes.enter(&slow, 2, false));
        for n in 1..=4 {
            lanes.wait(&slow, turn(n, i64::from(n)));
        }
        assert!(lanes.enter(&fast, 1, false), "another provider has a lane of its own");
        assert_eq!(lanes.next(at(5)), None);
        lanes.leave(&slow);
        assert_eq!(lanes.next(at(5)), Some(Over::Send(turn(1, 1))));
        assert!(lanes.enter(&slow, 2, false));
        assert_eq!((lanes.next(at(5)), lanes.waiting()), (None, 3));
        assert_eq!(lanes.next_due(), Some(at(300_002)));
        assert_eq!(lanes.next(at(300_002)), Some(Over::TooLate(turn(2, 2))));
        assert_eq!(lanes.next(at(300_002)), None);
    }

    #[test]
    fn a_pause_holds_everything_and_a_drain_lets_what_is_in_doubt_pass() {
        let mut lanes = Lanes::default();
        let bank = ConnectorName::from("bank");
        let doubtful = |n| Turn { doubtful: true, ..turn(n, 0) };
        lanes.set(&bank, Opening::Nothing, at(0));
        assert!(!lanes.enter(&bank, 8, false) && !lanes.enter(&bank, 8, true));
        lanes.wait(&bank, turn(1, 0));
        lanes.wait(&bank, Turn { deadline: Some(at(700_000)), ..turn(2, 0) });
        lanes.wait(&bank, doubtful(3));
        lanes.wait(&bank, doubtful(4));
        assert_eq!(lanes.next(at(600_000)), None, "a pause uses up no patience");
        assert_eq!(lanes.next_due(), Some(at(700_000)));
        lanes.set(&bank, Opening::Doubtful, at(0));
        assert_eq!(lanes.next(at(1)), Some(Over::Send(doubtful(3))));
        assert!(lanes.enter(&bank, 8, true) && !lanes.enter(&bank, 8, false));
        assert_eq!(lanes.next(at(600_000)), Some(Over::TooLate(doubtful(4))), "its key may be forgotten by now");
        assert_eq!(lanes.next(at(600_000)), None);
        lanes.set(&bank, Opening::All, at(900_000));
        assert_eq!(lanes.next(at(600_000)), Some(Over::Send(Turn { until: at(900_000), ..turn(1, 0) })));
        assert_eq!(lanes.next_due(), Some(at(700_000)), "no patience is longer than the call's deadline");
        let traffic: Vec<_> = lanes.traffic().map(|(_, traffic)| traffic).collect();
        assert_eq!(traffic, [Traffic { under_way: 1, waiting: 1 }]);
    }

    #[test]
    fn an_inquiry_is_made_however_late() {
        let mut lanes = Lanes::default();
        let bank = ConnectorName::from("bank");
        lanes.set(&bank, Opening::Nothing, at(0));
        assert!(!lanes.enter(&bank, 8, true));
        let inquiry = Turn { doubtful: true, inquiry: Some(Attempt(1)), ..turn(1, 0) };
        lanes.wait(&bank, inquiry);
        lanes.set(&bank, Opening::Doubtful, at(900_000));
        assert_eq!(lanes.next(at(600_000)), Some(Over::Send(Turn { until: at(900_000), ..inquiry })));
    }

    #[test]
    fn what_has_a_deadline_is_too_late_by_it_while_its_provider_is_paused() {
        let mut lanes = Lanes::default();
        let bank = ConnectorName::from("bank");
        lanes.set(&bank, Opening::Nothing, at(0));
        assert!(!lanes.enter(&bank, 8, false));
        let turn = Turn { deadline: Some(at(400_000)), ..turn(1, 0) };
        lanes.wait(&bank, turn);
        assert_eq!(lanes.next_due(), Some(at(400_000)));
        assert_eq!(lanes.next(at(399_999)), None);
        assert_eq!(lanes.next(at(400_000)), Some(Over::TooLate(turn)));
    }
}
