//! Which order is a refund of which: learnt from the calls of orders as they are committed.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::Snapshot;
use crate::types::OrderId;

#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    /// Payment, refund.
    refunds: BTreeSet<(OrderId, OrderId)>,
    /// By the refund.
    payments: BTreeMap<OrderId, OrderId>,
}

impl Links {
    /// Takes in what an order does now.
    pub(super) fn learn(&mut self, snapshot: &Snapshot) {
        for payment in snapshot.refunds_of() {
            self.refunds.insert((payment, snapshot.id));
            self.payments.insert(snapshot.id, payment);
        }
    }

    /// The refunds of a payment, newest first.
    pub(super) fn refunds(&self, payment: OrderId) -> impl Iterator<Item = OrderId> {
        let all = (payment, OrderId::from_bytes([0; 16]))..=(payment, OrderId::from_bytes([0xff; 16]));
        self.refunds.range(all).rev().map(|&(_, refund)| refund)
    }

    /// The payment that an order refunds.
    pub(super) fn payment(&self, refund: OrderId) -> Option<OrderId> {
        self.payments.get(&refund).copied()
    }

    /// Every payment and refund.
    pub(super) fn all(&self) -> impl Iterator<Item = (OrderId, OrderId)> {
        self.refunds.iter().copied()
    }
}
