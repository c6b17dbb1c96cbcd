use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id of an order: a UUID version 7, so that ids sort by the time they were made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(Uuid);

/// The text is not a UUID.
#[derive(Debug, thiserror::Error)]
#[error("not an order id: expected a UUID such as 019ab1c2-7d4e-7000-8000-0242ac120002")]
pub struct OrderIdError;

impl OrderId {
    /// Takes the 16 bytes of a UUID. Making new ids needs the clock and randomness and lives in `executor`.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes, big-endian: the order of the bytes is the order of the ids.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl FromStr for OrderId {
    type Err = OrderIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::from_str(text).map(Self).map_err(|_| OrderIdError)
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = Uuid::encode_buffer();
        f.pad(self.0.hyphenated().encode_lower(&mut buffer))
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number after this one. Saturates, which no order reaches.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// The number of an entry in the journal of one order; the first is 1.
    Seq(u64)
);
number!(
    /// The number of a try of one call; the first is 1.
    Attempt(u32)
);
number!(
    /// The generation of a call's idempotency key. It moves on only when the last key is known to have done nothing.
    Epoch(u32)
);
number!(
    /// The number of a call within its order: every invoke, entry effect and compensation gets its own.
    CallId(u32)
);
number!(
    /// Where a record begins in the journal: bytes since the beginning of the first segment.
    Position(u64)
);
