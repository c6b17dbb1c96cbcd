//! The shop's own orders, in memory: what was bought, how it is paid, and what the customer was told.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::catalogue::Line;
use crate::sandbox::clock::fresh_id;
use crate::types::Timestamp;

/// The oldest orders are forgotten beyond this.
const ORDERS_MAX: usize = 20_000;
const NOTICES_MAX: usize = 50;
const WEBHOOK_IDS_MAX: usize = 100_000;

/// Who gets the goods.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Customer {
    pub(super) name: String,
    pub(super) address: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ShopOrder {
    pub(super) merchant_order: String,
    pub(super) lines: Vec<Line>,
    pub(super) amount: i64,
    pub(super) currency: &'static str,
    pub(super) customer: Customer,
    pub(super) created_at: Timestamp,
    pub(super) method: Option<String>,
    /// Paystate's id of the order.
    pub(super) payment: Option<String>,
    /// Every order of Paystate that the merchant has confirmed for this one: the payment, and the child orders of it.
    #[serde(skip)]
    pub(super) confirmed: Vec<String>,
    /// What is sent to Paystate. It stays the same when it is sent again, so that the key finds the same order.
    #[serde(skip)]
    pub(super) request: Option<Value>,
    #[serde(skip)]
    pub(super) notices: Vec<Notice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Audience {
    Merchant,
    Customer,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Notice {
    pub(super) to: Audience,
    /// `payment` as Paystate sent it; `shipping` is the shop's own.
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) at: Timestamp,
}

#[derive(Default)]
pub(super) struct Orders {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    orders: HashMap<String, ShopOrder>,
    by_age: VecDeque<String>,
    webhooks: HashSet<String>,
    webhooks_by_age: VecDeque<String>,
}

impl Orders {
    pub(super) fn open(&self, lines: Vec<Line>, amount: i64, customer: Customer, at: Timestamp) -> ShopOrder {
        let order = ShopOrder {
            // UnionPay takes letters and digits only.
            merchant_order: fresh_id("lg").replace(['-', '_'], "x"),
            lines,
            amount,
            currency: super::catalogue::CURRENCY,
            customer,
            created_at: at,
            method: None,
            payment: None,
            confirmed: Vec::new(),
            request: None,
            notices: Vec::new(),
        };
        let mut inside = self.inside();
        if inside.by_age.len() >= ORDERS_MAX
            && let Some(oldest) = inside.by_age.pop_front()
        {
            inside.orders.remove(&oldest);
        }
        inside.by_age.push_back(order.merchant_order.clone());
        inside.orders.insert(order.merchant_order.clone(), order.clone());
        order
    }

    pub(super) fn get(&self, merchant_order: &str) -> Option<ShopOrder> {
        self.inside().orders.get(merchant_order).cloned()
    }

    /// The shop's order that Paystate knows under this id.
    pub(super) fn of_payment(&self, payment: &str) -> Option<ShopOrder> {
        self.inside().orders.values().find(|order| order.payment.as_deref() == Some(payment)).cloned()
    }

    /// Changes an order in one step and returns it as it is then.
    pub(super) fn change<T>(&self, merchant_order: &str, change: impl FnOnce(&mut ShopOrder) -> T) -> Option<T> {
        self.inside().orders.get_mut(merchant_order).map(change)
    }

    /// Adds a notice unless the order has as many as anybody reads.
    pub(super) fn tell(&self, merchant_order: &str, notice: Notice) {
        self.change(merchant_order, |order| {
            if order.notices.len() < NOTICES_MAX {
                order.notices.push(notice);
            }
        });
    }

    /// True the first time that this webhook id is seen.
    pub(super) fn first_time(&self, webhook_id: &str) -> bool {
        let mut inside = self.inside();
        if !inside.webhooks.insert(webhook_id.to_owned()) {
            return false;
        }
        inside.webhooks_by_age.push_back(webhook_id.to_owned());
        if inside.webhooks_by_age.len() > WEBHOOK_IDS_MAX
            && let Some(oldest) = inside.webhooks_by_age.pop_front()
        {
            inside.webhooks.remove(&oldest);
        }
        true
    }

    /// No change is left half done by a panic: each is a single assignment.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
