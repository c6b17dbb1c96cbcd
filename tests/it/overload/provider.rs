//! A provider that answers or does not, and counts who is connected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(super) struct Provider {
    pub(super) address: SocketAddr,
    answers: watch::Sender<bool>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    open: AtomicUsize,
    most: AtomicUsize,
    answered: AtomicUsize,
}

impl Provider {
    pub(super) async fn start(answers: bool) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), answers)
    }

    pub(super) fn on(listener: TcpListener, answers: bool) -> Self {
        let address = listener.local_addr().unwrap();
        let (answers, counts) = (watch::Sender::new(answers), Arc::<Counts>::default());
        let (switch, counted) = (answers.subscribe(), Arc::clone(&counts));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (switch, counts) = (switch.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    let open = counts.open.fetch_add(1, Ordering::SeqCst) + 1;
                    counts.most.fetch_max(open, Ordering::SeqCst);
                    // A client that goes away is what this is about.
                    let _ = serve(stream, switch, &counts).await;
                    counts.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, answers, counts }
    }

    /// It comes back.
    pub(super) fn revive(&self) {
        self.answers.send_replace(true);
    }

    /// The largest number of connections there ever was at once.
    pub(super) fn most(&self) -> usize {
        self.counts.most.load(Ordering::SeqCst)
    }

    pub(super) fn answered(&self) -> usize {
        self.counts.answered.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, mut answers: watch::Receiver<bool>, counts: &Counts) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        while !is_whole(&bytes) {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let mut rest = [0];
        tokio::select! {
            // Nobody sends more before there is an answer: this is the end of the connection.
            _ = stream.read(&mut rest) => return Ok(()),
            _ = answers.wait_for(|&answers| answers) => {}
        }
        bytes.clear();
        counts.answered.fetch_add(1, Ordering::SeqCst);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").await?;
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}
