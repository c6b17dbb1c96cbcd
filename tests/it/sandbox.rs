//! The sandbox's cards over real TLS sockets: what is told, what is done, and what the oracle says of it.

use std::io::{Read, Write};
use std::sync::Arc;

use paystate::sandbox::{Options, Sandbox};
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// A sandbox and the way a connector talks to it.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
}

/// Status and body of an answer; a broken answer is status 0.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self { sandbox: Sandbox::start(Options::default()).await.unwrap() }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let url = format!("{}{path}", self.sandbox.gateway_url());
        let key = self.sandbox.secrets()["gateway_key"].reveal();
        told(self.sandbox.client().post(url).bearer_auth(key).json(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let url = format!("{}{path}", self.sandbox.gateway_url());
        let key = self.sandbox.secrets()["gateway_key"].reveal();
        told(self.sandbox.client().get(url).bearer_auth(key)).await
    }

    pub(crate) async fn inquire(&self, reference: &str) -> Answer {
        self.get(&format!("/v1/operations?reference={reference}")).await
    }

    /// Forwards a sealed payment and returns the answer.
    pub(crate) async fn forward(&self, order: &str, amount: i64, method: &str, details: &Value) -> Answer {
        let payment = self.sandbox.customer().seal("m-1", amount, "CNY", method, details).unwrap();
        let body = json!({
            "reference": format!("{order}-forward"), "order": order, "merchant_order": "m-1", "amount": amount,
            "currency": "CNY", "method": method, "payment": payment,
        });
        self.post("/v1/forward", &body).await
    }

    /// A card's session for an order.
    pub(crate) async fn card(&self, order: &str, amount: i64, number: &str) -> String {
        let details = json!({ "type": "card", "number": number, "expiry": "12/49", "cvc": "123" });
        let answer = self.forward(order, amount, "credit_card", &details).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["session"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn purchase(&self, order: &str, amount: i64, number: &str) -> Answer {
        let session = self.card(order, amount, number).await;
        self.post("/v1/purchases", &ask(order, "p", amount, json!({ "session": session }))).await
    }

    pub(crate) fn oracle(&self, order: &str) -> Value {
        self.sandbox.oracle(order)
    }
}

pub(crate) async fn told(request: reqwest::RequestBuilder) -> Answer {
    let Ok(response) = request.send().await else { return Answer { status: 0, body: Value::Null } };
    let status = response.status().as_u16();
    match response.text().await {
        Ok(text) => Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::Null) },
        Err(_) => Answer { status: 0, body: Value::Null },
    }
}

