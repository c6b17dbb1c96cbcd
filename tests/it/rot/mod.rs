//! Damage of every kind, at places that seeds tell: it is found and named, or does no harm; and a repair leaves every
//! order as it was that it does not name.
//!
//! `PAYSTATE_ROT=N` strikes N times with each kind instead of the short form's number. The last lines that a run prints
//! are a table of what became of it.
#![allow(clippy::panic, reason = "a test may panic")]

mod cases;
mod damage;
mod desk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use paystate::executor::Refold;
use paystate::journal::Remedy;
use paystate::store::{Checkup, CheckupOptions, Store, checkup};
use paystate::types::OrderId;

use self::damage::{KINDS, Kind};
use self::desk::{Base, PATIENCE, contents, options};
use crate::journal_disk::Dice;

const SHORT: u64 = 16;
const AT_ONCE: usize = 6;
/// By then, every timer has fired.
const LATER: Duration = Duration::from_secs(3 * 3600);

/// What became of the damage of one kind.
#[derive(Default)]
struct Sums {
    struck: u64,
    refused: u64,
    harmless: u64,
    of_one_order: u64,
    nothing_found: u64,
    whole: u64,
    bridged: u64,
    orders_named: u64,
    orders_gone: u64,
    backup_needed: u64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.struck += other.struck;
        self.refused += other.refused;
        self.harmless += other.harmless;
        self.of_one_order += other.of_one_order;
        self.nothing_found += other.nothing_found;
        self.whole += other.whole;
        self.bridged += other.bridged;
        self.orders_named += other.orders_named;
        self.orders_gone += other.orders_gone;
        self.backup_needed += other.backup_needed;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_named_or_harmless_and_repaired_or_told() {
    let times = std::env::var("PAYSTATE_ROT").ok().and_then(|text| text.parse().ok()).unwrap_or(SHORT);
    let base = Arc::new(Base::new().await);
    let mut all: BTreeMap<Kind, Sums> = KINDS.iter().map(|&kind| (kind, Sums::default())).collect();
    // The damage to packed segments is of fewer sorts.
    let times = |kind: Kind| if kind.is_packed() { times.div_ceil(2) } else { times };
    let strikes = KINDS.into_iter().flat_map(|kind| (0..times(kind)).map(move |seed| (kind, seed)));
    let runs = futures_util::stream::iter(strikes).map(|(kind, seed)| {
        let base = Arc::clone(&base);
        async move {
            let run = tokio::spawn(async move { strike(&base, kind, seed).await });
            let run = tokio::time::timeout(PATIENCE * 5, run).await;
            let run = run.unwrap_or_else(|_| panic!("{kind:?} with seed {seed} hangs"));
            (kind, run.unwrap_or_else(|error| panic!("{kind:?} with seed {seed}: {error}")))
        }
    });
    let mut runs = std::pin::pin!(runs.buffer_unordered(AT_ONCE));
    while let Some((kind, sums)) = runs.next().await {
        all.entry(kind).or_default().add(&sums);
    }
    println!(
        "kind | struck | refused | one order | harmless | nothing found | repaired whole | bridged | orders named | orders gone | backup"
    );
    for (kind, sums) in &all {
        println!(
            "{} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {}",
            kind.name(),
            sums.struck,
            sums.refused,
            sums.of_one_order,
            sums.harmless,
            sums.nothing_found,
            sums.whole,
            sums.bridged,
            sums.orders_named,
            sums.orders_gone,
            sums.backup_needed
        );
    }
    let sum = |count: fn(&Sums) -> u64| all.values().map(count).sum::<u64>();
    assert!(sum(|sums| sums.refused) > 0 && sum(|sums| sums.whole) > 0 && sum(|sums| sums.bridged) > 0);
}

async fn strike(base: &Base, kind: Kind, seed: u64) -> Sums {
    let mut sums = Sums::default();
    let mut dice = Dice(seed ^ ((kind as u64) << 32));
    let killed = dice.roll(3) == 0;
    let (first, second) = match kind.is_packed() {
        true => (base.packed().await, base.packed().await),
        false => (base.copy(killed), base.copy(killed)),
    };
    let place = kind.strike(first.path(), base.older(), &mut dice.clone());
    kind.strike(second.path(), base.older(), &mut dice);
    let without_store = dice.roll(2) == 0;
    if without_store && !kind.name().contains("sled") {
        for dir in [&first, &second] {
            std::fs::remove_dir_all(dir.path().join("sled")).unwrap();
        }
    }
    let what = format!("{kind:?}, seed {seed}, {place}, without sled: {without_store}, killed: {killed}");
    sums.struck += 1;
    let verify = if dice.roll(2) == 0 { 0 } else { u64::MAX };
    open_and_drive(base, first.path(), verify, &what, &mut sums).await;
    repair_and_drive(base, second.path(), kind, &what, &mut sums).await;
    sums
}

/// What a daemon does that knows nothing of the damage.
async fn open_and_drive(base: &Base, dir: &Path, verify: u64, what: &str, sums: &mut Sums) {
    let before = contents(dir);
    let effects = base.effects();
    let refused = |error: String| {
        let named =
            [".journal", ".packed", "/tip", "journal", "working store", "sled"].iter().any(|name| error.contains(name));
        assert!(named && !error.contains("panicked"), "{what}: {error}");
        let journal =
            |(path, _): &(&PathBuf, &Vec<u8>)| path.extension().is_some_and(|end| end == "journal" || end == "packed");
        let after = contents(dir);
        assert!(
            before.iter().filter(journal).eq(after.iter().filter(journal)),
            "{what}: a refused journal was changed"
        );
    };
    let unread = match base.open(dir, verify).await {
        Err(error) => {
            refused(error);
            sums.refused += 1;
            return;
        }
        Ok(store) => {
            let read = base.compare(&store, &[], 0).await;
            assert_eq!(read.gaps, 0, "{what}");
            read.errors.len() as u64
        }
    };
    let driven = match base.start(dir, verify, effects.clone(), false, LATER).await {
        Err(error) => {
            refused(error);
            sums.refused += 1;
            return;
        }
        Ok(driven) => driven,
    };
    let unread = unread + base.drive(&driven, &effects, &[]).await;
    driven.shutdown(Duration::from_secs(5)).await.unwrap_or_else(|error| assert!(unread > 0, "{what}: {error}"));
    if unread == 0 { sums.harmless += 1 } else { sums.of_one_order += 1 }
}

async fn repair_and_drive(base: &Base, dir: &Path, kind: Kind, what: &str, sums: &mut Sums) {
    let before = contents(dir);
    let looked = look(dir, false).await;
    assert!(contents(dir) == before, "{what}: something was written without --repair");
    let repaired = look(dir, true).await;
    let hopeless = repaired.findings.iter().any(|finding| matches!(finding.remedy, Remedy::Person(_)));
    assert_eq!(looked.findings.is_empty(), repaired.findings.is_empty(), "{what}");
    if hopeless {
        assert!(contents(dir) == before, "{what}: something was changed that cannot be repaired");
        sums.backup_needed += 1;
        return;
    }
    assert!(repaired.repaired || repaired.findings.is_empty(), "{what}: {:?}", repaired.findings);
    if repaired.findings.is_empty() {
        sums.nothing_found += 1;
    } else if repaired.findings.iter().any(|finding| matches!(finding.remedy, Remedy::Bridge(_))) {
        sums.bridged += 1;
    } else {
        sums.whole += 1;
        assert!(repaired.orders.is_empty(), "{what}: {:?}", repaired.orders);
        let of_journal = repaired.findings.iter().any(|finding| finding.file.starts_with("journal"));
        if of_journal && matches!(kind, Kind::FlippedBit | Kind::SwappedFiles | Kind::GrownFile) {
            assert!(base.has_segments_of(dir), "{what}: it is whole again, and not as it was");
        }
    }
    let named: BTreeSet<OrderId> = repaired.orders.iter().map(|note| note.order).collect();
    let touched = repaired.findings.iter().flat_map(|finding| finding.orders.iter().copied());
    // Whoever lost an entry of its journal may be as it was all the same: the working store knows it.
    let named: Vec<OrderId> = named.into_iter().chain(touched).collect();
    sums.orders_named += named.iter().collect::<BTreeSet<_>>().len() as u64;
    let mut left_out: Vec<OrderId> = repaired.orders.iter().map(|note| note.order).collect();
    {
        let store = base.open(dir, u64::MAX).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let read = base.compare(&store, &named, repaired.lost).await;
        assert!(read.errors.is_empty(), "{what}: {:?}", read.errors);
        assert!(read.gaps == 0 || repaired.lost > 0, "{what}: {read:?}");
        sums.orders_gone += read.gone.len() as u64;
        left_out.extend(read.gone);
        store.close().await.unwrap();
    }
    let effects = base.effects();
    let driven = base.start(dir, u64::MAX, effects.clone(), false, LATER).await;
    let driven = driven.unwrap_or_else(|error| panic!("{what}: {error}"));
    let refused = base.drive(&driven, &effects, &left_out).await;
    assert_eq!(refused, 0, "{what}: orders that are not named could not be driven on");
    driven.shutdown(Duration::from_secs(5)).await.unwrap();
    let again = look(dir, false).await;
    assert!(again.findings.is_empty(), "{what}: {:?}", again.findings);
}

async fn look(dir: &Path, repair: bool) -> Checkup {
    let dir = dir.to_owned();
    let look = move || {
        let options = CheckupOptions { repair, backup: None, store: options(u64::MAX) };
        checkup(&dir, &options, &Refold::default())
    };
    tokio::task::spawn_blocking(look).await.expect("it does not panic").unwrap_or_else(|error| panic!("{error}"))
}
