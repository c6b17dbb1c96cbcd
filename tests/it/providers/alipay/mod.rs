//! Alipay, as its documentation describes it: forms signed over their sorted fields, answers signed over the text of one of
//! their members, notifications signed over all but the signature, and numbers of ours that stand for one order each.

mod emulation;
mod later;

use std::sync::Arc;

use axum::Router;
use paystate::executor::{HookError, Hooked};
use paystate::machine::Snapshot;
use paystate::types::Secret;
use serde_json::{Value, json};

use self::emulation::{APP, Alipay, Fault, handle};
use super::{World, keys, serve};
use crate::connector_signing::Rsa;

async fn alipay(faults: &[Fault]) -> (Alipay, World) {
    let alipay = Alipay::new();
    let world = world(&alipay, public(&alipay.theirs)).await;
    alipay.books().faults = faults.iter().rev().copied().collect();
    (alipay, world)
}

fn public(key: &Rsa) -> Secret {
    Secret::new(key.public.as_str())
}

/// What believes these keys of Alipay's.
async fn world(alipay: &Alipay, theirs: Secret) -> World {
    let url = serve(Router::new().fallback(handle).with_state(alipay.clone())).await;
    let notify = "https://shop.example/hooks/alipay";
    let env = [("ALIPAY_URL", url.as_str()), ("ALIPAY_APP_ID", APP), ("ALIPAY_NOTIFY_URL", notify)];
    let secrets = [("alipay_private_key", Secret::new(alipay.ours.private.as_str())), ("alipay_public_key", theirs)];
    World::with("alipay", "alipay_code", &env, &secrets).await
}

