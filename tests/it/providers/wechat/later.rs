//! What comes to WeChat Pay late, in parts, or in another order than it happened.

use std::sync::Arc;

use paystate::executor::Hooked;
use paystate::machine::{Snapshot, Status};
use serde_json::{Value, json};

use super::super::{DAY, World, until};
use super::emulation::{Fault, WeChat};
use super::{opened, wechat};

/// Sends what WeChat Pay has to say of something.
async fn tells(wechat: &WeChat, world: &World, id: &str, kind: &str, resource: &Value) {
    let told = wechat.tell(world, id, kind, resource).await.unwrap();
    assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{kind}: {told:?}");
}

/// A payment of which something is to go back, and whose refund meets with this.
async fn paid(take_back: &str, faults: &[Fault]) -> (WeChat, World, Arc<Snapshot>) {
    let (wechat, world) = wechat(&[]).await;
    let (order, number) = opened(&wechat, &world, json!({ "take_back": take_back })).await;
    wechat.books().faults = faults.iter().rev().copied().collect();
    let paid = wechat.pays(&number);
    tells(&wechat, &world, "evt_paid", "TRANSACTION.SUCCESS", &paid).await;
    (wechat, world, order)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_is_lost_for_weeks_is_paid_once_or_not_at_all() {
    // Paid meanwhile: the number is that of an order which is paid, and stays so.
    let (wechat, world) = wechat(&[Fault::Hang]).await;
    let order = world.submit("wechat_native", json!({"amount": 100, "currency": "CNY"})).await;
    wechat.pays(&wechat.number().await);
    world.is_cut_off_for(20 * DAY).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 100), "{:?}", ended.incident);
    assert_eq!(wechat.books().trades.len(), 1);
    // Not paid: its time is over, and the number opens no other order.
    let (wechat, world) = self::wechat(&[Fault::Hang]).await;
    let order = world.submit("wechat_native", json!({"amount": 100, "currency": "CNY"})).await;
    let number = wechat.number().await;
    wechat.books().trades.get_mut(&number).unwrap()["trade_state"] = json!("CLOSED");
    world.is_cut_off_for(20 * DAY).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("declined", 0), "{:?}", ended.incident);
    assert_eq!(wechat.books().trades.len(), 1);
    // Never opened: it is opened now, under the same number, and paid.
    let (wechat, world) = self::wechat(&[Fault::Lost]).await;
    let order = world.submit("wechat_native", json!({"amount": 100, "currency": "CNY"})).await;
    until("a request", || wechat.books().faults.is_empty()).await;
    world.is_cut_off_for(20 * DAY).await;
    world.comes_to(&order, "shown").await;
    let paid = wechat.pays(&wechat.number().await);
    tells(&wechat, &world, "evt_1", "TRANSACTION.SUCCESS", &paid).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 100), "{:?}", ended.incident);
    assert_eq!(wechat.books().trades.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_nobody_could_ask_about_for_weeks_counts_once() {
    let (wechat, world) = wechat(&[]).await;
    let (order, number) = opened(&wechat, &world, json!({})).await;
    let paid = wechat.pays(&number);
    // No notification comes: it is asked when the time of the code is over, and nobody answers.
    world.is_cut_off_for(20 * DAY).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 100), "{:?}", ended.incident);
    tells(&wechat, &world, "evt_1", "TRANSACTION.SUCCESS", &paid).await;
    let late = world.now(&order).await;
    assert_eq!((late.status, late.money.captured), (Status::Succeeded, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_answer_is_lost_for_weeks_goes_back_once() {
    for fault in [Fault::Hang, Fault::Lost] {
        let (wechat, world, order) = paid("whole", &[fault]).await;
        until("a refund", || wechat.books().faults.is_empty()).await;
        world.is_cut_off_for(20 * DAY).await;
        let ended = world.ends(&order).await;
        assert_eq!((ended.state.as_str(), ended.money.refunded), ("cancelled", 100), "{fault:?} {:?}", ended.incident);
        assert_eq!(wechat.refunded(), [100], "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_halves_go_back_and_each_once() {
    use Fault::{Busy, Forged, Hang, Lost};
    for faults in [&[][..], &[Hang, Lost], &[Lost, Hang], &[Busy, Forged, Forged]] {
        let (wechat, world, order) = paid("halves", faults).await;
        let ended = world.ends(&order).await;
        assert_eq!((ended.state.as_str(), ended.money.refunded), ("cancelled", 100), "{faults:?} {:?}", ended.incident);
        assert_eq!(wechat.refunded(), [50, 50], "{faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_refund_is_heard_and_what_it_came_to_is_asked() {
    for (end, state, refunded) in
        [("SUCCESS", "cancelled", 100), ("ABNORMAL", "taking_back", 0), ("CLOSED", "taking_back", 0)]
    {
        let (wechat, world, order) = paid("whole", &[Fault::Hang]).await;
        wechat.books().refunds_end = Some(end);
        until("a refund", || !wechat.books().refunds.is_empty()).await;
        let (kind, told) = (format!("REFUND.{end}"), wechat.refund_told(end));
        for _ in 0..2 {
            tells(&wechat, &world, "evt_refund", &kind, &told).await;
        }
        let ended = world.ends(&order).await;
        assert_eq!((ended.state.as_str(), ended.money.refunded), (state, refunded), "{end} {:?}", ended.incident);
        assert_eq!(ended.status == Status::Incident, refunded == 0, "{end}");
        let reason = ended.incident.as_ref().map(|incident| incident.reason.clone()).unwrap_or_default();
        assert_eq!(reason.contains(&format!("(declined: {end})")), refunded == 0, "{reason}");
        // Once more, under another id.
        tells(&wechat, &world, "evt_again", &kind, &told).await;
        let late = world.now(&order).await;
        assert_eq!((late.state.as_str(), late.money.refunded, late.status), (state, refunded, ended.status), "{end}");
        assert_eq!(wechat.books().refunds.len(), 1, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_told_of_before_its_payment_ends_as_in_the_right_order() {
    let mut ends = Vec::new();
    for right in [true, false] {
        let (wechat, world) = wechat(&[]).await;
        let (order, number) = opened(&wechat, &world, json!({"take_back": "whole"})).await;
        let paid = wechat.pays(&number);
        if right {
            tells(&wechat, &world, "evt_paid", "TRANSACTION.SUCCESS", &paid).await;
        }
        // Otherwise it is found by asking, when the time of the code is over.
        until("a refund", || !wechat.books().refunds.is_empty()).await;
        tells(&wechat, &world, "evt_refund", "REFUND.SUCCESS", &wechat.refund_told("SUCCESS")).await;
        if !right {
            tells(&wechat, &world, "evt_paid", "TRANSACTION.SUCCESS", &paid).await;
        }
        world.ends(&order).await;
        let ended = world.now(&order).await;
        assert_eq!((ended.state.as_str(), ended.incident.is_none()), ("cancelled", true), "{:?}", ended.incident);
        assert_eq!(wechat.refunded(), [100]);
        ends.push((ended.state.clone(), ended.status, ended.money));
    }
    assert_eq!(ends[0], ends[1]);
}
