//! The sealed payment is opened here and nowhere else. What comes out is a session: an id that stands for it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ecash::Coin;
use super::echeque::SignedCheque;
use super::faults::OperationKind;
use super::operations::{Ask, Verdict, run};
use super::to_bank::BankSilent;
use super::{Gateway, ecash, echeque};
use crate::sandbox::bank::Behaviour;
use crate::sandbox::clock;
use crate::sandbox::jwe::order_digest;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardAsk {
    reference: String,
    order: String,
    merchant_order: String,
    amount: i64,
    currency: String,
    /// The workflow: a payment sealed for one method cannot be spent by another.
    method: String,
    /// The compact JWE.
    payment: String,
}

/// What the customer's client seals.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Instrument {
    Card {
        number: String,
        expiry: String,
        #[serde(default)]
        cvc: Option<String>,
        #[serde(default)]
        holder: Option<String>,
    },
    OnlineBanking {
        account: String,
    },
    Wallet {
        account: String,
        #[serde(default)]
        password: Option<String>,
    },
    Ecash {
        coins: Vec<Coin>,
    },
    Echeque {
        cheque: SignedCheque,
    },
}

/// A payment that was opened, without anything that must not be kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) order: String,
    pub(crate) merchant_order: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) account: String,
    pub(crate) behaviour: Option<Behaviour>,
    /// The right payment password came with the payment.
    pub(crate) password: bool,
    pub(crate) coins: Vec<Coin>,
    pub(crate) cheque: Option<SignedCheque>,
}

const SESSIONS: &str = "session";
/// Which order a sealed payment belongs to: the first that it came with.
const SEALS: &str = "seal";

/// `POST /v1/forward`
pub(crate) async fn forward(State(gateway): State<Arc<Gateway>>, Json(ask): Json<ForwardAsk>) -> Response {
    let common = Ask {
        reference: ask.reference.clone(),
        order: ask.order.clone(),
        amount: ask.amount,
        currency: ask.currency.clone(),
        original: Some(order_digest(&ask.payment, ask.amount, &ask.currency, &ask.method)),
        ..Ask::default()
    };
    let inner = Arc::clone(&gateway);
    run(&gateway, OperationKind::Forward, common, async move { open(&inner, &ask).await }).await
}

async fn open(gateway: &Gateway, ask: &ForwardAsk) -> Result<Verdict, BankSilent> {
    let Ok(opened) = gateway.opener.decrypt(&ask.payment) else {
        return Ok(Verdict::declined("payment_cannot_be_opened", false));
    };
    if opened.header.order_digest != order_digest(&ask.merchant_order, ask.amount, &ask.currency, &ask.method) {
        return Ok(Verdict::declined("payment_of_another_order", false));
    }
    let Ok(instrument) = serde_json::from_slice::<Instrument>(&opened.plaintext) else {
        return Ok(Verdict::declined("payment_not_understood", false));
    };
    match gateway.tables.claim(SEALS, &opened.id, &ask.order) {
        Ok(Some(order)) if order != ask.order => return Ok(Verdict::declined("payment_already_used", false)),
        Ok(_) => {}
        Err(_) => return Ok(Verdict::declined("try_again_later", true)),
    }
    let mut session = Session {
        order: ask.order.clone(),
        merchant_order: ask.merchant_order.clone(),
        amount: ask.amount,
        currency: ask.currency.clone(),
        ..Session::default()
    };
    let verdict = match instrument {
        Instrument::Card { number, expiry, cvc, holder } => {
            let _not_kept = (cvc, holder);
            card(gateway, &mut session, &number, &expiry).await?
        }
        Instrument::OnlineBanking { account } => known_account(gateway, &mut session, &account, None).await?,
        Instrument::Wallet { account, password } => {
            known_account(gateway, &mut session, &account, password.as_deref()).await?
        }
        Instrument::Ecash { coins } => ecash::open(gateway, &mut session, coins),
        Instrument::Echeque { cheque } => echeque::open(gateway, &mut session, cheque),
    };
    if verdict.code.is_some() {
        return Ok(verdict);
    }
    let id = clock::fresh_id("ses");
    let kept = gateway
        .tables
        .put(SESSIONS, &id, &session)
        .and_then(|()| gateway.tables.put("alias", &session.order, &session.merchant_order));
    match kept {
        Ok(()) => Ok(verdict.with("session", id)),
        Err(_) => Ok(Verdict::declined("try_again_later", true)),
    }
}

