//! What becomes of payments and refunds long afterwards, requests that arrive late, and the settlement file.

use std::fs;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use paystate::sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::sandbox::{Answer, GOOD, World, ask};

impl World {
    async fn advance(&self, by: &str) -> Answer {
        let moved = self.post("/admin/clock", &json!({ "advance": by })).await;
        assert_eq!(moved.status, 200);
        moved
    }

    async fn script(&self, order: &str, operation: &str, fault: &str) {
        let script = json!({ "order": order, "operation": operation, "fault": [fault] });
        assert_eq!(self.post("/admin/scripts", &script).await.status, 201);
    }

    /// Waits until the books say it.
    async fn comes(&self, order: &str, what: &str, amount: i64) {
        for _ in 0..400 {
            if self.oracle(order)[what] == amount {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} of {order} never is {amount}: {}", self.oracle(order));
    }

    async fn inquiry_says(&self, reference: &str, code: &str) {
        for _ in 0..400 {
            if self.inquire(reference).await.body["code"] == code {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{reference} is never {code}: {:?}", self.inquire(reference).await);
    }

    async fn file(&self, date: &str) -> (u16, String) {
        let url = format!("{}/settlement/{date}.csv", self.sandbox.bank_url());
        let response = self.sandbox.client().get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

#[tokio::test]
async fn a_capture_fails_two_hours_after_it_was_answered_with_yes() {
    let world = World::start().await;
    assert_eq!(world.purchase("p", 1090, GOOD).await.status, 201);
    let session = world.card("c", 1090, GOOD).await;
    world.post("/v1/authorizations", &ask("c", "a", 1090, json!({ "session": session }))).await;
    assert_eq!(world.post("/v1/captures", &ask("c", "c", 1090, json!({ "original": "c-a" }))).await.status, 201);
    world.advance("119m").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((&world.oracle("p")["failed"], &world.oracle("c")["failed"]), (&json!(0), &json!(0)));
    world.advance("1m").await;
    for (order, reference) in [("p", "p-p"), ("c", "c-c")] {
        world.comes(order, "failed", 1090).await;
        world.inquiry_says(reference, "capture_failed").await;
        let refund = ask("r", order, 1, json!({ "payment_order": order }));
        assert_eq!(world.post("/v1/refunds", &refund).await.body["code"], "too_much");
    }
}

#[tokio::test]
async fn a_script_says_when_and_what_was_undone_before_does_not_fail_again() {
    let world = World::start().await;
    world.script("p", "purchase", "capture_fails:10m").await;
    world.script("v", "purchase", "capture_fails:10m").await;
    // A refund can come back, a purchase cannot.
    let never = json!({ "order": "x", "operation": "purchase", "fault": ["refund_returns"] });
    assert_eq!(world.post("/admin/scripts", &never).await.status, 400);
    for order in ["p", "v", "x"] {
        assert_eq!(world.purchase(order, 700, GOOD).await.status, 201);
    }
    assert_eq!(world.post("/v1/reversals", &ask("v", "r", 700, json!({ "original": "v-p" }))).await.status, 201);
    world.advance("96h").await;
    world.comes("p", "failed", 700).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let voided = world.oracle("v");
    assert_eq!((&voided["failed"], &voided["released"]), (&json!(0), &json!(700)));
    assert_eq!(world.oracle("x")["effects"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refund_comes_back_after_three_days() {
    let world = World::start().await;
    assert_eq!(world.purchase("p", 5000, GOOD).await.status, 201);
    let refund = ask("r", "r", 1092, json!({ "payment_order": "p" }));
    assert_eq!(world.post("/v1/refunds", &refund).await.status, 201);
    world.advance("73h").await;
    world.comes("r", "returned", 1092).await;
    world.comes("p", "returned", 1092).await;
    world.inquiry_says("r-r", "refund_returned").await;
    let rest = world.post("/v1/refunds", &ask("s", "r", 5000, json!({ "payment_order": "p" }))).await;
    assert_eq!(rest.status, 201, "{rest:?}");
}

#[tokio::test]
async fn a_chargeback_takes_what_is_left_even_when_the_sandbox_was_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { dir: Some(dir.path().to_path_buf()), ..Options::default() };
    let world = World { sandbox: Sandbox::start(options.clone()).await.unwrap() };
    assert_eq!(world.purchase("p", 1099, GOOD).await.status, 201);
    assert_eq!(world.post("/v1/refunds", &ask("r", "r", 99, json!({ "payment_order": "p" }))).await.status, 201);
    world.sandbox.shutdown().await;

    let world = World { sandbox: Sandbox::start(options).await.unwrap() };
    world.advance("721h").await;
    world.comes("p", "charged_back", 1000).await;
    let mut told = Value::Null;
    for _ in 0..400 {
        told = world.inquire("p-p-chargeback-opened").await.body;
        if told["kind"] == "chargeback" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(json!([told["kind"], told["status"], told["amount"]]), json!(["chargeback", "approved", 1000]));
    let refund = world.post("/v1/refunds", &ask("s", "r", 1, json!({ "payment_order": "p" }))).await;
    assert_eq!((refund.status, &refund.body["code"]), (402, &json!("too_much")));
    assert_eq!(world.oracle("p")["refunded"], 99);
}

#[tokio::test]
async fn what_arrives_after_its_own_void_is_refused() {
    let world = World::start().await;
    let session = world.card("a", 700, GOOD).await;
    for (order, operation, path, undo) in
        [("a", "authorization", "/v1/authorizations", "/v1/voids"), ("p", "purchase", "/v1/purchases", "/v1/reversals")]
    {
        let session = if order == "a" { session.clone() } else { world.card(order, 700, GOOD).await };
        world.script(order, operation, "arrives_late:2s").await;
        let lost = world.post(path, &ask(order, "o", 700, json!({ "session": session }))).await;
        assert_eq!(lost.status, 0, "{lost:?}");
        let reference = format!("{order}-o");
        assert_eq!(world.inquire(&reference).await.status, 404);
        let nothing = world.post(undo, &ask(order, "u", 700, json!({ "original": reference }))).await;
        assert_eq!((nothing.status, &nothing.body["given_back"]), (201, &json!(0)), "{nothing:?}");
        world.inquiry_says(&reference, "reversed").await;
        assert_eq!(world.oracle(order)["effects"], json!([]));
    }
    // Nobody voids this one, and it is sent again: it counts once, whichever of the two comes first.
    let session = world.card("n", 1093, GOOD).await;
    let body = ask("n", "o", 1093, json!({ "session": session }));
    assert_eq!(world.post("/v1/purchases", &body).await.status, 0);
    assert_eq!(world.post("/v1/purchases", &body).await.status, 201);
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    let truth = world.oracle("n");
    assert_eq!((&truth["purchased"], &truth["effects"][0]["applied"]), (&json!(1093), &json!(1)));
}

#[tokio::test]
async fn the_settlement_file_has_a_line_for_each_movement_and_is_wrong_on_demand() {
    let world = World::start().await;
    let date = world.advance("0s").await.body["clearing_date"].as_str().unwrap().to_owned();
    world.script("scripted", "purchase", "settlement_missing").await;
    for (order, amount) in [("good", 10_000), ("m", 1094), ("x", 1095), ("f", 1098), ("scripted", 500)] {
        assert_eq!(world.purchase(order, amount, GOOD).await.status, 201);
    }
    let session = world.card("h", 700, GOOD).await;
    world.post("/v1/authorizations", &ask("h", "a", 700, json!({ "session": session }))).await;
    assert_eq!(world.post("/v1/refunds", &ask("r", "r", 4000, json!({ "payment_order": "good" }))).await.status, 201);
    assert_eq!(world.file(&date).await.0, 404);
    world.advance("24h").await;
    let (status, text) = world.file(&date).await;
    assert_eq!(status, 200);
    let expected = [
        "order,reference,kind,gross,fee,net,currency,clearing_date".to_owned(),
        format!("good,good-p,purchase,10000,60,9940,CNY,{date}"),
        format!("x,x-p,purchase,1095,7,1088,CNY,{date}"),
        format!("x,x-p-extra,purchase,1095,7,1088,CNY,{date}"),
        format!("f,f-p,purchase,1098,15,1083,CNY,{date}"),
        format!("r,r-r,refund,-4000,0,-4000,CNY,{date}"),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    for nonsense in ["yesterday", "2026-13-01"] {
        assert_eq!(world.file(nonsense).await.0, 404, "{nonsense}");
    }
    let unknown: Value = json!({ "order": "o", "operation": "capture", "fault": ["capture_fails:soon"] });
    assert_eq!(world.post("/admin/scripts", &unknown).await.status, 400);
}

#[tokio::test]
async fn the_time_that_was_moved_stays_so_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { dir: Some(dir.path().to_path_buf()), ..Options::default() };
    let world = World { sandbox: Sandbox::start(options.clone()).await.unwrap() };
    let date = world.advance("0s").await.body["clearing_date"].as_str().unwrap().to_owned();
    let session = world.card("h", 700, GOOD).await;
    world.post("/v1/authorizations", &ask("h", "a", 700, json!({ "session": session }))).await;
    for by in ["720h", "720h"] {
        world.advance(by).await;
    }
    let too_far = world.post("/admin/clock", &json!({ "advance": "876000h" })).await;
    assert_eq!(too_far.status, 400, "{too_far:?}");
    let moved = world.get("/admin/clock").await.body;
    assert_eq!(world.oracle("h")["held"], 0);
    world.sandbox.shutdown().await;

    let world = World { sandbox: Sandbox::start(options).await.unwrap() };
    let kept = world.get("/admin/clock").await.body;
    assert!(kept["now"].as_str() >= moved["now"].as_str(), "{kept} after {moved}");
    assert!(kept["clearing_day"].as_i64() >= moved["clearing_day"].as_i64(), "{kept} after {moved}");
    assert_eq!(world.file(&date).await.0, 200);
    assert_eq!((&world.oracle("h")["held"], &world.oracle("h")["released"]), (&json!(0), &json!(700)));
    // What the customer signs is dated with it too.
    let input = world.sandbox.sample("e_cheque", 500, "CNY").await.unwrap();
    let body = json!({
        "reference": "e-f", "order": "e", "merchant_order": input["merchant_order"], "amount": 500, "currency": "CNY",
        "method": "e_cheque", "payment": input["payment"],
    });
    let forwarded = world.post("/v1/forward", &body).await;
    assert_eq!(forwarded.status, 201, "{forwarded:?}");
}

/// Listens to notifications in Paystate's place: where, and what comes.
async fn listener() -> (String, UnboundedReceiver<Value>) {
    async fn hook(State(told): State<UnboundedSender<Value>>, body: Bytes) -> StatusCode {
        told.send(serde_json::from_slice(&body).unwrap()).unwrap();
        StatusCode::NO_CONTENT
    }
    let (send, receive) = unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/hooks/{connector}", post(hook)).with_state(send);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, receive)
}

async fn hears(told: &mut UnboundedReceiver<Value>, event: &str) -> Value {
    let heard = async {
        loop {
            let body = told.recv().await.unwrap();
            if body["type"] == event {
                return body;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), heard).await.unwrap_or_else(|_| panic!("{event} never comes"))
}

/// Of what the gateway writes down it keeps as much as a kill leaves, for every place where one may come.
#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_it_is_told_though_the_gateway_is_killed_anywhere() {
    for (amount, advance, event) in [(1090, "2h", "capture.failed"), (1099, "721h", "chargeback.opened")] {
        let dir = tempfile::tempdir().unwrap();
        let options = |dir: &std::path::Path| Options { dir: Some(dir.to_path_buf()), ..Options::default() };
        let world = World { sandbox: Sandbox::start(options(dir.path())).await.unwrap() };
        assert_eq!(world.purchase("p", amount, GOOD).await.status, 201);
        let book = dir.path().join("gateway.jsonl");
        let planned = fs::read_to_string(&book).unwrap().lines().count();
        let (url, mut told) = listener().await;
        world.sandbox.notify(Some(url));
        world.advance(advance).await;
        let first = hears(&mut told, event).await;
        // Kept, told, acknowledged and done with: the last line strikes out the plan or the notification.
        let is_over = |text: &str| {
            let over = |table: &str| {
                text.lines().any(|line| line.contains(&format!("\"k\":\"{table}/")) && line.ends_with("\"v\":null}"))
            };
            over("plan") && over("notice")
        };
        while !is_over(&fs::read_to_string(&book).unwrap()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        world.sandbox.shutdown().await;

        let lines: Vec<String> = fs::read_to_string(&book).unwrap().lines().map(str::to_owned).collect();
        assert!(lines.len() > planned + 3, "{lines:?}");
        for cut in planned..lines.len() {
            let killed = tempfile::tempdir().unwrap();
            for file in fs::read_dir(dir.path()).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), killed.path().join(file.file_name())).unwrap();
            }
            fs::write(killed.path().join("gateway.jsonl"), lines[..cut].join("\n") + "\n").unwrap();
            let world = World { sandbox: Sandbox::start(options(killed.path())).await.unwrap() };
            let (url, mut told) = listener().await;
            world.sandbox.notify(Some(url));
            world.advance(advance).await;
            let again = hears(&mut told, event).await;
            assert_eq!((&again["id"], &again["reference"]), (&first["id"], &first["reference"]), "cut at {cut}");
            assert_eq!(world.oracle("p")["effects"].as_array().unwrap().len(), 2, "cut at {cut}");
            world.sandbox.shutdown().await;
        }
    }
}
