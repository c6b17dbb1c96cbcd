//! Limits of payment accounts: dated tables, so that a decision can name the version that it was made by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::{Currency, Money, Timestamp};

/// Every version of the limits, oldest first. Read from `workflows/data/payment_account_limits.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitTable {
    pub title: String,
    pub versions: Vec<LimitVersion>,
}

/// The limits that hold from a date on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitVersion {
    /// The first day, such as `2016-07-01`, in the time zone of `utc_offset_hours`.
    pub valid_from: String,
    pub source: String,
    pub currency: Currency,
    /// Days and years begin at midnight this many hours east of UTC.
    pub utc_offset_hours: i8,
    /// By account class, such as `I`.
    pub classes: BTreeMap<String, ClassLimit>,
    /// By the kind of verification, such as `two_factors`: what one client may pay in a day.
    pub factors: BTreeMap<String, Option<i64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassLimit {
    /// Minor units.
    pub cap: i64,
    pub period: Period,
}

/// Over what time a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Since the account was opened.
    Lifetime,
    Year,
    Day,
}

/// What holds for one payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The version of the table that says so.
    pub version: String,
    pub caps: Vec<Cap>,
    /// The counters that have no cap now. They count too: when the account's class or verification changes, the caps of the new
    /// one hold for what was paid before.
    pub counted: Vec<String>,
}

/// A cap on a counter, found for one payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// The account of the ledger that counts it.
    pub account: String,
    pub cap: i64,
    /// Whose cap it is: `class III`, or `verification single_factor`.
    pub rule: String,
    pub period: Period,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    #[error("no limits are in force on {0}")]
    NoVersion(String),
    #[error("the limits of {version} know no account class {class}; they know: {known}")]
    Class { version: String, class: String, known: String },
    #[error("the limits of {version} know no verification {factors}; they know: {known}")]
    Factors { version: String, factors: String, known: String },
    #[error("the limits of {version} are in {expected}, not in {given}")]
    Currency { version: String, expected: Currency, given: Currency },
}

impl LimitTable {
    /// What a payment from `account` must stay under at `now`.
    pub fn caps(
        &self,
        account: &str,
        class: &str,
        factors: &str,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Caps, LimitError> {
        let (version, day) = self.in_force(now)?;
        let from = version.valid_from.clone();
        if version.currency != currency {
            return Err(LimitError::Currency { version: from, expected: version.currency, given: currency });
        }
        let by_class = version.classes.get(class).ok_or_else(|| LimitError::Class {
            version: from.clone(),
            class: class.to_owned(),
            known: known(&version.classes),
        })?;
        let by_factors = version.factors.get(factors).ok_or_else(|| LimitError::Factors {
            version: from.clone(),
            factors: factors.to_owned(),
            known: known(&version.factors),
        })?;
        let cap = |rule, period, cap| Cap { account: counter(account, period, &day), cap, rule, period };
        let mut caps = vec![cap(format!("class {class}"), by_class.period, by_class.cap)];
        if let Some(by_factors) = by_factors {
            caps.push(cap(format!("verification {factors}"), Period::Day, *by_factors));
        }
        let counters = [Period::Lifetime, Period::Year, Period::Day].map(|period| counter(account, period, &day));
        let counted = counters.into_iter().filter(|counter| caps.iter().all(|cap| cap.account != *counter)).collect();
        Ok(Caps { version: from, caps, counted })
    }

    fn in_force(&self, now: Timestamp) -> Result<(&LimitVersion, String), LimitError> {
        let newest = self.versions.iter().rev().find_map(|version| {
            let day = day(now, version.utc_offset_hours);
            (version.valid_from <= day).then_some((version, day))
        });
        newest.ok_or_else(|| LimitError::NoVersion(day(now, 0)))
    }
}

impl Cap {
    /// Why a payment is refused, for people: which limit, how high it is, and what is left of it.
    pub fn refusal(&self, left: i64, amount: i64, currency: Currency) -> String {
        let money = |amount| Money::new(amount, currency);
        let per = match self.period {
            Period::Lifetime => "in the account's lifetime",
            Period::Year => "a year",
            Period::Day => "a day",
        };
        format!(
            "the limit of {}, {} {per}, has {} left, and the payment is {}",
            self.rule,
            money(self.cap),
            money(left),
            money(amount)
        )
    }
}

fn counter(account: &str, period: Period, day: &str) -> String {
    match period {
        Period::Lifetime => format!("limit/{account}/lifetime"),
        Period::Year => format!("limit/{account}/{}", day.get(..4).unwrap_or(day)),
        Period::Day => format!("limit/{account}/{day}"),
    }
}

/// The calendar day of a moment, `2026-11-23`, which sorts as text.
fn day(now: Timestamp, utc_offset_hours: i8) -> String {
    let local = now.unix_ms().saturating_add(i64::from(utc_offset_hours) * 3_600_000);
    let text = Timestamp::from_unix_ms(local).to_string();
    text.split('T').next().unwrap_or(&text).to_owned()
}

fn known<T>(map: &BTreeMap<String, T>) -> String {
    map.keys().cloned().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> LimitTable {
        let limit = |cap, period| ClassLimit { cap, period };
        LimitTable {
            title: "Limits".to_owned(),
            versions: vec![LimitVersion {
                valid_from: "2016-07-01".to_owned(),
                source: "a law".to_owned(),
                currency: "CNY".parse().unwrap(),
                utc_offset_hours: 8,
                classes: BTreeMap::from([
                    ("I".to_owned(), limit(100_000, Period::Lifetime)),
                    ("III".to_owned(), limit(20_000_000, Period::Year)),
                ]),
                factors: BTreeMap::from([
                    ("single_factor".to_owned(), Some(100_000)),
                    ("certificate".to_owned(), None),
                ]),
            }],
        }
    }

    fn refusals(class: &str, factors: &str) -> Vec<(String, String)> {
        let (now, cny) = ("2026-11-26T17:00:00Z".parse().unwrap(), "CNY".parse().unwrap());
        let found = table().caps("acct-7", class, factors, cny, now).unwrap();
        let counters = found.caps.iter().map(|cap| &cap.account).chain(&found.counted);
        assert_eq!(counters.collect::<std::collections::BTreeSet<_>>().len(), 3, "each counts every payment");
        found.caps.iter().map(|cap| (cap.account.clone(), cap.refusal(1_200, 3_500, cny))).collect()
    }

    #[test]
    fn a_refusal_names_the_limit_its_height_and_what_is_left() {
        let said = |account: &str, limit: &str| {
            (account.to_owned(), format!("the limit of {limit}, has 12.00 CNY left, and the payment is 35.00 CNY"))
        };
        assert_eq!(
            refusals("III", "single_factor"),
            [
                said("limit/acct-7/2026", "class III, 200000.00 CNY a year"),
                said("limit/acct-7/2026-11-27", "verification single_factor, 1000.00 CNY a day"),
            ]
        );
        let lifetime = said("limit/acct-7/lifetime", "class I, 1000.00 CNY in the account's lifetime");
        assert_eq!(refusals("I", "certificate"), [lifetime]);
    }
}
