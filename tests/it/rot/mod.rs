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
use std::path::Path;
use std::time::Duration;

use paystate::executor::Refold;
use paystate::journal::Remedy;
use paystate::store::{Checkup, CheckupOptions, checkup};
use paystate::types::OrderId;

use self::damage::{KINDS, Kind};
use self::desk::{Base, PATIENCE, contents, options};
use crate::journal_disk::Dice;

const SHORT: u64 = 16;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_named_or_harmless_and_repaired_or_told() {
    let times = std::env::var("PAYSTATE_ROT").ok().and_then(|text| text.parse().ok()).unwrap_or(SHORT);
    let base = Base::new().await;
    let mut all: BTreeMap<Kind, Sums> = BTreeMap::new();
    for kind in KINDS {
        let sums = all.entry(kind).or_default();
        for seed in 0..times {
            let run = tokio::time::timeout(PATIENCE * 5, strike(&base, kind, seed, sums)).await;
            assert!(run.is_ok(), "{kind:?} with seed {seed} hangs");
        }
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

async fn strike(base: &Base, kind: Kind, seed: u64, sums: &mut Sums) {
    let mut dice = Dice(seed ^ ((kind as u64) << 32));
    let (first, second) = (base.copy(), base.copy());
    let place = kind.strike(first.path(), base.older(), &mut dice.clone());
    kind.strike(second.path(), base.older(), &mut dice);
    let without_store = dice.roll(2) == 0;
    if without_store && !kind.name().contains("sled") {
        for dir in [&first, &second] {
            std::fs::remove_dir_all(dir.path().join("sled")).unwrap();
        }
    }
    let what = format!("{kind:?}, seed {seed}, {place}, without sled: {without_store}");
    sums.struck += 1;
    let verify = if dice.roll(2) == 0 { 0 } else { u64::MAX };
    println!("{what}");
    open_and_drive(base, first.path(), verify, &what, sums).await;
    repair_and_drive(base, second.path(), &what, sums).await;
}

/// What a daemon does that knows nothing of the damage.
async fn open_and_drive(base: &Base, dir: &Path, verify: u64, what: &str, sums: &mut Sums) {
    let before = contents(dir);
    let effects = base.effects();
    let driven = match base.start(dir, verify, effects.clone(), false, LATER).await {
        Err(error) => {
            let named =
                [".journal", "/tip", "journal", "working store", "sled"].iter().any(|name| error.contains(name));
            assert!(named && !error.contains("panicked"), "{what}: {error}");
            let journal = |(path, _): &(&std::path::PathBuf, &Vec<u8>)| path.to_string_lossy().contains(".journal");
            let after = contents(dir);
            assert!(
                before.iter().filter(journal).eq(after.iter().filter(journal)),
                "{what}: a refused journal was changed"
            );
            sums.refused += 1;
            return;
        }
        Ok(driven) => driven,
    };
    let unread = base.drive(&driven, &effects, &[]).await;
    driven.shutdown(Duration::from_secs(5)).await.unwrap_or_else(|error| assert!(unread > 0, "{what}: {error}"));
    if unread == 0 { sums.harmless += 1 } else { sums.of_one_order += 1 }
}

async fn repair_and_drive(base: &Base, dir: &Path, what: &str, sums: &mut Sums) {
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
    }
    let named: BTreeSet<OrderId> = repaired.orders.iter().map(|note| note.order).collect();
    let touched = repaired.findings.iter().flat_map(|finding| finding.orders.iter().copied());
    // Whoever lost an entry of its journal may be as it was all the same: the working store knows it.
    let named: Vec<OrderId> = named.into_iter().chain(touched).collect();
    sums.orders_named += named.iter().collect::<BTreeSet<_>>().len() as u64;
    let mut left_out: Vec<OrderId> = repaired.orders.iter().map(|note| note.order).collect();
    {
        let store = paystate::store::SledStore::open(dir, options(u64::MAX), &Refold::default());
        let store = store.unwrap_or_else(|error| panic!("{what}: {error}"));
        let (unread, gone) = base.compare(&store, &named, repaired.lost).await;
        sums.orders_gone += gone.len() as u64;
        left_out.extend(gone);
        let bridged = repaired.lost > 0;
        assert!(unread == 0 || bridged, "{what}: {unread} could not be read");
        paystate::store::Store::close(&store).await.unwrap();
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
