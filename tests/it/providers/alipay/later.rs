//! What comes to Alipay late, in parts, or in another order than it happened.

use std::sync::Arc;

use paystate::executor::Hooked;
use paystate::machine::{Snapshot, Status};
use serde_json::json;

use super::super::{DAY, World, until};
use super::emulation::{Alipay, Fault};
use super::{alipay, shown};

const CLOSED: (&str, &str) = ("trade_status", "TRADE_CLOSED");

/// Sends what Alipay has to say of an order.
async fn tells(alipay: &Alipay, world: &World, id: &str, number: &str, more: &[(&str, &str)]) {
    let told = alipay.tell(world, id, number, more).await.unwrap();
    assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{id}: {told:?}");
}

/// A payment of which something is to go back, and whose refund meets with this.
async fn paid(take_back: &str, faults: &[Fault]) -> (Alipay, World, Arc<Snapshot>) {
    let (alipay, world) = alipay(&[]).await;
    let (order, number) = shown(&alipay, &world, json!({ "take_back": take_back })).await;
    alipay.books().faults = faults.iter().rev().copied().collect();
    alipay.scans(&number, true);
    tells(&alipay, &world, "n1", &number, &[]).await;
    (alipay, world, order)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_is_lost_for_weeks_is_paid_once_or_not_at_all() {
    for buyer in [json!({}), json!({"buyer": "2088102146225135"})] {
        for (paid, state, captured) in [(true, "settled", 1200), (false, "declined", 0)] {
            let (alipay, world) = alipay(&[Fault::Hang]).await;
            let mut input = json!({"amount": 1200, "currency": "CNY"});
            input.as_object_mut().unwrap().extend(buyer.as_object().unwrap().clone());
            let order = world.submit("alipay_code", input).await;
            let number = alipay.number().await;
            alipay.scans(&number, paid);
            if !paid {
                alipay.closes(&number);
            }
            world.is_cut_off_for(20 * DAY).await;
            let ended = world.ends(&order).await;
            assert_eq!((ended.state.as_str(), ended.money.captured), (state, captured), "{buyer} {:?}", ended.incident);
            let books = alipay.books();
            assert_eq!((books.codes.len(), books.trades.len()), (1, 1), "{buyer}");
        }
    }
    // It never came: the code is shown now, under the same number, and paid.
    let (alipay, world) = alipay(&[Fault::Lost]).await;
    let order = world.submit("alipay_code", json!({"amount": 1200, "currency": "CNY"})).await;
    until("a request", || alipay.books().faults.is_empty()).await;
    world.is_cut_off_for(20 * DAY).await;
    world.comes_to(&order, "shown").await;
    let number = alipay.number().await;
    alipay.scans(&number, true);
    tells(&alipay, &world, "n1", &number, &[]).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 1200), "{:?}", ended.incident);
    assert_eq!(alipay.books().codes.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_nobody_could_ask_about_for_weeks_counts_once() {
    let (alipay, world) = alipay(&[]).await;
    let (order, number) = shown(&alipay, &world, json!({})).await;
    alipay.scans(&number, true);
    // No notification comes: it is asked when the time of the code is over, and nobody answers.
    world.is_cut_off_for(20 * DAY).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 1200), "{:?}", ended.incident);
    tells(&alipay, &world, "n1", &number, &[]).await;
    let late = world.now(&order).await;
    assert_eq!((late.status, late.money.captured), (Status::Succeeded, 1200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_answer_is_lost_for_weeks_goes_back_once() {
    for fault in [Fault::Hang, Fault::Lost] {
        let (alipay, world, order) = paid("whole", &[fault]).await;
        until("a refund", || alipay.books().faults.is_empty()).await;
        world.is_cut_off_for(20 * DAY).await;
        let ended = world.ends(&order).await;
        assert_eq!((ended.state.as_str(), ended.money.refunded), ("cancelled", 1200), "{fault:?} {:?}", ended.incident);
        assert_eq!(alipay.refunded(), ["12.00"], "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_halves_go_back_and_each_once() {
    use Fault::{Forged, Hang, Lost, SystemError};
    for faults in [&[][..], &[Hang, Lost], &[Lost, Hang], &[SystemError, Forged]] {
        let (alipay, world, order) = paid("halves", faults).await;
        let ended = world.ends(&order).await;
        assert_eq!(
            (ended.state.as_str(), ended.money.refunded),
            ("cancelled", 1200),
            "{faults:?} {:?}",
            ended.incident
        );
        assert_eq!(alipay.refunded(), ["6.00", "6.00"], "{faults:?}");
        // Each is told of as the order once more, with all that has gone back by then.
        let number = alipay.number().await;
        tells(&alipay, &world, "n2", &number, &[("refund_fee", "6.00"), ("trade_status", "TRADE_SUCCESS")]).await;
        tells(&alipay, &world, "n3", &number, &[("refund_fee", "12.00"), CLOSED]).await;
        let late = world.now(&order).await;
        assert_eq!((late.state.as_str(), late.status, late.money.refunded), ("cancelled", Status::Failed, 1200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_alipay_closes_is_a_decline_and_one_that_it_only_says_to_be_closed_is_not() {
    let (alipay, world) = alipay(&[]).await;
    let (order, number) = shown(&alipay, &world, json!({})).await;
    alipay.scans(&number, false);
    alipay.closes(&number);
    for id in ["n1", "n1", "n2"] {
        tells(&alipay, &world, id, &number, &[CLOSED]).await;
    }
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.status, ended.money.captured), ("declined", Status::Failed, 0));
    // What is told is nothing but a reason to ask.
    let (alipay, world) = self::alipay(&[]).await;
    let (order, number) = shown(&alipay, &world, json!({})).await;
    alipay.scans(&number, true);
    tells(&alipay, &world, "n1", &number, &[CLOSED]).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 1200), "{:?}", ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_told_of_before_its_payment_ends_as_in_the_right_order() {
    let refund = [("refund_fee", "12.00"), CLOSED];
    let mut ends = Vec::new();
    for right in [true, false] {
        let (alipay, world) = alipay(&[]).await;
        let (order, number) = shown(&alipay, &world, json!({"take_back": "whole"})).await;
        alipay.scans(&number, true);
        if right {
            tells(&alipay, &world, "n1", &number, &[]).await;
        }
        // Otherwise it is found by asking, when the time of the code is over.
        until("a refund", || !alipay.books().refunds.is_empty()).await;
        tells(&alipay, &world, "n2", &number, &refund).await;
        if !right {
            tells(&alipay, &world, "n1", &number, &[]).await;
        }
        world.ends(&order).await;
        let ended = world.now(&order).await;
        assert_eq!((ended.state.as_str(), ended.incident.is_none()), ("cancelled", true), "{:?}", ended.incident);
        assert_eq!(alipay.refunded(), ["12.00"]);
        ends.push((ended.state.clone(), ended.status, ended.money));
    }
    assert_eq!(ends[0], ends[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_gave_back_before_the_payment_was_known_is_a_persons() {
    let (alipay, world) = alipay(&[]).await;
    let (order, number) = shown(&alipay, &world, json!({})).await;
    alipay.scans(&number, true);
    alipay.books().trades.get_mut(&number).unwrap()["trade_status"] = json!("TRADE_CLOSED");
    tells(&alipay, &world, "n2", &number, &[("refund_fee", "12.00"), CLOSED]).await;
    tells(&alipay, &world, "n1", &number, &[]).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.status, ended.money.captured, ended.money.refunded), (Status::Incident, 0, 0));
    assert_eq!(ended.incident.as_ref().unwrap().at_stake.map(|money| money.amount), Some(1200));
}
