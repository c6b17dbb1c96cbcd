//! Packs old segments of the journal and merges files of the archive, on a thread of its own: neither touches the working
//! store.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Shared;

/// Between two segments, so that most of the machine is left to those who wait for it.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Packing {
    thread: JoinHandle<()>,
    /// The thread ends when this is gone.
    alive: Sender<()>,
}

impl Packing {
    pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let (weak, every) = (Arc::downgrade(shared), shared.options.archive_every);
        let (alive, gone) = channel();
        let run = move || {
            let mut from = 0;
            let mut pause = every.min(PAUSE);
            while gone.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let Some(worked) = turn(&weak, &mut from) else { return };
                pause = if worked { every.min(PAUSE) } else { every };
            }
        };
        let thread = thread::Builder::new().name("store-archive".to_owned()).spawn(run)?;
        Ok(Self { thread, alive })
    }

    /// Waits for what is under way: a segment at the most.
    pub(super) fn stop(self) {
        drop(self.alive);
        if self.thread.join().is_err() {
            tracing::error!("the thread that packs the journal has panicked");
        }
    }
}

/// Does one thing. None at the end of the store; false when there was nothing to do.
fn turn(shared: &Weak<Shared>, from: &mut u64) -> Option<bool> {
    let shared = shared.upgrade()?;
    if shared.healthy().is_err() || shared.trouble().is_some() {
        return Some(false);
    }
    let packed = match shared.journal.pack_next(from) {
        Ok(packed) => packed.is_some(),
        Err(error) => {
            // The segment stays as it is.
            tracing::warn!(%error, "a segment of the journal could not be packed");
            false
        }
    };
    let merged = shared.archive.merge().unwrap_or_else(|error| {
        tracing::warn!(%error, "files of the archive could not be merged");
        false
    });
    Some(packed || merged)
}
