//! What the same disk does with the same bytes when nothing else is done: a file with group commit, and no more.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Zeroed ahead, as the journal's segments are: overwriting makes an fdatasync about twice as cheap.
const AHEAD: u64 = 64 << 20;

/// Writes `orders` orders of `records` dependent records each, `record` bytes long, `concurrency` at a time: each order's
/// next record is written only when its last one is on disk. Returns orders a second.
pub(super) fn orders_per_second(
    folder: &Path,
    orders: u64,
    concurrency: u64,
    records: u64,
    record: usize,
) -> io::Result<f64> {
    let path = folder.join("limit");
    let file = File::create(&path)?;
    let zeros = vec![0u8; 1 << 20];
    for at in (0..AHEAD).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    let waiting = concurrency.min(orders).max(1);
    let groups = orders.saturating_mul(records).div_ceil(waiting);
    // Long enough to be steady, short enough to be bearable where the disk is slow.
    let begun = Instant::now();
    let group = vec![0x5au8; record.saturating_mul(usize::try_from(waiting).unwrap_or(usize::MAX))];
    let mut written = 0u64;
    let mut at = 0u64;
    for _ in 0..groups {
        let length = u64::try_from(group.len()).unwrap_or(u64::MAX);
        if at.saturating_add(length) > AHEAD {
            at = 0;
        }
        file.write_all_at(&group, at)?;
        file.sync_data()?;
        at += length;
        written += waiting;
        if begun.elapsed() > Duration::from_secs(5) {
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64().max(f64::EPSILON);
    std::fs::remove_file(&path)?;
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
    let rate = written as f64 / records as f64 / seconds;
    Ok(rate)
}
