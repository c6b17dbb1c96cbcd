//! The shop's server: prices, orders, the merchant's confirmation, notifications.

pub(crate) mod world;

use paystate::sandbox::jwe::{PublicJwk, encrypt, order_digest};
use serde_json::{Value, json};

use world::{Failure, World};

/// A card whose bank asks the customer.
const CARD: &str = r#"{"type":"card","number":"4000002760003184","expiry":"12/49"}"#;

async fn checkout(world: &World) -> Result<Value, Failure> {
    let customer = json!({ "name": "Lin Wei", "address": "Harbour Road" });
    let basket =
        json!({ "items": [{ "id": "tea", "quantity": 2 }, { "id": "lamp", "quantity": 1 }], "customer": customer });
    let (status, order) = world.call("POST", "/api/checkouts", basket).await?;
    assert_eq!((status, &order["amount"], &order["currency"]), (201, &json!(50_000), &json!("CNY")));
    Ok(order)
}

async fn sealed(world: &World, order: &Value) -> Result<Value, Failure> {
    sealed_for(world, order, "credit_card").await
}

async fn sealed_for(world: &World, order: &Value, method: &str) -> Result<Value, Failure> {
    let (status, key) = world.call("GET", "/api/payment-key", Value::Null).await?;
    assert_eq!(status, 200);
    let key: PublicJwk = serde_json::from_value(key)?;
    let number = order["merchant_order"].as_str().ok_or("no number")?;
    let payment = encrypt(&key, &order_digest(number, 50_000, "CNY", method), CARD.as_bytes())?;
    Ok(json!({ "merchant_order": number, "method": method, "payment": payment }))
}

#[tokio::test]
async fn an_order_is_submitted_once_with_the_shops_own_amount() -> Result<(), Failure> {
    let world = World::start().await?;
    let order = checkout(&world).await?;
    let mut submission = sealed(&world, &order).await?;

    submission["facts"] = json!({ "amount": "1" });
    assert_eq!(world.call("POST", "/api/orders", submission.clone()).await?.0, 422);
    submission["facts"] = json!({ "phone": "02155550123" });
    assert_eq!(world.call("POST", "/api/orders", submission.clone()).await?.0, 200);
    let path = format!("/api/orders/{}", order["merchant_order"].as_str().ok_or("no number")?);
    let mut told = Value::Null;
    for _ in 0..100 {
        told = world.call("GET", &path, Value::Null).await?.1["payment"].take();
        if told["action"].is_string() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(told["stage"], "forwarded");
    assert!(told["data"].get("session").is_none(), "the order's data stay on the server");
    let action = told["action"].as_str().unwrap_or_default();
    assert!(action.starts_with(world.sandbox.gateway_url()), "{told}");

    submission["payment"] = json!("a.b.c.d.e");
    assert_eq!(world.call("POST", "/api/orders", submission).await?.0, 200);
    let sent = world.submitted();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], sent[1], "sent again, it is the same request under the same key");
    assert_eq!(sent[0].0, order["merchant_order"].as_str().unwrap_or_default());
    let input = &sent[0].1["input"];
    assert_eq!((&input["amount"], &input["phone"]), (&json!(50_000), &json!("02155550123")));
    assert_eq!(world.call("POST", &format!("{path}/cancel"), json!({})).await?.0, 200);
    assert_eq!(world.last_order()["state"], "cancelled");
    Ok(())
}

