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
    /// Balances with everything reserved, of accounts that were asked for lately.
    balances: Mutex<Balances>,
    /// Reservations by the key of their call, so that a repeat reserves nothing more.
    by_key: Mutex<HashMap<String, Vec<Posting>>>,
    /// What became of reservations, until somebody looks at a balance again.
    told: std::sync::Mutex<Vec<(Vec<Posting>, Fate)>>,
    balances_max: usize,
}

type Balances = HashMap<(String, Currency), Balance>;

#[derive(Clone, Copy, Debug, Default)]
struct Balance {
    amount: i64,
    /// Reservations in it that the store does not have yet.
    ahead: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Durable,
    Unwanted,
}

/// Keys remembered for repeats. A repeat comes within seconds; a restart forgets them all, which is just as safe.
const KEYS_MAX: usize = 100_000;
/// Balances kept in memory: every payment that is refunded has one. Beyond it the store is asked again for those that it has
/// in full.
const BALANCES_MAX: usize = 100_000;
/// The account that every reservation is against.
const RESERVED: &str = "reserved";

impl Desk {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            balances: Mutex::new(HashMap::new()),
            by_key: Mutex::new(HashMap::new()),
            told: std::sync::Mutex::new(Vec::new()),
            balances_max: BALANCES_MAX,
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
        self.hear(&mut balances);
        for counter in counters {
            let balance = self.balance(&mut balances, &counter.account, currency).await?;
            let room = counter.cap.saturating_sub(balance);
            if amount > room {
                return Ok(Err((counter.clone(), room.max(0))));
            }
        }
        let postings: Vec<Posting> =
            counters.iter().flat_map(|counter| legs(&counter.account, amount, currency)).collect();
        reserve(&mut balances, &postings);
        remember(&mut by_key, key, &postings);
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
        self.hear(&mut balances);
        for account in accounts {
            self.balance(&mut balances, account, currency).await?;
        }
        let postings: Vec<Posting> = accounts.iter().flat_map(|account| legs(account, -amount, currency)).collect();
        reserve(&mut balances, &postings);
        remember(&mut by_key, key, &postings);
        Ok(postings)
    }

    /// An outcome with these postings was not wanted any more.
    pub(super) fn give_back(&self, postings: &Value) {
        if let Ok(postings) = serde_json::from_value::<Vec<Posting>>(postings.clone()) {
            self.tell(postings, Fate::Unwanted);
        }
    }

    /// These postings are in the store now, if reservations are among them.
    pub(super) fn kept(&self, postings: &[Posting]) {
        if postings.iter().any(|posting| posting.account == RESERVED) {
            self.tell(postings.to_vec(), Fate::Durable);
        }
    }

    fn tell(&self, postings: Vec<Posting>, fate: Fate) {
        self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((postings, fate));
    }

    fn hear(&self, balances: &mut Balances) {
        let told = std::mem::take(&mut *self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for (postings, fate) in &told {
            for posting in postings {
                let Some(balance) = balances.get_mut(&(posting.account.clone(), posting.currency)) else { continue };
                balance.ahead = balance.ahead.saturating_sub(1);
                if *fate == Fate::Unwanted {
                    balance.amount = balance.amount.saturating_sub(posting.amount);
                }
            }
        }
        if balances.len() > self.balances_max {
            balances.retain(|_, balance| balance.ahead > 0);
        }
    }

    async fn balance(&self, balances: &mut Balances, account: &str, currency: Currency) -> Result<i64, StoreError> {
        let at = (account.to_owned(), currency);
        if let Some(balance) = balances.get(&at) {
            return Ok(balance.amount);
        }
        let amount = self.store.balance(account, currency).await?;
        balances.insert(at, Balance { amount, ahead: 0 });
        Ok(amount)
    }
}

/// A counter moves against one common account, so that the books stay balanced.
fn legs(account: &str, amount: i64, currency: Currency) -> [Posting; 2] {
    [
        Posting { account: account.to_owned(), amount, currency },
        Posting { account: RESERVED.to_owned(), amount: -amount, currency },
    ]
}

fn reserve(balances: &mut Balances, postings: &[Posting]) {
    for posting in postings {
        if let Some(balance) = balances.get_mut(&(posting.account.clone(), posting.currency)) {
            balance.amount = balance.amount.saturating_add(posting.amount);
            balance.ahead = balance.ahead.saturating_add(1);
        }
    }
}

fn remember(by_key: &mut HashMap<String, Vec<Posting>>, key: &str, postings: &[Posting]) {
    if by_key.len() >= KEYS_MAX {
        by_key.clear();
    }
    by_key.insert(key.to_owned(), postings.to_vec());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use crate::store::conformance::sample::{Next, Samples, order_id};

    const CAP: i64 = 100;

    fn cny() -> Currency {
        "CNY".parse().unwrap()
    }

    async fn reserve(desk: &Desk, key: &str, payment: u64, amount: i64) -> Result<Vec<Posting>, i64> {
        let counter = Counter { account: format!("payment/{payment}"), cap: CAP };
        desk.reserve(key, &[counter], amount, cny()).await.unwrap().map_err(|(_, left)| left)
    }

    #[tokio::test]
    async fn balances_leave_memory_when_the_store_has_them_and_no_earlier() {
        let store = Arc::new(MemoryStore::new());
        let (mut desk, mut samples) = (Desk::new(Arc::<MemoryStore>::clone(&store)), Samples::new());
        desk.balances_max = 10;
        for payment in 0..30 {
            let postings = reserve(&desk, &format!("first/{payment}"), payment, 70).await.unwrap();
            // Of every third the outcome is still on its way.
            if payment % 3 > 0 {
                let next = Next { to: "a".into(), postings: postings.clone(), ..Next::default() };
                store.commit(Arc::new(vec![samples.next(order_id(payment), &next).unwrap()])).await.unwrap();
                desk.kept(&postings);
            }
        }
        reserve(&desk, "other", 99, 1).await.unwrap();
        assert!(desk.balances.lock().await.len() <= 14, "10 that are ahead, what they are against, and the newest");
        for payment in 0..30 {
            assert_eq!(reserve(&desk, &format!("second/{payment}"), payment, 31).await, Err(30), "{payment}");
        }
        let unwanted = reserve(&desk, "third", 3, 30).await.unwrap();
        assert_eq!(reserve(&desk, "fourth", 3, 1).await, Err(0));
        desk.give_back(&serde_json::to_value(&unwanted).unwrap());
        assert!(reserve(&desk, "fifth", 3, 30).await.is_ok());
    }
}
