//! Schedules that providers publish, by name. Each is what its owner recommends to those who ask, or retry.

use std::time::Duration;

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

/// Names and delays, each counted from the one before.
pub const SCHEDULES: &[(&str, &[u64])] = &[
    // Alipay, "polling" of the pages on paying in a store: every 3 to 6 seconds, for about a minute in all.
    ("alipay", &[5 * SECOND; 12]),
    // Standard Webhooks, operational considerations: a schedule for sending again that ends after about three days.
    (
        "standard-webhooks",
        &[5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR],
    ),
    // UnionPay's SDK, status query of back transactions: at most six times, each delay twice the one before.
    ("unionpay-back", &[1, 2, 4, 8, 16, 32]),
    // The same of front transactions, which wait for the customer.
    ("unionpay-front", &[5 * MINUTE, 10 * MINUTE, 30 * MINUTE, 60 * MINUTE, 120 * MINUTE]),
    // WeChat Pay, guide to callbacks and queries: an order that no notification has come for.
    ("wechatpay", &[5 * SECOND, 30 * SECOND, MINUTE, 3 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE]),
];

pub(super) fn schedule(name: &str) -> Option<Vec<Duration>> {
    let (_, delays) = SCHEDULES.iter().find(|(known, _)| *known == name)?;
    Some(delays.iter().copied().map(Duration::from_secs).collect())
}
