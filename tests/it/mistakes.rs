//! Mistakes that people make who write by the documentation: each is made in its complete example, and is refused by the
//! rule that says what is wrong.

use std::collections::BTreeMap;
use std::fs;

use paystate::definition::{Problem, Sources, load, load_kept};

/// The connectors and the workflow of the complete example.
fn example() -> (BTreeMap<String, String>, String) {
    let text = fs::read_to_string("docs/workflow-format.md").unwrap();
    let block = |kind: &str, name: &str| {
        let begin = format!("```yaml {kind}\n{kind}: {name}\n");
        let at = text.find(&begin).unwrap() + begin.find('\n').unwrap() + 1;
        text[at..].split("```").next().unwrap().to_owned()
    };
    let connectors = ["bank", "shop"].map(|name| (name.to_owned(), block("connector", name)));
    (BTreeMap::from(connectors), block("workflow", "card"))
}

fn problems(connectors: BTreeMap<String, String>, workflow: String) -> Vec<Problem> {
    load(sources(connectors, workflow)).err().unwrap_or_default()
}

fn sources(connectors: BTreeMap<String, String>, workflow: String) -> Sources {
    Sources { path: "card.yaml".to_owned(), workflow, connectors, schemas: BTreeMap::new() }
}

fn replaced(text: &str, right: &str, wrong: &str) -> String {
    assert!(text.contains(right), "the example has no `{right}`");
    text.replacen(right, wrong, 1)
}

#[track_caller]
fn refused(mistakes: &[(&str, &str, &str)], make: impl Fn(&str, &str) -> Vec<Problem>) {
    let mut passed = Vec::new();
    for (right, wrong, rule) in mistakes {
        let found = make(right, wrong);
        if !found.iter().any(|problem| problem.rule == *rule) {
            let found: Vec<&str> = found.iter().map(|problem| problem.rule).collect();
            passed.push(format!("{right} -> {wrong}: {found:?}, and not {rule}"));
        }
    }
    assert!(passed.is_empty(), "{}", passed.join("\n"));
}

#[test]
fn of_workflows() {
    let (connectors, workflow) = example();
    assert_eq!(problems(connectors.clone(), workflow.clone()), []);
    let forwarded = "with: { amount: \"${input.amount}\", currency: \"${input.currency}\" }";
    let challenged = "on: { customer.confirmed: forwarded }";
    let ends = "on: { ok: settled, declined: undoing }";
    let mistakes = [
        ("{ after: 7d", "{ after: 3 days", "bad-duration"),
        ("{ after: 7d", "{ after: 1.5h", "bad-duration"),
        (challenged, "on: { customer.confirmed: { target: forwarded, incident: \"of ${order.id}\" } }", "bad-value"),
        (challenged, "on: { customer.confirmed: { target: forwarded, incident: \"\" } }", "bad-value"),
        ("{ type: integer, minimum: 1 }", "{ type: integer }", "bad-money"),
        ("{ type: integer, minimum: 1 }", "{ type: number, minimum: 1 }", "bad-money"),
        ("{ type: integer, minimum: 1 }", "{ type: integer, minimum: 3, maximum: 1 }", "bad-schema"),
        ("{ type: integer, minimum: 1 }", "{ type: integer, minimun: 1 }", "bad-schema"),
        ("{ type: string, pattern", "{ type: string, format: emial, pattern", "bad-schema"),
        ("required: [amount, currency]", "required: [amount, curency]", "bad-schema"),
        ("  type: object\n", "  type: array\n", "bad-schema"),
        ("money: { amount: \"${input.amount}\"", "money: { amount: \"${input.amount}00\"", "bad-money"),
        ("money: { amount: \"${input.amount}\"", "money: { amount: -1", "bad-money"),
        ("currency: \"${input.currency}\" }\ndeadline", "currency: YYY }\ndeadline", "bad-money"),
        ("money: {", "# money: {", "bad-money"),
        (forwarded, "with: { amount: \"${major(input.amount, 2)}\", currency: CNY }", "bad-money"),
        (forwarded, "with: { amount: \"${input.amount + '1'}\", currency: CNY }", "type-mismatch"),
        ("decline.soft &&", "decline.soft == 'true' &&", "type-mismatch"),
        ("decline.code == \"try_again\"", "decline.code == 51", "type-mismatch"),
        ("when: decline.soft && decline.code == \"try_again\"", "when: decline.code", "type-mismatch"),
        ("\"${decline.code}\"", "\"${decline.reason}\"", "unknown-variable"),
        ("failed:          declined", "timeout: declined", "unknown-outcome"),
        ("failed:          declined", "error: declined", "unknown-outcome"),
        ("on: { cancel: undoing }", "on: { cancel: undoing, refused: undoing }", "unknown-outcome"),
        (challenged, "on: { customer.confimed: forwarded }", "unknown-outcome"),
        (challenged, "on: { customer.: forwarded, customer.confirmed: forwarded }", "bad-name"),
        (
            "late: { customer.confirmed: incident }",
            "late: { customer.confirmed: ignore, ok: ignore }",
            "outcome-never-given",
        ),
        (
            "late: { customer.confirmed: incident }",
            "late: { customer.confirmed: ignore, paid: ignore }",
            "unknown-outcome",
        ),
        ("after: { 15m: expired }", "after: { 15m: { assign: { late: true } } }", "wait-without-after"),
        (
            "after: { 15m: expired }",
            "after: { 15m: { target: expired, when: has(data.reason) } }",
            "wait-without-after",
        ),
        (ends, "on: { ok: { assign: { done: true } }, declined: undoing }", "outcome-not-handled"),
        ("compensate: all\n", "compensate: all\n    always: cancelled\n", "conflicting-keys"),
        ("{ attempt: 30s, total: 5m }", "{ attempt: 30s, total: 5s }", "contradicting-values"),
        ("initial: 200ms, factor: 2, max: 30s", "initial: 1m, factor: 2, max: 30s", "contradicting-values"),
        ("initial: 200ms, factor: 2, max: 30s", "initial: 1m", "contradicting-values"),
        ("compensate: bank.void", "compensate: { call: bank.void, timeout: { total: 5m } }", "unknown-key"),
    ];
    refused(&mistakes, |right, wrong| problems(connectors.clone(), replaced(&workflow, right, wrong)));
}

