//! The commands that talk to a daemon, as processes against a real server: what they print, and how they end.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use paystate::api::Server;
use paystate::machine::Outcome;
use serde_json::{Value, json};

use crate::api_fake::Fake;
use crate::support::paystate;

pub(crate) fn run(server: &str, arguments: &[&str]) -> Output {
    command(server, arguments).output().expect("the command runs")
}

pub(crate) fn command(server: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(paystate());
    command.args(arguments).env("PAYSTATE_SERVER", server).env("TZ", "UTC").env_remove("PAYSTATE_BY");
    command.stdin(Stdio::null());
    command
}

pub(crate) fn url(server: &Server) -> String {
    format!("http://{}", server.address())
}

#[track_caller]
fn prints(output: &Output, code: i32, expected: &str) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(out, expected.strip_prefix('\n').unwrap_or(expected), "{err}");
    assert_eq!(output.status.code(), Some(code), "{err}");
    assert!(!out.contains('\u{1b}'), "no colours where there is no terminal");
    let widest = out.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(widest <= 80, "{widest} columns:\n{out}");
}

#[track_caller]
pub(crate) fn fails(output: &Output, code: i32, expected: &str) {
    assert_eq!(text(&output.stderr).trim_end(), expected);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(code), ""));
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shown_for_people() {
    let fake = Fake::new();
    let server = fake.serve();
    let id = fake.open(json!({"amount": 123_400, "currency": "CNY"})).to_string();
    fake.receive(id.parse().unwrap(), "customer.confirmed");
    fake.settle(id.parse().unwrap(), Outcome::NotSent { reason: "\u{1b}[2Jrefused".to_owned(), retry_after_ms: None });
    let output = run(&url(&server), &["show", &id]);
    let version = paystate::api::Engine::workflows(&*fake)[0].version.to_string();
    prints(&output, 0, &SHOWN.replace("VERSION", &version));
    let output = run(&url(&server), &["journal", &id]);
    prints(&output, 0, JOURNAL);
}

const PAUSED: &str = "
gateway is being drained: 2 under way, 3+ in doubt, 1000 waiting
`paystate connector list` tells when nothing is in doubt any more
";

const CONNECTORS: &str = "
CONNECTOR  BREAKER  UNDER WAY  WAITING  IN DOUBT
gateway    -                2     1000        3+
  drained by kim since 1970-01-01 00:00: maintenance until four
";

