use serde::{Deserialize, Serialize};

use crate::definition::{Sources, Workflow};
use crate::ledger::Posting;
use crate::machine::{Command, Event};
use crate::types::{OrderId, Position, Seq, StateName, Timestamp, Version, WorkflowName};

/// The version of the encoding of records. Raised when a field is added; old ones stay readable.
pub const FORMAT_VERSION: u32 = 1;

/// What one record of the journal holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A version of a workflow was put to use: the texts it is read from, so that its orders can always go on.
    Definition {
        v: u32,
        workflow: WorkflowName,
        version: Version,
        at: Timestamp,
        sources: Sources,
    },
    Entry(Entry),
    /// Records stood here that could not be read any more.
    Lost(Lost),
}

/// A stretch of the journal whose records are lost. It keeps their place and their numbers, so that what comes after
/// it still follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    pub v: u32,
    /// How many records, the first of which has the number of this one.
    pub count: u64,
    /// How many bytes of the segment, with this record's own.
    pub bytes: u64,
    /// Whether the chain of this record is that of the last lost one. If that is not known any more, it is the chain of
    /// the record behind the stretch.
    pub linked: bool,
    /// How many of them can still be told to have begun orders or to be definitions: no order that was there before
    /// has lost anything by them.
    #[serde(default)]
    pub fresh: u64,
    /// The orders of others, as far as they can still be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<OrderId>,
    /// The orders that began here, as far as they can still be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<OrderId>,
}

impl Lost {
    /// Entries of one order, in a recorded journal.
    pub fn entries(count: u64) -> Self {
        Self { v: FORMAT_VERSION, count, bytes: 0, linked: false, fresh: 0, orders: Vec::new(), begun: Vec::new() }
    }
}

impl Record {
    /// The record that keeps a workflow's version.
    pub fn definition(workflow: &Workflow, at: Timestamp) -> Self {
        Self::Definition {
            v: FORMAT_VERSION,
            workflow: workflow.name.clone(),
            version: workflow.version.clone(),
            at,
            sources: Sources::clone(&workflow.sources),
        }
    }
}

/// One event of one order, and what was decided: replay can disagree with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub v: u32,
    pub order: OrderId,
    pub seq: Seq,
    pub at: Timestamp,
    /// Set on the first entry: the order's workflow, version and the client's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Opening>,
    pub event: Event,
    /// The state afterwards.
    pub to: StateName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Command>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub postings: Vec<Posting>,
    /// Where the previous entry of the same order is: an order's history is read backwards along these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Position>,
}

/// What is fixed for the whole life of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    pub workflow: WorkflowName,
    pub version: Version,
    /// The client's `Idempotency-Key`, and the SHA-256 of the body that came with it, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<(String, String)>,
}

impl Entry {
    /// Whether it opens an order that nobody has accepted yet. A child order is part of its parent's work.
    pub fn is_new_order(&self) -> bool {
        self.opening.is_some() && !matches!(self.event, Event::Started { parent: Some(_), .. })
    }
}
