//! Orders of a running daemon, recorded and replayed: by `paystate test` from a file, by `paystate replay` from the data.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use paystate::connector::sign_standard_webhook;
use paystate::types::{Secret, Timestamp};
use serde_json::{Value, json};

use crate::support::{Daemon, paystate, root};

fn call(daemon: &Daemon, arguments: &[&str]) -> Output {
    Command::new(paystate()).args(arguments).envs(daemon.environment()).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// An order that has succeeded.
fn paid(daemon: &Daemon, sample: &[&str]) -> Value {
    let dir = daemon.sandbox_dir().display().to_string();
    let mut arguments = vec!["sandbox", "--dir", &dir, "--sample", "bank_card"];
    arguments.extend(sample);
    let input = text(&call(daemon, &arguments).stdout);
    let submitted = call(daemon, &["submit", "bank_card", "--input", &input, "--wait", "--json"]);
    let order: Value = serde_json::from_slice(&submitted.stdout).expect("an order");
    assert_eq!(order["status"], "succeeded", "{order}");
    order
}

/// The shipped workflows, with `from` replaced in the one for bank cards.
fn changed(folder: &Path, from: &str, to: &str) -> String {
    let copy = folder.join("changed");
    copy_folder(&root().join("workflows"), &copy);
    let card = copy.join("bank_card.yaml");
    let before = fs::read_to_string(&card).expect("the workflow");
    assert_eq!(before.matches(from).count(), 1, "{from} stands once in the workflow");
    fs::write(card, before.replace(from, to)).expect("the changed workflow");
    copy.display().to_string()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a copy");
        }
    }
}

#[test]
fn an_order_is_recorded_and_replayed() {
    let mut daemon = Daemon::start();
    let order = paid(&daemon, &[]);
    let id = order["id"].as_str().expect("an id");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("order.jsonl").display().to_string();
    let recorded = call(&daemon, &["journal", id, "--record", &file]);
    assert!(recorded.status.success(), "{}", text(&recorded.stderr));
    let lines: Vec<Value> = fs::read_to_string(&file)
        .expect("the file")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a record a line"))
        .collect();
    assert_eq!(text(&recorded.stderr), format!("{} lines in {file}\n", lines.len()));
    assert_eq!((&lines[0]["record"], &lines[0]["version"]), (&json!("definition"), &order["version"]));
    let payment = lines[1]["event"]["input"]["payment"].as_str().expect("the sealed payment");
    assert!(payment.ends_with(" characters, sealed)"), "it is cut down: {payment}");

    let workflows = root().join("workflows").display().to_string();
    let test = |workflows: &str, more: &[&str]| {
        let mut arguments = vec!["test", &file, "--workflows", workflows];
        arguments.extend(more);
        call(&daemon, &arguments)
    };
    let same = test(&workflows, &[]);
    assert!(same.status.success() && text(&same.stdout).contains("1 passed, 0 failed"), "{}", text(&same.stdout));
    let dearer = "ok: [{ when: input.amount > 100000, target: verified }, { target: rejected }]";
    let other = changed(folder.path(), "ok: verified", dearer);
    let diverged = test(&other, &[]);
    let told = text(&diverged.stdout);
    assert_eq!(diverged.status.code(), Some(1), "{told}");
    assert!(
        told.contains("on the present version: entry ") && told.contains(" leads to rejected, and led to verified"),
        "{told}"
    );
    assert!(test(&other, &["--as-recorded"]).status.success(), "on its own version it still is the same");

    let data = daemon.kill().display().to_string();
    let replay = |more: &[&str]| {
        let mut arguments = vec!["replay", "--data", &data];
        arguments.extend(more);
        call(&daemon, &arguments)
    };
    assert_eq!(text(&replay(&[]).stdout), "1 orders replay the same, 0 diverge\n");
    let later = changed(folder.path(), "deadline: 7d", "deadline: 8d");
    let against = replay(&["--against", &format!("{later}/bank_card.yaml")]);
    let told = text(&against.stdout);
    let at = order["created_at"].as_str().expect("a time");
    let day = 24 * 60 * 60 * 1_000;
    let due = |days: i64| Timestamp::from_unix_ms(at.parse::<Timestamp>().expect("a time").unix_ms() + days * day);
    assert_eq!(against.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("entry 1 ({at}) decides differently: it asked for ")), "{told}");
    assert!(told.contains(&format!("timer deadline at {}", due(7))), "{told}");
    assert!(told.contains(&format!("timer deadline at {}", due(8))), "{told}");
    assert!(!told.contains("Timestamp") && !told.contains('{'), "in words: {told}");
}

#[test]
fn a_journal_that_is_not_there_is_not_recorded() {
    let daemon = Daemon::start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("order.jsonl").display().to_string();
    let nobody = call(&daemon, &["journal", "019ab1c2-7d4e-7000-8000-0242ac120002", "--record", &file]);
    assert_eq!(
        (nobody.status.code(), text(&nobody.stderr)),
        (Some(1), "error: there is no order of this id\n".to_owned())
    );
    assert!(!Path::new(&file).exists(), "no file is made");
}

#[test]
fn samples_have_the_amount_that_is_asked_for() {
    let daemon = Daemon::start();
    let order = paid(&daemon, &["--amount", "4800", "--currency", "CNY"]);
    assert_eq!(order["amount"], json!({"amount": 4_800, "currency": "CNY", "text": "48.00 CNY"}));
    for wrong in [&["--amount", "4800"][..], &["--sample", "bank_card", "--amount", "0"]] {
        let mut arguments = vec!["sandbox"];
        arguments.extend(wrong);
        assert_eq!(call(&daemon, &arguments).status.code(), Some(2), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_about_nothing_of_ours_is_logged_without_its_body() {
    let daemon = Daemon::start();
    let secret = fs::read_to_string(daemon.sandbox_dir().join("secrets/gateway_hook")).expect("the secret");
    let body = json!({"type": "payment.succeeded", "order": "of-somebody-else", "id": "n-1"}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let at = Timestamp::from_unix_ms(i64::try_from(now.as_secs()).expect("a time") * 1_000);
    let signature = sign_standard_webhook(&Secret::new(secret), "n-1", at, body.as_bytes()).expect("a signature");
    let sent = reqwest::Client::new()
        .post(format!("{}/hooks/gateway", daemon.url))
        .header("webhook-id", "n-1")
        .header("webhook-timestamp", now.as_secs().to_string())
        .header("webhook-signature", signature)
        .body(body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(sent.status().as_u16(), 200);
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("a notification has no reference of ours")).expect("a line");
    assert!(line.contains("connector=gateway") && line.contains("event=payment.succeeded"), "{line}");
    assert!(!log.contains("of-somebody-else"), "{log}");
}
