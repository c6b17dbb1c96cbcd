//! What commands print when something is not as it should be: closed pipes, full disks, no daemon, no colours.

use std::fs;
use std::process::Stdio;

use paystate::api::Server;
use serde_json::{Value, json};

use crate::api_fake::Fake;
use crate::cli::{command, fails, run, text, url};
use crate::support::root;

const NOBODY: &str = "http://127.0.0.1:1";

/// A daemon with an order that waits.
fn one_order() -> (Server, String) {
    let fake = Fake::new();
    let id = fake.open(json!({"amount": 1, "currency": "CNY"}));
    (fake.serve(), id.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_stopped_is_no_error() {
    let (server, id) = one_order();
    let invalid = root().join("tests/invalid").display().to_string();
    for (arguments, code) in
        [(vec!["check", &invalid], 1), (vec!["journal", &id], 0), (vec!["list", "--json"], 0), (vec!["--help"], 0)]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(&url(&server), &arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("error") && !said.contains("panicked"), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_written_is_an_error() {
    let (server, id) = one_order();
    let workflow = root().join("workflows/bank_card.yaml").display().to_string();
    for arguments in
        [vec!["show", &id], vec!["list"], vec!["graph", &workflow], vec!["completions", "bash"], vec!["--help"]]
    {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(&url(&server), &arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        fails(&output, 2, "error: cannot write to standard output: No space left on device (os error 28)");
    }
}

#[test]
fn what_only_reads_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().display().to_string();
    for data in [there.clone(), format!("{there}/not"), format!("{there}/not/../x")] {
        let output = run(NOBODY, &["replay", "--data", &data]);
        fails(&output, 2, &format!("error: there are no orders in {data}: no daemon has used it with --data"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}

/// Takes one connection, reads the head of the request, and hangs up.
fn hangs_up() -> String {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.read(&mut [0; 1024]);
        }
    });
    server
}

#[test]
fn what_was_not_sent_is_told_from_what_is_not_known() {
    let submit = ["submit", "card", "--input", "{}", "--key", "k-1"];
    let refused = run(NOBODY, &submit);
    let expected = format!(
        "error: no daemon answers at {NOBODY}: Connection refused (os error 111)\nstart one with `paystate serve`, or say \
         where it is with --server URL"
    );
    fails(&refused, 2, &expected);
    let server = hangs_up();
    let unknown = run(&server, &submit);
    assert_eq!(unknown.status.code(), Some(2));
    let said = text(&unknown.stderr);
    assert!(
        said.starts_with(&format!("error: the order may exist: repeat with --key k-1: {server} gave no answer: ")),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_an_order_when_the_daemon_stops_is_told_its_id() {
    let fake = Fake::new();
    let server = fake.serve();
    let mut changes = paystate::api::Engine::subscribe(&*fake);
    let submit = ["submit", "card", "--input", "{\"amount\": 7, \"currency\": \"CNY\"}", "--wait=10m"];
    let child = command(&url(&server), &submit).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = changes.recv().await.unwrap().id;
    server.drain().await;
    let expected = format!(
        "error: order {id} is accepted and goes on when the daemon does: the daemon is shutting down, and the request had no \
         effect: ask again after its restart"
    );
    fails(&child.wait_with_output().unwrap(), 2, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_json_errors_are_problems() {
    let fake = Fake::new();
    let server = fake.serve();
    let hangs_up = hangs_up();
    let submit = ["submit", "crad", "--input", "{}", "--json"];
    for (server, arguments, code, id, detail) in [
        (url(&server), submit.to_vec(), 1, "unknown-workflow", "there is no workflow `crad`: did you mean `card`?"),
        (NOBODY.to_owned(), submit.to_vec(), 2, "unreachable", "no daemon answers at "),
        (hangs_up.clone(), submit.to_vec(), 2, "no-answer", "the order may exist: repeat with --key "),
        (
            hangs_up,
            vec!["send", "o", "shop.shipped", "--json"],
            2,
            "no-answer",
            "the event may have been applied: repeat with --id ",
        ),
        (
            NOBODY.to_owned(),
            vec!["list", "--json", "--limit", "0"],
            2,
            "usage",
            "invalid value '0' for '--limit <LIMIT>'",
        ),
        (
            NOBODY.to_owned(),
            vec!["replay", "--json", "--data", "/nowhere"],
            2,
            "could-not-run",
            "there are no orders in",
        ),
        (NOBODY.to_owned(), vec!["test", "/nowhere", "--json"], 2, "could-not-run", ""),
    ] {
        let output = run(&server, &arguments);
        let problem: Value = serde_json::from_slice(&output.stderr).expect("one object on standard error");
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), b"".as_slice()), "{problem}");
        assert_eq!(problem["type"], format!("urn:paystate:problem:{id}"));
        assert!(problem["detail"].as_str().unwrap().starts_with(detail), "{problem}");
        let status = if code == 1 { json!(422) } else { Value::Null };
        assert_eq!(problem["status"], status, "what the daemon refuses is its own problem");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_fit_nothing_are_refused() {
    let fake = Fake::new();
    let server = fake.serve();
    let (list, incidents) = (["list", "--workflow", "crad"], ["incidents", "--workflow", "crad"]);
    fails(&run(&url(&server), &list), 1, "error: there is no workflow `crad`: did you mean `card`?");
    fails(&run(&url(&server), &incidents), 1, "error: there is no workflow `crad`: did you mean `card`?");
    let state = run(&url(&server), &["list", "--state", "setled"]);
    fails(&state, 1, "error: there is no state `setled`: did you mean `settled`?");
    assert_eq!(run(&url(&server), &["list", "--limit", "0"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_without_a_name() {
    let (server, id) = one_order();
    let cancel = |user: Option<&str>| {
        let mut command = command(&url(&server), &["cancel", &id]);
        command.env_remove("USER").env_remove("LOGNAME");
        if let Some(user) = user {
            command.env("USER", user);
        }
        command.output().unwrap()
    };
    for user in [None, Some(""), Some(" ")] {
        let expected = "error: say who you are with --by NAME: the login name is not known here ($USER is not set)";
        fails(&cancel(user), 2, expected);
    }
    assert_eq!(cancel(Some("kim")).status.code(), Some(0));
    let journal = run(&url(&server), &["journal", &id]);
    assert!(text(&journal.stdout).contains("cancel requested by kim"));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_data_is_wrapped() {
    let fake = Fake::new();
    let server = fake.serve();
    let id = fake.open(json!({"amount": 1, "currency": "CNY"}));
    fake.receive(id, "customer.confirmed");
    fake.settle(id, paystate::machine::Outcome::Ok { result: json!({"id": "c".repeat(200)}) });
    let shown = text(&run(&url(&server), &["show", &id.to_string()]).stdout);
    assert!(shown.contains("\ndata        charge:\n") && shown.lines().all(|line| line.len() <= 80), "{shown}");
    assert_eq!(shown.matches('c').count() - shown.replace(&"c".repeat(68), "").matches('c').count(), 136, "{shown}");
}

#[test]
fn logs_in_a_file_have_no_colours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let workflows = root().join("workflows").display().to_string();
    let data = folder.path().join("data").display().to_string();
    let arguments = ["demo", "--exit", "--json", "--listen", "127.0.0.1:0", "--workflows", &workflows, "--data", &data];
    let mut demo = command(NOBODY, &arguments);
    let status = demo.env("PAYSTATE_LOG", "debug").stdout(Stdio::null()).stderr(fs::File::create(&path).unwrap());
    assert!(status.status().unwrap().success());
    let log = fs::read_to_string(path).unwrap();
    assert!(log.lines().count() > 10 && !log.contains('\u{1b}'), "{log}");
}
