//! Calls of the system fail: once, at every kind of place, in every kind of way. Whatever the daemon makes of it, nothing
//! that was acknowledged is lost, and after a sync that failed nothing is acknowledged any more.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::cuts::{cuts, last_look, none_lost};
use super::disk::Cut;
use super::full::{is_prepared, until};
use super::load::Load;
use super::rig::{Daemon, Ended, PATIENCE, Rig};
use super::shim::{self, Call, Fault, Knob};
use crate::journal_disk::Dice;

/// Orders that are acknowledged while a fault waits for its call.
const ORDERS: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_fail() {
    campaign(Call::Write, &[Fault::Io, Fault::NoSpace, Fault::Short, Fault::Interrupted, Fault::Death]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syncs_that_fail() {
    campaign(Call::Sync, &[Fault::Io, Fault::NoSpace, Fault::Death]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opens_that_fail() {
    campaign(Call::Open, &[Fault::Io, Fault::NoSpace, Fault::Death]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_fail() {
    campaign(Call::Read, &[Fault::Io, Fault::Short, Fault::Interrupted]).await;
}

/// A sync that fails ends it, whichever thread it was on, and whatever it was for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_is_the_end_wherever_it_was() {
    if !shim::is_there() {
        return;
    }
    let (rig, load, mut dice) = (Rig::new(), Load::new(), Dice(11));
    let (daemon, url) = rig.start();
    until(|| is_prepared(&rig.data())).await;
    none_lost(&load, &url).await;
    daemon.kill();
    rig.after_kill();
    // The first two are synced in every start, the others under load.
    for (number, name) in (1..).zip([".", "journal", "tip", "the last segment"]) {
        let arm = || {
            // A fast daemon has filled the first segment long since.
            let path = if number == 4 { last_segment(&rig.data()) } else { rig.data().join(name) };
            rig.control.set(Knob::OnlyFile, fs::metadata(path).unwrap().ino());
            rig.control.fail(Call::Sync, 1, 1, Fault::Io);
        };
        let (mut daemon, clients) = if number <= 2 {
            arm();
            (rig.spawn(0), tokio::task::JoinSet::new())
        } else {
            let (daemon, url) = rig.start();
            arm();
            (daemon, load.run(&url, &mut dice))
        };
        let ended = daemon.wait(PATIENCE).unwrap_or_else(|| panic!("the sync of {name} has failed, and it goes on"));
        clients.join_all().await;
        assert!(!ended.status.success() && ended.stderr.contains("could not sync"), "{name}: {ended:?}");
        assert_eq!(rig.control.get(Knob::Failed), number);
        rig.control.set(Knob::OnlyFile, 0);
        rig.after_kill();
    }
    last_look(&rig, &load).await;
}

/// The segment that is written to.
fn last_segment(data: &Path) -> PathBuf {
    let files = fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "journal")).max().expect("there is a segment")
}

/// What a daemon had written when its sync failed, or before it could sync, is found by the next one. A client that sends
/// its order again is told that it is there, so it must be durable by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_start_finds_is_durable_before_it_is_acknowledged() {
    if !shim::is_there() {
        return;
    }
    for fault in [Fault::Io, Fault::Death] {
        let (mut rig, load, mut dice) = (Rig::new(), Load::new(), Dice(10));
        let mut found = 0;
        while found < 3 {
            let (mut daemon, url) = rig.start();
            until(|| is_prepared(&rig.data())).await;
            rig.control.fail(Call::Sync, 1 + dice.roll(4), 1, fault);
            let clients = load.run(&url, &mut dice);
            daemon.wait(PATIENCE).expect("it ends");
            clients.join_all().await;
            found += usize::from(failed_name(&rig).ends_with(".journal"));
            rig.control.set(Knob::Failed, 0);
            rig.after_kill();
            let (daemon, url) = rig.start();
            none_lost(&load, &url).await;
            daemon.kill();
            rig.cut(Cut::AllUnsynced, &mut dice);
            load.doubt(true);
            let (_daemon, url) = rig.start();
            none_lost(&load, &url).await;
        }
        last_look(&rig, &load).await;
    }
}

/// When the call fails that is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// In a start on an empty disk.
    FirstStart,
    /// In a start on a disk with orders.
    Start,
    Load,
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    call: Call,
    fault: Fault,
    when: When,
    n: u64,
}

#[derive(Debug, Default)]
struct Sums {
    trials: u64,
    /// The call was reached, and failed.
    failed: u64,
    /// The daemon stopped, or did not start, and said why.
    stopped: u64,
    went_on: u64,
}

/// Tries a kind of call at places that are spread over all there are.
async fn campaign(call: Call, faults: &[Fault]) {
    if !shim::is_there() {
        return;
    }
    let places = (cuts() / 5).max(1);
    let mut dice = Dice(call as u64);
    let totals = totals(call, &mut dice).await;
    for &fault in faults {
        let (mut rig, load, mut sums) = (Rig::new(), Load::new(), Sums::default());
        for place in 0..places {
            for (when, total) in totals {
                let spread = total / places;
                let n = 1 + place * total / places + dice.roll(spread.max(1));
                let trial = Trial { call, fault, when, n };
                if when == When::FirstStart {
                    attempt(&mut Rig::new(), &Load::new(), trial, &mut dice, &mut sums).await;
                } else {
                    attempt(&mut rig, &load, trial, &mut dice, &mut sums).await;
                }
            }
        }
        let (orders, events, _) = last_look(&rig, &load).await;
        println!(
            "power: {call:?} fails with {fault:?}: {} trials, {} reached; the daemon stopped {} times and went on {} times; \
             {orders} orders and {events} events acknowledged: 0 lost, 0 doubled",
            sums.trials, sums.failed, sums.stopped, sums.went_on
        );
        // How many depends on how fast the machine is: what is written ahead is written meanwhile.
        assert!(sums.failed > 0, "no fault is reached: {sums:?}");
    }
}

/// How many calls of the kind there are in each phase.
async fn totals(call: Call, dice: &mut Dice) -> [(When, u64); 3] {
    let (rig, load) = (Rig::new(), Load::new());
    let calls = || rig.control.calls(call);
    let (daemon, url) = rig.start();
    let first = calls();
    let clients = load.run(&url, dice);
    while load.acknowledged().0 < ORDERS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // From here on without the zeros that are written ahead.
    until(|| is_prepared(&rig.data())).await;
    daemon.kill();
    clients.join_all().await;
    rig.after_kill();
    let before = calls();
    let (daemon, url) = rig.start();
    let start = calls() - before;
    let before = calls();
    load.doubt(true);
    let until = load.acknowledged().0 + ORDERS;
    let clients = load.run(&url, dice);
    while load.acknowledged().0 < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    daemon.kill();
    clients.join_all().await;
    [(When::FirstStart, first.max(1)), (When::Start, start.max(1)), (When::Load, (calls() - before).max(1))]
}

async fn attempt(rig: &mut Rig, load: &Load, trial: Trial, dice: &mut Dice, sums: &mut Sums) {
    sums.trials += 1;
    rig.control.set(Knob::Failed, 0);
    let arm = || rig.control.fail(trial.call, trial.n, 1, trial.fault);
    let (mut daemon, url) = if trial.when == When::Load {
        let (daemon, url) = rig.start();
        none_lost(load, &url).await;
        arm();
        reach(rig, load, load.run(&url, dice)).await;
        (daemon, Some(url))
    } else {
        arm();
        let mut daemon = rig.spawn(0);
        let url = daemon.ready().map(|told| told["api"].as_str().expect("the address of the API").to_owned());
        (daemon, url)
    };
    let ended = match url {
        Some(url) if !is_final(rig, trial) => goes_on(&mut daemon, load, &url).await,
        _ => Some(daemon.wait(PATIENCE).unwrap_or_else(|| panic!("{trial:?}: it should end"))),
    };
    rig.control.set(Knob::FailTimes, 0);
    let reached = rig.control.get(Knob::Failed) > 0;
    sums.failed += u64::from(reached);
    match &ended {
        Some(ended) => {
            sums.stopped += 1;
            assert!(reached, "{trial:?}: it ended for no reason: {ended:?}");
            if trial.fault != Fault::Death {
                assert!(ended.status.code().is_some_and(|code| code != 0), "{trial:?}: {ended:?}");
                assert!(ended.stderr.contains("\"detail\""), "{trial:?}: it says why it stops: {ended:?}");
            }
        }
        None => sums.went_on += 1,
    }
    if is_final(rig, trial) {
        nothing_after(rig, load, trial);
    }
    daemon.kill();
    if trial.fault == Fault::Death || dice.roll(2) == 0 {
        let how = [Cut::AllUnsynced, Cut::AnySectors, Cut::AnySectorsAndNames][usize::try_from(dice.roll(3)).unwrap()];
        rig.cut(how, dice);
        load.doubt(false);
    } else {
        rig.after_kill();
    }
    if trial.when == When::FirstStart {
        let (_daemon, url) = rig.start();
        none_lost(load, &url).await;
        assert!(matches!(load.open(&url).await, Some(Ok(_))), "{trial:?}");
    }
}

/// A sync that has failed is the end of all acknowledgements, and of the daemon. sled's own syncs do not count: what it
/// holds is not believed after a power cut.
fn is_final(rig: &Rig, trial: Trial) -> bool {
    let failed = rig.control.get(Knob::Failed) > 0;
    failed && trial.call == Call::Sync && trial.fault == Fault::Io && !failed_name(rig).starts_with("sled")
}

/// The file that the failed call was about, if it is still there.
fn failed_name(rig: &Rig) -> String {
    rig.name_of(rig.control.get(Knob::FailedFile)).unwrap_or_default()
}

fn nothing_after(rig: &Rig, load: &Load, trial: Trial) {
    let name = failed_name(rig);
    // The thread that syncs these is the one that acknowledges.
    if name.ends_with(".journal") {
        let failed_at = UNIX_EPOCH + Duration::from_nanos(rig.control.get(Knob::FailedAt));
        let last = load.last_acknowledged();
        assert!(
            last.is_none_or(|last| last <= failed_at),
            "{trial:?}: acknowledged after the sync of {name} had failed"
        );
    }
}

/// Waits until the fault has been met, or its call does not come.
async fn reach(rig: &Rig, load: &Load, mut clients: tokio::task::JoinSet<()>) {
    let until = load.acknowledged().0 + 2 * ORDERS;
    while rig.control.get(Knob::Failed) == 0 && load.acknowledged().0 < until && !clients.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        while clients.try_join_next().is_some() {}
    }
    // What comes of it may come a little later.
    tokio::time::sleep(Duration::from_millis(20)).await;
    load.stop();
    clients.join_all().await;
}

/// Whether it takes orders; if not, how it ended. There is nothing between the two for long.
async fn goes_on(daemon: &mut Daemon, load: &Load, url: &str) -> Option<Ended> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(ended) = daemon.wait(Duration::ZERO) {
            return Some(ended);
        }
        if matches!(load.open(url).await, Some(Ok(_))) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(Instant::now() < until, "it neither goes on nor ends");
    }
}