#[test]
fn of_connectors() {
    let ok = "response.status == 201 && response.body.status == \"approved\"";
    let not_found = "outcomes: { not_found: response.status == 404 }";
    let url = "\"${env.BANK_URL}\"";
    let void = "body: { reference: \"${key}\", of: \"${with.undoes}\" }";
    let mistakes = [
        ("response.body.code\n", "response.code\n", "unknown-variable"),
        ("response.body.code\n", "response.headers[\"X-Code\"]\n", "unknown-variable"),
        ("response.body.code\n", "response.headers\n", "type-mismatch"),
        ("response.status == 402", "response.status == \"402\"", "type-mismatch"),
        ("response.status == 402", "response.status == 42", "outcome-never-read"),
        (
            "      not_sent:        response.status in [401, 429, 503]",
            "      gone: response.status == 410",
            "contradicting-values",
        ),
        (
            "    inquire: { get: \"/v1/captures/${key}\" }",
            "    idempotency: { replay: reject_duplicate }\n    inquire: resend",
            "contradicting-values",
        ),
        ("      schedule: [1s, 5s, 30s, 5m]", "      schedule: wechat", "bad-value"),
        ("[401, 429, 503]", "429", "type-mismatch"),
        ("[401, 429, 503]", "[\"401\"]", "type-mismatch"),
        ("response.status in [401, 429, 503]", "response.status >= 500", "guessed-outcome"),
        ("response.status == 402", "response.status >= 400", "guessed-outcome"),
        (not_found, "outcomes: { not_found: response.status != 200 }", "guessed-outcome"),
        (
            not_found,
            "outcomes: { not_found: response.status == 404, pending: response.status == 200 }",
            "outcome-never-read",
        ),
        (ok, "response.status != 404", "always-ok"),
        (ok, "response.status < 500", "always-ok"),
        (ok, "1 == 1", "always-ok"),
        ("      ok:    ", "      okay:  ", "outcome-never-read"),
        (
            "      not_sent:        response.status in [401, 429, 503]",
            "      unknown: \"true\"\n      pending: response.status == 203",
            "unreachable-transition",
        ),
        ("\"${key}\", amount", "\"${key.id}\", amount", "unknown-variable"),
        ("\"${key}\", amount", "\"${order.number}\", amount", "unknown-variable"),
        ("query: { reference: \"${key}\" }", "query: { newest: 1 }", "key-not-sent"),
        (void, "headers: { Host: evil.example }\n    body: { of: \"${with.undoes}\" }", "bad-name"),
        (void, "headers: { X-Of: [\"${with.undoes}\"] }", "wrong-type"),
        ("post: /v1/voids", "post: /v1/../voids", "bad-value"),
        ("post: /v1/voids", "post: \"/v1/voids#a\"", "bad-value"),
        ("header: Idempotency-Key", "header: Content-Length", "bad-name"),
        ("money: hold\n", "money: hold\n    repeat: safe\n", "money-without-idempotency"),
        ("window: 24h", "window: 10m", "contradicting-values"),
        ("money: hold\n", "money: hold\n    sent_by: customer\n", "contradicting-values"),
        ("money: hold\n", "sent_by: customer\n", "secret-outside-auth"),
        ("money: hold\n", "sent_by: customer\n", "bad-value"),
        ("money: hold\n", "sent_by: nobody\n", "bad-value"),
        (url, "http://bank.example", "plain-http"),
        (url, "http://127.0.0.1.bank.example/v1", "plain-http"),
        (url, "\"http://bank.example:${env.PORT}\"", "plain-http"),
        (url, "https://kim:secret@bank.example", "bad-value"),
        (url, "\"https://bank.example/?v=1\"", "bad-value"),
        (url, "\"https://bank.example:http\"", "bad-value"),
        (url, "\"https:///v1\"", "bad-value"),
    ];
    refused(&mistakes, bank_with);
}