/// A request about `order` with the reference `{order}-{name}`, and whatever else.
pub(crate) fn ask(order: &str, name: &str, amount: i64, more: Value) -> Value {
    let mut body = json!({
        "reference": format!("{order}-{name}"), "order": order, "amount": amount, "currency": "CNY",
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

pub(crate) const GOOD: &str = "4242424242424242";

#[tokio::test]
async fn a_card_is_authorised_captured_and_refunded() {
    let world = World::start().await;
    let session = world.card("o", 6000, GOOD).await;
    let held = world.post("/v1/authorizations", &ask("o", "a", 6000, json!({ "session": session }))).await;
    assert_eq!((held.status, &held.body["status"]), (201, &json!("approved")));
    assert_eq!(world.oracle("o")["held"], 6000);

    let part = world.post("/v1/captures", &ask("o", "c1", 4000, json!({ "original": "o-a" }))).await;
    let last = world.post("/v1/captures", &ask("o", "c2", 1000, json!({ "original": "o-a", "final": true }))).await;
    assert_eq!((part.status, last.status), (201, 201));
    let refund = world.post("/v1/refunds", &ask("r", "r", 2000, json!({ "payment_order": "o" }))).await;
    assert_eq!(refund.status, 201, "{refund:?}");
    let too_much = world.post("/v1/refunds", &ask("r2", "r", 3001, json!({ "payment_order": "o" }))).await;
    assert_eq!((too_much.status, &too_much.body["code"]), (402, &json!("too_much")));

    let truth = world.oracle("o");
    assert_eq!(truth["captured"], 5000);
    assert_eq!(truth["released"], 1000);
    assert_eq!(truth["refunded"], 2000);
    assert_eq!(truth["held"], 0);
    assert_eq!(world.oracle("r")["refunded"], 2000);
    assert!(truth["effects"].as_array().unwrap().iter().all(|effect| effect["applied"] == 1));
}

#[tokio::test]
async fn declines_move_no_money() {
    let world = World::start().await;
    let cases = [
        ("4000000000000002", 1000, "do_not_honor", false),
        ("4000000000009995", 1000, "insufficient_funds", false),
        ("4000000000009987", 1000, "lost_card", false),
        (GOOD, 1051, "insufficient_funds", false),
        (GOOD, 1005, "do_not_honor", false),
        (GOOD, 1091, "issuer_unavailable", true),
    ];
    for (at, (card, amount, code, soft)) in cases.into_iter().enumerate() {
        let order = format!("o{at}");
        let answer = world.purchase(&order, amount, card).await;
        assert_eq!(answer.status, 402, "{answer:?}");
        assert_eq!((&answer.body["code"], &answer.body["soft"]), (&json!(code), &json!(soft)));
        assert_eq!(world.oracle(&order)["effects"], json!([]));
    }
}

#[tokio::test]
async fn one_reference_is_done_once() {
    let world = World::start().await;
    let session = world.card("o", 500, GOOD).await;
    let body = ask("o", "p", 500, json!({ "session": session }));
    let first = world.post("/v1/purchases", &body).await;
    let second = world.post("/v1/purchases", &body).await;
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    let other = world.post("/v1/purchases", &ask("o", "p", 400, json!({ "session": session }))).await;
    assert_eq!((other.status, &other.body["code"]), (422, &json!("reference_reused")));
    assert_eq!(world.oracle("o")["purchased"], 500);
}

#[tokio::test]
async fn without_an_answer_the_inquiry_says_what_was_done() {
    let world = World::start().await;
    for (amount, status) in [(1068, 0), (1070, 500), (1071, 502), (1074, 0)] {
        let order = format!("o{amount}");
        let answer = world.purchase(&order, amount, GOOD).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(world.oracle(&order)["purchased"], amount);
        let found = world.inquire(&format!("{order}-p")).await;
        if amount == 1074 {
            assert_eq!(found.status, 404);
        } else {
            assert_eq!((found.status, &found.body["status"]), (200, &json!("approved")));
            assert_eq!(found.body["amount"], amount);
        }
    }
    let truncated = world.purchase("t", 1072, GOOD).await;
    assert_eq!((truncated.status, truncated.body), (201, Value::Null));
}

#[tokio::test]
async fn what_was_not_done_is_not_found_and_can_be_done_later() {
    let world = World::start().await;
    let session = world.card("o", 1069, GOOD).await;
    let body = ask("o", "p", 1069, json!({ "session": session }));
    assert_eq!(world.post("/v1/purchases", &body).await.status, 0);
    assert_eq!(world.inquire("o-p").await.status, 404);
    assert_eq!(world.oracle("o")["purchased"], 0);
    assert_eq!(world.post("/v1/purchases", &body).await.status, 201);
    assert_eq!(world.oracle("o")["purchased"], 1069);
}

/// Says something over a connection of its own, and returns every byte of the answer until the other side closes.
async fn all_that_comes_back(world: &World, path: &str, body: &Value) -> Vec<u8> {
    let mut roots = rustls::RootCertStore::empty();
    let ca = rustls::pki_types::CertificateDer::from_pem_slice(world.sandbox.ca_pem().as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let address = world.sandbox.gateway_url().strip_prefix("https://").unwrap().to_owned();
    let key = world.sandbox.secrets()["gateway_key"].reveal().to_owned();
    let (body, path) = (body.to_string(), path.to_owned());
    let spoken = tokio::task::spawn_blocking(move || {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
        let mut connection = rustls::ClientConnection::new(config, name).unwrap();
        let mut stream = rustls::Stream::new(&mut connection, &mut socket);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut heard = Vec::new();
        // The end may come without a farewell; waiting for it without end may not.
        let end = stream.read_to_end(&mut heard);
        assert!(!matches!(&end, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{end:?}");
        heard
    });
    spoken.await.unwrap()
}

#[tokio::test]
async fn no_answer_is_not_a_byte_of_one() {
    let world = World::start().await;
    let faults = ["commit_then_no_answer", "no_commit_no_answer", "arrives_late:1s"];
    for (fault, order) in faults.into_iter().zip(["c", "n", "l"]) {
        let script = json!({ "order": order, "operation": "purchase", "fault": [fault] });
        assert_eq!(world.post("/admin/scripts", &script).await.status, 201);
        let session = world.card(order, 500, GOOD).await;
        let body = ask(order, "p", 500, json!({ "session": session }));
        let heard = all_that_comes_back(&world, "/v1/purchases", &body).await;
        assert!(heard.is_empty(), "{fault}: {}", String::from_utf8_lossy(&heard));
    }
    assert_eq!((&world.oracle("c")["purchased"], &world.oracle("n")["purchased"]), (&json!(500), &json!(0)));
}

#[tokio::test]
async fn inquiries_can_fail_too() {
    let world = World::start().await;
    world.purchase("o", 1075, GOOD).await;
    for _ in 0..3 {
        assert_eq!(world.inquire("o-p").await.status, 500);
    }
    assert_eq!(world.inquire("o-p").await.status, 200);
}

#[tokio::test]
async fn a_reversal_undoes_what_came_and_forbids_what_comes_later() {
    let world = World::start().await;
    world.purchase("o", 1068, GOOD).await;
    let reversal = ask("o", "x", 1068, json!({ "original": "o-p" }));
    // The amount strikes the reversal too; sent again under its reference it is told what it did.
    assert_eq!(world.post("/v1/reversals", &reversal).await.status, 0);
    assert_eq!(world.post("/v1/reversals", &reversal).await.status, 201);
    assert_eq!(world.oracle("o")["released"], 1068);
    assert_eq!(world.inquire("o-p").await.body["code"], "reversed");

    let early = world.post("/v1/reversals", &ask("l", "x", 700, json!({ "original": "l-p" }))).await;
    assert_eq!(early.status, 201);
    let late = world.purchase("l", 700, GOOD).await;
    assert_eq!((late.status, &late.body["code"]), (402, &json!("reversed")));
    assert_eq!(world.oracle("l")["purchased"], 0);
}

#[tokio::test]
async fn a_challenge_is_confirmed_or_refused_by_the_customer() {
    let world = World::start().await;
    for (order, card, amount) in [("o1", "4000002760003184", 800), ("o2", GOOD, 1065)] {
        let session = world.card(order, amount, card).await;
        let asked = world.post("/v1/authorizations", &ask(order, "a", amount, json!({ "session": session }))).await;
        assert_eq!((asked.status, &asked.body["status"]), (202, &json!("action_required")));
        let challenge = asked.body["challenge"].as_str().unwrap().to_owned();
        let again = ask(order, "b", amount, json!({ "session": session, "challenge": challenge }));
        assert_eq!(world.post("/v1/authorizations", &again).await.status, 402);

        let url = asked.body["challenge_url"].as_str().unwrap();
        let page = world.sandbox.client().get(url).send().await.unwrap().text().await.unwrap();
        assert!(page.contains("Confirm"));
        let form = world.sandbox.client().post(url).header("content-type", "application/x-www-form-urlencoded");
        assert!(form.body("decision=confirm").send().await.unwrap().status().is_success());
        let passed = ask(order, "c", amount, json!({ "session": session, "challenge": challenge }));
        assert_eq!(world.post("/v1/authorizations", &passed).await.status, 201);
        assert_eq!(world.oracle(order)["held"], amount);
    }
}

#[tokio::test]
async fn a_payment_is_only_for_its_own_order() {
    let world = World::start().await;
    let details = json!({ "type": "card", "number": GOOD, "expiry": "12/49" });
    let payment = world.sandbox.customer().seal("m-1", 500, "CNY", "credit_card", &details).unwrap();
    let body = json!({
        "reference": "x", "order": "o", "merchant_order": "m-1", "amount": 900, "currency": "CNY",
        "method": "credit_card", "payment": payment,
    });
    let moved = world.post("/v1/forward", &body).await;
    assert_eq!((moved.status, &moved.body["code"]), (402, &json!("payment_of_another_order")));
    let session = world.card("o1", 500, GOOD).await;
    let stolen = world.post("/v1/purchases", &ask("o2", "p", 500, json!({ "session": session }))).await;
    assert_eq!((stolen.status, &stolen.body["code"]), (402, &json!("session_of_another_order")));
}

#[tokio::test]
async fn a_sealed_payment_pays_for_the_order_that_brings_it_first() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { dir: Some(dir.path().to_path_buf()), ..Options::default() };
    let world = World { sandbox: Sandbox::start(options.clone()).await.unwrap() };
    let details = json!({ "type": "card", "number": GOOD, "expiry": "12/49" });
    let seal = |world: &World| world.sandbox.customer().seal("m-1", 500, "CNY", "credit_card", &details).unwrap();
    let payment = seal(&world);
    let bring = |order: &str, reference: &str, merchant_order: &str, payment: &str| {
        json!({
            "reference": reference, "order": order, "merchant_order": merchant_order, "amount": 500, "currency": "CNY",
            "method": "credit_card", "payment": payment,
        })
    };
    // Brought for the wrong order of the merchant's, it is not used up.
    let wrong = world.post("/v1/forward", &bring("thief", "thief-1", "m-2", &payment)).await;
    assert_eq!(wrong.body["code"], "payment_of_another_order");
    for reference in ["o-1", "o-1", "o-2"] {
        let answer = world.post("/v1/forward", &bring("o", reference, "m-1", &payment)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let second = world.post("/v1/forward", &bring("p", "p-1", "m-1", &payment)).await;
    let told = (second.status, &second.body["status"], &second.body["code"], &second.body["soft"]);
    assert_eq!(told, (402, &json!("declined"), &json!("payment_already_used"), &json!(false)));
    world.sandbox.shutdown().await;

    let world = World { sandbox: Sandbox::start(options).await.unwrap() };
    let third = world.post("/v1/forward", &bring("q", "q-1", "m-1", &payment)).await;
    assert_eq!((third.status, &third.body["code"]), (402, &json!("payment_already_used")));
    let same = world.post("/v1/forward", &bring("o", "o-3", "m-1", &payment)).await;
    assert_eq!(same.status, 201, "{same:?}");
    // The same details sealed anew are another payment.
    let anew = world.post("/v1/forward", &bring("q", "q-2", "m-1", &seal(&world))).await;
    assert_eq!(anew.status, 201, "{anew:?}");
}

#[tokio::test]
async fn the_clearing_day_decides_between_void_and_refund() {
    let world = World::start().await;
    assert_eq!(world.purchase("o", 500, GOOD).await.status, 201);
    let whole = json!({ "payment_order": "o" });
    let part = world.post("/v1/voids", &ask("v", "1", 100, whole.clone())).await;
    assert_eq!(part.body["code"], "not_whole");
    assert_eq!(world.post("/admin/clock", &json!({ "advance": "24h" })).await.status, 200);
    let late = world.post("/v1/voids", &ask("v", "2", 500, whole.clone())).await;
    assert_eq!(late.body["code"], "clearing_day_over");
    assert_eq!(world.post("/v1/refunds", &ask("v", "3", 500, whole)).await.status, 201);
}

#[tokio::test]
async fn the_books_outlive_the_sandbox() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { dir: Some(dir.path().to_path_buf()), ..Options::default() };
    let world = World { sandbox: Sandbox::start(options.clone()).await.unwrap() };
    assert_eq!(world.purchase("o", 500, GOOD).await.status, 201);
    let (url, key) = (world.sandbox.gateway_url().to_owned(), world.sandbox.payment_key().clone());
    let session = world.card("p", 700, GOOD).await;
    world.sandbox.shutdown().await;

    let world = World { sandbox: Sandbox::start(options).await.unwrap() };
    assert_eq!(world.oracle("o")["purchased"], 500);
    let found = world.inquire("o-p").await;
    assert_eq!((found.status, &found.body["status"]), (200, &json!("approved")));
    // What was sealed, and the pages that customers have open, are good after it too.
    assert_eq!((world.sandbox.gateway_url(), world.sandbox.payment_key()), (url.as_str(), &key));
    assert_eq!(world.post("/v1/purchases", &ask("p", "p", 700, json!({ "session": session }))).await.status, 201);
}

#[tokio::test]
async fn a_folder_of_books_is_for_one_sandbox_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { dir: Some(dir.path().to_path_buf()), ..Options::default() };
    let world = World { sandbox: Sandbox::start(options.clone()).await.unwrap() };
    let refused = Sandbox::start(options.clone()).await.unwrap_err().to_string();
    let expected = format!(
        "another sandbox uses {} (process {}): stop it first, or give this one a folder of its own",
        dir.path().display(),
        std::process::id()
    );
    assert_eq!(refused, expected);
    // The first one has lost nothing by it.
    assert_eq!(world.purchase("o", 500, GOOD).await.status, 201);
    drop(world);
    let world = World { sandbox: Sandbox::start(options).await.unwrap() };
    assert_eq!(world.oracle("o")["purchased"], 500);
}

#[tokio::test]
async fn balances_are_open_to_those_who_ask() {
    let world = World::start().await;
    let balance = async |account: &str| -> i64 {
        let url = format!("{}/accounts/{account}/balance", world.sandbox.bank_url());
        let body: Value = world.sandbox.client().get(url).send().await.unwrap().json().await.unwrap();
        body["balances"]["CNY"]["available"].as_i64().unwrap_or(0)
    };
    let before = balance("customer-1").await;
    assert_eq!(world.purchase("o", 500, GOOD).await.status, 201);
    assert_eq!(balance("customer-1").await, before - 500);
    assert_eq!(balance("merchant-1").await, 500);
}
