//! What comes to Stripe late, in parts, or in another order than it happened.

use std::sync::Arc;

use paystate::machine::{Snapshot, Status};
use serde_json::{Value, json};

use super::super::{DAY, World};
use super::emulation::{Fault, HOOK, Stripe};
use super::{CAPTURABLE, card, stripe, tell};

/// An order whose last request is not answered, and that is cut off until Stripe has forgotten the key.
async fn forgotten(then: &str, faults: &[Option<Fault>]) -> (Stripe, World, Arc<Snapshot>) {
    let (stripe, world) = stripe().await;
    stripe.books().faults.extend(faults);
    let mut input = card("pm_card_visa");
    input["then"] = json!(then);
    let order = world.submit("stripe_card", input).await;
    stripe.requests(faults.len()).await;
    world.waits_at("stripe").await;
    stripe.books().keys.clear();
    world.clock.leap(DAY + DAY / 24);
    world.goes_on("stripe").await;
    (stripe, world, order)
}

/// Sends what Stripe has to say of an intent, one after the other.
async fn tells(world: &World, kinds: &[&str], intent: &Value) {
    for kind in kinds {
        let told = tell(world, HOOK, &format!("evt_{kind}"), &format!("payment_intent.{kind}"), intent).await;
        assert_eq!(told.unwrap().len(), 1, "{kind}");
    }
}

