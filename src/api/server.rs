//! The socket: how many connections there may be, and how long each may take to say what it wants.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::Handle;
use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::engine::Engine;
use super::gate::Gate;
use super::routes::router;
use super::state::Limits;
use super::trust::HostName;

/// For what was answered last to leave its connection.
const FLUSH: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub limits: Limits,
    /// Names that requests may be for, beside those of loopback.
    pub hosts: Vec<HostName>,
    /// How long a connection may take to send the head of a request, and how long it may be idle.
    pub header_timeout: Duration,
    /// Connections at once; more are closed at once.
    pub connections_max: usize,
    /// How long requests that are under way have when the server stops.
    pub grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            hosts: Vec::new(),
            header_timeout: Duration::from_secs(20),
            connections_max: 4_096,
            grace: Duration::from_secs(10),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    handle: Handle<SocketAddr>,
    gate: Arc<Gate>,
    grace: Duration,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Serves the API on a socket that is listening already.
    pub fn start(engine: Arc<dyn Engine>, listener: std::net::TcpListener, options: ServerOptions) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let gate = Arc::new(Gate::new(options.limits.requests_max));
        let app = router(engine, options.limits, options.hosts, Arc::clone(&gate));
        let handle = Handle::new();
        let permits = Arc::new(Semaphore::new(options.connections_max));
        let mut server = axum_server::from_tcp(listener)?
            .handle(handle.clone())
            .http1_only()
            .first_request_timeout(options.header_timeout)
            .accept_error_handler(|_, error| tracing::warn!(%error, "a connection was not accepted"))
            .acceptor(Capped { permits });
        server.http_builder().http1().header_read_timeout(options.header_timeout).max_headers(64);
        let task = tokio::spawn(server.serve(app.into_make_service()));
        Ok(Self { address, handle, gate, grace: options.grace, task })
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

/// Accepts as long as there is a permit, which the connection keeps.
#[derive(Clone, Debug)]
struct Capped {
    permits: Arc<Semaphore>,
}

impl<S> Accept<TcpStream, S> for Capped {
    type Stream = Held;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Held, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        std::future::ready(match permit {
            Ok(permit) => {
                // Without it small answers wait for the client's acknowledgement. A failure costs only speed.
                let _ = stream.set_nodelay(true);
                Ok((Held { stream, _permit: permit }, service))
            }
            Err(_) => Err(io::Error::other("there are too many connections")),
        })
    }
}

struct Held {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Held {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