#[tokio::test(flavor = "multi_thread")]
async fn connectors_are_listed_paused_and_resumed() {
    let fake = Fake::new();
    let server = fake.serve();
    let server = url(&server);
    let pause = ["connector", "pause", "gateway", "--drain", "--by", "kim", "--note", "maintenance until four"];
    prints(&run(&server, &pause), 0, PAUSED);
    prints(&run(&server, &["connector", "list"]), 0, CONNECTORS);
    let listed = run(&server, &["connector", "list", "--json"]);
    let line: Value = serde_json::from_slice(&listed.stdout).expect("one object");
    assert_eq!((&line["paused"]["by"], &line["in_doubt"]), (&json!("kim"), &json!(3)));
    prints(&run(&server, &["connector", "resume", "gateway", "--by", "kim"]), 0, "gateway goes on\n");
    let unknown = run(&server, &["connector", "pause", "gatway", "--by", "kim"]);
    fails(&unknown, 1, "error: there is no connector `gatway`: did you mean `gateway`?");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_and_incidents_are_listed() {
    let fake = Fake::new();
    let server = fake.serve();
    prints(&run(&url(&server), &["list"]), 0, "no orders\n");
    prints(&run(&url(&server), &["incidents"]), 0, "no order needs a person\n");
    for amount in [500, 1_250_000] {
        fake.open(json!({"amount": amount, "currency": "CNY"}));
    }
    let parked = fake.open(json!({"amount": 99_900, "currency": "JPY"}));
    fake.park(parked, "the connection was reset while the gateway was answering");
    prints(&run(&url(&server), &["list"]), 0, LIST);
    prints(&run(&url(&server), &["incidents"]), 0, INCIDENTS);
    let lines = run(&url(&server), &["list", "--json", "--limit", "2"]);
    let orders: Vec<Value> =
        text(&lines.stdout).lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert_eq!((orders.len(), &orders[0]["id"]), (2, &json!(parked)));
    let more = run(&url(&server), &["list", "--limit", "2"]);
    assert!(text(&more.stderr).starts_with("there are more: --after "));
    let resolved = [
        "resolve",
        &parked.to_string(),
        "--by",
        "kim",
        "--note",
        "seen at the bank",
        "--ok",
        "--result",
        "{\"id\": \"c\"}",
        "--json",
    ];
    let output = run(&url(&server), &resolved);
    let order: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!((order["state"].as_str(), output.status.code()), (Some("settled"), Some(0)));
    let retried = run(&url(&server), &["retry", &parked.to_string(), "--by", "kim", "--note", "again"]);
    fails(&retried, 1, "error: only an order with an incident can be retried or resolved");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_submitted_once_for_a_key() {
    let fake = Fake::new();
    let server = fake.serve();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("order.json");
    std::fs::write(&file, "{\"amount\": 1200, \"currency\": \"CNY\"}").unwrap();
    let input = format!("@{}", file.display());
    let submit = ["submit", "card", "--input", &input, "--key", "o-1", "--json"];
    let (first, again) = (run(&url(&server), &submit), run(&url(&server), &submit));
    assert_eq!((first.status.code(), &first.stdout), (Some(0), &again.stdout));
    let other =
        run(&url(&server), &["submit", "card", "--input", "{\"amount\":1,\"currency\":\"CNY\"}", "--key", "o-1"]);
    let order: Value = serde_json::from_slice(&first.stdout).expect("one object");
    let id = order["id"].as_str().expect("an id");
    let used =
        format!("error: the key was used for another request, which opened order {id}: a new request needs a new key");
    fails(&other, 1, &used);
    let mut child = command(&url(&server), &["submit", "card", "--input", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"amount\": 7, \"currency\": \"CNY\"}").unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    let waited =
        run(&url(&server), &["submit", "card", "--input", "{\"amount\":1,\"currency\":\"CNY\"}", "--wait=200ms"]);
    assert_eq!(
        (waited.status.code(), text(&waited.stderr).as_str()),
        (Some(1), "the order has not ended; it goes on\n")
    );
    let invalid = run(&url(&server), &["submit", "card", "--input", "{\"amount\": 0}"]);
    let expected = "error: the input does not fit the workflow's schema: /input/amount must be at least 1\n  \
                    /input/amount must be at least 1\n  /input/currency is required";
    fails(&invalid, 1, expected);
    let typo = run(&url(&server), &["submit", "crad", "--input", "{}"]);
    fails(&typo, 1, "error: there is no workflow `crad`: did you mean `card`?");
    let words = run(&url(&server), &["submit", "card", "--input", "amount"]);
    assert_eq!(words.status.code(), Some(2));
    assert!(text(&words.stderr).starts_with("error: --input: not JSON (write JSON, @FILE, or - for standard input)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_sent_and_orders_cancelled() {
    let fake = Fake::new();
    let server = fake.serve();
    let id = fake.open(json!({"amount": 1, "currency": "CNY"})).to_string();
    let sent = run(&url(&server), &["send", &id, "shop.shipped", "--id", "s-1"]);
    assert!(
        text(&sent.stdout).starts_with("it came early, and waits for the state that handles it\n\nCard  waiting\n")
    );
    let typo = run(&url(&server), &["send", &id, "shop.shiped"]);
    fails(&typo, 1, "error: there is no event `shop.shiped`: did you mean `shop.shipped`?");
    let cancelled = run(&url(&server), &["cancel", &id, "--by", "kim", "--json"]);
    let order: Value = serde_json::from_slice(&cancelled.stdout).expect("one object");
    assert_eq!(order["state"], "cancelled");
    let again = run(&url(&server), &["cancel", &id, "--by", "kim"]);
    fails(&again, 1, "error: the order ended in `cancelled`, and nothing can be asked of it any more");
    let late = fake.open(json!({"amount": 1, "currency": "CNY"}));
    fake.receive(late, "customer.confirmed");
    fake.settle(late, Outcome::Ok { result: json!({ "id": "c-1" }) });
    // Refused again when it is asked again: it is the answer to each request, not a mark of the order.
    for json in [&["--json"][..], &[]] {
        let refused = run(&url(&server), &[&["cancel", &late.to_string(), "--by", "kim"], json].concat());
        let said = "refused: the order cannot be cancelled in `settled` (The shop ships); it goes on\n";
        assert_eq!(text(&refused.stderr), if json.is_empty() { said } else { "" });
        assert_eq!((refused.status.code(), text(&refused.stdout).contains("settled")), (Some(1), true));
    }
    let nobody = run(&url(&server), &["show", "../workflows"]);
    assert_eq!(nobody.status.code(), Some(1), "an argument does not reach another path");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_run_says_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = run(&nobody, &["list"]);
    let expected = format!(
        "error: no daemon answers at {nobody}: Connection refused (os error 111)\nstart one with `paystate serve`, or say where \
         it is with --server URL"
    );
    fails(&output, 2, &expected);
    assert_eq!(run("nonsense", &["list"]).status.code(), Some(2));
    let help = run(&nobody, &["lst"]);
    assert_eq!(help.status.code(), Some(2));
    assert!(text(&help.stderr).contains("list"), "a command that is nearly right is named");
}

#[test]
fn a_check_that_finds_nothing_to_check_did_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let expected = format!(
        "error: there is nothing to check in {path}: no workflow or connector (*.yaml), and no connectors/*.yaml"
    );
    fails(&run("", &["check", path]), 2, &expected);
    let nowhere = run("", &["check", &format!("{path}/nowhere"), "--format", "json"]);
    let problem: Value = serde_json::from_slice(&nowhere.stderr).expect("a problem");
    assert_eq!(
        (nowhere.status.code(), problem["type"].as_str()),
        (Some(2), Some("urn:paystate:problem:could-not-run"))
    );
    prints(&run("", &["check", "workflows/connectors"]), 0, "");
}

#[test]
fn a_connector_is_not_drawn() {
    let expected =
        "error: workflows/connectors/gateway.yaml is a connector, which has no states: draw a workflow that uses it";
    fails(&run("", &["graph", "workflows/connectors/gateway.yaml"]), 2, expected);
    let broken = ["tests/invalid/always-loop.yaml", "--json"];
    let (drawn, checked) = (run("", &[&["graph"], &broken[..]].concat()), run("", &[&["check"], &broken[..]].concat()));
    assert_eq!((drawn.status.code(), text(&drawn.stdout)), (Some(1), text(&checked.stdout)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_help_with_an_example() {
    let output = run("", &["--help"]);
    let help = text(&output.stdout);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 17, "{commands:?}");
    for name in commands {
        let output = run("", &[name, "--help"]);
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("Example"), "{name}");
        assert!(text(&output.stdout).contains("--json") || name == "completions", "{name}");
    }
    let completions = run("", &["completions", "bash"]);
    assert!(text(&completions.stdout).contains("_paystate"));
}
const SHOWN: &str = "
Card  waiting
order       01a1ee57-4860-7000-8000-000000000001
workflow    card (version VERSION)
state       authorized: The gateway takes the money
amount      1234.00 CNY
stages      verified > authorized
submitted   2026-11-18 11:07:40 UTC
changed     2026-11-18 11:07:42 UTC
attempts    1
outcome     customer.confirmed
can happen  cancel

calls
  gateway.charge: backoff, attempt 1, next at 2026-11-18 11:07:43 UTC
      [2Jrefused

waits for
  retry gateway.charge at 2026-11-18 11:07:43 UTC
  deadline at 2026-11-25 11:07:40 UTC
";

const JOURNAL: &str = "
submitted 2026-11-18 11:07:40 UTC

SEQ  AFTER     EVENT                                             STATE
  1  +0s       started                                           -> verified
  2  +1s250ms  received customer.confirmed (customer.confirmed)  -> authorized
  3  +2s500ms  gateway.charge #1: not sent ( [2Jrefused)
";

const LIST: &str = "
ORDER                                 STATUS          AMOUNT  CHANGED
01a1ee59-1d20-7000-8000-000000000003  incident     99900 JPY  2026-11-18 11:09
  card: authorized
01a1ee58-32c0-7000-8000-000000000002  waiting   12500.00 CNY  2026-11-18 11:08
  card: verified
01a1ee57-4860-7000-8000-000000000001  waiting       5.00 CNY  2026-11-18 11:07
  card: verified
";

const INCIDENTS: &str = "
ORDER                                  AT STAKE  SINCE
01a1ee59-1d20-7000-8000-000000000003  99900 JPY  2026-11-18 11:09
  card: authorized, gateway.charge: the outcome of gateway.charge is not known:
  inquiry: the connection was reset while the gateway was answering

at stake in all: 99900 JPY
";
