//! What a fold of the journal has found missing: orders of which entries are lost, and lost records whose orders nobody
//! can tell.
//!
//! **Invariant.** An order is never folded over entries that are not there. It stays where it is known, and is told until
//! an entry is committed that follows from there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::index::Bytes;
use super::value::{LOSSES, id_key, id_of};
use crate::journal::{Entry, Lost};
use crate::types::{OrderId, Position, Seq};

/// What is missing of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    /// Entries that are surely lost.
    pub(super) lost: u64,
    /// Entries that can be read, and do not follow from what is known.
    pub(super) beyond: u64,
    /// Where the last of these is. A fold that was cut off comes by again.
    pub(super) upto: Position,
    /// Its first entry is lost, or the version that it is on, so that it cannot be shown.
    pub(super) hidden: bool,
}

/// A stretch of lost records that a fold has come over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Loss {
    from: u64,
    to: u64,
    count: u64,
    /// Lost records of which it is not known whose they were.
    unknown: u64,
    /// Lost records that began an order or were definitions: an order without its first entry is about one of them.
    fresh: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    orders: BTreeMap<OrderId, Gap>,
    losses: Vec<Loss>,
    /// Not handed out for writing yet.
    changed: BTreeSet<OrderId>,
    losses_changed: bool,
}

impl Gap {
    /// In words, for a person.
    pub(super) fn reason(&self) -> String {
        let entries = |count: u64| if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
        let beyond = match self.beyond {
            0 => String::new(),
            count if self.lost == 1 => format!(", and {} behind it cannot be followed", entries(count)),
            count => format!(", and {} behind them cannot be followed", entries(count)),
        };
        match self.lost {
            0 => format!("records of the journal are lost that may have been its own{beyond}"),
            1 => format!("1 entry of its journal is lost{beyond}"),
            count => format!("{} of its journal are lost{beyond}", entries(count)),
        }
    }
}

impl Gaps {
    pub(super) fn read(rows: Vec<(Bytes, Bytes)>, losses: Option<Bytes>) -> Option<Self> {
        let order = |(key, value): (Bytes, Bytes)| Some((id_of(&key)?, serde_json::from_slice(&value).ok()?));
        let orders = rows.into_iter().map(order).collect::<Option<BTreeMap<OrderId, Gap>>>()?;
        let losses = losses.map_or(Some(Vec::new()), |bytes| serde_json::from_slice(&bytes).ok())?;
        Some(Self { orders, losses, ..Self::default() })
    }

    /// The fold comes over a stretch. `known` are the orders of it that were there before, each with its last entry.
    pub(super) fn pass(&mut self, at: Position, lost: &Lost, known: &BTreeMap<OrderId, Position>) {
        if self.losses.iter().any(|loss| loss.from == at.0) {
            return;
        }
        self.losses_changed = true;
        let mut unknown = lost.count.saturating_sub(lost.fresh);
        for &order in &lost.orders {
            match known.get(&order) {
                // The working store had written more than it knew of.
                Some(&tip) if tip >= at => unknown = unknown.saturating_sub(1),
                Some(_) => {
                    unknown = unknown.saturating_sub(1);
                    self.orders.entry(order).or_default().lost += 1;
                    self.changed.insert(order);
                }
                None => self.hide(order),
            }
        }
        lost.begun.iter().filter(|order| !known.contains_key(order)).for_each(|&order| self.hide(order));
        let (from, to, count, fresh) = (at.0, at.0 + lost.bytes, lost.count, lost.fresh);
        self.losses.push(Loss { from, to, count, unknown, fresh });
    }

    /// Nothing can be shown of the order.
    fn hide(&mut self, order: OrderId) {
        self.orders.entry(order).or_default().hidden = true;
        self.changed.insert(order);
    }

    /// How many records are lost.
    pub(super) fn lost(&self) -> u64 {
        self.losses.iter().map(|loss| loss.count).sum()
    }

    /// Whether something is missing from the journal before a position.
    pub(super) fn is_any_before(&self, position: Position) -> bool {
        self.losses.iter().any(|loss| loss.from < position.0)
    }

    /// An entry of an order can be read and does not follow the last one that the fold knows of it.
    pub(super) fn meet(&mut self, entry: &Entry, at: Position, known: Option<(Seq, Position)>) {
        let gap = self.orders.entry(entry.order).or_default();
        if gap.upto >= at {
            return;
        }
        let (seq, tip) = known.unwrap_or_default();
        let missing = entry.seq.0.saturating_sub(seq.0).saturating_sub(1);
        let mut more = missing.saturating_sub(gap.beyond).saturating_sub(gap.lost);
        gap.lost += more;
        gap.beyond += 1;
        gap.upto = at;
        gap.hidden |= known.is_none();
        self.changed.insert(entry.order);
        // Where several stretches lie between, nobody can tell how many of its entries were in which.
        let mut between = self.losses.iter_mut().filter(|loss| (tip.0..at.0).contains(&loss.from));
        if let (Some(loss), None) = (between.next(), between.next()) {
            if known.is_none() && more > 0 && loss.fresh > 0 {
                // Its first entry has been counted already.
                loss.fresh -= 1;
                more -= 1;
            }
            loss.unknown = loss.unknown.saturating_sub(more);
            self.losses_changed = true;
        }
    }

    /// An order that may have entries among the lost ones.
    pub(super) fn doubt(&mut self, order: OrderId) {
        let changed = &mut self.changed;
        self.orders.entry(order).or_insert_with(|| {
            changed.insert(order);
            Gap::default()
        });
    }