#[test]
fn of_credentials_and_questions() {
    let mistakes = [
        ("auth: { bearer: \"${secret.bank_key}\" }", "auth: {}", "missing-key"),
        ("{ bearer: \"${secret.bank_key}\" }", "{ basic: { username: \"${env.BANK_USER}\" } }", "missing-key"),
        ("{ bearer: \"${secret.bank_key}\" }", "{ token: { read: token } }", "missing-key"),
        ("{ bearer: \"${secret.bank_key}\" }", "{ token: { post: /t, read: data..token } }", "bad-value"),
        ("{ bearer: \"${secret.bank_key}\" }", "{ token: { post: \"https://${order.id}/t\" } }", "host-from-order"),
        ("{ bearer: \"${secret.bank_key}\" }", "{ token: { get: /t, fields: { a: b } } }", "conflicting-keys"),
        ("poll: [5s, 30s, 5m]", "poll: { get: \"/v1/captures/${reference}\" }", "missing-key"),
        ("inquire: { get: \"/v1/captures/${key}\" }", "inquire: told", "contradicting-values"),
        ("poll: [5s, 30s, 5m]", "poll: { get: \"/v1/captures/${key}\" }", "key-not-sent"),
        ("{ get: \"/v1/captures/${key}\" }\n    poll: [5s, 30s, 5m]", "resend", "money-without-inquire"),
        ("inquire: { get: \"/v1/captures/${key}\" }", "inquire: resend", "contradicting-values"),
        ("get: \"/v1/voids/${key}\"", "get: \"/v1/voids/${reference}\"", "unknown-variable"),
        ("get: \"/v1/voids/${key}\"", "get: \"/v1/voids/${short_key(key)}\"", "key-not-sent"),
        ("post: /v1/authorizations/", "get: /v1/authorizations/", "money-without-idempotency"),
        ("header: Idempotency-Key", "natural_key: with.amount", "key-not-sent"),
        ("header: Idempotency-Key", "natural_key: '\"always\"'", "bad-value"),
        ("header: Idempotency-Key", "natural_key: key", "unknown-variable"),
        (
            "money: hold\n",
            "money: hold\n    sign: { scheme: digest-sha1, content: \"${request.body}${secret.a}\", header: Host }\n",
            "bad-name",
        ),
        (
            "money: hold\n",
            "money: hold\n    sign: { scheme: digest-sha1, content: \"${secret.a}\", field: s, headers: { Content-Length: 1 } }\n",
            "bad-name",
        ),
        ("money: hold\n", "money: hold\n    encrypt: { key: \"${secret.a}\", fields: [amount, card] }\n", "bad-value"),
    ];
    refused(&mistakes, bank_with);
    // A provider that knows a capture by what is captured wants no key.
    let own = "money: capture\n    idempotency: { natural_key: with.authorization, replay: reject_duplicate }";
    let body = "{ reference: \"${key}\", amount: \"${with.amount}\" }";
    let (connectors, workflow) = example();
    let bank = replaced(&connectors["bank"], "header: Idempotency-Key, ", "");
    let varying = replaced(&bank, body, "{ reference: \"${key}-${attempt}\", amount: \"${with.amount}\" }");
    let keyless = replaced(&bank, body, "{ amount: \"${with.amount}\" }");
    let with = |bank: String| {
        let found =
            problems(connectors.clone().into_iter().chain([("bank".to_owned(), bank)]).collect(), workflow.clone());
        found.iter().map(|problem| problem.rule).collect::<Vec<_>>()
    };
    assert_eq!(with(keyless.clone()), ["key-not-sent"]);
    // Another reference with every try is no key.
    assert_eq!(with(varying), ["key-not-sent"]);
    let told = replaced(&bank, body, "{ reference: \"${key}\", time: \"${now}\", amount: \"${with.amount}\" }");
    assert_eq!(with(told), Vec::<&str>::new());
    assert_eq!(with(replaced(&keyless, "money: capture", own)), Vec::<&str>::new());
}

