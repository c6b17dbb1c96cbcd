//! What every store must do, as a suite that takes any of them. It is shipped so that a new store can be tested with it.

mod checks;
pub mod sample;

use std::future::Future;

use super::{Store, StoreError};

/// A promise of `Store` that the store under test does not keep.
#[derive(Debug, thiserror::Error)]
#[error("{check}: {problem}")]
pub struct Failure {
    /// The check, such as `seq`.
    pub check: &'static str,
    pub problem: String,
}

/// Why a check ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("{0}")]
    Broken(String),
    #[error("the store answered: {0}")]
    Store(#[from] StoreError),
}

/// Runs every check, each on a store of its own that `make` gives, empty.
pub async fn run_all<S, M, F>(make: M) -> Result<(), Failure>
where
    S: Store,
    M: Fn() -> F,
    F: Future<Output = S>,
{
    macro_rules! run {
        ($($check:ident),+ $(,)?) => {$({
            let store = make().await;
            let outcome = checks::$check(&store).await;
            outcome.map_err(|problem| Failure { check: stringify!($check), problem: problem.to_string() })?;
            let closed = store.close().await;
            closed.map_err(|error| Failure { check: stringify!($check), problem: error.to_string() })?;
        })+};
    }
    run!(
        reads_what_it_wrote,
        tells_when_it_wrote_last,
        follows_seq,
        sets_prev,
        refuses_as_a_whole,
        pages_the_journal,
        lists_newest_first,
        filters_lists,
        pages_open_orders,
        remembers_events,
        remembers_keys,
        sums_balances,
        links_orders,
        keeps_definitions,
        keeps_pauses,
    );
    Ok(())
}
