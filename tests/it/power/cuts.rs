//! The power is cut at any moment: under load, in the middle of a start, after a kill and a start.

use std::time::Duration;

use super::disk::{Cut, Taken};
use super::load::Load;
use super::rig::{Daemon, PATIENCE, Rig};
use super::shim::{self, Knob};
use crate::journal_disk::Dice;

/// A disk is used for so many cuts; then everything on it is looked at, and an empty one is taken.
const CUTS_PER_DISK: u64 = 10;
/// Most names are made on an empty disk.
const CUTS_PER_DISK_WITH_NAMES: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_unsynced_is_lost() {
    campaign("all unsynced lost", Cut::AllUnsynced, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_sectors_are_lost() {
    campaign("any sectors lost", Cut::AnySectors, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_sectors_and_names_are_lost() {
    campaign("any sectors and names lost", Cut::AnySectorsAndNames, 3).await;
}

/// The rig sees everything: replayed from nothing, its log gives the disk, byte by byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_everything_that_was_written() {
    if !shim::is_there() {
        return;
    }
    let (rig, load) = (Rig::new(), Load::new());
    let (mut daemon, url) = rig.start();
    let clients = load.run(&url, &mut Dice(4));
    while load.acknowledged().0 < 30 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    load.stop();
    clients.join_all().await;
    daemon.signal("TERM");
    let ended = daemon.wait(PATIENCE).expect("it ends");
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(rig.unexplained(), Vec::<std::path::PathBuf>::new());
    assert_eq!(rig.control.get(Knob::Strangers), 0);
}

/// The rig finds what it looks for: on a disk that says that it has synced and has not, acknowledged orders are lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_disk_is_found_out() {
    if !shim::is_there() {
        return;
    }
    for how in [Cut::AllUnsynced, Cut::AnySectors] {
        let (mut rig, load, mut dice) = (Rig::new(), Load::new(), Dice(5));
        // The beginning is durable, so that there is something to start from.
        let (daemon, url) = rig.start();
        rig.control.set(Knob::Lie, 1);
        under_load(&rig, &load, daemon, &url, 30, &mut dice).await;
        rig.cut(how, &mut dice);
        rig.control.set(Knob::Lie, 0);
        let mut daemon = rig.spawn(0);
        let Some(told) = daemon.ready() else {
            let ended = daemon.wait(PATIENCE).expect("it ends");
            assert!(ended.stderr.contains("damaged"), "it says why it does not start: {ended:?}");
            continue;
        };
        let losses = load.losses(told["api"].as_str().unwrap()).await;
        assert!(!losses.is_empty(), "{how:?}: a disk that lies has lost nothing");
    }
}

/// How often the power is cut in each way.
pub(super) fn cuts() -> u64 {
    std::env::var("PAYSTATE_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(15)
}

async fn campaign(name: &str, how: Cut, seed: u64) {
    if !shim::is_there() {
        return;
    }
    let cuts = cuts();
    let (mut dice, mut sums) = (Dice(seed), Sums::default());
    let mut left = cuts;
    while left > 0 {
        let most = if how == Cut::AnySectorsAndNames { CUTS_PER_DISK_WITH_NAMES } else { CUTS_PER_DISK };
        let here = left.min(most);
        one_disk(how, here, &mut dice, &mut sums).await;
        left -= here;
    }
    let Sums { orders, events, in_recovery, kills, replayed, taken } = sums;
    println!(
        "power: {name}: {cuts} cuts, {in_recovery} of them in a start, {kills} after a kill; \
         {orders} orders and {events} events acknowledged: 0 lost, 0 doubled, 0 that do not open; \
         {replayed} orders replayed; the cuts took {} writes, {} sectors, {} names",
        taken.writes, taken.sectors, taken.names
    );
}

#[derive(Default)]
struct Sums {
    orders: usize,
    events: usize,
    in_recovery: usize,
    kills: usize,
    replayed: usize,
    taken: Taken,
}

async fn one_disk(how: Cut, cuts: u64, dice: &mut Dice, sums: &mut Sums) {
    let (mut rig, load) = (Rig::new(), Load::new());
    for _ in 0..cuts {
        rig.control.set(Knob::SyncMicros, dice.roll(3_000));
        if dice.roll(4) == 0 {
            // In the middle of a start.
            let daemon = rig.spawn(0);
            tokio::time::sleep(Duration::from_millis(dice.roll(250))).await;
            daemon.kill();
            sums.in_recovery += 1;
        } else {
            if dice.roll(3) == 0 {
                // The next start finds what the killed daemon has written and not synced, and believes it.
                one_life(&rig, &load, dice).await;
                rig.after_kill();
                sums.kills += 1;
            }
            one_life(&rig, &load, dice).await;
        }
        let taken = rig.cut(how, dice);
        sums.taken.writes += taken.writes;
        sums.taken.sectors += taken.sectors;
        sums.taken.names += taken.names;
        load.doubt(false);
    }
    let (orders, events, replayed) = last_look(&rig, &load).await;
    sums.orders += orders;
    sums.events += events;
    sums.replayed += replayed;
}

/// Looks at everything on a disk of which no daemon runs: the orders and events that were acknowledged, and all orders
/// that were replayed.
pub(super) async fn last_look(rig: &Rig, load: &Load) -> (usize, usize, usize) {
    let replayed = rig.replay();
    load.doubt(true);
    let (_daemon, url) = rig.start();
    none_lost(load, &url).await;
    load.count(&url).await;
    let (orders, events) = load.acknowledged();
    (orders, events, replayed)
}

/// A start, a look at what should be there, and load until a kill.
async fn one_life(rig: &Rig, load: &Load, dice: &mut Dice) {
    let (daemon, url) = rig.start();
    none_lost(load, &url).await;
    // Sometimes nothing is written any more, so that nothing syncs what was found at the start.
    let most = if dice.roll(4) == 0 { 0 } else { dice.roll(60) };
    under_load(rig, load, daemon, &url, most, dice).await;
}

/// Load until so many more orders are acknowledged, and a moment longer; then a kill.
async fn under_load(rig: &Rig, load: &Load, daemon: Daemon, url: &str, orders: u64, dice: &mut Dice) {
    let until = load.acknowledged().0 as u64 + orders;
    if orders == 0 {
        daemon.kill();
        return;
    }
    let mut clients = load.run(url, dice);
    while (load.acknowledged().0 as u64) < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
        while clients.try_join_next().is_some() {}
        assert!(!clients.is_empty(), "nobody is served any more");
    }
    tokio::time::sleep(Duration::from_micros(dice.roll(20_000))).await;
    let ended = daemon.kill();
    clients.join_all().await;
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_eq!(rig.control.get(Knob::Failed), 0);
}

pub(super) async fn none_lost(load: &Load, url: &str) {
    let losses = load.losses(url).await;
    assert!(losses.is_empty(), "{} losses, such as {:?}", losses.len(), losses.first());
}
