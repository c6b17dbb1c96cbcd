//! What the same disk does with the same bytes when nothing else is done: a log with group commit, and no more.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Zeroed ahead, as the journal's segments are: overwriting makes an fdatasync about twice as cheap.
const AHEAD: u64 = 64 << 20;

/// Long enough to be steady, short enough to be bearable where the disk is slow.
const LONGEST: Duration = Duration::from_secs(5);

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) orders: u64,
    /// Orders under way at once.
    pub(super) concurrency: u64,
    /// Records of an order; each is written only when the last one is on disk.
    pub(super) records: u64,
    /// Bytes of a record.
    pub(super) record: usize,
}

/// Whom to tell when a record is on disk.
type Append = oneshot::Sender<()>;

/// Orders a second, from as many clients, each of which waits for each of its records. One thread writes: it takes all
/// that wait, writes them in one piece, syncs, and tells them.
pub(super) async fn orders_per_second(folder: &Path, work: Work) -> io::Result<f64> {
    let path = folder.join("limit");
    let file = zeroed(&path)?;
    let (queue, waiting) = mpsc::channel(1024);
    let writer = tokio::task::spawn_blocking(move || write(&file, waiting, work.record));
    let begun = Instant::now();
    let left = Arc::new(AtomicU64::new(work.orders));
    let written = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..work.concurrency.min(work.orders).max(1) {
        let (queue, left, written) = (queue.clone(), Arc::clone(&left), Arc::clone(&written));
        clients.spawn(async move {
            let next = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
            while begun.elapsed() < LONGEST && next() {
                for _ in 0..work.records {
                    let (append, done) = oneshot::channel();
                    if queue.send(append).await.is_err() || done.await.is_err() {
                        return;
                    }
                }
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    drop(queue);
    while clients.join_next().await.is_some() {}
    let seconds = begun.elapsed().as_secs_f64().max(f64::EPSILON);
    writer.await.map_err(io::Error::other)??;
    std::fs::remove_file(&path)?;
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
    let written = written.load(Ordering::Relaxed) as f64;
    Ok(written / seconds)
}

fn zeroed(path: &Path) -> io::Result<File> {
    let file = File::create(path)?;
    let zeros = vec![0u8; 1 << 20];
    for at in (0..AHEAD).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    Ok(file)
}

fn write(file: &File, mut waiting: mpsc::Receiver<Append>, record: usize) -> io::Result<()> {
    let bytes = vec![0x5au8; record.saturating_mul(1024)];
    let mut at = 0u64;
    let mut group: Vec<Append> = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        group.push(first);
        while group.len() < 1024
            && let Ok(next) = waiting.try_recv()
        {
            group.push(next);
        }
        let group_bytes = bytes.get(..record.saturating_mul(group.len())).unwrap_or(&bytes);
        let length = u64::try_from(group_bytes.len()).unwrap_or(u64::MAX);
        if at.saturating_add(length) > AHEAD {
            at = 0;
        }
        file.write_all_at(group_bytes, at)?;
        file.sync_data()?;
        at += length;
        for append in group.drain(..) {
            // A client that has gone needs no answer.
            let _ = append.send(());
        }
    }
    Ok(())
}
