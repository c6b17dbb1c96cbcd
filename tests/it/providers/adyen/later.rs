//! What comes to Adyen late, in parts, or in another order than it happened.

use std::sync::Arc;

use paystate::machine::{Snapshot, Status};
use serde_json::Value;

use super::super::{DAY, World};
use super::emulation::{Adyen, Fault, HMAC, signed, tell};
use super::{adyen, ends, pay, waits_for_word};

/// An order whose capture is not answered, and that is cut off.
async fn capture_lost(fault: Fault) -> (Adyen, World, Arc<Snapshot>) {
    let (adyen, world) = adyen(&[Fault::None, fault]).await;
    let order = pay(&world, "good", "keep").await;
    adyen.requests(2).await;
    world.waits_at("adyen").await;
    (adyen, world, order)
}

/// The same with the refund.
async fn refund_lost(fault: Fault) -> (Adyen, World, Arc<Snapshot>) {
    let (adyen, world, order) = captured("refund", &[Fault::None, Fault::None, fault]).await;
    adyen.requests(3).await;
    world.waits_at("adyen").await;
    (adyen, world, order)
}

/// Adyen can be reached again when it has forgotten the keys.
async fn forgotten(adyen: &Adyen, world: &World) {
    adyen.books().keys.clear();
    world.clock.leap(8 * DAY);
    world.goes_on("adyen").await;
}

/// An order whose capture Adyen has told of.
async fn captured(then: &str, faults: &[Fault]) -> (Adyen, World, Arc<Snapshot>) {
    let (adyen, world) = adyen(faults).await;
    let order = pay(&world, "good", then).await;
    let capture = waits_for_word(&adyen, &world, &order, "capturing", "CAPTURE").await;
    tell(&world, &[signed(HMAC, capture)]).await.unwrap();
    (adyen, world, order)
}

