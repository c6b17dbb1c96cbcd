//! The customer, as far as a program can be one: confirms or refuses what the gateway's page asks.

use serde_json::json;

use super::samples::Customer;

impl Customer {
    /// Whether a page is one of the gateway's, on which the customer is asked.
    pub fn is_asked_on(&self, page: &str) -> bool {
        page.starts_with(&self.gateway_url)
    }

    /// Answers on the page; false when the gateway did not take it.
    pub async fn decide(&self, page: &str, confirm: bool) -> bool {
        let decision = if confirm { "confirm" } else { "refuse" };
        let answer = self.client.post(page).json(&json!({ "decision": decision })).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}
