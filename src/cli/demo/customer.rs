//! The customer of the demo, who confirms whatever they are asked to confirm.

use std::collections::HashSet;

use crate::executor::Executor;
use crate::machine::{Snapshot, Status};
use crate::sandbox::Customer;
use crate::store::OrderQuery;
use crate::types::Value;

/// Looks at the orders that wait, and confirms on the page that the gateway shows for each.
pub(super) async fn run(executor: Executor, customer: Customer) {
    let mut confirmed = HashSet::new();
    loop {
        let query = OrderQuery { limit: 100, ..OrderQuery::default() };
        for order in executor.list(&query).await.unwrap_or_default() {
            if let Some(page) = asked(&order, &customer)
                && !confirmed.contains(&page)
                && customer.decide(&page, true).await
            {
                confirmed.insert(page);
            }
        }
        crate::executor::pause(std::time::Duration::from_millis(150)).await;
    }
}

/// The page on which the customer is asked.
fn asked(order: &Snapshot, customer: &Customer) -> Option<String> {
    let page = order.data.get("customer_url").and_then(Value::as_str)?;
    let waits = matches!(order.status, Status::Waiting | Status::Running);
    (waits && customer.is_asked_on(page)).then(|| page.to_owned())
}
