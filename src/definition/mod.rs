//! YAML text → a validated `Workflow` or `Connector`, or every problem with file, line and column.
//!
//! **Invariant.** A `Workflow` that exists is checked: every name in it resolves, every state can end.

mod auth;
mod builtin;
mod check;
mod connector;
mod data;
mod document;
mod expr;
mod files;
mod graph;
mod key_use;
mod load;
mod network;
mod presets;
mod problem;
mod read;
mod render;
mod rules;
mod schema;
mod source;
pub(crate) mod suggest;
mod text;
mod volatile;
mod webhook;
mod workflow;

pub use auth::{
    Auth, Basic, Cipher, Content, ContentPart, Decrypt, Encoding, Hash, KeyFormat, Login, OAuth2, Place, Scheme, Sign,
    Signed, Slot, TokenLogin, Verify,
};
pub(crate) use builtin::is_builtin;
pub use connector::{
    BodyEncoding, Breaker, Connector, ConnectorKind, Encrypt, EnvPart, EnvText, Http, Idempotency, Inquiry, Integrity,
    Limits, Lists, Method, MoneyKind, Needs, Operation, OutcomeKind, OutcomeRule, Outcomes, Replay, ReplyFormat,
    Request, SecretRef, Tls,
};
pub use data::read_data;
pub use expr::{EvalError, Expr, ExprError, LateValue, Scope, Template, TextPart, scalar_text};
pub(crate) use expr::{decode_form, encode_form, percent_encode};
pub use files::{Library, ReadError};
pub use graph::{GraphFormat, graph};
pub use key_use::KeyUse;
pub use load::{load, load_connector, load_kept};
pub use network::{Network, NetworkError};
pub use presets::SCHEDULES;
pub use problem::Problem;
pub use render::{Style, render, render_github};
pub use rules::{RULES, Rule};
pub use schema::{InputSchema, SchemaViolation};
pub use text::YamlText;
pub use volatile::{Volatile, has_mark, put_back};
pub use webhook::{Acknowledge, WebhookEvent, Webhooks};
pub use workflow::{
    Activity, After, CallRef, Compensate, Delays, Effect, Invoke, Late, MoneyTemplate, RetryPolicy, Sources, Stage,
    State, StateKind, Transition, Verdict, Workflow,
};
