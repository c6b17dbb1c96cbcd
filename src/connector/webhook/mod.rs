//! Notifications from providers: is it theirs, and which events of which orders is it?
//!
//! **Invariant.** The signature is checked over the bytes that came in, before any of them is interpreted.

mod rehearse;
mod signature;
mod translate;

pub use rehearse::{Rehearsal, RuleTried, rehearse};
pub(super) use signature::SigningKey;
pub use signature::{Verified, WebhookError, sign_standard_webhook, verify_standard_webhook};
pub use translate::{Acknowledged, Arrived, Notification, TranslateError, Understanding, WebhookConfig, receive};
