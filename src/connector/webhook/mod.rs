//! Notifications from providers: is it theirs, and which event of which order is it?
//!
//! **Invariant.** The signature is checked over the bytes that came in, before any of them is interpreted.

mod signature;
mod translate;

pub(super) use signature::SigningKey;
pub use signature::{Verified, WebhookError, sign_standard_webhook, verify};
pub use translate::{Notification, TranslateError, parse_notification, translate};
