//! E-cash: coins that the issuer has signed. Each is taken once; the same coins for the same contract give the same
//! answer again.

use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, KeyPair, UnparsedPublicKey};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Gateway;
use super::cards::to_merchant;
use super::faults::OperationKind;
use super::forward::{Session, session};
use super::operations::{Ask, Verdict, problem, run};
use super::to_bank::BankSilent;
use crate::sandbox::bank::{ECASH_FLOAT, Instruction, Kind, MERCHANT};
use crate::sandbox::clock;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Coin {
    serial: String,
    /// Minor units.
    value: i64,
    currency: String,
    /// Ed25519 of the issuer over `{serial}|{value}|{currency}`, base64url.
    signature: String,
}

/// What a coin was spent on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spent {
    contract: String,
}

const COINS: &str = "coin";
const CONTRACTS: &str = "contract";
const HOLDERS: &str = "coin-holder";
const COINS_MAX: usize = 64;

impl Coin {
    fn text(&self) -> String {
        format!("{}|{}|{}", self.serial, self.value, self.currency)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Withdrawal {
    account: String,
    currency: String,
    /// The coins' values in minor units.
    values: Vec<i64>,
}

/// `POST /customer/ecash/withdrawals`: the customer buys coins with money from an account.
pub(crate) async fn withdraw(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Withdrawal>) -> Response {
    let total = ask.values.iter().try_fold(0_i64, |sum, value| sum.checked_add(*value)).unwrap_or(0);
    if ask.values.len() > COINS_MAX || total <= 0 || ask.values.iter().any(|value| *value <= 0) {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "values_are_positive");
    }
    let id = clock::fresh_id("withdrawal");
    let common = Ask { reference: id.clone(), order: id.clone(), amount: total, ..Ask::default() };
    let instruction = Instruction {
        from: Some(ask.account.clone()),
        to: Some(ECASH_FLOAT.to_owned()),
        currency: ask.currency.clone(),
        ..to_merchant(&gateway, &common, Kind::Transfer)
    };
    match gateway.bank.instruct(&instruction).await {
        Ok(reply) if reply.status == "applied" => {}
        Ok(reply) => return problem(StatusCode::PAYMENT_REQUIRED, reply.code.as_deref().unwrap_or("refused")),
        Err(error) => return problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
    let coins: Vec<Coin> = ask.values.iter().map(|value| mint(&gateway, *value, &ask.currency)).collect();
    for coin in &coins {
        if let Err(error) = gateway.tables.put(HOLDERS, &coin.serial, &ask.account) {
            return problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
        }
    }
    (StatusCode::CREATED, Json(json!({ "coins": coins, "total": total, "currency": ask.currency }))).into_response()
}

fn mint(gateway: &Gateway, value: i64, currency: &str) -> Coin {
    let serial = clock::fresh_id("coin");
    let mut coin = Coin { serial, value, currency: currency.to_owned(), signature: String::new() };
    coin.signature = URL_SAFE_NO_PAD.encode(gateway.issuer.sign(coin.text().as_bytes()));
    coin
}

/// Looks at the coins of a sealed payment: signed by the issuer, of the right sum and currency, each only once.
pub(crate) fn open(gateway: &Gateway, session: &mut Session, coins: Vec<Coin>) -> Verdict {
    if coins.is_empty() || coins.len() > COINS_MAX {
        return Verdict::declined("no_coins", false);
    }
    let key = UnparsedPublicKey::new(&ED25519, gateway.issuer.public_key().as_ref());
    let genuine = |coin: &Coin| {
        let signature = URL_SAFE_NO_PAD.decode(&coin.signature).unwrap_or_default();
        key.verify(coin.text().as_bytes(), &signature).is_ok()
    };
    if !coins.iter().all(genuine) {
        return Verdict::declined("coin_not_genuine", false);
    }
    let total: i64 = coins.iter().map(|coin| coin.value).sum();
    if total != session.amount || coins.iter().any(|coin| coin.currency != session.currency) {
        return Verdict::declined("coins_of_another_sum", false);
    }
    let mut serials: Vec<&str> = coins.iter().map(|coin| coin.serial.as_str()).collect();
    serials.sort_unstable();
    serials.dedup();
    if serials.len() != coins.len() {
        return Verdict::declined("double_spend", false);
    }
    let count = coins.len();
    session.coins = coins;
    Verdict::approved().with("instrument", "ecash").with("coins", count)
}

/// `POST /ecash/deposits`: hands the coins in. A coin of another contract is a double spend.
pub(crate) async fn deposit(State(gateway): State<Arc<Gateway>>, Json(ask): Json<Ask>) -> Response {
    let (inner, asked) = (Arc::clone(&gateway), ask.clone());
    run(&gateway, OperationKind::Deposit, ask, async move { hand_in(&inner, &asked).await }).await
}

async fn hand_in(gateway: &Gateway, ask: &Ask) -> Result<Verdict, BankSilent> {
    let session = match session(gateway, ask) {
        Ok(session) => session,
        Err(refused) => return Ok(refused),
    };
    let Some(first) = session.coins.first().filter(|_| ask.amount == session.amount) else {
        return Ok(Verdict::declined("coins_of_another_sum", false));
    };
    let contract = contract(&session);
    let mut taken = Vec::new();
    for coin in &session.coins {
        let spent = Spent { contract: contract.clone() };
        match gateway.tables.claim(COINS, &coin.serial, &spent) {
            Ok(None) => taken.push(coin),
            Ok(Some(known)) if known == spent => {}
            other => {
                // The coins that this contract has just claimed are free again: nothing was paid with them.
                for coin in taken {
                    let _freed = gateway.tables.remove(COINS, &coin.serial);
                }
                let code = if other.is_ok() { "double_spend" } else { "try_again_later" };
                return Ok(Verdict::declined(code, other.is_err()));
            }
        }
    }
    let holder: Option<String> = gateway.tables.get(HOLDERS, &first.serial);
    // One contract is paid once, whatever the request is called: the bank sees the reference that came first.
    let reference = match gateway.tables.claim(CONTRACTS, &contract, &ask.reference) {
        Ok(known) => known.unwrap_or_else(|| ask.reference.clone()),
        Err(_) => return Ok(Verdict::declined("try_again_later", true)),
    };
    let instruction = Instruction {
        reference,
        from: Some(ECASH_FLOAT.to_owned()),
        to: Some(ask.payee.clone().unwrap_or_else(|| MERCHANT.to_owned())),
        holder,
        ..to_merchant(gateway, ask, Kind::Purchase)
    };
    let verdict: Verdict = gateway.bank.instruct(&instruction).await?.into();
    Ok(verdict.with("contract", contract))
}

/// What the coins are spent on: this order of this merchant, and nothing else.
fn contract(session: &Session) -> String {
    let text = format!("{}|{}|{}|{}", session.order, session.merchant_order, session.amount, session.currency);
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}
