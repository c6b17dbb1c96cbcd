use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::executor::Notice;
use crate::types::{OrderId, Timestamp};

/// What an order has told others, or is still to tell them, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NoticeList {
    #[schema(value_type = String)]
    pub order: OrderId,
    pub notifications: Vec<NoticeItem>,
}

/// A notification of an order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NoticeItem {
    /// The number of its call.
    pub id: u32,
    #[schema(example = "notify.merchant")]
    pub call: String,
    /// `acknowledged`, `sending` (it is repeated by itself) or `given_up` (an incident says so).
    pub status: String,
    pub attempts: u32,
    /// The id by which its receiver knows a repetition.
    pub key: String,
    #[schema(value_type = String, format = DateTime)]
    pub first_sent_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub acknowledged_at: Option<Timestamp>,
}

/// What became of a notification that was sent once more.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Redelivered {
    pub notification: NoticeItem,
    /// `ok`, or what went wrong.
    pub outcome: String,
}

impl From<&Notice> for NoticeItem {
    fn from(notice: &Notice) -> Self {
        let status = match (notice.acknowledged_at, notice.given_up) {
            (Some(_), _) => "acknowledged",
            (None, true) => "given_up",
            (None, false) => "sending",
        };
        Self {
            id: notice.call.0,
            call: notice.name.clone(),
            status: status.to_owned(),
            attempts: notice.attempts.0,
            key: notice.key.clone(),
            first_sent_at: notice.first_sent_at,
            acknowledged_at: notice.acknowledged_at,
        }
    }
}
