use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

/// A secret text. It has no `Serialize`, prints as `***`, and is wiped from memory when it is dropped. Comparing two of one
/// length takes as long wherever they differ.
///
/// While one value replaces another it has several: the first is the one that is shown to others, and each of them is
/// believed from others.
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    others: Vec<Secret>,
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: Zeroizing::new(text.into()), others: Vec::new() }
    }

    /// The same with values that are valid beside it for a while.
    #[must_use]
    pub fn beside(mut self, others: Vec<Self>) -> Self {
        self.others = others;
        self
    }

    /// The clear text. Only the code that signs, authenticates or decrypts calls this.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Every value that is valid now, the present one first.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.text.as_bytes(), other.text.as_bytes()).is_ok() && self.others == other.others
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
