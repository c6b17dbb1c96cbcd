use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ConnectorName, Timestamp};

/// A provider that nothing new is sent to, because a person said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Nothing new begins, and what may have happened already is still asked about and brought to its end.
    pub drain: bool,
    /// Who said so.
    pub by: String,
    pub note: String,
    pub since: Timestamp,
    /// From when on it was certain that nothing new left. Whoever pauses does not know it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<Timestamp>,
}

/// Those that are paused, by name.
pub type Pauses = BTreeMap<ConnectorName, Pause>;
