//! HTTP: routes, wire types, problems, the dashboard.
//!
//! **Invariant.** Knows HTTP; nothing below it does. Everything that comes in is bounded, everything that goes out and
//! may be somebody's text is data, and no sealed payment leaves whole.

mod act;
mod body;
mod connectors;
mod dashboard;
mod engine;
mod executor_engine;
mod gate;
mod health;
mod history;
mod hooks;
mod incidents;
mod json;
mod listener;
mod metrics;
mod middleware;
mod notices;
mod openapi;
mod orders;
mod params;
mod problem;
mod redact;
mod routes;
mod server;
mod state;
mod stream;
mod submit;
mod trust;
pub mod wire;
mod workflows;

pub use engine::{
    Engine, EngineError, Headers, HookAnswer, HookError, HookNotice, How, Message, PauseError, Related, SendError,
    Sent, Submission, SubmitError, Submitted,
};
pub use listener::bind;
pub use openapi::document as openapi_document;
pub use problem::{PROBLEMS, ProblemKind};
pub use routes::paths;
pub use server::{Server, ServerOptions};
pub use state::Limits;
pub use trust::HostName;
