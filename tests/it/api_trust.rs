//! The API answers this machine and the names that it was given, and no page from elsewhere acts on it.

use paystate::api::ServerOptions;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{World, order, problem, read};

const REBOUND: &str = "evil.example";

/// Sends a request as a browser would, and reads the problem that it is answered with.
async fn refused(world: &World, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let method: Method = method.to_uppercase().parse().unwrap();
    let mut request = world.http.request(method.clone(), world.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = if method == Method::POST { request.json(&order()) } else { request };
    read(request.send().await.unwrap()).await
}

async fn orders(world: &World) -> usize {
    world.get("/v1/orders").await.1["orders"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_name_that_was_bound_to_this_machine_gets_nothing() {
    let world = World::start();
    let id = world.fake.open(json!({"amount": 1, "currency": "CNY"})).to_string();
    for (method, path) in paystate::api::paths().into_iter().filter(|(_, path)| !path.starts_with("/hooks/")) {
        let path = path.replace("{id}", &id).replace("{name}", "card").replace("{file}", "app.js");
        let answer = refused(&world, method, &path, &[("host", REBOUND)]).await;
        assert_eq!((problem(&answer).0, problem(&answer).1), (421, "misdirected-request"), "{method} {path}");
        assert!(problem(&answer).2.contains("`--listen-as evil.example`"), "what to do is said: {answer:?}");
    }
    assert_eq!(orders(&world).await, 1, "nothing was done");
}

#[tokio::test]
async fn a_page_from_elsewhere_does_not_act() {
    let world = World::start();
    let own = world.url("");
    for headers in [
        [("origin", "https://evil.example"), ("x-request-id", "1")],
        [("origin", "http://localhost:1"), ("x-request-id", "2")],
        [("origin", "null"), ("x-request-id", "3")],
        [("origin", own.as_str()), ("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site"), ("x-request-id", "5")],
    ] {
        let answer = refused(&world, "post", "/v1/orders", &headers).await;
        assert_eq!((problem(&answer).0, problem(&answer).1), (403, "cross-site-request"), "{headers:?}");
    }
    assert_eq!(orders(&world).await, 0, "nothing was done");
    let page = world.http.post(world.url("/v1/orders")).header("origin", &own).header("sec-fetch-site", "same-origin");
    assert_eq!(read(page.json(&order()).send().await.unwrap()).await.0, 201, "the dashboard acts");
    let link = world.http.get(world.url("/")).header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(link.status(), 200, "a link from elsewhere leads to the dashboard");
}

#[tokio::test]
async fn a_name_that_was_given_is_answered_to() {
    let hosts = vec!["pay.example.com".parse().unwrap()];
    let world = World::with(ServerOptions { hosts, ..ServerOptions::default() });
    let send = |host: &'static str, origin: &'static str| {
        let request = world.http.post(world.url("/v1/orders")).header("host", host).header("origin", origin);
        let request = request.json(&order());
        async move { read(request.send().await.unwrap()).await }
    };
    assert_eq!(send("pay.example.com", "https://pay.example.com").await.0, 201);
    assert_eq!(send("pay.example.com", "https://evil.example").await.0, 403);
    assert_eq!(send("other.example.com", "https://other.example.com").await.0, 421);
    assert_eq!(world.get("/v1/orders").await.0, 200, "and so is loopback");
}

#[tokio::test]
async fn notifications_come_by_any_name() {
    let world = World::start();
    let request = world.http.post(world.url("/hooks/gateway")).header("host", "pay.example.com");
    let request = request.header("origin", "https://provider.example").header("webhook-signature", "good");
    assert_eq!(read(request.body("{}").send().await.unwrap()).await.0, 200);
    let forged = world.http.post(world.url("/hooks/gateway")).header("host", REBOUND).body("{}").send().await.unwrap();
    assert_eq!(problem(&read(forged).await).1, "bad-signature", "their signature is what is asked for");
}

#[tokio::test]
async fn who_may_ask_is_described() {
    let world = World::start();
    let (_, document) = world.get("/openapi.json").await;
    for (method, path) in paystate::api::paths() {
        let responses = &document["paths"][&path][method]["responses"];
        let (hook, post) = (path.starts_with("/hooks/"), method == "post");
        assert_eq!(responses["421"].is_object(), !hook, "{method} {path}");
        assert_eq!(responses["403"].is_object(), !hook && post, "{method} {path}");
    }
}
