//! The sandbox's other instruments over real TLS sockets: each good path, and each refusal.

use paystate::sandbox::{GatewayOptions, Options, Sandbox};
use serde_json::{Value, json};

use super::sandbox::{Answer, World, ask};

impl World {
    /// A session for sealed details.
    async fn session(&self, order: &str, amount: i64, method: &str, details: &Value) -> String {
        let answer = self.forward(order, amount, method, details).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["session"].as_str().unwrap().to_owned()
    }

    async fn decide(&self, answer: &Answer, decision: &str) {
        let url = answer.body["challenge_url"].as_str().unwrap();
        let client = self.sandbox.client();
        let told = client.post(url).json(&json!({ "decision": decision })).send().await.unwrap();
        assert!(told.status().is_success());
    }

    async fn customer(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.sandbox.gateway_url());
        self.sandbox.client().post(url).json(body).send().await.unwrap().json().await.unwrap()
    }

    async fn status(&self, reference: &str) -> Value {
        self.inquire(reference).await.body["status"].clone()
    }
}

fn account(id: &str) -> Value {
    json!({ "type": "wallet", "account": id })
}

#[tokio::test]
async fn unionpay_is_paid_on_its_page_and_queried() {
    let world = World::start().await;
    let card = json!({ "type": "card", "number": "6226090000000048", "expiry": "12/49" });
    for (order, decision, status, purchased) in [("a", "confirm", "approved", 500), ("b", "refuse", "declined", 0)] {
        let session = world.session(order, 500, "unionpay_online", &card).await;
        let body = ask(order, "f", 500, json!({ "session": session, "txn_time": "20260301120000" }));
        let front = world.post("/unionpay/front", &body).await;
        assert_eq!((front.status, &front.body["status"]), (202, &json!("pending")));
        assert_eq!(world.status(&format!("{order}-f")).await, "pending");
        world.decide(&front, decision).await;
        world.decide(&front, "confirm").await;
        assert_eq!(world.status(&format!("{order}-f")).await, status);
        assert_eq!(world.oracle(order)["purchased"], purchased);
    }
    let session = world.session("c", 500, "unionpay_online", &card).await;
    let body = ask("c", "f", 500, json!({ "session": session, "txn_time": "20260301120000" }));
    let front = world.post("/unionpay/front", &body).await;
    world.post("/admin/clock", &json!({ "advance": "16m" })).await;
    world.decide(&front, "confirm").await;
    assert_eq!(world.inquire("c-f").await.body["code"], "expired");
    assert_eq!(world.oracle("c")["purchased"], 0);
}

#[tokio::test]
async fn online_banking_must_be_activated_first() {
    let world = World::start().await;
    let details = json!({ "type": "online_banking", "account": "customer-2" });
    let session = world.session("o", 500, "online_banking", &details).await;
    let activation = format!("/ebank/activation?session={session}&order=o");
    assert_eq!(world.get(&activation).await.body["status"], "not_activated");
    let early = world.post("/ebank/transfers", &ask("o", "t1", 500, json!({ "session": session }))).await;
    assert_eq!(early.body["code"], "not_activated");
    let page = world.post("/ebank/activations", &json!({ "reference": "o-a", "order": "o", "session": session })).await;
    world.decide(&page, "confirm").await;
    assert_eq!(world.get(&activation).await.body["status"], "activated");
    let transfer = world.post("/ebank/transfers", &ask("o", "t2", 500, json!({ "session": session }))).await;
    world.decide(&transfer, "confirm").await;
    assert_eq!(world.status("o-t2").await, "approved");
    assert_eq!(world.oracle("o")["purchased"], 500);
}

#[tokio::test]
async fn a_wallet_is_held_confirmed_and_posted() {
    let world = World::start().await;
    let session = world.session("o", 500, "e_wallet", &account("wallet-2")).await;
    assert_eq!(world.post("/wallet/holds", &ask("o", "h", 500, json!({ "session": session }))).await.status, 201);
    let asked = world.post("/wallet/confirmations", &ask("o", "c1", 500, json!({ "session": session }))).await;
    assert_eq!(asked.body["status"], "action_required");
    world.decide(&asked, "confirm").await;
    let challenge = json!({ "session": session, "challenge": asked.body["challenge"] });
    assert_eq!(world.post("/wallet/confirmations", &ask("o", "c2", 500, challenge)).await.status, 201);
    assert_eq!(world.post("/wallet/postings", &ask("o", "p", 500, json!({ "original": "o-h" }))).await.status, 201);
    assert_eq!(world.oracle("o")["captured"], 500);

    let wrong = json!({ "type": "wallet", "account": "wallet-2", "password": "000000" });
    assert_eq!(world.forward("w", 500, "e_wallet", &wrong).await.body["code"], "wrong_password");
}

