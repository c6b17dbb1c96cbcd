//! Who has an account at the sandbox's bank, and which cards draw on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountKind {
    Customer,
    /// A payment account at a payment institution: e-wallet or third party.
    Payment,
    Merchant,
    /// Of the bank itself, such as the suspense account: may go below zero.
    Bank,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) kind: AccountKind,
    /// Online banking has been activated.
    pub(crate) activated: bool,
    pub(crate) frozen: bool,
    /// Of a payment account: I, II or III.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
    /// How strongly its holder identifies: `certificate`, `two_factor` or `single_factor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) factors: Option<String>,
    /// The payment password of a payment account.
    #[serde(default, skip_serializing)]
    pub(crate) password: Option<String>,
}

/// How a test card behaves; numbers that people know from other sandboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Behaviour {
    Approve,
    Decline,
    InsufficientFunds,
    Lost,
    Stolen,
    Expired,
    /// Always asks for a challenge.
    Challenge,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Card {
    pub(crate) account: &'static str,
    pub(crate) behaviour: Behaviour,
    pub(crate) brand: &'static str,
    pub(crate) debit: bool,
}

/// Where the money under hold stands.
pub(crate) const HOLDS: &str = "holds";
/// The float of the e-cash issuer.
pub(crate) const ECASH_FLOAT: &str = "ecash-float";
/// The reserve of the payment institution, where top-ups arrive.
pub(crate) const INSTITUTION: &str = "institution";
pub(crate) const MERCHANT: &str = "merchant-1";

/// What a payment account can be.
pub(super) const CLASSES: [&str; 3] = ["I", "II", "III"];
pub(super) const FACTORS: [&str; 3] = ["certificate", "two_factor", "single_factor"];

/// The password of every payment account that has one.
pub(crate) const PASSWORD: &str = "111101";

const CURRENCIES: [&str; 8] = ["CNY", "USD", "EUR", "GBP", "JPY", "HKD", "KWD", "SGD"];
/// Enough for a benchmark of millions of orders.
const FORTUNE: i64 = 1_000_000_000_000_000;

pub(crate) fn opening_accounts() -> BTreeMap<String, Account> {
    let bank = ["world", HOLDS, "acquirer", "fees", "suspense", ECASH_FLOAT, INSTITUTION];
    let mut accounts: Vec<Account> = bank.map(|id| account(id, AccountKind::Bank)).into();
    accounts.push(account(MERCHANT, AccountKind::Merchant));
    accounts.push(Account { activated: true, ..account("customer-1", AccountKind::Customer) });
    accounts.push(account("customer-2", AccountKind::Customer));
    accounts.push(Account { activated: true, ..account("customer-poor", AccountKind::Customer) });
    for name in ["wallet", "thirdparty"] {
        for (number, class, factors) in [(1, "I", "single_factor"), (2, "II", "two_factor"), (3, "III", "certificate")]
        {
            accounts.push(Account {
                class: Some(class.to_owned()),
                factors: Some(factors.to_owned()),
                password: Some(PASSWORD.to_owned()),
                ..account(&format!("{name}-{number}"), AccountKind::Payment)
            });
        }
    }
    accounts.into_iter().map(|account| (account.id.clone(), account)).collect()
}

/// What everybody starts with: account, currency, minor units.
pub(crate) fn opening_postings() -> Vec<(String, &'static str, i64)> {
    let rich = ["customer-1", "customer-2", "wallet-2", "wallet-3", "thirdparty-2", "thirdparty-3"];
    let mut postings = Vec::new();
    for currency in CURRENCIES {
        postings.extend(rich.map(|id| (id.to_owned(), currency, FORTUNE)));
        postings.extend(["wallet-1", "thirdparty-1"].map(|id| (id.to_owned(), currency, 500_000)));
        postings.push(("customer-poor".to_owned(), currency, 100));
    }
    postings
}

/// The card of this number. A number that passes the check digit but is not listed has no account.
pub(crate) fn card(number: &str) -> Option<Card> {
    let (account, behaviour, brand, debit) = match number {
        "4242424242424242" => ("customer-1", Behaviour::Approve, "visa", false),
        "5555555555554444" => ("customer-1", Behaviour::Approve, "mastercard", false),
        "378282246310005" => ("customer-1", Behaviour::Approve, "amex", false),
        "4000056655665556" => ("customer-1", Behaviour::Approve, "visa", true),
        "6226090000000048" => ("customer-1", Behaviour::Approve, "unionpay", true),
        "6200000000000005" => ("customer-2", Behaviour::Approve, "unionpay", true),
        "4000000000000002" => ("customer-1", Behaviour::Decline, "visa", false),
        "4000000000009995" => ("customer-poor", Behaviour::InsufficientFunds, "visa", false),
        "4000000000009987" => ("customer-1", Behaviour::Lost, "visa", false),
        "4000000000009979" => ("customer-1", Behaviour::Stolen, "visa", false),
        "4000000000000069" => ("customer-1", Behaviour::Expired, "visa", false),
        "4000002760003184" => ("customer-1", Behaviour::Challenge, "visa", false),
        _ => return None,
    };
    Some(Card { account, behaviour, brand, debit })
}

fn account(id: &str, kind: AccountKind) -> Account {
    Account { id: id.to_owned(), kind, activated: false, frozen: false, class: None, factors: None, password: None }
}