/// A customer who has been challenged.
async fn challenged() -> (Stripe, World, Arc<Snapshot>) {
    let (stripe, world) = stripe().await;
    let order = world.submit("stripe_card", card("pm_card_authenticationRequired")).await;
    world.comes_to(&order, "challenged").await;
    (stripe, world, order)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_and_a_refund_whose_keys_are_forgotten_are_asked_about_and_not_done_again() {
    let (stripe, world, order) = forgotten("keep", &[None, Some(Fault::Hang)]).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 1250), "{:?}", ended.incident);
    assert_eq!((stripe.captured(), stripe.books().requests), (1250, 2), "nothing was sent again");

    let (stripe, world, order) = forgotten("refund", &[None, None, Some(Fault::Hang)]).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.refunded), ("cancelled", 1250), "{:?}", ended.incident);
    assert_eq!((stripe.refunded(), stripe.books().requests), (1250, 3), "nothing was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_stripe_never_had_is_a_persons_when_its_key_is_forgotten() {
    let (stripe, world, order) = forgotten("refund", &[None, None, Some(Fault::Lost)]).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.status, ended.money.refunded), ("undoing", Status::Incident, 0));
    let incident = ended.incident.as_ref().unwrap();
    assert!(incident.reason.contains("not found at the provider"), "{}", incident.reason);
    assert_eq!(incident.at_stake.map(|money| money.amount), Some(1250));
    assert_eq!((stripe.refunded(), stripe.books().requests), (0, 3), "nothing was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_halves_go_back_and_each_once() {
    use Fault::{Hang, InUse, Lost};
    let cases: [&[Option<Fault>]; 5] =
        [&[], &[Some(Hang)], &[None, Some(Hang)], &[None, Some(Lost)], &[Some(Lost), Some(InUse), Some(Hang)]];
    for faults in cases {
        let (stripe, world) = stripe().await;
        // The authorization and the capture are answered.
        stripe.books().faults.extend([None, None].iter().chain(faults));
        let mut input = card("pm_card_visa");
        input["then"] = json!("halves");
        let order = world.submit("stripe_card", input).await;
        let ended = world.ends(&order).await;
        assert_eq!(
            (ended.state.as_str(), ended.money.refunded),
            ("cancelled", 1250),
            "{faults:?} {:?}",
            ended.incident
        );
        assert_eq!((stripe.refunded(), stripe.books().refunds.len()), (1250, 2), "{faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_that_fails_is_a_decline_and_one_that_succeeds_afterwards_is_a_persons() {
    let failed = json!({"status": "requires_payment_method",
        "last_payment_error": {"type": "card_error", "code": "payment_intent_authentication_failure"}});
    let (stripe, world, order) = challenged().await;
    let intent = stripe.changes("pi_1", failed.clone());
    tells(&world, &["payment_failed"], &intent).await;
    let ended = world.ends(&order).await;
    let reason = json!("payment_intent_authentication_failure");
    assert_eq!((ended.state.as_str(), ended.status, &ended.data["reason"]), ("declined", Status::Failed, &reason));
    assert_eq!(ended.money.held, 0);
    // The customer tries another card all the same, and now something is held that this order does not pay with.
    let intent = stripe.changes("pi_1", json!({"status": "requires_capture"}));
    tells(&world, &["amount_capturable_updated"], &intent).await;
    let late = world.now(&order).await;
    assert_eq!((late.state.as_str(), late.status, late.money.held), ("declined", Status::Incident, 0));
    let said = &late.incident.as_ref().unwrap().reason;
    assert!(said.contains("payment.authorized came after the order had ended in declined"), "{said}");
    // Told of the other way round, it is the state at Stripe that counts: the payment is made, the failure is over.
    let (stripe, world, order) = challenged().await;
    let intent = stripe.changes("pi_1", failed);
    let held = stripe.changes("pi_1", json!({"status": "requires_capture"}));
    tells(&world, &["amount_capturable_updated"], &held).await;
    tells(&world, &["payment_failed"], &intent).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured, stripe.captured()), ("settled", 1250, 1250));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_told_to_have_succeeded_changes_nothing_for_who_knows_and_calls_a_person_for_who_does_not() {
    let (stripe, world) = stripe().await;
    // Told while the answer of the capture is not there yet, and once more afterwards.
    stripe.books().faults.extend([None, Some(Fault::Hang)]);
    let order = world.submit("stripe_card", card("pm_card_visa")).await;
    stripe.requests(2).await;
    let intent = stripe.intents().remove(0);
    tells(&world, &["succeeded"], &intent).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.status), ("settled", Status::Succeeded), "{:?}", ended.incident);
    tell(&world, HOOK, "evt_again", "payment_intent.succeeded", &intent).await.unwrap();
    let now = world.now(&order).await;
    assert_eq!((now.status, now.money.captured, stripe.captured()), (Status::Succeeded, 1250, 1250));
    // Somebody has captured in Stripe's dashboard what this order was declined for.
    let (stripe, world, order) = challenged().await;
    let intent = stripe.changes("pi_1", json!({"status": "requires_payment_method", "last_payment_error": {}}));
    tells(&world, &["payment_failed"], &intent).await;
    assert_eq!(world.ends(&order).await.data["reason"], "failed", "Stripe does not always say why");
    let intent = stripe.changes("pi_1", json!({"status": "succeeded", "amount_received": 1250}));
    tells(&world, &["succeeded"], &intent).await;
    assert_eq!((world.now(&order).await.status, world.now(&order).await.money.captured), (Status::Incident, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_intent_is_a_decline_whichever_of_its_notifications_comes_first() {
    let (capturable, canceled) = ("amount_capturable_updated", "canceled");
    for kinds in [&[canceled][..], &[capturable, canceled], &[canceled, capturable]] {
        let (stripe, world, order) = challenged().await;
        let intent = stripe.changes("pi_1", json!({"status": "canceled", "cancellation_reason": "automatic"}));
        tells(&world, kinds, &intent).await;
        let ended = world.ends(&order).await;
        assert_eq!(
            (ended.state.as_str(), ended.status),
            ("declined", Status::Failed),
            "{kinds:?} {:?}",
            ended.incident
        );
        assert_eq!((ended.money.held, ended.money.captured, stripe.captured()), (0, 0, 0), "{kinds:?}");
    }
    // What was paid cannot be cancelled: whoever says so has to be asked.
    let (stripe, world, order) = challenged().await;
    let intent = stripe.changes("pi_1", json!({"status": "requires_capture"}));
    assert_eq!(tell(&world, HOOK, "evt_1", CAPTURABLE, &intent).await.unwrap().len(), 1);
    world.comes_to(&order, "settled").await;
    tells(&world, &[canceled], &intent).await;
    let late = world.now(&order).await;
    assert_eq!((late.status, late.money.captured, stripe.captured()), (Status::Incident, 1250, 1250));
}
