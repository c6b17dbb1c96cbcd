//! Which order belongs to which: learnt from orders as they are committed.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest;

use crate::machine::Snapshot;
use crate::types::OrderId;

/// How orders belong to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// They reserved, or asked to reserve, a refund of this payment (`refunds.reserve`).
    Refund,
    /// They are the work of a call of this order (`orders.start`).
    Child,
    /// A provider calls them so: see `reference_id`.
    Reference,
}

/// Stands in a link for a provider's reference, as no order has it: the beginning of a digest.
pub fn reference_id(name: &str, reference: &str) -> OrderId {
    let digest = digest::digest(&digest::SHA256, format!("{name}\0{reference}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(digest.as_ref().get(..16).unwrap_or(&[0; 16]));
    OrderId::from_bytes(bytes)
}

#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    /// Of which kind, to which order, which order.
    all: BTreeSet<(Link, OrderId, OrderId)>,
    /// By the refund.
    payments: BTreeMap<OrderId, OrderId>,
}

impl Links {
    /// Takes in what an order does now.
    pub(super) fn learn(&mut self, snapshot: &Snapshot) {
        for payment in snapshot.refunds_of() {
            self.all.insert((Link::Refund, payment, snapshot.id));
            self.payments.insert(snapshot.id, payment);
        }
        if let Some(parent) = &snapshot.parent {
            self.all.insert((Link::Child, parent.order, snapshot.id));
        }
        for (name, reference) in &snapshot.references {
            self.all.insert((Link::Reference, reference_id(name, reference), snapshot.id));
        }
    }

    /// The orders that belong to another one, newest first.
    pub(super) fn to(&self, link: Link, other: OrderId) -> impl Iterator<Item = OrderId> {
        let ends = [[0; 16], [0xff; 16]].map(|bytes| (link, other, OrderId::from_bytes(bytes)));
        self.all.range(ends[0]..=ends[1]).rev().map(|&(_, _, order)| order)
    }

    /// The payment that an order refunds.
    pub(super) fn payment(&self, refund: OrderId) -> Option<OrderId> {
        self.payments.get(&refund).copied()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Link, OrderId, OrderId)> {
        self.all.iter().copied()
    }
}
