use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Makes a newtype over shared text, so that two kinds of name cannot be mixed up and a clone costs no allocation.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }
    };
}

name!(
    /// The name of a workflow, as in `workflow: credit_card`.
    WorkflowName
);
name!(
    /// The version of a workflow: the first 16 hex digits of the SHA-256 of its canonical content.
    Version
);
name!(
    /// The name of a state of a workflow.
    StateName
);
name!(
    /// The name of an event or of an outcome, as it is written under `on:`.
    EventName
);
name!(
    /// The sender's id of an event. The same id is applied once for as long as the order exists.
    EventId
);
name!(
    /// The name of a connector, the part before the dot in `gateway.authorize`.
    ConnectorName
);
name!(
    /// The name of an operation, the part after the dot in `gateway.authorize`.
    OperationName
);
