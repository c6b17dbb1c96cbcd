//! What has been committed and is not yet in the working store: reads look here first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use super::gaps::Gaps;
use crate::journal::{Entry, Mark};
use crate::ledger::Posting;
use crate::machine::Snapshot;
use crate::store::links::Links;
use crate::store::{KeyRecord, Link, Stored};
use crate::types::{Currency, EventId, OrderId, Position, Seq, Version, WorkflowName};

/// A version of a workflow, and where its texts are in the journal.
pub(super) type Definition = (WorkflowName, Version, Position);

/// The effects of a stretch of the journal, folded together: an order that moved seven times is here once.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) orders: BTreeMap<OrderId, Moved>,
    pub(super) keys: HashMap<String, KeyRecord>,
    pub(super) events: HashMap<(OrderId, EventId), Seq>,
    pub(super) balances: HashMap<(String, Currency), Delta>,
    pub(super) links: Links,
    pub(super) definitions: Vec<Definition>,
    /// Rows of the kinds `g` and `l`; none where one is removed.
    pub(super) gaps: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The last record whose effects are here.
    pub(super) mark: Mark,
    pub(super) entries: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) stored: Stored,
    /// Its first entry is in this layer, so that the working store cannot have it among the open orders.
    pub(super) new: bool,
}

/// What postings add to a balance, and the position of the last of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delta {
    pub(super) amount: i64,
    pub(super) last: Position,
}

#[derive(Debug)]
pub(super) struct Overlay {
    fresh: Layer,
    /// What is being written into the working store at this moment.
    writing: Option<Arc<Layer>>,
    /// Orders with a commit under way. Another one for them would not know what it follows.
    pub(super) under_way: HashSet<OrderId>,
    /// No order after this one can be in the working store.
    pub(super) newest_written: Option<OrderId>,
    /// All versions that were ever kept, oldest first.
    pub(super) definitions: Vec<Definition>,
    pub(super) gaps: Gaps,
}

impl Layer {
    pub(super) fn new(mark: Mark) -> Self {
        Self {
            orders: BTreeMap::new(),
            keys: HashMap::new(),
            events: HashMap::new(),
            balances: HashMap::new(),
            links: Links::default(),
            definitions: Vec::new(),
            gaps: BTreeMap::new(),
            mark,
            entries: 0,
        }
    }

    /// Takes an entry in. `counted` tells for an account whether its balance already has this position's postings.
    pub(super) fn apply(
        &mut self,
        entry: &Entry,
        snapshot: Arc<Snapshot>,
        position: Position,
        counted: impl Fn(&str, Currency) -> bool,
    ) {
        self.skip(&entry.postings, position, counted);
        if let Some(id) = entry.event.id() {
            self.events.insert((entry.order, id.clone()), entry.seq);
        }
        self.links.learn(&snapshot);
        let new = entry.opening.is_some();
        if let Some((key, body_hash)) = entry.opening.as_ref().and_then(|opening| opening.key.as_ref()) {
            self.keys.insert(key.clone(), KeyRecord { order: entry.order, body_hash: body_hash.clone() });
        }
        let stored = Stored { snapshot, tip: position };
        let moved = self.orders.entry(entry.order).or_insert_with(|| Moved { stored: stored.clone(), new });
        moved.stored = stored;
    }
}

impl Layer {
    /// A write that was cut off may have put the order among the open ones before it knew anything else of it.
    pub(super) fn may_be_there(&mut self, order: OrderId) {
        if let Some(moved) = self.orders.get_mut(&order) {
            moved.new = false;
        }
    }

    /// Takes in what is left of an entry whose order is already beyond it: its postings, if they were not counted.
    pub(super) fn skip(&mut self, postings: &[Posting], position: Position, counted: impl Fn(&str, Currency) -> bool) {
        self.entries += 1;
        for posting in postings {
            if !counted(&posting.account, posting.currency) {
                let delta = self.balances.entry((posting.account.clone(), posting.currency)).or_default();
                delta.amount = delta.amount.saturating_add(posting.amount);
                delta.last = position;
            }
        }
    }
}

impl Overlay {
    /// Takes in a version of a workflow, unless it is known.
    pub(super) fn keep(&mut self, definition: Definition) {
        let (workflow, version, _) = &definition;
        if !self.is_kept(workflow, version) {
            self.definitions.push(definition.clone());
            self.fresh.definitions.push(definition);
        }
    }