#[test]
fn of_notifications() {
    let verify = "verify: { scheme: standard-webhooks, secret: \"${secret.bank_hook}\" }";
    let signed = |more: &str| format!("verify: {{ signature: 'headers[\"x\"]', {more} }}");
    let (anybody, nothing) = (
        signed("scheme: digest-sha256, content: \"${raw}\""),
        signed("scheme: hmac-sha256, secret: \"${secret.a}\", content: of.pay"),
    );
    let literal = signed(
        "scheme: rsa-sha256, keys: { \"${env.ID}\": \"${secret.a}\" }, key_id: 'headers[\"y\"]', content: \"${raw}\"",
    );
    let mistakes = [
        (verify, anybody.as_str(), "bad-value"),
        (verify, nothing.as_str(), "bad-value"),
        (verify, literal.as_str(), "bad-value"),
        (verify, "verify: { scheme: sender-address }\n  allow_from: []", "bad-value"),
        (verify, "verify: [{ scheme: sender-address }]", "bad-value"),
        (
            verify,
            "verify: [{ scheme: sender-address }, { scheme: standard-webhooks, secret: \"${secret.a}\" }]",
            "contradicting-values",
        ),
        (
            verify,
            "verify: [{ scheme: standard-webhooks, secret: \"${secret.a}\" }, { scheme: digest-sha1, content: \"${item.a}\", signature: item.b }]",
            "contradicting-values",
        ),
        ("event: customer.confirmed", "event: confirmed", "bad-name"),
        ("event: customer.confirmed", "event: customer.confirmed\n      settles: pending", "bad-value"),
        ("event: customer.confirmed", "event: customer.confirmed\n      settles: ok\n      by: payment", "missing-key"),
        ("payload: { method: \"${body.data.method}\" }", "settles: ok\n      payload: \"${body.data}\"", "wrong-type"),
        (
            "payload: { method: \"${body.data.method}\" }",
            "settles: ok\n    - { event: customer.confirmed, correlate: body.reference, id: body.id, settles: declined }",
            "contradicting-values",
        ),
        ("event: customer.confirmed", "event: capture.done\n      settles: ok", "missing-late"),
        ("id: body.id", "id: \"'1'\"", "bad-value"),
        ("id: body.id", "id: headers[\"Webhook-Id\"]", "unknown-variable"),
        ("when: body.type == \"challenge.passed\"", "when: headers[\"x-type\"]", "type-mismatch"),
    ];
    refused(&mistakes, bank_with);
}

/// The problems when something stands otherwise in the connector of the bank.
fn bank_with(right: &str, wrong: &str) -> Vec<Problem> {
    let (mut connectors, workflow) = example();
    let bank = replaced(&connectors["bank"], right, wrong);
    connectors.insert("bank".to_owned(), bank);
    problems(connectors, workflow)
}

