//! What a client can rely on: the description fits the routes and the answers, and requests that are wrong are refused.

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{World, order, problem, read};

#[tokio::test]
async fn every_route_is_described() {
    let world = World::start();
    let (status, document) = world.get("/openapi.json").await;
    assert_eq!(status, 200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut described: Vec<(String, String)> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        described.extend(item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())));
    }
    let mut routes: Vec<(String, String)> =
        paystate::api::paths().into_iter().map(|(method, path)| (method.to_owned(), path)).collect();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
    references(&document, &document);
}

/// Every `$ref` leads somewhere.
fn references(value: &Value, document: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').expect("a reference into the document");
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            fields.values().for_each(|field| references(field, document));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, document)),
        _ => {}
    }
}

/// The answers of real requests have the media types that the description gives them.
#[tokio::test]
async fn answers_are_what_the_description_says() {
    let world = World::start();
    let (_, document) = world.get("/openapi.json").await;
    let id = world.fake.open(json!({"amount": 1, "currency": "CNY"})).to_string();
    let nobody = "019ab1c2-7d4e-7000-8000-0242ac120002";
    let requests = [
        ("get", "/v1/orders", "", "?limit=1", 200),
        ("get", "/v1/orders", "", "?limit=0", 400),
        ("get", "/v1/orders", "", "?workflow=crad", 422),
        ("get", "/v1/orders/{id}", &id, "", 200),
        ("get", "/v1/orders/{id}", nobody, "", 404),
        ("get", "/v1/orders/{id}/journal", &id, "", 200),
        ("get", "/v1/orders/{id}/recording", &id, "", 200),
        ("get", "/v1/orders/{id}/recording", nobody, "", 404),
        ("post", "/v1/orders", "", "", 400),
        ("post", "/v1/orders/{id}/cancel", &id, "", 400),
        ("post", "/v1/orders/{id}/retry", &id, "", 400),
        ("get", "/v1/orders/{id}/notifications", &id, "", 200),
        ("get", "/v1/orders/{id}/notifications", nobody, "", 404),
        ("get", "/v1/connectors", "", "", 200),
        ("post", "/v1/connectors/{name}/pause", "gateway", "", 400),
        ("post", "/v1/connectors/{name}/resume", "gateway", "", 400),
        ("get", "/v1/workflows/{name}", "crad", "", 404),
        ("get", "/v1/workflows/{name}/graph.svg", "card", "", 200),
        ("post", "/hooks/{connector}", "gateway", "", 401),
        ("post", "/hooks/{connector}", "nobody", "", 404),
        ("get", "/hooks/{connector}", "gateway", "?sign=x", 401),
        ("post", "/hooks/{connector}/{below}", "gateway", "", 401),
        ("get", "/readyz", "", "", 200),
        ("get", "/metrics", "", "", 200),
        ("get", "/schemas/workflow.schema.json", "", "", 200),
        ("get", "/", "", "", 200),
    ];
    for (method, path, argument, query, status) in requests {
        let part = path.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(name, _)| name);
        let url = world.url(&format!("{}{query}", path.replace(&format!("{{{part}}}"), argument)));
        let request = if method == "get" { world.http.get(url) } else { world.http.post(url).json(&json!({})) };
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        let sent = response.headers()["content-type"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let responses = &document["paths"][path][method]["responses"];
        let described = responses.get(status.to_string()).unwrap_or(&responses["default"]);
        let kinds: Vec<&String> = described["content"].as_object().expect("a content").keys().collect();
        assert_eq!(kinds, [&sent], "{method} {path} {status}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_object_and_fields_that_are_missing_are_refused() {
    let world = World::start();
    let list = world.post("/v1/orders", json!(["card", {"amount": 1, "currency": "CNY"}])).await;
    let expected = "the body must be an object, and is a list: its fields are `workflow`, `input`";
    assert_eq!(problem(&list), (400, "malformed-body", expected));
    let id = world.fake.open(json!({"amount": 1, "currency": "CNY"}));
    let before = world.get(&format!("/v1/orders/{id}")).await;
    for (path, body, pointers) in [
        ("/v1/orders", json!({}), vec!["/workflow", "/input"]),
        (&format!("/v1/orders/{id}/cancel"), json!({}), vec!["/by"]),
        (&format!("/v1/orders/{id}/events"), json!({"id": "1"}), vec!["/event"]),
        (&format!("/v1/orders/{id}/resolve"), json!({"by": "kim"}), vec!["/note", "/as"]),
        (&format!("/v1/orders/{id}/cancel"), json!(["kim"]), vec![""]),
    ] {
        let refused = world.post(path, body).await;
        assert_eq!((problem(&refused).0, problem(&refused).1), (400, "malformed-body"), "{path}");
        let errors = refused.1["errors"].as_array().unwrap();
        let named: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(named, pointers, "{path}");
    }
    assert_eq!(world.get(&format!("/v1/orders/{id}")).await, before, "nothing was done");
}

#[tokio::test]
async fn an_order_is_cancelled_only_by_somebody() {
    let world = World::start();
    let id = world.fake.open(json!({"amount": 1, "currency": "CNY"}));
    let anonymous = world.post(&format!("/v1/orders/{id}/events"), json!({"event": "cancel"})).await;
    let detail = format!(
        "an order is cancelled with `POST /v1/orders/{id}/cancel` (`paystate cancel`), which says in `by` who asks"
    );
    assert_eq!(problem(&anonymous), (422, "reserved-event", detail.as_str()));
    assert_eq!(world.get(&format!("/v1/orders/{id}")).await.1["state"], "verified");
}

#[tokio::test]
async fn a_filter_that_no_order_can_fit_is_refused() {
    let world = World::start();
    world.fake.open(json!({"amount": 1, "currency": "CNY"}));
    for (path, id, detail) in [
        ("orders?workflow=crad", "unknown-workflow", "there is no workflow `crad`: did you mean `card`?"),
        ("orders?workflow=card&state=setled", "unknown-state", "there is no state `setled`: did you mean `settled`?"),
        ("incidents?workflow=cards", "unknown-workflow", "there is no workflow `cards`: did you mean `card`?"),
    ] {
        assert_eq!(problem(&world.get(&format!("/v1/{path}")).await), (422, id, detail));
    }
    let (status, page) = world.get("/v1/orders?workflow=card&state=settled").await;
    assert_eq!((status, &page["orders"]), (200, &json!([])));
}

#[tokio::test]
async fn a_key_that_was_used_names_its_order() {
    let world = World::start();
    let submit = |body: Value| {
        let request = world.http.post(world.url("/v1/orders")).header("Idempotency-Key", "k-1").json(&body);
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let first = submit(order()).await;
    let other = submit(json!({"workflow": "card", "input": {"amount": 5, "currency": "CNY"}})).await;
    let id = first["id"].as_str().unwrap();
    let detail =
        format!("the key was used for another request, which opened order {id}: a new request needs a new key");
    assert_eq!((&other["detail"], &other["order"]), (&json!(detail), &first["id"]));
}

#[tokio::test]
async fn a_key_whose_request_is_under_way_says_when_to_come_again() {
    let world = World::start();
    *world.fake.in_flight.lock().unwrap() = Some("k-1".to_owned());
    let request = world.http.post(world.url("/v1/orders")).header("Idempotency-Key", "k-1").json(&order());
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(problem(&read(response).await).1, "request-in-flight");
    let (_, document) = world.get("/openapi.json").await;
    for status in ["409", "429", "503", "507"] {
        let described = &document["paths"]["/v1/orders"]["post"]["responses"][status];
        assert!(described["headers"]["Retry-After"].is_object(), "{status} is described with it");
    }
}

#[tokio::test]
async fn wrong_paths_and_methods_are_problems() {
    let world = World::start();
    assert_eq!(problem(&world.get("/v2/orders").await).1, "no-such-route");
    assert_eq!(problem(&world.get("/assets/nothing.js").await).0, 404);
    let response = world.http.request(Method::DELETE, world.url("/v1/orders")).send().await.unwrap();
    let allow = response.headers()["allow"].to_str().unwrap().to_owned();
    assert_eq!(problem(&read(response).await).1, "method-not-allowed");
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    let response = world.http.get(world.url("/healthz")).header("x-request-id", "abc-1").send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "abc-1");
    let response = world.http.get(world.url("/healthz")).header("x-request-id", "a b").send().await.unwrap();
    assert_ne!(response.headers()["x-request-id"], "a b");
}
