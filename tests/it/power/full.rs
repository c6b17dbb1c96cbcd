//! The disk runs full: new orders are refused with 507, those in flight come to their end, and with room again it goes on
//! by itself.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cuts::{last_look, none_lost};
use super::disk::Cut;
use super::load::{FULL, Load};
use super::rig::{Daemon, PATIENCE, Rig};
use super::shim::{self, Knob};
use crate::journal_disk::Dice;
use crate::support::{paystate, root};

/// Orders that are in flight when the disk runs full.
const IN_FLIGHT: usize = 60;

/// A disk of which not a byte more can be had, and then one that is large again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_takes_no_new_orders_and_loses_none() {
    if !shim::is_there() {
        return;
    }
    let (mut rig, load, mut dice) = (Rig::new(), Load::new(), Dice(6));
    let (daemon, url) = rig.start();
    accept(&load, &url).await;
    until(|| is_prepared(&rig.data())).await;
    rig.control.set(Knob::Room, rig.control.get(Knob::Used));
    let refused = runs_full(&load, &url, &mut dice).await;
    let ended = load.end(&url, IN_FLIGHT / 3).await;

    // A daemon that dies on a full disk, and one that is stopped on it, come back, and the orders go on.
    daemon.kill();
    rig.after_kill();
    let (mut daemon, url) = rig.start();
    let ended = ended + load.end(&url, IN_FLIGHT / 3).await;
    none_lost(&load, &url).await;
    daemon.signal("TERM");
    let stopped = daemon.wait(PATIENCE).expect("it ends");
    assert!(stopped.status.success(), "{stopped:?}");
    let (daemon, url) = rig.start();
    let ended = ended + load.end(&url, IN_FLIGHT / 3).await;
    assert_eq!(ended, IN_FLIGHT);
    let again = runs_full(&load, &url, &mut dice).await;

    rig.control.set(Knob::Room, 0);
    recovers(&load, &url).await;
    daemon.kill();
    rig.cut(Cut::AllUnsynced, &mut dice);
    let (orders, events, replayed) = last_look(&rig, &load).await;
    println!(
        "power: full disk: {} new orders refused with 507, {ended} orders in flight ended, 2 starts on the full disk; \
         {orders} orders and {events} events acknowledged: 0 lost, 0 doubled; {replayed} orders replayed",
        refused + again
    );
}

/// Where there is no room at all, not even for the working store to be opened, a start either succeeds or says why not,
/// and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_any_room_says_so() {
    if !shim::is_there() {
        return;
    }
    let (mut rig, load, mut dice) = (Rig::new(), Load::new(), Dice(7));
    let mut refused = 0;
    for _ in 0..2 {
        let (daemon, url) = rig.start();
        accept(&load, &url).await;
        daemon.kill();
        rig.after_kill();
        fs::remove_file(rig.data().join("reserve")).ok();
        if dice.roll(2) == 0 {
            rig.cut(Cut::AllUnsynced, &mut dice);
            load.doubt(true);
        }
        rig.control.set(Knob::Room, rig.control.get(Knob::Used));
        let mut daemon = rig.spawn(0);
        if daemon.ready().is_none() {
            let ended = daemon.wait(PATIENCE).expect("it ends");
            assert!(!ended.status.success() && ended.stderr.contains("the disk is full"), "{ended:?}");
            refused += 1;
        }
        daemon.kill();
        rig.after_kill();
        rig.control.set(Knob::Room, 0);
    }
    let (orders, ..) = last_look(&rig, &load).await;
    println!("power: 2 starts without any room, {refused} refused; {orders} orders acknowledged: 0 lost");
}

/// The same on a real file system, in a name space of its own: nothing of ours is between the daemon and the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_file_system_runs_full() {
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().display().to_string();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.args(["mount -t tmpfs -o size=200m none \"$0\" && exec \"$@\"", &mount]);
    let possible = Command::new(command.get_program()).args(command.get_args()).arg("true").output();
    if !possible.is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: 1 (no file system can be mounted)");
        return;
    }
    command.arg(paystate()).args(["serve", "--json", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(folder.path().join("data")).arg("--workflows").arg(root().join("tests/power/workflows"));
    let mut daemon = Daemon::spawn(&mut command);
    let Some(told) = daemon.ready() else { panic!("{:?}", daemon.wait(PATIENCE)) };
    let url = told["api"].as_str().unwrap();
    let inside = PathBuf::from(format!("/proc/{}/root{mount}", daemon.id()));
    let (load, mut dice) = (Load::new(), Dice(8));
    accept(&load, url).await;
    until(|| is_prepared(&inside.join("data"))).await;
    let mut filler = fs::File::create(inside.join("filler")).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
    let refused = runs_full(&load, url, &mut dice).await;
    assert_eq!(load.end(url, IN_FLIGHT).await, IN_FLIGHT);
    fs::remove_file(inside.join("filler")).unwrap();
    drop(filler);
    recovers(&load, url).await;
    load.doubt(true);
    none_lost(&load, url).await;
    println!("power: a real full disk: {refused} new orders refused with 507, {IN_FLIGHT} orders in flight ended");
}

/// Orders that wait for an event.
async fn accept(load: &Load, url: &str) {
    for _ in 0..IN_FLIGHT {
        assert!(matches!(load.open(url).await, Some(Ok(_))));
    }
}

/// The files are there that are written ahead: two segments of the journal, and the room for the working store.
pub(super) fn is_prepared(data: &Path) -> bool {
    let names = fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().file_name());
    let spares = names.filter(|name| name.to_string_lossy().starts_with("spare-"));
    let whole = spares.filter(|name| !name.to_string_lossy().contains('.')).count();
    whole == 2 && fs::metadata(data.join("reserve")).is_ok_and(|reserve| reserve.len() == 32 * 1024 * 1024)
}

pub(super) async fn until(done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "it does not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Orders are sent until they are refused, and go on being refused; how many were.
async fn runs_full(load: &Load, url: &str, dice: &mut Dice) -> u64 {
    let before = load.refused_full();
    let mut clients = load.run(url, dice);
    let until = Instant::now() + PATIENCE;
    while load.refused_full() < before + 50 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        while clients.try_join_next().is_some() {}
        assert!(!clients.is_empty(), "nobody is served any more: {:?}", load.open(url).await);
        assert!(Instant::now() < until, "no order is refused");
    }
    load.stop();
    clients.join_all().await;
    // The working store is opened again on the room that was kept for it.
    while load.get(&format!("{url}/v1/orders?limit=5")).await.expect("the daemon answers").0 == FULL {
        assert!(Instant::now() < until, "what is there cannot be read");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..5 {
        assert_eq!(load.open(url).await, Some(Err(FULL)), "a full disk takes no new order");
        let (status, _) = load.get(&format!("{url}/v1/orders?limit=5")).await.expect("the daemon answers");
        assert_eq!(status, 200, "what is there can be read");
    }
    load.refused_full() - before
}

/// With room again a key that was refused is taken, and no restart is needed.
async fn recovers(load: &Load, url: &str) {
    let input: Value = json!({ "pad": "at last" });
    let key = load.begin(&input);
    let until = Instant::now() + PATIENCE;
    loop {
        match load.submit(url, &key, &input).await.expect("the daemon answers") {
            Ok(id) => return assert_eq!(load.submit(url, &key, &input).await, Some(Ok(id))),
            Err(status) => assert_eq!(status, FULL),
        }
        assert!(Instant::now() < until, "it does not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