#[tokio::test]
async fn a_coin_is_taken_once() {
    let world = World::start().await;
    let coins = world.sandbox.customer().coins(500, "CNY").await.unwrap();
    let details = json!({ "type": "ecash", "coins": coins });
    let session = world.session("o", 500, "e_cash", &details).await;
    for name in ["d1", "d1"] {
        let deposit = world.post("/ecash/deposits", &ask("o", name, 500, json!({ "session": session }))).await;
        assert_eq!(deposit.status, 201, "{deposit:?}");
    }
    // The same coins for the same order under another reference are the same payment.
    let again = world.post("/ecash/deposits", &ask("o", "d2", 500, json!({ "session": session }))).await;
    assert_eq!(again.status, 201);
    assert_eq!(world.oracle("o")["purchased"], 500);

    let session = world.session("thief", 500, "e_cash", &details).await;
    let stolen = world.post("/ecash/deposits", &ask("thief", "d", 500, json!({ "session": session }))).await;
    assert_eq!((stolen.status, &stolen.body["code"]), (402, &json!("double_spend")));
    assert_eq!(world.oracle("thief")["purchased"], 0);

    let mut forged = world.sandbox.customer().coins(500, "CNY").await.unwrap();
    forged[0]["value"] = json!(499);
    let forged = json!({ "type": "ecash", "coins": forged });
    assert_eq!(world.forward("f", 500, "e_cash", &forged).await.body["code"], "coin_not_genuine");
}

#[tokio::test]
async fn a_cheque_clears_bounces_or_is_stopped() {
    let gateway = GatewayOptions { clearing: std::time::Duration::from_millis(200), ..GatewayOptions::default() };
    let world = World { sandbox: Sandbox::start(Options { gateway, ..Options::default() }).await.unwrap() };
    for (order, amount, stop, end) in [
        ("good", 500, false, json!(["approved", null])),
        ("nsf", 1051, false, json!(["declined", "R01"])),
        ("stop", 500, true, json!(["declined", "R08"])),
    ] {
        let cheque = world.sandbox.customer().cheque(amount, "CNY").await.unwrap();
        let serial = cheque["cheque"]["serial"].clone();
        let details = json!({ "type": "echeque", "cheque": cheque });
        let session = world.session(order, amount, "e_cheque", &details).await;
        let body = ask(order, "p", amount, json!({ "session": session }));
        assert_eq!(world.post("/echeque/presentments", &body).await.body["status"], "pending");
        if stop {
            world.customer("/customer/echeques/stop", &json!({ "drawer": "customer-1", "serial": serial })).await;
        }
        let reference = format!("{order}-p");
        while world.status(&reference).await == "pending" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let told = world.inquire(&reference).await.body;
        assert_eq!(json!([told["status"], told["code"]]), end);
        // A stop that comes after the clearing is no stop.
        let late =
            world.customer("/customer/echeques/stop", &json!({ "drawer": "customer-1", "serial": serial })).await;
        let said = if order == "good" { json!(["error", "already_cleared"]) } else { json!(["stopped", null]) };
        assert_eq!(json!([late["status"], late["code"]]), said, "{order}");
        let other = world.forward(&format!("other-{order}"), amount, "e_cheque", &details).await;
        assert_eq!(other.body["code"], "serial_already_used");
    }
    let mut forged = world.sandbox.customer().cheque(500, "CNY").await.unwrap();
    forged["cheque"]["amount"] = json!(600);
    let forged = json!({ "type": "echeque", "cheque": forged });
    assert_eq!(world.forward("forged", 600, "e_cheque", &forged).await.body["code"], "bad_signature");
}

#[tokio::test]
async fn a_code_is_paid_or_closed_and_never_both() {
    let world = World::start().await;
    let facts = world.get("/thirdparty/accounts/thirdparty-1").await.body;
    assert_eq!((&facts["class"], &facts["factors"]), (&json!("I"), &json!("single_factor")));
    for (order, pay_first) in [("paid", true), ("closed", false)] {
        let session = world.session(order, 500, "third_party_mobile", &account("thirdparty-2")).await;
        let code = world.post("/thirdparty/codes", &ask(order, "q", 500, json!({ "session": session }))).await;
        if pay_first {
            world.decide(&code, "confirm").await;
        }
        let original = json!({ "original": format!("{order}-q") });
        let closing = world.post("/v1/closings", &ask(order, "x", 0, original)).await;
        world.decide(&code, "confirm").await;
        let paid = if pay_first { 500 } else { 0 };
        assert_eq!(world.oracle(order)["purchased"], paid);
        assert_eq!(closing.status, if pay_first { 402 } else { 201 });
    }
}

