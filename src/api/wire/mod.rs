//! What goes over the wire, as JSON. The CLI reads the same types.
//!
//! **Invariant.** Fields are added here and never change their meaning: clients outside depend on them.

mod connectors;
mod notices;
mod order;
mod requests;
mod responses;

pub use connectors::{ConnectorItem, ConnectorList, PauseTold};
pub use notices::{NoticeItem, NoticeList, Redelivered};
pub(crate) use order::spine;
pub use order::{Call, Inbox, Incident, MoneyPosition, Order, Parent, Related, Status, Timer};
pub use requests::{CancelBody, EventBody, PauseBody, RedeliverBody, ResolveBody, ResumeBody, RetryBody, SubmitBody};
pub use responses::{
    Delivery, Entry, FieldError, Health, HookResult, IncidentItem, IncidentPage, JournalPage, Money, OrderPage,
    Problem, StateView, TransitionView, WorkflowDetail, WorkflowItem, WorkflowList,
};
