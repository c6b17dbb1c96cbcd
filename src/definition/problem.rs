//! A mistake in a definition: where it is, which rule it breaks, and what to do about it.

use std::ops::Range;

use super::suggest;

/// One mistake. `check` prints it as `file:line:col`, the source line and a caret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The stable id of the rule, such as `unknown-state`.
    pub rule: &'static str,
    pub message: String,
    /// The name of the text it is in, as in `Sources`: the workflow's path, or that of a connector or schema.
    pub file: String,
    /// Bytes in that text.
    pub span: Range<usize>,
    /// Counted from 1.
    pub line: u32,
    /// Counted from 1, in characters.
    pub column: u32,
    /// What to do, such as ``did you mean `authorized`?``.
    pub help: Option<String>,
    /// The text to put in place of `span`, where the mistake has one right answer.
    pub fix: Option<String>,
}

impl Problem {
    /// Says which known word is meant, or which there are.
    #[must_use]
    pub(crate) fn with_nearest<'a>(
        self,
        word: &str,
        known: impl IntoIterator<Item = &'a str> + Clone,
        there_are: &str,
    ) -> Self {
        match suggest::nearest(word, known.clone()) {
            Some(near) => self.with_help(format!("did you mean `{near}`?")).with_fix(near.to_owned()),
            None => self.with_help(format!("{there_are} {}", suggest::one_of(known).replace(" or ", " and "))),
        }
    }

    #[must_use]
    pub(crate) fn with_help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    #[must_use]
    pub(super) fn with_fix(mut self, fix: impl Into<Option<String>>) -> Self {
        self.fix = fix.into();
        self
    }
}
