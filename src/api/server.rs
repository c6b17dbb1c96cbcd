//! The server: how many connections and requests there may be, and how long each may take to say what it wants.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum_server::{Handle, Server as HttpServer};
use tokio::task::JoinHandle;

use super::engine::Engine;
use super::gate::Gate;
use super::listener::{Listener, Peer, Room};
use super::routes::router;
use super::state::Limits;
use super::trust::HostName;
use crate::definition::Network;

/// For what was answered last to leave its connection.
const FLUSH: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub limits: Limits,
    /// Names that requests may be for, beside those of loopback.
    pub hosts: Vec<HostName>,
    /// Proxies of ours, which are believed when they say whom they speak for.
    pub proxies: Vec<Network>,
    /// How long a connection may take to send the head of a request, and how long it may be idle.
    pub header_timeout: Duration,
    /// Connections at once; more wait in the system's queue until there is room.
    pub connections_max: usize,
    /// How long requests that are under way have when the server stops.
    pub grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            hosts: Vec::new(),
            proxies: Vec::new(),
            header_timeout: Duration::from_secs(20),
            connections_max: 8_192,
            grace: Duration::from_secs(10),
        }
    }
}

impl ServerOptions {
    /// Bounds for a process that may have so many files open: connections are at most half of them, since whatever else
    /// is opened must never fail. Half of the connections may have a request under way, so that there is always one to
    /// refuse the next with.
    pub fn within(files: usize) -> Self {
        let all = Self::default();
        let connections_max = (files / 2).clamp(2, all.connections_max);
        let requests_max = (connections_max / 2).min(all.limits.requests_max);
        Self { limits: Limits { requests_max, ..all.limits }, connections_max, ..all }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    handle: Handle<Peer>,
    gate: Arc<Gate>,
    grace: Duration,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Serves the API on a socket that is listening already.
    pub fn start(engine: Arc<dyn Engine>, listener: std::net::TcpListener, options: ServerOptions) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let gate = Arc::new(Gate::new(options.limits.requests_max));
        let room = Room::new(options.connections_max);
        let listener = Listener::new(listener, room.clone())?;
        let (grace, header_timeout) = (options.grace, options.header_timeout);
        let app = router(engine, options, Arc::clone(&gate), room);
        let handle = Handle::new();
        let mut server = HttpServer::<Peer>::from_listener(listener)
            .handle(handle.clone())
            .http1_only()
            .first_request_timeout(header_timeout)
            .accept_error_handler(|_, error| tracing::warn!(%error, "a connection was not accepted"));
        server.http_builder().http1().header_read_timeout(header_timeout).max_headers(64);
        let task = tokio::spawn(server.serve(app.into_make_service_with_connect_info::<Peer>()));
        Ok(Self { address, handle, gate, grace, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until the server ends of itself, which it does only when the socket fails.
    pub async fn ended(&mut self) -> io::Result<()> {
        (&mut self.task).await.map_err(io::Error::other)?
    }

    /// Begins to stop: answers waits and streams at once, gives the rest its grace, and returns when all is answered.
    /// New requests are told so until `stop`: a client that cannot connect knows less.
    pub async fn drain(&self) {
        self.gate.close(self.grace).await;
    }

    /// Drains, if that has not been done; takes no more connections, and returns when all are closed.
    pub async fn stop(self) -> io::Result<()> {
        if !self.gate.is_closed() {
            self.drain().await;
        }
        self.handle.graceful_shutdown(Some(FLUSH));
        self.task.await.map_err(io::Error::other)?
    }
}