/// A cancel that undoes everything would leave a captured payment where it is.
#[test]
fn what_moves_money_is_undone_or_left_on_purpose() {
    let (connectors, workflow) = example();
    let undo =
        "      compensate: { call: bank.refund, with: { undoes: \"${call.key}\", amount: \"${with.amount}\" } }\n";
    let rules =
        |text: String| problems(connectors.clone(), text).iter().map(|problem| problem.rule).collect::<Vec<_>>();
    assert_eq!(rules(replaced(&workflow, undo, "")), ["nothing-to-compensate"]);
    assert_eq!(rules(replaced(&workflow, undo, "      compensate: none\n")), Vec::<&str>::new());
    // Where no cancel comes any more, there is nothing to undo.
    let kept = replaced(&replaced(&workflow, undo, ""), "deadline: { after: 7d, target: undoing }", "deadline: 7d");
    let settled = kept.find("\n  settled:\n").map(|at| at + "\n  settled:\n".len()).expect("the example settles");
    let (head, tail) = kept.split_at(settled);
    assert_eq!(
        rules(head.to_owned() + &replaced(tail, "    on: {", "    on: { cancel: { assign: { late: true } },")),
        Vec::<&str>::new()
    );
}

#[test]
fn what_is_right_is_not_refused() {
    for url in [
        "http://localhost:8080/v1",
        "\"http://[::1]:80\"",
        "\"http://127.0.0.1:${env.PORT}\"",
        "\"http://${env.HOST}\"",
    ] {
        assert_eq!(bank_with("\"${env.BANK_URL}\"", url), [], "{url}");
    }
    assert_eq!(bank_with("header: Idempotency-Key, ", ""), [], "the key is in the body");
    let asked =
        "pending: response.status == 202 }\n    inquire: { get: \"/v1/captures/${key}\" }\n    poll: [5s, 30s, 5m]";
    let found_first = "pending: response.status == 202, reference: response.body.id }\n    \
         inquire:\n      get: /v1/captures?reference=${key}\n      \
         outcomes: { pending: response.status == 200, reference: response.body.id, not_found: response.status == 404 }\n    \
         poll: { get: \"/v1/captures/${reference}\" }";
    assert_eq!(bank_with(asked, found_first), [], "what is found is asked about by its own reference");
    assert_eq!(bank_with("response.status == 402", "response.status in [402, 422] && has(response.body.code)"), []);
}

/// An order stays on its version, whatever the rules of a later checker are.
#[test]
fn a_version_in_use_is_not_judged_again() {
    let (connectors, workflow) = example();
    let old = replaced(&workflow, "{ type: integer, minimum: 1 }", "{ type: integer, nullable: false }");
    let sources = sources(connectors, old);
    let rules: Vec<&str> = load(sources.clone()).unwrap_err().iter().map(|problem| problem.rule).collect();
    assert_eq!(rules, ["bad-schema", "bad-money"]);
    assert_eq!(load_kept(sources.clone()).unwrap().states.len(), 10);
    let broken = Sources { workflow: sources.workflow.replace("target: submitted", "target: [submitted"), ..sources };
    assert!(load_kept(broken).is_err(), "what cannot be read is not a workflow");
}

/// One mistake hides no other: what it makes unreadable is left out, and the rest is judged.
#[test]
fn a_problem_hides_no_other() {
    let rules = |problems: Vec<Problem>| problems.iter().map(|problem| problem.rule).collect::<Vec<_>>();
    let (connectors, workflow) = example();
    let doubled = replaced(&workflow, "title:", "title: Twice\ntitle:");
    let doubled = replaced(&doubled, "on: { ok: settled, declined: undoing }", "on: { ok: setled, declined: undoing }");
    let found = rules(problems(connectors.clone(), doubled));
    assert!(["duplicate-key", "unknown-state"].iter().all(|rule| found.contains(rule)), "{found:?}");

    // An operation with a mistake is not judged where it is called; the others of its connector are.
    let broken = replaced(&connectors["bank"], "response.status == 402", "response.staus == 402");
    let wrong = replaced(&workflow, "call: shop.", "call: shopp.");
    let found = rules(problems(
        BTreeMap::from([("bank".to_owned(), broken), ("shop".to_owned(), connectors["shop"].clone())]),
        wrong,
    ));
    assert!(["unknown-variable", "unknown-call"].iter().all(|rule| found.contains(rule)), "{found:?}");
    assert!(!found.contains(&"outcome-never-given"), "{found:?}");
}