    pub(super) fn is_kept(&self, workflow: &WorkflowName, version: &Version) -> bool {
        self.definitions.iter().any(|(name, kept, _)| name == workflow && kept == version)
    }

    pub(super) fn new(mark: Mark, newest_written: Option<OrderId>) -> Self {
        let (under_way, definitions, gaps) = (HashSet::new(), Vec::new(), Gaps::default());
        Self { fresh: Layer::new(mark), writing: None, under_way, newest_written, definitions, gaps }
    }

    /// The layer that new entries go to.
    pub(super) fn fresh(&mut self) -> &mut Layer {
        &mut self.fresh
    }

    /// The last record that is known here.
    pub(super) fn mark(&self) -> Mark {
        self.fresh.mark
    }

    /// The order goes on from where it is known.
    pub(super) fn close_gap(&mut self, order: OrderId) {
        if let Some(row) = self.gaps.close(order) {
            self.fresh.gaps.insert(row, None);
        }
    }

    /// How much waits to be written.
    pub(super) fn waiting(&self) -> usize {
        self.fresh.entries + self.fresh.definitions.len() + self.fresh.gaps.len()
    }

    /// Hands out what waits; until `written` it is still read here.
    pub(super) fn begin_writing(&mut self) -> Option<Arc<Layer>> {
        if self.writing.is_none() && self.waiting() > 0 {
            self.fresh.gaps.extend(self.gaps.changed());
            let next = Layer::new(self.fresh.mark);
            let layer = Arc::new(std::mem::replace(&mut self.fresh, next));
            self.newest_written = self.newest_written.max(layer.orders.keys().next_back().copied());
            self.writing = Some(layer);
        }
        self.writing.clone()
    }

    pub(super) fn written(&mut self) {
        self.writing = None;
    }

    pub(super) fn order(&self, id: OrderId) -> Option<Stored> {
        self.layers().find_map(|layer| layer.orders.get(&id)).map(|moved| moved.stored.clone())
    }

    /// Whether an order that is not here cannot be in the working store either.
    pub(super) fn is_newer_than_all_written(&self, id: OrderId) -> bool {
        self.newest_written.is_none_or(|newest| id > newest)
    }

    pub(super) fn seen(&self, key: &(OrderId, EventId)) -> Option<Seq> {
        self.layers().find_map(|layer| layer.events.get(key)).copied()
    }

    pub(super) fn key(&self, key: &str) -> Option<KeyRecord> {
        self.layers().find_map(|layer| layer.keys.get(key)).cloned()
    }

    /// The newest orders that belong to another one, at most `limit` of each layer.
    pub(super) fn linked(&self, link: Link, to: OrderId, limit: usize) -> BTreeSet<OrderId> {
        self.layers().flat_map(|layer| layer.links.to(link, to).take(limit)).collect()
    }

    pub(super) fn refund_of(&self, order: OrderId) -> Option<OrderId> {
        self.layers().find_map(|layer| layer.links.payment(order))
    }

    /// What is to be added to the balance in the working store, unless that has it already.
    pub(super) fn deltas(&self, account: &(String, Currency)) -> Vec<Delta> {
        self.layers().filter_map(|layer| layer.balances.get(account)).copied().collect()
    }

    /// The orders nearest to one end of a range, at most `limit`, newest first if `backwards`.
    pub(super) fn range(&self, range: (Bound<OrderId>, Bound<OrderId>), backwards: bool, limit: usize) -> Vec<Stored> {
        let mut merged: BTreeMap<OrderId, Stored> = BTreeMap::new();
        for layer in self.layers() {
            let rows = layer.orders.range(range);
            let mut put = |(id, moved): (&OrderId, &Moved)| {
                merged.entry(*id).or_insert_with(|| moved.stored.clone());
            };
            if backwards {
                rows.rev().take(limit).for_each(&mut put);
            } else {
                rows.take(limit).for_each(&mut put);
            }
        }
        let mut merged: Vec<Stored> = merged.into_values().collect();
        if backwards {
            merged.reverse();
        }
        merged.truncate(limit);
        merged
    }

    /// Newest first, so that the first answer is the right one.
    fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.fresh).chain(self.writing.as_deref())
    }
}