async fn card(gateway: &Gateway, session: &mut Session, number: &str, expiry: &str) -> Result<Verdict, BankSilent> {
    if !luhn(number) {
        return Ok(Verdict::declined("invalid_card_number", false));
    }
    if !expiry_is_ahead(expiry, gateway) {
        return Ok(Verdict::declined("expired_card", false));
    }
    let Some(facts) = gateway.bank.card(number).await? else {
        return Ok(Verdict::declined("no_such_card", false));
    };
    session.account = facts.account;
    session.behaviour = Some(facts.behaviour);
    let last4 = number.get(number.len().saturating_sub(4)..).unwrap_or_default();
    Ok(Verdict::approved()
        .with("instrument", "card")
        .with("brand", facts.brand)
        .with("last4", last4)
        .with("debit", facts.debit))
}

async fn known_account(
    gateway: &Gateway,
    session: &mut Session,
    account: &str,
    password: Option<&str>,
) -> Result<Verdict, BankSilent> {
    let Some(facts) = gateway.bank.account(account).await? else {
        return Ok(Verdict::declined("no_such_account", false));
    };
    if facts["frozen"] == true {
        return Ok(Verdict::declined("account_frozen", false));
    }
    account.clone_into(&mut session.account);
    if let Some(shown) = password {
        if facts["password"].as_str() != Some(shown) {
            return Ok(Verdict::declined("wrong_password", false));
        }
        session.password = true;
    }
    let class = facts.get("class").cloned().unwrap_or(Value::Null);
    let factors = facts.get("factors").cloned().unwrap_or(Value::Null);
    Ok(Verdict::approved()
        .with("instrument", "account")
        .with("account", account)
        .with("class", class)
        .with("factors", factors))
}

/// The session that a request names.
pub(crate) fn find(gateway: &Gateway, ask: &Ask) -> Result<Session, Verdict> {
    let id = ask.session.as_deref().unwrap_or_default();
    gateway.tables.get(SESSIONS, id).ok_or_else(|| Verdict::declined("no_such_session", false))
}

/// The session of a request, if it is for the same order and no more money than the customer agreed to.
pub(crate) fn session(gateway: &Gateway, ask: &Ask) -> Result<Session, Verdict> {
    let session = find(gateway, ask)?;
    if session.order != ask.order || session.currency != ask.currency || ask.amount > session.amount {
        return Err(Verdict::declined("session_of_another_order", false));
    }
    Ok(session)
}

fn luhn(number: &str) -> bool {
    let digits: Option<Vec<u32>> = number.chars().map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| (12..=19).contains(&digits.len())) else { return false };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => *digit,
            _ if *digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// `MM/YY` or `MM/YYYY`, valid to the end of its month.
fn expiry_is_ahead(expiry: &str, gateway: &Gateway) -> bool {
    let Some((month, year)) = expiry.split_once('/') else { return false };
    let (Ok(month), Ok(year)) = (month.trim().parse::<u32>(), year.trim().parse::<u32>()) else { return false };
    let year = if year < 100 { year + 2000 } else { year };
    let today = gateway.clock.now().to_string();
    let this_month = today.get(..7).unwrap_or_default();
    (1..=12).contains(&month) && format!("{year:04}-{month:02}").as_str() >= this_month
}

#[cfg(test)]
mod tests {
    use super::luhn;

    #[test]
    fn the_check_digit_is_checked() {
        assert!(luhn("4242424242424242") && luhn("6226090000000048") && luhn("378282246310005"));
        assert!(!luhn("4242424242424241") && !luhn("4242") && !luhn("4242x24242424242"));
    }
}
