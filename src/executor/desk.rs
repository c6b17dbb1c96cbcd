//! Reserved counters: limits and refundable amounts are reserved before they are used, never only read.
//!
//! A counter is the balance of an account. Reserving checks and adds in one step; the posting becomes durable with the
//! outcome that carries it. A reservation whose outcome never became durable is gone after a restart, with the call
//! that would have used it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::ledger::Posting;
use crate::store::{Store, StoreError};
use crate::types::{Currency, Value};

/// One counter to reserve on, and how far it may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    pub account: String,
    pub cap: i64,
}

pub(super) struct Desk {
    store: Arc<dyn Store>,
    /// Balances with everything reserved, for every account that was ever asked for.
    balances: Mutex<HashMap<(String, Currency), i64>>,
    /// Reservations by the key of their call, so that a repeat reserves nothing more.
    by_key: Mutex<HashMap<String, Vec<Posting>>>,
    returned: std::sync::Mutex<Vec<Posting>>,
}

/// Keys remembered for repeats. A repeat comes within seconds; a restart forgets them all, which is just as safe.
const KEYS_MAX: usize = 100_000;

impl Desk {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            balances: Mutex::new(HashMap::new()),
            by_key: Mutex::new(HashMap::new()),
            returned: std::sync::Mutex::new(Vec::new()),
        }
    }

    /// Adds `amount` to every counter, or to none; the error is the counter that has no room, with what is left.
    pub(super) async fn reserve(
        &self,
        key: &str,
        counters: &[Counter],
        amount: i64,
        currency: Currency,
    ) -> Result<Result<Vec<Posting>, (Counter, i64)>, StoreError> {
        let mut by_key = self.by_key.lock().await;
        if let Some(postings) = by_key.get(key) {
            return Ok(Ok(postings.clone()));
        }
        let mut balances = self.balances.lock().await;
        self.take_returned(&mut balances);
        for counter in counters {
            let balance = self.balance(&mut balances, &counter.account, currency).await?;
            let room = counter.cap.saturating_sub(balance);
            if amount > room {
                return Ok(Err((counter.clone(), room.max(0))));
            }
        }
        let postings: Vec<Posting> =
            counters.iter().flat_map(|counter| legs(&counter.account, amount, currency)).collect();
        add(&mut balances, &postings, 1);
        if by_key.len() >= KEYS_MAX {
            by_key.clear();
        }
        by_key.insert(key.to_owned(), postings.clone());
        Ok(Ok(postings))
    }

    /// The postings that give a reservation back, and the counters without it.
    pub(super) async fn release(
        &self,
        key: &str,
        accounts: &[String],
        amount: i64,
        currency: Currency,
    ) -> Result<Vec<Posting>, StoreError> {
        let mut by_key = self.by_key.lock().await;
        if let Some(postings) = by_key.get(key) {
            return Ok(postings.clone());
        }
        let mut balances = self.balances.lock().await;
        for account in accounts {
            self.balance(&mut balances, account, currency).await?;
        }
        let postings: Vec<Posting> = accounts.iter().flat_map(|account| legs(account, -amount, currency)).collect();
        add(&mut balances, &postings, 1);
        by_key.insert(key.to_owned(), postings.clone());
        Ok(postings)
    }

    /// An outcome with these postings was not wanted any more.
    pub(super) fn give_back(&self, postings: &Value) {
        if let Ok(postings) = serde_json::from_value::<Vec<Posting>>(postings.clone()) {
            self.returned.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(postings);
        }
    }

    fn take_returned(&self, balances: &mut HashMap<(String, Currency), i64>) {
        let returned = std::mem::take(&mut *self.returned.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        add(balances, &returned, -1);
    }

    async fn balance(
        &self,
        balances: &mut HashMap<(String, Currency), i64>,
        account: &str,
        currency: Currency,
    ) -> Result<i64, StoreError> {
        let at = (account.to_owned(), currency);
        if let Some(balance) = balances.get(&at) {
            return Ok(*balance);
        }
        let balance = self.store.balance(account, currency).await?;
        balances.insert(at, balance);
        Ok(balance)
    }
}

/// A counter moves against one common account, so that the books stay balanced.
fn legs(account: &str, amount: i64, currency: Currency) -> [Posting; 2] {
    [
        Posting { account: account.to_owned(), amount, currency },
        Posting { account: "reserved".to_owned(), amount: -amount, currency },
    ]
}

fn add(balances: &mut HashMap<(String, Currency), i64>, postings: &[Posting], sign: i64) {
    for posting in postings {
        if let Some(balance) = balances.get_mut(&(posting.account.clone(), posting.currency)) {
            *balance = balance.saturating_add(sign * posting.amount);
        }
    }
}