#[tokio::test]
async fn a_refused_submission_may_be_sent_with_another_method() -> Result<(), Failure> {
    let world = World::start().await?;
    let order = checkout(&world).await?;
    let mut submission = sealed(&world, &order).await?;
    submission["method"] = json!("no_such_method");
    let (status, problem) = world.call("POST", "/api/orders", submission.clone()).await?;
    assert_eq!(status, 422);
    assert_eq!(problem["type"], "urn:paystate:shop:refused");
    submission["method"] = json!("credit_card");
    assert_eq!(world.call("POST", "/api/orders", submission).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn the_merchant_confirms_what_was_ordered_and_nothing_else() -> Result<(), Failure> {
    let world = World::start().await?;
    let order = checkout(&world).await?;
    let number = order["merchant_order"].as_str().ok_or("no number")?;
    let ask = |number: &str, amount: i64, currency: &str| json!({ "order": "1", "merchant_order": number, "amount": amount, "currency": currency });
    let early = world.call("POST", "/merchant/confirm", ask(number, 50_000, "CNY")).await?.1;
    assert_eq!((&early["status"], &early["code"]), (&json!("rejected"), &json!("not_submitted")));
    world.call("POST", "/api/orders", sealed(&world, &order).await?).await?;
    for (number, amount, currency, status) in [
        (number, 50_000, "CNY", "confirmed"),
        (number, 50_000, "CNY", "confirmed"),
        (number, 49_999, "CNY", "rejected"),
        (number, 50_000, "USD", "rejected"),
        ("lgunknown", 50_000, "CNY", "rejected"),
        ("demo-1", 1, "USD", "confirmed"),
        ("test-1", 0, "USD", "rejected"),
    ] {
        let answer = world.call("POST", "/merchant/confirm", ask(number, amount, currency)).await?.1;
        assert_eq!(answer["status"], status, "{number} {amount} {currency}");
    }
    let url = format!("{}/merchant/confirm", world.shop_url());
    let stranger = world.sandbox.client().post(url).json(&ask("demo-1", 1, "USD")).send().await?;
    assert_eq!(stranger.status(), 401);
    Ok(())
}

#[tokio::test]
async fn notifications_are_verified_taken_once_and_told() -> Result<(), Failure> {
    let world = World::start().await?;
    let order = checkout(&world).await?;
    let number = order["merchant_order"].as_str().ok_or("no number")?;
    world.call("POST", "/api/orders", sealed(&world, &order).await?).await?;

    let body = json!({ "type": "payment.succeeded", "data": { "merchant_order": number } });
    for (to, id) in [("merchant", "m1"), ("merchant", "m1"), ("merchant", "m2"), ("customer", "m1")] {
        assert_eq!(world.notify(to, id, &body).await?, 204);
    }
    assert_eq!(world.call("POST", "/notifications/merchant", body).await?.0, 401);
    let (_, notices) = world.call("GET", &format!("/api/orders/{number}/notices"), Value::Null).await?;
    let kinds: Vec<String> = notices
        .as_array()
        .into_iter()
        .flatten()
        .map(|notice| format!("{} {}", notice["to"], notice["kind"]).replace('"', ""))
        .collect();
    assert_eq!(kinds, ["merchant payment", "customer shipping", "merchant payment", "customer payment"]);
    Ok(())
}

#[tokio::test]
async fn a_child_order_sends_the_customer_to_its_page_and_ships_nothing() -> Result<(), Failure> {
    let world = World::start().await?;
    let order = checkout(&world).await?;
    let number = order["merchant_order"].as_str().ok_or("no number")?;
    // The made-up Paystate leaves this method under way.
    world.call("POST", "/api/orders", sealed_for(&world, &order, "bank_card").await?).await?;

    let url = format!("{}/challenge/ch_1", world.sandbox.gateway_url());
    world.open_child("child-1", &url);
    let ask = json!({ "order": "child-1", "merchant_order": number, "amount": 50_000, "currency": "CNY" });
    assert_eq!(world.call("POST", "/merchant/confirm", ask).await?.1["status"], "confirmed");
    let (_, told) = world.call("GET", &format!("/api/orders/{number}"), Value::Null).await?;
    assert_eq!((&told["payment"]["action"], &told["payment"]["status"]), (&json!(url), &json!("running")));

    let paid = json!({ "type": "payment.succeeded", "order": "child-1", "merchant_order": number });
    assert_eq!(world.notify("merchant", "m1", &paid).await?, 204);
    let (_, notices) = world.call("GET", &format!("/api/orders/{number}/notices"), Value::Null).await?;
    assert_eq!(notices.as_array().map(Vec::len), Some(1), "{notices}");
    Ok(())
}

#[tokio::test]
async fn the_page_allows_nothing_from_elsewhere() -> Result<(), Failure> {
    let world = World::start().await?;
    let page = world.sandbox.client().get(world.shop_url()).send().await?;
    let policy = page.headers()["content-security-policy"].to_str()?.to_owned();
    assert!(policy.contains("default-src 'none'; script-src 'self'; style-src 'self'"));
    assert!(!policy.contains("unsafe"));
    let text = page.text().await?;
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("style="));
    for whose in ["customer=merchant-1", "customer=customer-1&receiver=fees", "customer=customer-1&receiver=merchant-1"]
    {
        assert_eq!(world.call("GET", &format!("/api/balances?{whose}"), Value::Null).await?.0, 422, "{whose}");
    }
    Ok(())
}
