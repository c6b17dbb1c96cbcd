//! docs/configuration.md is true: its example starts a daemon, its table has every key, and what is missing is said so.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::docs::blocks;
use crate::support::paystate;

const CONNECTOR: &str = r#"
connector: acme
title: Acme
base_url: "${env.ACME_URL}"
auth: { bearer: "${secret.acme_key}" }
operations:
  ask: { get: "/ask?amount=${with.amount}", outcomes: { ok: response.status == 200 } }
webhooks:
  verify: { scheme: standard-webhooks, secret: "${secret.acme_hook}" }
  events: [{ event: acme.told, correlate: body.order, id: body.id }]
"#;

const WORKFLOW: &str = r#"
workflow: asking
title: Asking
input: { type: object, required: [amount], properties: { amount: { type: integer } } }
deadline: 1d
initial: asked
on: { acme.told: { assign: { told: "${event.id}" } } }
states:
  asked:
    invoke:
      call: acme.ask
      with: { amount: "${input.amount}" }
      timeout: { attempt: 1s, total: 1m }
      retry: { attempts: 2, initial: 1s, factor: 2, max: 5s, jitter: none }
    on: { ok: done, declined: refused, failed: refused }
  done: { final: success, late: { acme.told: ignore } }
  refused: { final: failure, late: { acme.told: ignore } }
"#;

fn document() -> String {
    fs::read_to_string("docs/configuration.md").unwrap()
}

fn example() -> String {
    let (_, block) = blocks(&document(), "yaml configuration").remove(0);
    block
}

/// A folder with a workflow, its connector, and a configuration.
fn folder(configuration: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("workflows/connectors")).unwrap();
    fs::write(folder.path().join("workflows/connectors/acme.yaml"), CONNECTOR).unwrap();
    fs::write(folder.path().join("workflows/asking.yaml"), WORKFLOW).unwrap();
    fs::write(folder.path().join("acme_key"), "key of acme\n").unwrap();
    let configuration = configuration.replace("/run/secrets", &folder.path().display().to_string());
    fs::write(folder.path().join("paystate.yaml"), configuration).unwrap();
    folder
}

fn serve(folder: &Path) -> Command {
    let mut command = Command::new(paystate());
    command.args(["serve", "--config", "paystate.yaml", "--json", "--listen", "127.0.0.1:0"]).current_dir(folder);
    command
}

fn refused(folder: &Path) -> (String, Value) {
    let Output { status, stdout, stderr } = serve(folder).output().unwrap();
    assert_eq!((status.code(), stdout.as_slice()), (Some(2), b"".as_slice()));
    assert!(!folder.join("data").exists(), "a daemon that does not start makes nothing");
    let problem: Value = serde_json::from_slice(&stderr).expect("a problem in JSON");
    (problem["detail"].as_str().unwrap().to_owned(), problem)
}

#[tokio::test]
async fn the_example_starts_a_daemon() {
    let folder = folder(&example());
    let mut child = serve(folder.path())
        .env("ACME_HOOK", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).expect("it says where it listens");
    let api = ready["api"].as_str().unwrap();
    let ask = |host| reqwest::Client::new().get(format!("{api}/v1/orders")).header("host", host).send();
    let (own, given, other) = (ask("localhost").await, ask("pay.example.com").await, ask("example.com").await);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(api.starts_with("http://127.0.0.1:"), "--listen wins over the file: {line}");
    let statuses = [own, given, other].map(|answer| answer.unwrap().status().as_u16());
    assert_eq!(statuses, [200, 200, 421], "the names of the file are answered to");
    assert!(folder.path().join("data/journal").is_dir(), "the folder of the file is used");
}

#[test]
fn what_connectors_need_and_nobody_gives_is_named() {
    let folder = folder("{}\n");
    let (_, block) = blocks(&document(), "text missing").remove(0);
    let (detail, _) = refused(folder.path());
    assert_eq!(format!("error: {detail}\n"), block);
    let partly =
        self::folder("env: { ACME_URL: 'https://x' }\nsecrets: { acme_key: { file: /run/secrets/acme_key } }\n");
    assert!(refused(partly.path()).0.contains("\n  acme: secret.acme_hook\n"));
}

#[test]
fn what_the_sandbox_does_not_give_is_named() {
    let folder = folder("{}\n");
    let Output { status, stderr, .. } = serve(folder.path()).arg("--sandbox").output().unwrap();
    let problem: Value = serde_json::from_slice(&stderr).expect("a problem in JSON");
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!(status.code(), Some(2));
    assert!(detail.contains("\n  acme: env.ACME_URL, secret.acme_hook, secret.acme_key\n"), "{detail}");
    assert!(detail.contains("the sandbox gives only what its own servers need") && !detail.contains("--sandbox"));
}