/// Tells of one thing after the other, as Adyen has them.
async fn tells(world: &World, items: &[&Value]) {
    for item in items {
        tell(world, &[signed(HMAC, (*item).clone())]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_whose_key_may_be_forgotten_is_not_sent_again() {
    // The webhook tells of it.
    let (adyen, world, order) = capture_lost(Fault::Hang).await;
    adyen.tells(&world).await;
    forgotten(&adyen, &world).await;
    let ended = ends(&adyen, &world, &order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 1200), "{:?}", ended.incident);
    assert_eq!((adyen.money(), adyen.books().requests), ((0, 1200, 0), 2), "nothing was sent again");
    // No webhook comes: what may have been captured is refunded, and a person learns what nobody knows.
    let cases = [
        // It was captured, and went back whole: there is no hold any more that could be given back.
        (Fault::Hang, "undoing", "adyen.cancel could not undo", (0, 1200, 1200), 4),
        // It is held, and nothing could be refunded.
        (Fault::Lost, "capturing", "adyen.refund could not reverse", (1200, 0, 0), 3),
    ];
    for (fault, state, reason, money, requests) in cases {
        let (adyen, world, order) = capture_lost(fault).await;
        adyen.books().outbox.retain(|item| item["eventCode"] != "CAPTURE");
        forgotten(&adyen, &world).await;
        let ended = ends(&adyen, &world, &order).await;
        assert_eq!((ended.state.as_str(), ended.status), (state, Status::Incident), "{fault:?}");
        assert_eq!((ended.money.held, ended.money.captured), (1200, 0), "{fault:?}");
        let incident = ended.incident.as_ref().unwrap();
        assert_eq!(incident.at_stake.map(|money| money.amount), Some(1200), "{fault:?}");
        assert!(incident.reason.contains(reason), "{}", incident.reason);
        assert_eq!((adyen.money(), adyen.books().requests), (money, requests), "{fault:?}: it was not captured again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_key_may_be_forgotten_is_not_sent_again() {
    // The webhook tells of it.
    let (adyen, world, order) = refund_lost(Fault::Hang).await;
    adyen.tells(&world).await;
    forgotten(&adyen, &world).await;
    let ended = ends(&adyen, &world, &order).await;
    assert_eq!((ended.state.as_str(), ended.money.refunded), ("cancelled", 1200), "{:?}", ended.incident);
    assert_eq!((adyen.money(), adyen.books().requests), ((0, 1200, 1200), 3), "nothing was sent again");
    // No webhook comes: a person decides, and the webhook does, when it comes after all.
    for (fault, refunded) in [(Fault::Hang, 1200), (Fault::Lost, 0)] {
        let (adyen, world, order) = refund_lost(fault).await;
        let late = adyen.has_to_tell("REFUND");
        forgotten(&adyen, &world).await;
        let ended = ends(&adyen, &world, &order).await;
        assert_eq!((ended.state.as_str(), ended.status), ("undoing", Status::Incident), "{fault:?}");
        assert_eq!((ended.money.captured, ended.money.refunded), (1200, 0), "{fault:?}");
        let at_stake = ended.incident.as_ref().unwrap().at_stake.map(|money| money.amount);
        assert_eq!(at_stake, Some(1200), "{fault:?} {:?}", ended.incident);
        assert_eq!(
            (adyen.money(), adyen.books().requests),
            ((0, 1200, refunded), 3),
            "{fault:?}: nothing was sent again"
        );
        if let Some(late) = late {
            tells(&world, &[&late]).await;
            let told = world.comes_to(&order, "cancelled").await;
            assert_eq!((told.money.refunded, told.incident.is_none()), (1200, true));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_told_to_have_failed_before_it_is_told_to_be_done_is_none() {
    let (adyen, world) = adyen(&[]).await;
    let order = pay(&world, "good", "keep").await;
    let done = waits_for_word(&adyen, &world, &order, "capturing", "CAPTURE").await;
    let failed = adyen.takes_back(&done, "CAPTURE_FAILED");
    tells(&world, &[&failed, &done]).await;
    let ended = ends(&adyen, &world, &order).await;
    // Nothing of the hold is left that could be given back: a person looks at it, and nothing counts as paid.
    assert_eq!((ended.state.as_str(), ended.status, ended.money.captured), ("undoing", Status::Incident, 0));
    let incident = ended.incident.as_ref().unwrap();
    assert_eq!(incident.at_stake.map(|money| money.amount), Some(1200));
    assert!(incident.reason.contains("adyen.cancel could not undo"), "{}", incident.reason);
    assert_eq!(adyen.money(), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_told_to_have_failed_before_it_is_told_to_be_done_is_none() {
    for event in ["REFUND_FAILED", "REFUNDED_REVERSED"] {
        let (adyen, world, order) = captured("refund", &[]).await;
        let done = waits_for_word(&adyen, &world, &order, "undoing", "REFUND").await;
        let failed = adyen.takes_back(&done, event);
        tells(&world, &[&failed, &done]).await;
        let ended = ends(&adyen, &world, &order).await;
        assert_eq!((ended.state.as_str(), ended.status), ("undoing", Status::Incident), "{event}");
        assert_eq!((ended.money.captured, ended.money.refunded), (1200, 0), "{event}");
        assert_eq!(adyen.money(), (0, 1200, 0), "{event}");
        let reason = &ended.incident.as_ref().unwrap().reason;
        assert!(reason.contains(&format!("adyen.refund could not undo (declined: {event})")), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_a_bank_sends_back_is_the_merchants_again_and_once() {
    for events in [&["REFUNDED_REVERSED"][..], &["REFUND_FAILED", "REFUNDED_REVERSED"]] {
        let (adyen, world, order) = captured("refund", &[]).await;
        let refund = waits_for_word(&adyen, &world, &order, "undoing", "REFUND").await;
        tells(&world, &[&refund]).await;
        assert_eq!(world.comes_to(&order, "cancelled").await.money.refunded, 1200);
        let mut back = adyen.takes_back(&refund, events[0]);
        for event in events {
            back["eventCode"] = (*event).into();
            tells(&world, &[&back, &back]).await;
        }
        let returned = world.comes_to(&order, "refund_returned").await;
        assert_eq!((returned.money.captured, returned.money.refunded), (1200, 0), "{events:?}");
        // The order has failed and its customer has not got the money: somebody has to find another way.
        assert_eq!((adyen.money(), returned.status), ((0, 1200, 0), Status::Incident), "{events:?}");
        let reason = &returned.incident.as_ref().unwrap().reason;
        assert!(reason.contains("while 0.00 EUR are held and 12.00 EUR have been taken"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_halves_go_back_and_each_once_whichever_is_told_of_first() {
    use Fault::{Busy, Hang, Lost, None};
    let cases: [&[Fault]; 4] = [&[], &[None, None, Hang], &[None, None, Lost, Hang], &[None, None, Busy, Lost]];
    for faults in cases {
        let (adyen, world, order) = captured("halves", faults).await;
        let first = waits_for_word(&adyen, &world, &order, "halving", "REFUND").await;
        let second = waits_for_word(&adyen, &world, &order, "halving", "REFUND").await;
        tells(&world, &[&second, &second]).await;
        let half = world.now(&order).await;
        assert_eq!((half.state.as_str(), half.money.captured), ("halving", 1200), "{faults:?}");
        tells(&world, &[&first, &second]).await;
        let ended = ends(&adyen, &world, &order).await;
        assert_eq!(
            (ended.state.as_str(), ended.money.refunded),
            ("cancelled", 1200),
            "{faults:?} {:?}",
            ended.incident
        );
        assert_eq!(adyen.money(), (0, 1200, 1200), "{faults:?}");
        assert_ne!(first["merchantReference"], second["merchantReference"], "{faults:?}");
    }
}