    /// The end of the last stretch with records whose orders are not known, once: open orders that have not moved since
    /// may have lost entries there.
    pub(super) fn take_doubt(&mut self) -> Option<Position> {
        let bound = self.losses.iter().filter(|loss| loss.unknown > 0).map(|loss| Position(loss.to)).max();
        if bound.is_some() {
            self.losses.iter_mut().for_each(|loss| loss.unknown = 0);
            self.losses_changed = true;
        }
        bound
    }

    /// The order goes on; the key of the row that is not true any more, if there was one.
    pub(super) fn close(&mut self, order: OrderId) -> Option<Vec<u8>> {
        self.changed.remove(&order);
        self.orders.remove(&order).map(|_| id_key(b'g', order).to_vec())
    }

    /// The rows that have to be written.
    pub(super) fn changed(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let changed = std::mem::take(&mut self.changed);
        let row = |order: OrderId| {
            let gap = serde_json::to_vec(self.orders.get(&order)?).ok()?;
            Some((id_key(b'g', order).to_vec(), Some(gap)))
        };
        let mut rows: Vec<_> = changed.into_iter().filter_map(row).collect();
        if std::mem::take(&mut self.losses_changed) {
            rows.extend(serde_json::to_vec(&self.losses).ok().map(|losses| (LOSSES.to_vec(), Some(losses))));
        }
        rows
    }

    pub(super) fn orders(&self) -> impl Iterator<Item = (OrderId, Gap)> {
        self.orders.iter().map(|(&order, &gap)| (order, gap))
    }

    /// The orders that can be shown, and what is known of their gaps.
    pub(super) fn told(&self) -> Vec<(OrderId, String)> {
        self.orders().filter(|(_, gap)| !gap.hidden).map(|(order, gap)| (order, gap.reason())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::sample::{Next, Samples, order_id};

    const AT: Position = Position(1000);

    fn known(orders: &[(u64, u64)]) -> BTreeMap<OrderId, Position> {
        orders.iter().map(|&(order, tip)| (order_id(order), Position(tip))).collect()
    }

    fn lost(count: u64, fresh: u64, orders: &[u64]) -> Lost {
        let orders = orders.iter().map(|&n| order_id(n)).collect();
        Lost { count, fresh, orders, bytes: 500, ..Lost::entries(count) }
    }

    /// The entry of an order with this number.
    fn entry(order: u64, seq: u64) -> Entry {
        let mut samples = Samples::new();
        let next = Next { to: "a".into(), ..Next::default() };
        (0..seq).filter_map(|_| samples.next(order_id(order), &next)).last().expect("an entry").entry
    }

    #[test]
    fn records_whose_orders_are_known_leave_no_doubt() {
        let mut gaps = Gaps::default();
        gaps.pass(AT, &lost(3, 0, &[1]), &known(&[(1, 100)]));
        gaps.meet(&entry(1, 5), Position(2000), Some((Seq(2), Position(100))));
        gaps.meet(&entry(2, 4), Position(2100), Some((Seq(2), Position(200))));
        assert_eq!(gaps.take_doubt(), None);
        let reasons: Vec<String> = gaps.told().into_iter().map(|(_, reason)| reason).collect();
        let expected = [
            "2 entries of its journal are lost, and 1 entry behind them cannot be followed",
            "1 entry of its journal is lost, and 1 entry behind it cannot be followed",
        ];
        assert_eq!(reasons, expected);
    }

    #[test]
    fn an_order_of_which_nothing_is_left_is_named() {
        let mut gaps = Gaps::default();
        let begun = vec![order_id(4)];
        gaps.pass(AT, &Lost { begun, ..lost(2, 1, &[5]) }, &known(&[]));
        let hidden: Vec<OrderId> = gaps.orders().filter(|(_, gap)| gap.hidden).map(|(order, _)| order).collect();
        assert_eq!((hidden, gaps.told().len()), (vec![order_id(4), order_id(5)], 0));
        assert!(gaps.take_doubt().is_some(), "a name that cannot be trusted takes no doubt away");
    }

    #[test]
    fn a_first_entry_is_counted_once() {
        let mut gaps = Gaps::default();
        gaps.pass(AT, &lost(2, 1, &[]), &known(&[]));
        gaps.meet(&entry(3, 2), Position(2000), None);
        assert_eq!(gaps.take_doubt(), Some(Position(1500)), "the other one may have been the last of any order");
        assert_eq!(gaps.take_doubt(), None);
    }

    #[test]
    fn what_may_have_been_in_another_stretch_is_not_counted() {
        let mut gaps = Gaps::default();
        gaps.pass(AT, &lost(1, 0, &[]), &known(&[]));
        gaps.pass(Position(3000), &lost(2, 0, &[]), &known(&[]));
        gaps.meet(&entry(1, 5), Position(4000), Some((Seq(2), Position(100))));
        assert_eq!(gaps.take_doubt(), Some(Position(3500)));
    }

    #[test]
    fn an_order_that_the_store_had_written_further_has_lost_nothing() {
        let mut gaps = Gaps::default();
        gaps.pass(AT, &lost(1, 0, &[1]), &known(&[(1, 1200)]));
        assert_eq!((gaps.told().len(), gaps.take_doubt()), (0, None));
        gaps.pass(AT, &lost(1, 0, &[]), &known(&[]));
        assert_eq!((gaps.lost(), gaps.take_doubt()), (1, None), "a fold that comes by again counts it once");
    }
}
