//! YAML text → a validated `Workflow` or `Connector`, or every problem with file, line and column.
//!
//! **Invariant.** A `Workflow` that exists is checked: every name in it resolves, every state can end.

mod builtin;
mod check;
mod connector;
mod data;
mod document;
mod expr;
mod files;
mod graph;
mod load;
mod problem;
mod read;
mod render;
mod rules;
mod schema;
mod source;
pub(crate) mod suggest;
mod text;
mod workflow;

pub use connector::{
    Auth, Breaker, Connector, ConnectorKind, EnvPart, EnvText, Http, Idempotency, Inquiry, Integrity, Limits, Method,
    MoneyKind, Operation, OutcomeKind, OutcomeRule, Outcomes, Replay, Request, SecretRef, Verify, WebhookEvent,
    Webhooks,
};
pub use data::read_data;
pub use expr::{EvalError, Expr, ExprError, LateValue, Scope, Template, TextPart, scalar_text};
pub use files::{Library, ReadError};
pub use graph::{GraphFormat, graph};
pub use load::{load, load_connector, load_kept};
pub use problem::Problem;
pub use render::{Style, render, render_github};
pub use rules::{RULES, Rule};
pub use schema::{InputSchema, SchemaViolation};
pub use text::YamlText;
pub use workflow::{
    Activity, After, CallRef, Compensate, Delays, Effect, Invoke, Late, MoneyTemplate, RetryPolicy, Sources, Stage,
    State, StateKind, Transition, Verdict, Workflow,
};
