use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::json::Fields;
use crate::types::Value;

/// A new order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitBody {
    #[schema(example = "bank_card")]
    pub workflow: String,
    /// Must fit the schema of the workflow's input.
    pub input: Value,
}

/// Something that happened outside.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventBody {
    #[schema(example = "customer.confirmed")]
    pub event: String,
    #[serde(default)]
    pub payload: Value,
    /// The sender's id: the same id is applied once for as long as the order exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// A wish to have the order undone.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    /// Who wants it.
    pub by: String,
    #[serde(default)]
    pub note: String,
    /// The same id asks once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Sends a provider nothing new.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseBody {
    /// Who answers for it.
    pub by: String,
    #[serde(default)]
    pub note: String,
    /// What may have happened already is still asked about, and repeated where that is safe.
    #[serde(default)]
    pub drain: bool,
}

/// Lets a provider go on.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeBody {
    /// Who answers for it.
    pub by: String,
    #[serde(default)]
    pub note: String,
}

/// Sends a notification once more.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeliverBody {
    /// Who answers for it.
    pub by: String,
}

/// Takes the call of an incident up again.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryBody {
    /// Who answers for it.
    pub by: String,
    #[serde(default)]
    pub note: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Ends an incident the way a person says.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveBody {
    /// Who answers for it.
    pub by: String,
    /// How it was found out.
    pub note: String,
    /// `ok`: the call did succeed. `declined`: it did not happen. `state`: go on in another state.
    /// `dismissed`: it is dealt with, and the order stays where it is; not for an incident about a call.
    #[serde(rename = "as")]
    pub resolution: String,
    /// With `ok`: what the call answered.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// With `declined`: the code of the decline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// With `state`: where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// With `state`: data to set before the order goes on there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Fields for SubmitBody {
    const FIELDS: &'static [&'static str] = &["workflow", "input"];
    const REQUIRED: &'static [&'static str] = Self::FIELDS;
    // A workflow says which fields are volatile.
    const MAY_HAVE_CARDS: Option<&'static str> = Some("input");
}

impl Fields for EventBody {
    const FIELDS: &'static [&'static str] = &["event", "payload", "id"];
    const REQUIRED: &'static [&'static str] = &["event"];
}

impl Fields for CancelBody {
    const FIELDS: &'static [&'static str] = &["by", "note", "id"];
    const REQUIRED: &'static [&'static str] = &["by"];
}

impl Fields for PauseBody {
    const FIELDS: &'static [&'static str] = &["by", "note", "drain"];
    const REQUIRED: &'static [&'static str] = &["by"];
}

impl Fields for ResumeBody {
    const FIELDS: &'static [&'static str] = &["by", "note"];
    const REQUIRED: &'static [&'static str] = &["by"];
}

impl Fields for RedeliverBody {
    const FIELDS: &'static [&'static str] = &["by"];
    const REQUIRED: &'static [&'static str] = &["by"];
}

impl Fields for RetryBody {
    const FIELDS: &'static [&'static str] = &["by", "note", "id"];
    const REQUIRED: &'static [&'static str] = &["by"];
}

impl Fields for ResolveBody {
    const FIELDS: &'static [&'static str] = &["by", "note", "as", "result", "code", "state", "data", "id"];
    const REQUIRED: &'static [&'static str] = &["by", "note", "as"];
}
