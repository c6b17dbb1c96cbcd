//! `paystate archive`: takes orders that have ended out of the working store, and packs the journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;

use super::{Verdict, doctor, output};
use crate::executor::{Clock, Refold, SystemClock};
use crate::journal::{Journal, Packing};
use crate::store::{Archived, SledOptions, SledStore, Store};
use crate::types::{Timestamp, format_duration, parse_duration};

/// Until then at the least the key of an order is remembered.
pub(super) const LEAST: Duration = Duration::from_secs(7 * 86_400);

/// Take orders that have ended out of the working store, and pack the journal, in the data of a daemon that is not running.
///
/// An archived order is shown and its journal is read as before, and a late event for it is taken. But lists do not show it,
/// and its Idempotency-Key is forgotten: the same key opens another order. A running daemon does all this by itself if its
/// configuration says `archive: { after: 30d }`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  paystate archive --data data --older-than 30d --dry-run\n  paystate archive --data data"
)]
pub(super) struct Args {
    /// Where the orders are kept.
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// Only orders that have not changed for so long; 7d at the least.
    #[arg(long, default_value = "30d", value_name = "DURATION", value_parser = retention)]
    older_than: Duration,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How long an order is kept in the working store.
pub(super) fn retention(text: &str) -> Result<Duration, String> {
    let after = parse_duration(text).map_err(|error| error.to_string())?;
    if after < LEAST {
        return Err(format!(
            "{text} is too short: 7d at the least, since an order's Idempotency-Key is forgotten with it"
        ));
    }
    Ok(after)
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Verdict> {
    // The store would make what it does not find.
    if !Journal::is_in(&args.data) {
        bail!("there are no orders in {}: no daemon has used it with --data", args.data.display());
    }
    let ago = i64::try_from(args.older_than.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp::from_unix_ms(SystemClock.now().unix_ms().saturating_sub(ago));
    let bytes_before = bytes(&args.data);
    let opened = SledStore::open(&args.data, SledOptions::default(), Arc::new(Refold::default()));
    let store = doctor::opened(&args.data, opened)?;
    let archived = doctor::opened(&args.data, store.archive(before, args.dry_run).await)?;
    let packed = if args.dry_run {
        Packing { segments: store.log().packable(), ..Packing::default() }
    } else {
        pack(args, &store)?
    };
    store.close().await?;
    drop(store);
    if archived.orders > 0 && !args.dry_run {
        doctor::opened(&args.data, SledStore::compact(&args.data, &SledOptions::default()))?;
    }
    tell(args, archived, packed, bytes_before, bytes(&args.data));
    Ok(Verdict::Yes)
}

fn pack(args: &Args, store: &SledStore) -> anyhow::Result<Packing> {
    let (mut sum, mut from) = (Packing::default(), 0);
    while let Some(packed) = doctor::opened(&args.data, store.log().pack_next(&mut from).map_err(Into::into))? {
        sum.segments += packed.segments;
        sum.before += packed.before;
        sum.after += packed.after;
    }
    while store.merge_archive()? {}
    Ok(sum)
}

fn tell(args: &Args, archived: Archived, packed: Packing, before: u64, after: u64) {
    if args.json {
        output::json(&serde_json::json!({
            "dry_run": args.dry_run, "orders_archived": archived.orders, "orders_kept": archived.kept,
            "segments_packed": packed.segments, "bytes_before": before, "bytes_after": after,
        }));
        return;
    }
    let (older, orders, segments) = (format_duration(args.older_than), archived.orders, packed.segments);
    let kept = match archived.kept {
        0 => String::new(),
        kept => format!("{kept} stay, since entries of their journals cannot be read: see `paystate doctor`\n"),
    };
    if args.dry_run {
        output::out(&format!(
            "{orders} orders that have not changed for {older} would be archived\n{kept}{segments} segments of the journal \
             would be packed\n"
        ));
    } else {
        output::out(&format!(
            "{orders} orders that have not changed for {older} are archived\n{kept}{segments} segments of the journal are \
             packed\n{before} bytes before, {after} after\n"
        ));
    }
}

/// What orders take: not the room that is kept ready for others.
fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match (entry.metadata(), entry.file_name().to_string_lossy()) {
        (Ok(meta), _) if meta.is_dir() => bytes(&entry.path()),
        (Ok(_), name) if name.starts_with("spare-") || name == "reserve" => 0,
        (Ok(meta), _) => meta.len(),
        (Err(_), _) => 0,
    };
    entries.flatten().map(size).sum()
}
