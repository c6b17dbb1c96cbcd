//! `paystate demo --exit --json`: one order for each method, each where it should be, by the bank's books too.

use std::process::Command;

use serde_json::Value;

use crate::support::{paystate, root};

#[test]
fn eleven_orders_end_as_they_should() {
    let output = Command::new(paystate())
        .args(["demo", "--exit", "--json", "--listen", "127.0.0.1:0", "--workflows"])
        .arg(root().join("workflows"))
        .output()
        .expect("the demo runs");
    let (told, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{told}\n{complained}");
    let orders: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("an order")).collect();
    let mut methods: Vec<&str> = orders.iter().map(|order| order["workflow"].as_str().expect("a method")).collect();
    methods.sort_unstable();
    assert_eq!(
        methods,
        [
            "bank_card",
            "credit_card",
            "e_cash",
            "e_cheque",
            "e_wallet",
            "online_banking",
            "refund",
            "third_party_mobile",
            "third_party_phone",
            "third_party_topup",
            "unionpay_online",
        ]
    );
    for order in &orders {
        assert_eq!(order["status"], "succeeded", "{order}");
        for field in ["id", "version", "state", "created_at", "updated_at", "data"] {
            assert!(!order[field].is_null(), "{field} of {order}");
        }
        assert_eq!(order["agrees"], true, "{order}");
    }
}
