//! Scripts of faults, and the rest of the sandbox's administration: what they do, and what they refuse.

use serde_json::{Value, json};

use super::sandbox::{GOOD, World, ask, told};

#[tokio::test]
async fn scripts_strike_one_order_and_strangers_are_refused() {
    let world = World::start().await;
    let script = json!({ "order": "o", "operation": "purchase", "fault": ["decline:lost_card"] });
    assert_eq!(world.post("/admin/scripts", &script).await.status, 201);
    assert_eq!(world.purchase("o", 500, GOOD).await.body["code"], "lost_card");
    assert_eq!(world.purchase("other", 500, GOOD).await.status, 201);
    let url = format!("{}/v1/purchases", world.sandbox.gateway_url());
    let stranger = world.sandbox.client().post(url).bearer_auth("wrong").json(&json!({})).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let bank = format!("{}/v1/instructions", world.sandbox.bank_url());
    let past_the_gateway = world.sandbox.client().post(bank).json(&json!({})).send().await.unwrap();
    assert_eq!(past_the_gateway.status(), 401);
}

#[tokio::test]
async fn a_script_makes_inquiries_blind_or_fail_about_what_was_not_answered() {
    let world = World::start().await;
    for (order, fault, status) in [("b", "query_blind:1h", 404), ("f", "query_fails:2", 500)] {
        let script = json!({ "order": order, "operation": "purchase", "fault": [fault] });
        assert_eq!(world.post("/admin/scripts", &script).await.status, 201);
        assert_eq!(world.purchase(order, 500, GOOD).await.status, 0, "{fault}");
        assert_eq!(world.oracle(order)["purchased"], 500);
        for _ in 0..2 {
            assert_eq!(world.inquire(&format!("{order}-p")).await.status, status, "{fault}");
        }
    }
    assert_eq!(world.inquire("f-p").await.status, 200);
    assert_eq!(world.post("/admin/clock", &json!({ "advance": "1h" })).await.status, 200);
    assert_eq!(world.inquire("b-p").await.status, 200);
}

#[tokio::test]
async fn a_script_under_the_merchants_number_strikes_refunds_and_credits_too() {
    let world = World::start().await;
    for operation in ["refund", "void", "credit"] {
        let script = json!({ "order": "m-1", "operation": operation, "fault": ["decline:scripted"] });
        assert_eq!(world.post("/admin/scripts", &script).await.status, 201);
    }
    // The order that is paid has the number `m-1`; what gives it back is an order of its own.
    assert_eq!(world.purchase("o", 500, GOOD).await.status, 201);
    for (path, name) in [("/v1/refunds", "r"), ("/v1/voids", "v")] {
        let body = ask("r", name, 500, json!({ "payment_order": "o" }));
        assert_eq!(world.post(path, &body).await.body["code"], "scripted", "{path}");
    }
    let body = ask("t", "c", 500, json!({ "account": "thirdparty-2", "merchant_order": "m-1" }));
    assert_eq!(world.post("/thirdparty/credits", &body).await.body["code"], "scripted");
    assert_eq!(world.oracle("t")["transferred"], 0);
}

