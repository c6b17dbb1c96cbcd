//! More than it can carry: an order with very many events, orders that are stuck on a dead provider, a full queue, far
//! more clients than answers.
//!
//! `PAYSTATE_SOAK=1` runs the long form; the test command runs the short one.

mod flood;
mod hot;
mod large;
mod provider;
mod queue;
mod stuck;

use std::time::{Duration, Instant};

/// For what has to come in the end. No machine is too slow for it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Until it is so; `told` is for whoever waited in vain.
async fn until<T: std::fmt::Debug>(what: &str, told: impl Fn() -> T, done: impl Fn(&T) -> bool) {
    let begun = Instant::now();
    loop {
        let now = told();
        if done(&now) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {now:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the system says of a process in `/proc/ID/status`, in KiB: `VmHWM` or `VmRSS`.
fn kib(process: &str, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}
