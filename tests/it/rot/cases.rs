//! Single cases, looked at closely.
