//! Single cases, looked at closely.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use paystate::api::{Server, ServerOptions};
use paystate::executor::{Executor, Refold};
use paystate::journal::Remedy;
use paystate::machine::{Event, Status};
use paystate::store::{Checkup, CheckupOptions, SledStore, Store, checkup};
use paystate::types::{OrderId, Position, Seq};

use super::desk::{Base, PATIENCE, Read, contents, options, say};
use crate::support::{paystate, root};

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_lost_an_entry_waits_for_a_person() {
    let base = Base::new().await;
    let copy = base.copy(false);
    let dir = copy.path();
    let order = waiting(&base);
    // Only the journal still knows the order.
    fs::remove_dir_all(dir.join("sled")).unwrap();
    wipe(dir, entry(&base, order, 2), 300);
    let found = look(dir, true, None);
    assert!(found.repaired, "{found:?}");
    assert_eq!(found.orders.iter().map(|note| note.order).collect::<Vec<_>>(), [order]);
    let note = "1 entry of its journal is lost, and 1 entry behind it cannot be followed; it is halted until a person \
                resolves it";
    assert_eq!(found.orders[0].note, note);

    let effects = base.effects();
    let driven = base.start(dir, u64::MAX, effects.clone(), false, Duration::ZERO).await.unwrap();
    let halted = driven.wait(order, PATIENCE).await.unwrap();
    assert_eq!(
        (halted.status, halted.is_halted(), halted.seq),
        (Status::Incident, true, Seq(2)),
        "{:?}",
        halted.incident
    );
    say(&driven, order, "shop.go", "go-on").await.unwrap();
    let inbox = driven.order(order).await.unwrap().unwrap();
    assert_eq!((inbox.state.as_str(), inbox.inbox.len(), inbox.status), ("holding", 1, Status::Incident));
    let (id, by, note) = ("again".into(), "kim".to_owned(), "the bank answers".to_owned());
    driven.apply(order, Event::RetryRequested { id, by, note }).await.unwrap();
    // The bank is asked what became of the hold.
    while driven.order(order).await.unwrap().unwrap().state.as_str() != "settled" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ended = driven.wait(order, PATIENCE).await.unwrap();
    assert_eq!((ended.status, ended.state.as_str()), (Status::Succeeded, "settled"));
    driven.shutdown(GRACE).await.unwrap();

    // What came after the gap is in the journal, and leads to the same order again.
    fs::remove_dir_all(dir.join("sled")).unwrap();
    let store = base.open(dir, u64::MAX).await.unwrap();
    assert_eq!(store.gaps(), []);
    assert_eq!(store.order(order).await.unwrap().unwrap().snapshot, ended);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_shown_where_the_working_store_knows_the_order() {
    let base = Base::new().await;
    let copy = base.copy(false);
    let order = waiting(&base);
    wipe(copy.path(), entry(&base, order, 2), 300);
    let found = look(copy.path(), true, None);
    assert!(found.repaired && found.orders.is_empty() && found.lost == 1, "{found:?}");
    assert!(copy.path().join("journal.aside").read_dir().unwrap().count() > 0);

    let driven = base.start(copy.path(), u64::MAX, base.effects(), false, Duration::ZERO).await.unwrap();
    let server = serve(&driven);
    let url = format!("http://{}", server.address());
    let shown = run(&["journal", &order.to_string(), "--server", &url]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("2  +") && shown.contains("1 entry is lost"), "{shown}");
    assert!(shown.contains("received shop.said"), "{shown}");
    let file = copy.path().join("recorded.jsonl");
    run(&["journal", &order.to_string(), "--server", &url, "--record", file.to_str().unwrap()]);
    let recorded = fs::read_to_string(&file).unwrap();
    assert_eq!(recorded.lines().filter(|line| line.starts_with("{\"record\":\"lost\"")).count(), 1, "{recorded}");
    let replayed = run(&["test", file.to_str().unwrap()]);
    assert_ne!(replayed.status.code(), Some(0));
    say(&driven, order, "shop.go", "go-on").await.unwrap();
    assert_eq!(driven.wait(order, PATIENCE).await.unwrap().status, Status::Succeeded);
    drop(server);
    driven.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_segments_are_taken_from_a_backup() {
    let base = Base::new().await;
    let segments = segments(base.dir());
    for (at, segment) in segments.iter().enumerate() {
        let name = segment.file_name().unwrap();
        for missing in [true, false] {
            let copy = base.copy(false);
            if missing {
                fs::remove_file(copy.path().join("journal").join(name)).unwrap();
            } else {
                wipe_file(&copy.path().join("journal").join(name), 4096, 3000);
            }
            let before = contents(copy.path());
            let alone = look(copy.path(), missing, None);
            let hopeless = alone.findings.iter().any(|finding| matches!(finding.remedy, Remedy::Person(_)));
            assert_eq!(hopeless, missing, "{alone:?}");
            assert!(contents(copy.path()) == before);
            let found = look(copy.path(), true, Some(base.dir()));
            assert!(found.repaired && found.lost == 0, "{found:?}");
            assert!(base.has_segments_of(copy.path()), "segment {at} is not what it was");
        }
    }
    // A segment of another journal, and one whose header and first records are gone.
    let other = Base::new().await;
    for foreign in [true, false] {
        let copy = base.copy(false);
        let path = copy.path().join("journal").join(segments[1].file_name().unwrap());
        if foreign {
            fs::copy(&self::segments(other.dir())[1], &path).unwrap();
        } else {
            wipe_file(&path, 0, 6000);
            wipe_file(&self::segments(copy.path())[0], 8000, 8384);
        }
        let before = contents(copy.path());
        assert!(!look(copy.path(), true, None).repaired);
        assert!(contents(copy.path()) == before);
        let found = look(copy.path(), true, Some(base.dir()));
        assert!(found.repaired && found.lost == 0, "{found:?}");
        assert!(base.has_segments_of(copy.path()));
    }
    // An older copy of the last segment does not reach as far as the tip.
    let copy = base.copy(false);
    fs::remove_file(copy.path().join("journal").join(segments[segments.len() - 1].file_name().unwrap())).unwrap();
    let found = look(copy.path(), true, Some(base.older()));
    assert!(!found.repaired, "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_definition_is_kept_anew_by_whoever_still_has_it() {
    let base = Base::new().await;
    let copy = base.copy(false);
    // The first record.
    wipe(copy.path(), Position(4096), 600);
    let found = look(copy.path(), true, None);
    assert!(found.repaired && found.orders.is_empty(), "{found:?}");
    let effects = base.effects();
    let driven =
        base.start(copy.path(), u64::MAX, effects.clone(), false, Duration::from_secs(3 * 3600)).await.unwrap();
    assert_eq!(base.drive(&driven, &effects, &[]).await, 0);
    driven.shutdown(GRACE).await.unwrap();

    // Without the working store every order of that version is named.
    let copy = base.copy(false);
    fs::remove_dir_all(copy.path().join("sled")).unwrap();
    wipe(copy.path(), Position(4096), 600);
    let found = look(copy.path(), true, None);
    assert!(found.repaired && found.orders.len() == base.orders.len(), "{found:?}");
    // Unless somebody still has its text.
    fs::remove_dir_all(copy.path().join("sled")).unwrap();
    let options = CheckupOptions { repair: true, backup: None, store: options(u64::MAX) };
    let found = checkup(copy.path(), &options, &base.fold()).unwrap();
    assert!(found.repaired && found.orders.is_empty(), "{found:?}");
    let store = base.open(copy.path(), u64::MAX).await.unwrap();
    assert_eq!(base.compare(&store, &[], 0).await, Read::default());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_working_store_that_says_something_else_is_made_again() {
    let base = Base::new().await;
    for (kind, prefix) in [("differs", b'o'), ("is missing", b'p'), ("is missing", b'k'), ("differs", b'e')] {
        let copy = base.copy(false);
        change(&copy.path().join("sled"), prefix, kind);
        let before = contents(copy.path());
        let found = look(copy.path(), false, None);
        assert_eq!(found.findings.len(), 1, "{found:?}");
        assert!(found.findings[0].what.contains(kind) && found.findings[0].file == "sled", "{found:?}");
        assert!(contents(copy.path()) == before);
        assert!(look(copy.path(), true, None).repaired);
        assert!(copy.path().join("sled.aside").is_dir() && !copy.path().join("sled.doctor").exists());
        let store = base.open(copy.path(), u64::MAX).await.unwrap();
        assert_eq!(base.compare(&store, &[], 0).await, Read::default());
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_says_what_it_found_and_did() {
    let base = Base::new().await;
    let copy = base.copy(false);
    let data = copy.path().to_str().unwrap();
    let doctor = |more: &[&str]| run(&[&["doctor", "--data", data], more].concat());
    let nothing = run(&["doctor", "--data", "/nowhere"]);
    assert_eq!(nothing.status.code(), Some(2));
    let store = SledStore::open(copy.path(), options(u64::MAX), Arc::new(Refold::default())).unwrap();
    let locked = doctor(&["--repair"]);
    let said = String::from_utf8_lossy(&locked.stderr).into_owned();
    assert_eq!(locked.status.code(), Some(2));
    assert!(said.contains(&format!("another daemon uses {data} (process {})", std::process::id())), "{said}");
    store.close().await.unwrap();
    drop(store);
    assert_eq!(prints(&doctor(&[]), 0), format!("{} records; nothing is damaged\n", records(&base)));

    let order = waiting(&base);
    wipe(copy.path(), entry(&base, order, 2), 300);
    let daemon = run(&["serve", "--sandbox", "--data", data, "--listen", "127.0.0.1:0", "--workflows", &workflows()]);
    let said = String::from_utf8_lossy(&daemon.stderr).into_owned();
    assert_eq!(daemon.status.code(), Some(2), "{said}");
    assert!(
        said.contains(&format!("run `paystate doctor --data {data}`")) && said.contains(".journal at offset"),
        "{said}"
    );
    let found = prints(&doctor(&[]), 1);
    assert!(found.contains(": it cannot be read: "), "{found}");
    assert!(found.contains("with --repair, and lost: what is left of the bytes is kept in journal.aside"), "{found}");
    assert!(found.contains(&format!("`paystate doctor --data {data} --repair` repairs it")), "{found}");
    let lines = prints(&doctor(&["--repair", "--json"]), 0);
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["repaired"], &last["lost"], &last["well"]), (&true.into(), &1.into(), &true.into()), "{lines}");
    let after = prints(&doctor(&[]), 0);
    let lost = "1 of which is lost: balances may be off by what it booked";
    assert_eq!(after, format!("{} records, {lost}; nothing is damaged\n", records(&base)));
    fs::remove_file(&segments(copy.path())[1]).unwrap();
    let refused = prints(&doctor(&["--repair"]), 1);
    assert!(refused.contains("not repaired: put the file back from a backup"), "{refused}");
    assert!(refused.ends_with("not everything can be repaired, so nothing was changed\n"), "{refused}");
}

fn look(dir: &Path, repair: bool, backup: Option<&Path>) -> Checkup {
    let options = CheckupOptions { repair, backup: backup.map(Path::to_owned), store: options(u64::MAX) };
    checkup(dir, &options, &Refold::default()).unwrap()
}

/// An order that waits for an event, with three entries.
fn waiting(base: &Base) -> OrderId {
    let waits = |id: &&OrderId| base.orders[*id].snapshot.state.as_str() == "waiting";
    *base.orders.keys().find(waits).unwrap()
}

fn entry(base: &Base, order: OrderId, seq: usize) -> Position {
    base.orders[&order].entries[seq].prev.unwrap()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let found = contents(&dir.join("journal")).into_keys();
    found.filter(|path| path.extension().is_some_and(|end| end == "journal")).collect()
}

/// Zeros where something was, from a position of the journal.
fn wipe(dir: &Path, at: Position, length: usize) {
    let base = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let segment = segments(dir).into_iter().rfind(|path| base(path) <= at.0).unwrap();
    let offset = usize::try_from(at.0 - base(&segment)).unwrap();
    wipe_file(&segment, offset, length);
}

fn wipe_file(path: &Path, at: usize, length: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at..at + length].fill(0);
    fs::write(path, bytes).unwrap();
}

/// Changes or removes the first row of a kind in a working store.
fn change(path: &Path, prefix: u8, how: &str) {
    let db = sled::Config::new().path(path).segment_size(16 * 1024 * 1024).open().unwrap();
    let (key, value) = db.scan_prefix([prefix]).next().unwrap().unwrap();
    if how == "differs" {
        let mut value = value.to_vec();
        value[7] ^= 4;
        db.insert(key, value).unwrap();
    } else {
        db.remove(key).unwrap();
    }
    db.flush().unwrap();
}

fn serve(driven: &Executor) -> Server {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    Server::start(Arc::new(driven.clone()), listener, ServerOptions::default()).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(paystate()).args(arguments).output().unwrap()
}

fn prints(output: &Output, code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    out.into_owned()
}

fn records(base: &Base) -> usize {
    1 + base.orders.values().map(|truth| truth.entries.len()).sum::<usize>()
}

fn workflows() -> String {
    root().join("workflows").display().to_string()
}