#[tokio::test]
async fn a_top_up_is_credited_once_and_not_to_a_frozen_account() {
    let world = World::start().await;
    let body = ask("o", "c", 500, json!({ "account": "thirdparty-2" }));
    assert_eq!(world.post("/thirdparty/credits", &body).await.status, 201);
    assert_eq!(world.post("/thirdparty/credits", &body).await.status, 201);
    assert_eq!(world.oracle("o")["transferred"], 500);
    let freeze = format!("{}/admin/accounts/thirdparty-3", world.sandbox.bank_url());
    world.sandbox.client().post(freeze).json(&json!({ "frozen": true })).send().await.unwrap();
    let frozen = world.post("/thirdparty/credits", &ask("f", "c", 500, json!({ "account": "thirdparty-3" }))).await;
    assert_eq!(frozen.body["code"], "account_frozen");
}

#[tokio::test]
async fn a_call_is_confirmed_before_it_is_charged() {
    let world = World::start().await;
    let session = world.session("o", 500, "third_party_phone", &account("thirdparty-2")).await;
    let call = world.post("/phone/calls", &ask("o", "r", 500, json!({ "phone": "02155550123" }))).await;
    let charge = |name: &str| ask("o", name, 500, json!({ "session": session, "challenge": call.body["challenge"] }));
    assert_eq!(world.post("/phone/charges", &charge("early")).await.body["code"], "challenge_not_passed");
    world.decide(&call, "confirm").await;
    world.decide(&call, "refuse").await;
    assert_eq!(world.post("/phone/charges", &charge("c")).await.status, 201);
    assert_eq!(world.oracle("o")["purchased"], 500);
    let nobody = world.post("/phone/calls", &ask("n", "r", 500, json!({ "phone": "02155550000" }))).await;
    assert_eq!(nobody.body["code"], "no_answer");
}

#[tokio::test]
async fn a_page_says_the_amount_as_people_read_it() {
    let world = World::start().await;
    let get = async |url: String| {
        let response = world.sandbox.client().get(url).send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        (response.status().as_u16(), kind, response.text().await.unwrap())
    };
    for (currency, shown) in [("CNY", "123.45 CNY"), ("JPY", "12345 JPY"), ("KWD", "12.345 KWD")] {
        let call = json!({
            "reference": format!("{currency}-r"), "order": currency, "amount": 12_345, "currency": currency,
            "phone": "02155550123",
        });
        let call = world.post("/phone/calls", &call).await;
        let url = call.body["challenge_url"].as_str().unwrap().to_owned();
        let (status, kind, page) = get(url.clone()).await;
        assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
        assert!(page.contains(&format!(">{shown}<")) && page.contains("Hang up"), "{page}");
        assert!(!page.contains("://") && !page.contains("style=") && !page.contains("<script"), "{page}");
        world.decide(&call, "refuse").await;
        let (_, _, page) = get(url).await;
        assert!(page.contains("Refused") && !page.contains("<form"), "{page}");
    }
    // Activating costs nothing, so it names no amount.
    let details = json!({ "type": "online_banking", "account": "customer-2" });
    let session = world.session("o", 500, "online_banking", &details).await;
    let page = world.post("/ebank/activations", &json!({ "reference": "o-a", "order": "o", "session": session })).await;
    let (_, _, page) = get(page.body["challenge_url"].as_str().unwrap().to_owned()).await;
    assert!(page.contains("Activate online banking") && !page.contains("amount"), "{page}");

    let (gateway, shop) = (world.sandbox.gateway_url(), world.sandbox.shop_url());
    let (status, kind, _) = get(format!("{gateway}/challenge/unknown")).await;
    assert_eq!((status, kind.as_str()), (404, "text/html; charset=utf-8"));
    for server in [gateway, shop] {
        for (file, kind) in
            [("favicon.ico", "image/svg+xml"), ("icon.svg", "image/svg+xml"), ("style.css", "text/css; charset=utf-8")]
        {
            let found = get(format!("{server}/{file}")).await;
            assert_eq!((found.0, found.1.as_str()), (200, kind), "{server}/{file}");
        }
    }
}

#[tokio::test]
async fn a_customer_in_another_process_pays_too() {
    let world = World::start().await;
    let customer = paystate::sandbox::Customer::connect(world.sandbox.gateway_url(), world.sandbox.ca_pem()).await;
    let customer = customer.unwrap();
    for method in paystate::sandbox::METHODS {
        let input = customer.sample(method, 1_000, "CNY").await.unwrap();
        let body = json!({
            "reference": format!("{method}-f"), "order": method, "merchant_order": input["merchant_order"],
            "amount": 1_000, "currency": "CNY", "method": method, "payment": input["payment"],
        });
        assert_eq!(world.post("/v1/forward", &body).await.status, 201, "{method}");
    }
}