#[test]
fn connectors_that_cannot_be_built_are_named_at_the_start() {
    let start = |given: &str, ca: &str| {
        let secrets = "secrets: { acme_key: { file: /run/secrets/acme_key }, acme_hook: { file: /run/secrets/hook } }";
        let folder = folder(&format!("{given}\n{secrets}\n"));
        fs::write(folder.path().join("hook"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        fs::write(folder.path().join("workflows/connectors/acme.yaml"), format!("{CONNECTOR}{ca}")).unwrap();
        refused(folder.path()).0
    };
    let foreign = start("env: { ACME_URL: 'https://acme.example' }\nallowed_hosts: [other.example]", "");
    assert_eq!(
        foreign,
        "connectors cannot be used as they are configured:\n  acme: base_url: acme.example:443 is not among the allowed \
         hosts\nsee docs/configuration.md"
    );
    let plain = start("env: { ACME_URL: 'http://acme.example' }", "");
    assert!(plain.contains("acme: base_url: plain http is for this machine alone"), "{plain}");
    let unread = start("env: { ACME_URL: 'https://acme.example' }", "tls: { ca: /nowhere/ca.pem }\n");
    assert!(unread.contains("acme: tls.ca: /nowhere/ca.pem: "), "{unread}");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_said_so() {
    let folder = folder(&example());
    let mut serve = serve(folder.path());
    let serve = serve.env("ACME_HOOK", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let output = serve.args(["--data", "paystate.yaml"]).output().unwrap();
    let problem: Value = serde_json::from_slice(&output.stderr).expect("a problem in JSON");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("paystate.yaml cannot be written to: "), "{detail}");
    assert!(detail.ends_with("; name another folder with --data"), "{detail}");
}

#[test]
fn a_secret_may_have_several_values_and_each_must_be_there() {
    let rotated = "acme_key: [{ file: /run/secrets/acme_key }, { file: /run/secrets/former }]";
    let folder = folder(&example().replace("acme_key: { file: /run/secrets/acme_key }", rotated));
    let (detail, _) = refused(folder.path());
    assert!(detail.contains("acme_key: ") && detail.contains("former: No such file"), "{detail}");
    let six = ["{ env: A }"; 6].join(", ");
    let (detail, _) = refused(self::folder(&format!("secrets: {{ acme_key: [{six}] }}")).path());
    assert!(detail.contains("a secret has 1 to 5 values"), "{detail}");
}

#[test]
fn secrets_that_are_not_there_are_named() {
    let folder = folder(&example().replace("acme_key }", "nobody }"));
    let (detail, problem) = refused(folder.path());
    assert_eq!(problem["type"], "urn:paystate:problem:could-not-run");
    assert!(detail.contains("acme_hook: environment variable ACME_HOOK is not set"), "{detail}");
    assert!(detail.contains("acme_key: ") && detail.contains("No such file"), "{detail}");
    let mut serve = serve(folder.path());
    let output = serve.env("ACME_HOOK", " ").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("acme_hook: it is empty"), "{told}");
}

#[test]
fn a_name_that_is_none_is_refused_where_it_is_given() {
    let expected =
        "`https://pay.example.com` is not a host: give a name such as pay.example.com, without scheme and port";
    let (detail, _) = refused(folder("listen_as: ['https://pay.example.com']").path());
    assert!(detail.contains(expected), "{detail}");
    let folder = folder("{}");
    let given = serve(folder.path()).args(["--listen-as", "https://pay.example.com"]).output().unwrap();
    assert_eq!(given.status.code(), Some(2));
    let text = String::from_utf8(given.stderr).unwrap();
    assert!(text.contains(expected) && text.contains("--listen-as"), "{text}");
}

#[test]
fn every_key_is_documented_and_no_other() {
    let tables =
        [("x: 1", "| key |"), ("secrets: { s: { x: 1 } }", "| source |"), ("archive: { x: 1 }", "| setting |")];
    for (configuration, heading) in tables {
        let (detail, _) = refused(folder(configuration).path());
        let (_, known) = detail.split_once("expected ").unwrap_or_else(|| panic!("the keys are listed: {detail}"));
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let text = document();
        let (_, table) = text.split_once(heading).expect("a table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with("| `"));
        let documented: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
        assert_eq!(known, documented, "{heading}");
    }
}
