//! Double entry, holds, limits: postings decided beside the transition.
//!
//! **Invariant.** The postings of one entry sum to zero in each currency.

use serde::{Deserialize, Serialize};

use crate::types::Currency;

/// One leg: `amount` minor units are added to `account`. The legs of an entry sum to zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Such as `order/<id>/held`, or `limit/<table>/<subject>/<period>`.
    pub account: String,
    pub amount: i64,
    pub currency: Currency,
}
