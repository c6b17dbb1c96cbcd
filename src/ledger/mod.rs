//! Double entry and limits: postings decided beside the transition, caps found in dated tables.
//!
//! **Invariant.** The postings of one entry sum to zero in each currency.

mod limits;

use serde::{Deserialize, Serialize};

pub use limits::{Cap, Caps, ClassLimit, LimitError, LimitTable, LimitVersion, Period};

use crate::types::Currency;

/// One leg: `amount` minor units are added to `account`. The legs of an entry sum to zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Such as `held`, `merchant`, or `limit/<account>/<day>`.
    pub account: String,
    pub amount: i64,
    pub currency: Currency,
}
