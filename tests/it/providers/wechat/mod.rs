//! WeChat Pay v3, as its documentation describes it: every request signed with the merchant's key, every answer and
//! notification with its own, notifications encrypted, numbers of ours that stand for one order each.

mod emulation;
mod later;

use std::sync::Arc;

use axum::Router;
use paystate::executor::{HookError, Hooked};
use paystate::machine::{Snapshot, Status};
use paystate::types::Secret;
use serde_json::{Value, json};

use self::emulation::{API_KEY, Fault, MERCHANT, WeChat, handle};
use super::{World, keys, serve};
use crate::connector_signing::Rsa;

const FORMER_API_KEY: &str = "FEDCBA9876543210fedcba9876543210";

async fn wechat(faults: &[Fault]) -> (WeChat, World) {
    let wechat = WeChat::new();
    let world = world(&wechat, public(&wechat.theirs), Secret::new(API_KEY)).await;
    wechat.books().faults = faults.iter().rev().copied().collect();
    (wechat, world)
}

fn public(key: &Rsa) -> Secret {
    Secret::new(key.public.as_str())
}

/// What believes these keys of WeChat Pay's.
async fn world(wechat: &WeChat, theirs: Secret, api_key: Secret) -> World {
    let url = serve(Router::new().fallback(handle).with_state(wechat.clone())).await;
    let env = [
        ("WECHATPAY_URL", url.as_str()),
        ("WECHATPAY_MCHID", MERCHANT),
        ("WECHATPAY_APPID", "wxd678efh567hg6787"),
        ("WECHATPAY_SERIAL", "SERIAL1"),
        ("WECHATPAY_NOTIFY_URL", "https://shop.example/hooks/wechatpay"),
    ];
    let secrets = [
        ("wechatpay_private_key", Secret::new(wechat.ours.private.as_str())),
        ("wechatpay_public_key", theirs),
        ("wechatpay_api_v3_key", api_key),
    ];
    World::with("wechatpay", "wechat_native", &env, &secrets).await
}

