//! What comes to UnionPay late, in parts, or in another order than it happened.

use std::sync::Arc;

use paystate::executor::Hooked;
use paystate::machine::{Snapshot, Status};
use serde_json::json;

use super::super::{DAY, World, until};
use super::emulation::{Fault, Trade, UnionPay};
use super::{opens, pays, submit, tell, unionpay};

/// A payment that is to go back in this way, which meets with these faults.
async fn paid(how: &str, faults: &[Fault]) -> (UnionPay, World, Arc<Snapshot>) {
    let (gateway, world) = unionpay(&[]).await;
    let order = submit(&world, json!({ "take_back": how })).await;
    let number = opens(&world, &order).await;
    gateway.books().faults.extend(faults);
    let paid = gateway.pays(&number, "00");
    tells(&gateway, &world, &paid).await;
    (gateway, world, order)
}

/// Sends what UnionPay has to say of a transaction.
async fn tells(gateway: &UnionPay, world: &World, trade: &Trade) {
    let told = tell(world, &gateway.notification(trade)).await.unwrap();
    assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_the_app_whose_answer_is_lost_for_days_is_given_up_and_nobody_can_pay_it() {
    for fault in [Fault::Hang, Fault::Lost] {
        let (gateway, world) = unionpay(&[fault]).await;
        let order = submit(&world, json!({"app": true})).await;
        until("an order", || gateway.books().came.len() == 1).await;
        world.is_cut_off_for(3 * DAY).await;
        let ended = world.ends(&order).await;
        assert_eq!(
            (ended.state.as_str(), ended.status),
            ("declined", Status::Failed),
            "{fault:?} {:?}",
            ended.incident
        );
        // The number `tn` that was lost is nobody's, and there is no other.
        assert!(ended.data.get("tn").is_none());
        let books = gateway.books();
        assert_eq!((books.trades.len(), books.received()), (usize::from(fault == Fault::Hang), 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_nobody_could_ask_about_for_days_counts_once() {
    let (gateway, world) = unionpay(&[]).await;
    let order = submit(&world, json!({})).await;
    let number = opens(&world, &order).await;
    let paid = gateway.pays(&number, "00");
    // No notification comes: it is asked when the time of the page is over, and nobody answers.
    world.is_cut_off_for(3 * DAY).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 1250), "{:?}", ended.incident);
    tells(&gateway, &world, &paid).await;
    let late = world.now(&order).await;
    assert_eq!((late.status, late.money.captured, gateway.books().received()), (Status::Succeeded, 1250, 1250));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_to_be_repeated_goes_back_once_after_an_outage_of_days_or_is_a_persons() {
    let cases = [
        ("void", Fault::Hang, "cancelled", (1250, 0), 2),
        // An undo that never came is of no use on another day, and a refund takes its place.
        ("void", Fault::Lost, "cancelled", (0, 1250), 3),
        ("refund", Fault::Hang, "cancelled", (0, 1250), 2),
        // It never came, and nothing is sent once its time is over.
        ("refund", Fault::Lost, "taking_back", (0, 0), 2),
    ];
    for (how, fault, state, back, requests) in cases {
        let (gateway, world, order) = paid(how, &[fault]).await;
        until("a request", || gateway.books().came.len() == 2).await;
        world.waits_at("unionpay_gateway").await;
        gateway.books().next_day = true;
        world.clock.leap(3 * DAY);
        world.goes_on("unionpay_gateway").await;
        let ended = world.ends(&order).await;
        assert_eq!(ended.state.as_str(), state, "{how} {fault:?} {:?}", ended.incident);
        let at_stake = ended.incident.as_ref().and_then(|incident| incident.at_stake).map(|money| money.amount);
        assert_eq!(at_stake, (state != "cancelled").then_some(1250), "{how} {fault:?}");
        assert_eq!((ended.money.released, ended.money.refunded), back, "{how} {fault:?}");
        let books = gateway.books();
        assert_eq!((books.went_back(), books.came.len()), (back, requests), "{how} {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_halves_go_back_and_each_once() {
    use Fault::{Forged, Hang, Lost, Page, Unclear};
    for faults in [&[][..], &[Hang, Lost], &[Lost, Hang], &[Unclear("03"), Page], &[Forged, Forged]] {
        let (gateway, world, order) = paid("halves", faults).await;
        let ended = world.ends(&order).await;
        assert_eq!(
            (ended.state.as_str(), ended.money.refunded),
            ("cancelled", 1250),
            "{faults:?} {:?}",
            ended.incident
        );
        let halves: Vec<i64> = gateway.books().of_kind("04").iter().map(|half| half.amount).collect();
        assert_eq!((halves, gateway.books().refunded()), (vec![625, 625], 1250), "{faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_of_an_undo_is_heard_and_decides_nothing() {
    // While it is under way, and afterwards.
    let (gateway, world, order) = paid("void", &[Fault::Hang]).await;
    until("an undo", || !gateway.books().of_kind("31").is_empty()).await;
    let mut undo = gateway.books().of_kind("31").remove(0);
    undo.code = "00";
    for _ in 0..2 {
        tells(&gateway, &world, &undo).await;
    }
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.status), ("cancelled", Status::Failed), "{:?}", ended.incident);
    let money = ended.money;
    assert_eq!((money.captured, money.released, money.refunded), (0, 1250, 0));
    undo.id.push('2');
    tells(&gateway, &world, &undo).await;
    let late = world.now(&order).await;
    assert_eq!((late.status, late.money, gateway.books().went_back()), (Status::Failed, ended.money, (1250, 0)));
    // A lie: what was not paid back is not given for it.
    let (gateway, world) = unionpay(&[]).await;
    let order = submit(&world, json!({})).await;
    let paid = pays(&gateway, &world, &order).await;
    world.comes_to(&order, "settled").await;
    tells(&gateway, &world, &Trade { kind: "31".into(), ..paid }).await;
    let late = world.now(&order).await;
    assert_eq!((late.status, late.money.captured, late.money.released), (Status::Succeeded, 1250, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_or_a_refund_that_is_told_of_before_its_payment_ends_as_in_the_right_order() {
    for (how, kind) in [("void", "31"), ("refund", "04")] {
        let mut ends = Vec::new();
        for right in [true, false] {
            let (gateway, world) = unionpay(&[]).await;
            let order = submit(&world, json!({ "take_back": how })).await;
            let number = opens(&world, &order).await;
            let payment = gateway.pays(&number, "00");
            if right {
                tells(&gateway, &world, &payment).await;
            }
            // Otherwise it is found by asking, when the time of the page is over.
            until("a request", || !gateway.books().of_kind(kind).is_empty()).await;
            let mut back = gateway.books().of_kind(kind).remove(0);
            back.code = "00";
            tells(&gateway, &world, &back).await;
            if !right {
                tells(&gateway, &world, &payment).await;
            }
            world.ends(&order).await;
            let ended = world.now(&order).await;
            assert_eq!((ended.state.as_str(), ended.incident.is_none()), ("cancelled", true), "{:?}", ended.incident);
            let books = gateway.books();
            assert_eq!(books.went_back(), if how == "void" { (1250, 0) } else { (0, 1250) });
            ends.push((ended.status, ended.money));
        }
        assert_eq!(ends[0], ends[1], "{how}");
    }
}
