//! What a customer is told of a payment: how far it is on the spine of states, and what there is to do.

use serde_json::{Map, Value, json};

/// The words of every method, in order. A state of a method's own lies between two of them.
const SPINE: [&str; 6] = ["submitted", "verified", "forwarded", "authorized", "settled", "notified"];

/// Picks from Paystate's order what the page shows. The order's other data stay on the server.
pub(super) fn told(order: &Value, gateway_url: &str) -> Value {
    let data = order["data"].as_object();
    let waiting = order["status"] == "waiting";
    json!({
        "id": order["id"],
        "workflow": order["workflow"],
        "state": order["state"],
        "title": order["state_title"],
        "stage": stage(order),
        "status": order["status"],
        "action": if waiting { action(data, gateway_url) } else { None },
        "reason": order["data"]["reason"],
    })
}

/// The last step of the spine that the order has reached.
fn stage(order: &Value) -> Option<&str> {
    let passed = order["stages"].as_array().into_iter().flatten().filter_map(Value::as_str);
    SPINE.into_iter().rev().find(|step| passed.clone().any(|stage| stage == *step))
}

/// Where the customer must go: an address of the gateway and of nobody else, whatever the data say.
fn action<'a>(data: Option<&'a Map<String, Value>>, gateway_url: &str) -> Option<&'a str> {
    data?
        .values()
        .rev()
        .filter_map(Value::as_str)
        .find(|url| url.strip_prefix(gateway_url).is_some_and(|path| path.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_is_sent_to_the_gateway_only() {
        let order = |url: &str, status: &str| {
            json!({ "id": "1", "state": "awaiting_customer", "stages": ["submitted", "forwarded"], "status": status,
                "data": { "card": "1", "challenge": url, "reason": "x" } })
        };
        let told = |url, status| told(&order(url, status), "https://127.0.0.1:7");
        assert_eq!(told("https://127.0.0.1:7/c/1", "waiting")["action"], "https://127.0.0.1:7/c/1");
        assert_eq!(told("https://127.0.0.1:77/c/1", "waiting")["action"], Value::Null);
        assert_eq!(told("https://127.0.0.1:7.evil.example/", "waiting")["action"], Value::Null);
        assert_eq!(told("https://127.0.0.1:7/c/1", "running")["action"], Value::Null);
        assert_eq!(told("", "waiting")["stage"], "forwarded");
        let all = told("", "waiting");
        assert_eq!((&all["reason"], &all["data"]), (&json!("x"), &Value::Null));
    }
}