/// Shows a code, and gives the order's number at Alipay.
async fn shown(alipay: &Alipay, world: &World, more: Value) -> (Arc<Snapshot>, String) {
    let mut input = json!({"amount": 1200, "currency": "CNY"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let order = world.submit("alipay_code", input).await;
    world.comes_to(&order, "shown").await;
    let number = alipay.books().codes.keys().next().unwrap().clone();
    (order, number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_paid_whatever_becomes_of_the_first_answer() {
    for faults in [&[][..], &[Fault::Hang], &[Fault::Lost], &[Fault::Forged], &[Fault::SystemError, Fault::Forged]] {
        let (alipay, world) = alipay(faults).await;
        let (order, number) = shown(&alipay, &world, json!({})).await;
        assert_eq!(alipay.books().codes[&number]["total_amount"], "12.00");
        alipay.scans(&number, true);
        for _ in 0..2 {
            let told = alipay.tell(&world, "n1", &number, &[]).await.unwrap();
            assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
            assert_eq!(told.acknowledge.body.as_deref(), Some("success"));
        }
        let ended = world.ends(&order).await;
        assert_eq!(ended.state.as_str(), "settled", "{faults:?} {:?}", ended.incident);
        assert_eq!((ended.money.captured, alipay.books().trades.len()), (1200, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_told_before_the_code_was_answered_counts() {
    let (alipay, world) = alipay(&[Fault::Hang]).await;
    let order = world.submit("alipay_code", json!({"amount": 1200, "currency": "CNY"})).await;
    let number = alipay.number().await;
    alipay.scans(&number, true);
    alipay.tell(&world, "n1", &number, &[]).await.unwrap();
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 1200), "{:?}", ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_a_buyer_is_opened_or_declined() {
    let (alipay, world) = alipay(&[Fault::Hang]).await;
    let (order, number) = shown(&alipay, &world, json!({"buyer": "2088102146225135"})).await;
    alipay.scans(&number, true);
    alipay.tell(&world, "n1", &number, &[]).await.unwrap();
    assert_eq!(world.ends(&order).await.state.as_str(), "settled");
    let unknown = world.submit("alipay_code", json!({"amount": 1200, "currency": "CNY", "buyer": "nobody"})).await;
    assert_eq!(world.ends(&unknown).await.state.as_str(), "declined");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_nobody_pays_is_closed_and_a_payment_in_the_last_moment_is_taken() {
    for scanned in [false, true] {
        let (alipay, world) = alipay(&[]).await;
        let (order, number) = shown(&alipay, &world, json!({})).await;
        if scanned {
            alipay.scans(&number, false);
        }
        let ended = world.ends(&order).await;
        assert_eq!((ended.state.as_str(), ended.money.captured), ("declined", 0));
        let trades = alipay.books().trades.clone();
        assert!(
            trades.values().all(|trade| trade["trade_status"] == "TRADE_CLOSED")
                && trades.len() == usize::from(scanned)
        );
    }
    let (alipay, world) = alipay(&[]).await;
    let (order, number) = shown(&alipay, &world, json!({})).await;
    alipay.scans(&number, true);
    assert_eq!(world.ends(&order).await.state.as_str(), "settled", "no notification came: it is asked about");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_counts_for_nothing_but_a_question() {
    let (alipay, world) = alipay(&[]).await;
    let (order, number) = shown(&alipay, &world, json!({})).await;
    // Somebody else's key, another application, and a lie.
    let other = alipay.signing_with(&keys()[3]);
    let forged = other.tell(&world, "n1", &number, &[]).await;
    assert!(matches!(forged, Err(HookError::Unverified(_))), "{forged:?}");
    let theirs = alipay.tell(&world, "n2", &number, &[("app_id", "2000000000000000")]).await.unwrap();
    assert!(theirs.told.is_empty(), "{theirs:?}");
    alipay.scans(&number, false);
    alipay.tell(&world, "n3", &number, &[]).await.unwrap();
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("declined", 0));
    assert_eq!(alipay.books().trades[&number]["trade_status"], "TRADE_CLOSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_amount_than_was_asked_for_is_no_payment() {
    let (alipay, world) = alipay(&[]).await;
    let (order, number) = shown(&alipay, &world, json!({})).await;
    alipay.scans(&number, true);
    alipay.books().trades.get_mut(&number).unwrap()["total_amount"] = json!("0.12");
    alipay.tell(&world, "n1", &number, &[("total_amount", "0.12")]).await.unwrap();
    let ended = world.ends(&order).await;
    assert!(ended.incident.is_some() && ended.money.captured == 0, "{} {:?}", ended.state, ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_back_once_whatever_becomes_of_the_answer() {
    for faults in [&[][..], &[Fault::Hang], &[Fault::Lost], &[Fault::Forged], &[Fault::SystemError]] {
        let (alipay, world) = alipay(&[]).await;
        let (order, number) = shown(&alipay, &world, json!({"take_back": "whole"})).await;
        alipay.books().faults = faults.to_vec();
        alipay.scans(&number, true);
        alipay.tell(&world, "n1", &number, &[]).await.unwrap();
        let ended = world.ends(&order).await;
        assert_eq!(ended.state.as_str(), "cancelled", "{faults:?}: {:?}", ended.incident);
        assert_eq!((alipay.refunded(), ended.money.refunded), (vec!["12.00".to_owned()], 1200), "{faults:?}");
        // A refund is told as the order once more.
        let more = [("refund_fee", "12.00"), ("trade_status", "TRADE_CLOSED")];
        alipay.tell(&world, "n2", &number, &more).await.unwrap();
        assert_eq!(world.ends(&order).await.money.refunded, 1200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_alipay_changes_its_key_both_are_believed_and_afterwards_one() {
    let [_, _, former, stranger] = keys();
    for (both, by_former, believed) in [(true, true, true), (true, false, true), (false, true, false)] {
        let alipay = Alipay::new();
        let present = public(&alipay.theirs);
        let world = world(&alipay, if both { present.beside(vec![public(&former)]) } else { present }).await;
        let (order, number) = shown(&alipay, &world, json!({})).await;
        alipay.scans(&number, true);
        let refused = alipay.signing_with(&stranger).tell(&world, "n1", &number, &[]).await;
        assert!(matches!(refused, Err(HookError::Unverified(_))), "{refused:?}");
        let signer = if by_former { alipay.signing_with(&former) } else { alipay.clone() };
        match signer.tell(&world, "n2", &number, &[]).await {
            Ok(told) => assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]) && believed, "{told:?}"),
            Err(refused) => assert!(matches!(refused, HookError::Unverified(_)) && !believed, "{refused:?}"),
        }
        assert_eq!(world.now(&order).await.state.as_str() == "shown", !believed);
    }
}
