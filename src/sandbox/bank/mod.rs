//! The bank: accounts, books, and an oracle that says what really happened to the money.
//!
//! **Invariant.** Only the gateway holds the bearer secret of the endpoints that move money; balances and the oracle
//! are open to everybody on this machine.

mod accounts;
mod afterwards;
mod books;
mod http;
mod movements;
mod settlement;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub(crate) use accounts::{Behaviour, ECASH_FLOAT, INSTITUTION, MERCHANT};
pub(crate) use books::{Instruction, Kind};
pub(crate) use http::{CardFacts, Reply, router};
pub(crate) use settlement::Misreport;

use super::clock::Clock;
use super::lines::Lines;
use crate::types::{Secret, Timestamp};
use accounts::Account;
use books::{Books, Refusal};

#[derive(Debug)]
pub(crate) struct Bank {
    pub(crate) clock: Arc<Clock>,
    /// What the gateway shows.
    pub(crate) secret: Secret,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    books: Books,
    lines: Option<Lines>,
}

/// One line of the bank's file. Replaying the lines gives the same books.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    Instruction { at: Timestamp, instruction: Instruction },
    Account { id: String, change: Change },
    Misreport { reference: String, misreport: Misreport },
    Expired { at: Timestamp },
}

/// What an administrator, or the customer at the counter, changes about an account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activated: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frozen: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    factors: Option<String>,
}

impl Bank {
    pub(crate) fn open(dir: Option<&Path>, clock: Arc<Clock>, secret: Secret) -> io::Result<Self> {
        let mut books = Books::new();
        let lines = match dir {
            Some(dir) => Some(Lines::open(&dir.join("bank.jsonl"), |line: Line| match line {
                Line::Instruction { at, instruction } => {
                    let _known = books.apply(&instruction, at);
                }
                Line::Account { id, change } => {
                    let _known = change_account(&mut books, &id, &change);
                }
                Line::Misreport { reference, misreport } => books.misreport(reference, misreport),
                Line::Expired { at } => books.expire_holds(at),
            })?),
            None => None,
        };
        Ok(Self { clock, secret, inside: Mutex::new(Inside { books, lines }) })
    }

    /// Writes the instruction down, then does it.
    fn apply(&self, instruction: &Instruction) -> io::Result<Result<(), Refusal>> {
        let at = self.clock.now();
        let mut inside = self.inside();
        let known = inside.books.seen.contains_key(&instruction.reference) && !instruction.careless;
        if !known && let Some(lines) = &mut inside.lines {
            lines.append(&Line::Instruction { at, instruction: instruction.clone() })?;
        }
        Ok(inside.books.apply(instruction, at))
    }

    fn change(&self, id: &str, change: &Change) -> io::Result<Option<Account>> {
        let mut inside = self.inside();
        if let Some(lines) = &mut inside.lines {
            lines.append(&Line::Account { id: id.to_owned(), change: change.clone() })?;
        }
        Ok(change_account(&mut inside.books, id, change))
    }

    /// From now on the settlement file does not tell the truth about this reference.
    fn misreport(&self, reference: String, misreport: Misreport) -> io::Result<()> {
        let mut inside = self.inside();
        if let Some(lines) = &mut inside.lines {
            lines.append(&Line::Misreport { reference: reference.clone(), misreport })?;
        }
        inside.books.misreport(reference, misreport);
        Ok(())
    }

    /// Called when the clock was moved: holds whose time is over go back.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        let at = self.clock.now();
        let mut inside = self.inside();
        if let Some(lines) = &mut inside.lines {
            lines.append(&Line::Expired { at })?;
        }
        inside.books.expire_holds(at);
        Ok(())
    }

    pub(crate) fn oracle(&self, order: &str) -> serde_json::Value {
        let now = self.clock.now();
        self.inside().books.oracle(order, now)
    }

    /// A panic elsewhere cannot leave the books half changed, since every check comes before the first posting.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn change_account(books: &mut Books, id: &str, change: &Change) -> Option<Account> {
    let account = books.accounts.get_mut(id)?;
    if let Some(activated) = change.activated {
        account.activated = activated;
    }
    if let Some(frozen) = change.frozen {
        account.frozen = frozen;
    }
    if change.class.is_some() {
        account.class.clone_from(&change.class);
    }
    if change.factors.is_some() {
        account.factors.clone_from(&change.factors);
    }
    Some(account.clone())
}

#[cfg(test)]
mod tests;
