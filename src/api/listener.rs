//! The socket: takes a connection when there is room for one. Until then it waits in the system's queue, where it costs
//! nothing and nobody resets it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum_server::{AddrListener, Address};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many connections there are, and may be.
#[derive(Clone, Debug)]
pub(super) struct Room {
    permits: Arc<Semaphore>,
    max: usize,
}

/// Whoever is connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<Self> for Peer {
    fn connect_info(peer: Self) -> Self {
        peer
    }
}

pub(super) struct Listener {
    listener: TcpListener,
    room: Room,
}

/// A connection, with its place.
pub(super) struct Held {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

/// Connections that wait in the system's queue, as far as the system allows so many (`net.core.somaxconn`). With a short queue
/// it resets some that a crowd of clients believes to have.
const BACKLOG: u32 = 4_096;

/// A socket for the API. Only inside a runtime.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of a daemon that has just ended do not keep the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

impl Room {
    pub(super) fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(max)), max }
    }

    /// So few places are left that nobody should keep one for a request that may come.
    pub(super) fn is_scarce(&self) -> bool {
        self.permits.available_permits() < self.max.div_ceil(4)
    }
}

impl Listener {
    pub(super) fn new(listener: std::net::TcpListener, room: Room) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, room })
    }
}

impl Address for Peer {
    type Stream = Held;
    type Listener = Listener;
}

impl AddrListener<Held, Peer> for Listener {
    async fn bind_to(_: Peer) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn accept_stream(&self) -> io::Result<(Held, Peer)> {
        let permit = Arc::clone(&self.room.permits).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = self.listener.accept().await?;
        // Without it small answers wait for the client's acknowledgement. A failure costs only speed.
        let _ = stream.set_nodelay(true);
        Ok((Held { stream, _permit: permit }, Peer(peer)))
    }

    fn get_local_addr(&self) -> io::Result<Peer> {
        self.listener.local_addr().map(Peer)
    }
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
