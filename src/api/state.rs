//! What every handler has at hand.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::engine::Engine;
use super::gate::Gate;
use super::listener::Room;
use super::trust::HostName;
use crate::definition::Network;

/// Bounds of the API.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a request may take in all; longer than the longest `wait`.
    pub request_timeout: Duration,
    /// The longest `?wait=`.
    pub wait_max: Duration,
    /// Requests under way at once.
    pub requests_max: usize,
    /// Open streams of changes.
    pub streams_max: usize,
    /// Whether numbers of cards may come in in clear, and be kept so.
    pub card_numbers: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_max: 1 << 20,
            body_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(75),
            wait_max: Duration::from_secs(60),
            requests_max: 4_096,
            streams_max: 64,
            card_numbers: false,
        }
    }
}

#[derive(Clone)]
pub(super) struct Api {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) limits: Arc<Limits>,
    /// Names that the API answers to, beside those of loopback.
    pub(super) hosts: Arc<[HostName]>,
    /// Proxies of ours.
    pub(super) proxies: Arc<[Network]>,
    pub(super) streams: Arc<Semaphore>,
    /// Closed once the server is stopping: waits and streams end then.
    pub(super) gate: Arc<Gate>,
    /// Places for connections.
    pub(super) room: Room,
}
