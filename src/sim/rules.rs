//! The ids of what can be wrong with a scenario. Those that definitions can break too have the same name there.

pub(super) const UNKNOWN_KEY: &str = "unknown-key";
pub(super) const MISSING_KEY: &str = "missing-key";
pub(super) const WRONG_TYPE: &str = "wrong-type";
pub(super) const BAD_VALUE: &str = "bad-value";
pub(super) const BAD_DURATION: &str = "bad-duration";
pub(super) const UNKNOWN_STATE: &str = "unknown-state";
pub(super) const UNKNOWN_CALL: &str = "unknown-call";
/// The scenario is about a workflow that is not there.
pub(super) const UNKNOWN_WORKFLOW: &str = "unknown-workflow";
/// The workflow handles no event of this name.
pub(super) const UNKNOWN_EVENT: &str = "unknown-event";
/// What is submitted does not fit the workflow's schema.
pub(super) const BAD_INPUT: &str = "bad-input";