/// Opens an order, and gives its number at WeChat Pay.
async fn opened(wechat: &WeChat, world: &World, more: Value) -> (Arc<Snapshot>, String) {
    let mut input = json!({"amount": 100, "currency": "CNY"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let order = world.submit("wechat_native", input).await;
    let shown = world.comes_to(&order, "shown").await;
    let number = wechat.books().trades.keys().next().unwrap().clone();
    assert_eq!(shown.data["code_url"], format!("weixin://wxpay/bizpayurl?pr={number}"));
    (order, number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_shown_and_the_payment_is_believed_when_it_is_asked_about() {
    for faults in [&[][..], &[Fault::Hang], &[Fault::Forged, Fault::Busy]] {
        let (wechat, world) = wechat(faults).await;
        let (order, number) = opened(&wechat, &world, json!({})).await;
        let paid = wechat.pays(&number);
        for _ in 0..2 {
            let told = wechat.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &paid).await.unwrap();
            assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
            assert_eq!(told.acknowledge.body.as_deref(), Some(r#"{"code":"SUCCESS","message":""}"#));
        }
        let ended = world.ends(&order).await;
        assert_eq!(
            (ended.state.as_str(), ended.status),
            ("settled", Status::Succeeded),
            "{faults:?} {:?}",
            ended.incident
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_inside_wechat_pays_on_the_page_there() {
    for faults in [&[][..], &[Fault::Hang], &[Fault::Forged, Fault::Busy]] {
        let (wechat, world) = wechat(faults).await;
        let input = json!({"amount": 100, "currency": "CNY", "openid": "o-4711"});
        let order = world.submit("wechat_native", input).await;
        let shown = world.comes_to(&order, "shown").await;
        let number = wechat.books().trades.keys().next().unwrap().clone();
        assert_eq!(shown.data["prepay_id"], format!("wx{number}"), "{faults:?}");
        let paid = wechat.pays(&number);
        wechat.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &paid).await.unwrap();
        let ended = world.ends(&order).await;
        assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 100), "{faults:?} {:?}", ended.incident);
    }
    let (_, world) = wechat(&[]).await;
    let input = json!({"amount": 100, "currency": "CNY", "openid": "o-nobody"});
    let order = world.submit("wechat_native", input).await;
    assert_eq!(world.ends(&order).await.state.as_str(), "declined");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_lies_changes_nothing() {
    let (wechat, world) = wechat(&[]).await;
    let (order, number) = opened(&wechat, &world, json!({})).await;
    // Authentic, and yet the trade is not paid: it is asked about, found open, and closed.
    let lie =
        json!({"out_trade_no": number, "trade_state": "SUCCESS", "transaction_id": "1", "amount": {"total": 100}});
    wechat.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &lie).await.unwrap();
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.status), ("declined", Status::Failed));
    assert_eq!(wechat.books().trades[&number]["trade_state"], "CLOSED");
    // And one that is not WeChat Pay's is not heard at all.
    let other = wechat.signing_with(&keys()[3]);
    let refused = other.tell(&world, "evt_2", "TRANSACTION.SUCCESS", &lie).await;
    assert!(matches!(refused, Err(HookError::Unverified(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_code_is_closed_and_a_payment_in_the_last_moment_is_taken() {
    let (wechat, world) = wechat(&[]).await;
    let (order, number) = opened(&wechat, &world, json!({})).await;
    wechat.pays(&number);
    // No notification comes: the time of the code is over, and the order is asked about.
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "settled", "{:?}", ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_asked_for_once_and_asked_about_until_it_is_done() {
    for faults in [&[][..], &[Fault::Hang], &[Fault::Lost], &[Fault::Forged], &[Fault::Busy]] {
        let (wechat, world) = wechat(&[]).await;
        let (order, number) = opened(&wechat, &world, json!({"take_back": "whole"})).await;
        wechat.books().faults = faults.to_vec();
        let paid = wechat.pays(&number);
        wechat.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &paid).await.unwrap();
        let ended = world.ends(&order).await;
        assert_eq!(ended.state.as_str(), "cancelled", "{faults:?}: {:?}", ended.incident);
        let refunds = wechat.books().refunds.clone();
        let amounts: Vec<&Value> = refunds.values().map(|refund| &refund["amount"]["refund"]).collect();
        assert_eq!(amounts, [&json!(100)], "{faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_told_before_the_code_was_answered_counts() {
    let (wechat, world) = wechat(&[Fault::Hang]).await;
    let order = world.submit("wechat_native", json!({"amount": 100, "currency": "CNY"})).await;
    let number = wechat.number().await;
    let paid = wechat.pays(&number);
    let told = wechat.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &paid).await.unwrap();
    assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 100), "{:?}", ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_wechat_changes_its_key_both_are_believed_and_afterwards_one() {
    let [_, _, former, stranger] = keys();
    for (both, by_former, believed) in [(true, true, true), (true, false, true), (false, true, false)] {
        let wechat = WeChat::new();
        let present = public(&wechat.theirs);
        let keys = if both { present.beside(vec![public(&former)]) } else { present };
        let world = world(&wechat, keys, Secret::new(API_KEY)).await;
        let (order, number) = opened(&wechat, &world, json!({})).await;
        let paid = wechat.pays(&number);
        let refused = wechat.signing_with(&stranger).tell(&world, "evt_1", "TRANSACTION.SUCCESS", &paid).await;
        assert!(matches!(refused, Err(HookError::Unverified(_))), "{refused:?}");
        let signer = if by_former { wechat.signing_with(&former) } else { wechat.clone() };
        match signer.tell(&world, "evt_2", "TRANSACTION.SUCCESS", &paid).await {
            Ok(told) => assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]) && believed, "{told:?}"),
            Err(refused) => assert!(matches!(refused, HookError::Unverified(_)) && !believed, "{refused:?}"),
        }
        assert_eq!(world.now(&order).await.state.as_str() == "shown", !believed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_key_of_api_v3_is_replaced_both_open_what_is_told_and_afterwards_one() {
    let both = Secret::new(API_KEY).beside(vec![Secret::new(FORMER_API_KEY)]);
    let new = Secret::new(API_KEY);
    for (keys, key, opens) in [(&both, FORMER_API_KEY, true), (&both, API_KEY, true), (&new, FORMER_API_KEY, false)] {
        let wechat = WeChat::new();
        let world = world(&wechat, public(&wechat.theirs), keys.clone()).await;
        let (order, number) = opened(&wechat, &world, json!({})).await;
        let paid = wechat.pays(&number);
        let sealed = WeChat { api_key: key, ..wechat.clone() };
        match sealed.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &paid).await {
            Ok(told) => assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]) && opens, "{told:?}"),
            Err(refused) => assert!(matches!(refused, HookError::Unreadable(_)) && !opens, "{refused:?}"),
        }
        assert_eq!(world.now(&order).await.state.as_str() == "shown", !opens);
    }
}