#[tokio::test]
async fn the_administration_refuses_nonsense_and_says_where_it_is() {
    let world = World::start().await;
    let script = |operation: Value, fault: Value| json!({ "order": "o", "operation": operation, "fault": fault });
    let cases = [
        (
            "/admin/scripts",
            script(json!("explode"), json!(["ok"])),
            "operation: not an operation: explode; there are forward",
        ),
        ("/admin/scripts", script(json!("chargeback"), json!(["ok"])), "operation: not an operation: chargeback;"),
        ("/admin/scripts", script(json!(7), json!(["ok"])), "operation: "),
        ("/admin/scripts", script(json!("capture"), json!("ok")), "fault: "),
        ("/admin/scripts", script(json!("capture"), json!([])), "fault: "),
        (
            "/admin/scripts",
            script(json!("capture"), json!(["ok", "explode"])),
            "fault: not a fault: explode; there are ok",
        ),
        (
            "/admin/scripts",
            script(json!("capture"), json!(["refund_returns"])),
            "fault: refund_returns changes nothing for the operation capture; these do: ok,",
        ),
        ("/admin/scripts", script(json!("refund"), json!(["step_up"])), "fault: step_up changes nothing"),
        ("/admin/scripts", script(json!("hold"), json!(["settlement_fee"])), "fault: settlement_fee changes nothing"),
        ("/admin/scripts", script(json!("close"), json!(["answer_off_by_one"])), "fault: answer_off_by_one changes"),
        ("/admin/scripts", json!({ "order": "", "operation": "capture", "fault": ["ok"] }), "order: "),
        ("/admin/scripts", json!({ "order": "o", "operation": "capture", "faults": ["ok"] }), "faults: unknown field"),
        ("/admin/clock", json!({ "advance": "-1h" }), "advance: "),
        ("/admin/clock", json!({ "advance": 3600 }), "advance: "),
        ("/admin/clock", json!({ "back": "1h" }), "back: unknown field"),
        ("/admin/notify", json!({ "url": "nowhere" }), "url: "),
        ("/admin/notify", json!({ "url": "file:///etc/passwd" }), "url: "),
        ("/admin/notify", json!({}), "missing field `url`"),
    ];
    for (path, body, says) in cases {
        let answer = world.post(path, &body).await;
        let message = answer.body["message"].as_str().unwrap_or_default();
        assert!(answer.status == 400 && message.starts_with(says), "{body}: {answer:?}");
    }
    let accounts = [
        (
            "wallet-1",
            json!({ "factors": "retina" }),
            "factors: retina is none of certificate, two_factor, single_factor",
        ),
        ("wallet-1", json!({ "class": "IV" }), "class: IV is none of I, II, III"),
        ("customer-1", json!({ "class": "I" }), "class: only an account"),
        ("wallet-1", json!({ "frozen": "yes" }), "frozen: "),
        ("wallet-1", json!({ "balance": -500 }), "balance: unknown field"),
    ];
    for (account, body, says) in accounts {
        let url = format!("{}/admin/accounts/{account}", world.sandbox.bank_url());
        let answer = told(world.sandbox.client().post(&url).json(&body)).await;
        let message = answer.body["message"].as_str().unwrap_or_default();
        assert!(answer.status == 400 && message.starts_with(says), "{body}: {answer:?}");
        let unchanged = told(world.sandbox.client().post(&url).json(&json!({}))).await;
        assert_eq!((unchanged.status, &unchanged.body["frozen"]), (200, &json!(false)));
        assert!(account != "wallet-1" || unchanged.body["factors"] == "single_factor", "{unchanged:?}");
    }
    let session = world.card("o", 500, GOOD).await;
    let below_zero = world.post("/v1/purchases", &ask("o", "p", -500, json!({ "session": session }))).await;
    assert_eq!((below_zero.status, &below_zero.body["code"]), (400, &json!("amount_is_below_zero")));
}

#[tokio::test]
async fn what_scripts_can_say_stands_in_the_documentation() {
    let world = World::start().await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sandbox.md")).unwrap();
    let mut seen = 0;
    for (operation, fault) in [("?", "ok"), ("capture", "?")] {
        let script = json!({ "order": "o", "operation": operation, "fault": [fault] });
        let answer = world.post("/admin/scripts", &script).await;
        let (_, names) = answer.body["message"].as_str().unwrap().split_once("there are ").unwrap();
        for name in names.split(", ") {
            let (bare, _) = name.split_once(':').unwrap_or((name, ""));
            let found = page.contains(&format!("`{bare}`")) || page.contains(&format!("`{bare}:"));
            assert!(found, "docs/sandbox.md does not name {name}");
            seen += 1;
        }
    }
    assert_eq!(seen, 20 + 21);
}
