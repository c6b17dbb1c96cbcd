//! Stripe, as its documentation describes it: PaymentIntents with manual capture, keys that repeat stored answers, a
//! search that finds late, refunds, signed notifications.

mod emulation;
mod later;

use aws_lc_rs::hmac;
use paystate::executor::{Clock, HookError, Hooked, SystemClock};
use paystate::machine::Status;
use paystate::types::Secret;
use serde_json::{Value, json};

use self::emulation::{Fault, HOOK, KEY, Stripe, router};
use super::{DAY, World, serve};

const CAPTURABLE: &str = "payment_intent.amount_capturable_updated";

async fn stripe() -> (Stripe, World) {
    with_secret(Secret::new(HOOK)).await
}

async fn with_secret(hook: Secret) -> (Stripe, World) {
    let stripe = Stripe::default();
    let url = serve(router(&stripe)).await;
    let secrets = [("stripe_key", Secret::new(KEY)), ("stripe_hook", hook)];
    let world = World::with("stripe", "stripe_card", &[("STRIPE_URL", &url)], &secrets).await;
    (stripe, world)
}

fn card(payment_method: &str) -> Value {
    json!({"amount": 1250, "currency": "EUR", "payment_method": payment_method})
}

/// Sends a notification about an intent, signed with a secret.
async fn tell(world: &World, secret: &str, id: &str, kind: &str, intent: &Value) -> Result<Vec<Hooked>, HookError> {
    let body = json!({"id": id, "object": "event", "type": kind, "data": {"object": intent}}).to_string();
    let at = SystemClock.now().unix_ms() / 1_000;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), format!("{at}.{body}").as_bytes());
    let signature = format!("t={at},v1={}", hex::encode(tag));
    world.hook(&[("stripe-signature", &signature)], &body).await.map(|received| received.told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_charged_once_whatever_happens_to_the_answers() {
    let cases: [&'static [Fault]; 12] = [
        &[],
        &[Fault::Hang],
        &[Fault::ServerError],
        &[Fault::Busy, Fault::Busy],
        &[Fault::Lost],
        &[Fault::Lost, Fault::Hang],
        // Of the capture.
        &[Fault::Hang, Fault::Hang],
        &[Fault::Busy, Fault::Hang, Fault::ServerError],
        // Another request with the key is under way: what becomes of it is asked about.
        &[Fault::InUse],
        &[Fault::InUseInVain],
        &[Fault::InUse, Fault::InUse],
        &[Fault::Hang, Fault::InUseInVain],
    ];
    let all = cases.map(|faults| tokio::spawn(charged_once(faults)));
    for one in all {
        one.await.unwrap();
    }
}

async fn charged_once(faults: &[Fault]) {
    let (stripe, world) = stripe().await;
    stripe.fails(faults);
    let order = world.submit("stripe_card", card("pm_card_visa")).await;
    let ended = world.ends(&order).await;
    let told = format!("{faults:?}: {:?} {:?}", ended.incident, stripe.intents());
    assert_eq!((ended.state.as_str(), ended.status), ("settled", Status::Succeeded), "{told}");
    assert_eq!(stripe.captured(), 1250, "{told}");
    let held = stripe.intents().iter().filter(|intent| intent["status"] == "requires_capture").count();
    assert_eq!(held, 0, "{told}: nothing is left held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_is_a_decline_and_nothing_is_held() {
    let (stripe, world) = stripe().await;
    let order = world.submit("stripe_card", card("pm_card_visa_chargeDeclinedInsufficientFunds")).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), &ended.data["reason"]), ("declined", &json!("insufficient_funds")));
    assert!(stripe.intents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_handed_on_and_what_stripe_says_counts() {
    let (stripe, world) = stripe().await;
    let order = world.submit("stripe_card", card("pm_card_authenticationRequired")).await;
    let challenged = world.comes_to(&order, "challenged").await;
    assert_eq!(challenged.data["challenge"], "https://hooks.stripe.example/3ds");
    let intent = stripe.changes("pi_1", json!({"status": "requires_capture"}));
    assert!(matches!(
        tell(&world, "whsec_of_another", "evt_1", CAPTURABLE, &intent).await,
        Err(HookError::Unverified(_))
    ));
    for _ in 0..2 {
        let told = tell(&world, HOOK, "evt_1", CAPTURABLE, &intent).await.unwrap();
        assert!(matches!(told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
    }
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), stripe.captured()), ("settled", 1250));
    // A dispute is told by Stripe's own reference, and comes late.
    let dispute = json!({"id": "dp_1", "payment_intent": "pi_1", "amount": 1250});
    tell(&world, HOOK, "evt_2", "charge.dispute.created", &dispute).await.unwrap();
    let late = world.executor.order(order.id).await.unwrap().unwrap();
    assert_eq!(late.status, Status::Incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_back_once_and_counts_when_the_bank_has_it() {
    use Fault::{Busy, Hang, InUse, InUseInVain, Lost, ServerError};
    let refunded = "cancelled";
    let cases: [(&[Fault], &[&str], _); 10] = [
        (&[], &[], refunded),
        (&[Hang], &[], refunded),
        (&[Lost, Hang], &[], refunded),
        (&[ServerError], &[], refunded),
        (&[InUse], &[], refunded),
        (&[InUseInVain], &["pending"], refunded),
        (&[Busy], &["pending"], refunded),
        (&[], &["pending", "pending", "pending"], refunded),
        (&[Hang], &["pending", "pending"], refunded),
        // The bank does not take it: somebody has to find another way.
        (&[], &["pending", "pending", "failed"], "undoing"),
    ];
    for (faults, banks, state) in cases {
        let (stripe, world) = stripe().await;
        stripe.books().banks.extend(banks);
        // The authorization and the capture are answered.
        let mut input = card("pm_card_visa");
        input["then"] = json!("refund");
        stripe.books().faults.extend([None, None].into_iter().chain(faults.iter().copied().map(Some)));
        let order = world.submit("stripe_card", input).await;
        let ended = world.ends(&order).await;
        let told = format!("{faults:?} {banks:?}: {:?}", ended.incident);
        let back = if state == refunded { 1250 } else { 0 };
        assert_eq!((ended.state.as_str(), ended.money.captured, ended.money.refunded), (state, 1250, back), "{told}");
        assert_eq!((stripe.refunded(), stripe.books().refunds.len()), (back, 1), "{told}");
        assert_eq!(ended.status == Status::Incident, state != refunded, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_that_nobody_answers_is_closed_before_it_is_given_up() {
    for faults in [&[][..], &[None, Some(Fault::InUse)], &[None, Some(Fault::InUseInVain)]] {
        let (stripe, world) = stripe().await;
        stripe.books().faults.extend(faults);
        let order = world.submit("stripe_card", card("pm_card_authenticationRequired")).await;
        let ended = world.ends(&order).await;
        assert_eq!(ended.state.as_str(), "declined", "{faults:?} {:?} {}", ended.incident, ended.outcome);
        assert_eq!((&stripe.intents()[0]["status"], stripe.captured()), (&json!("canceled"), 0), "{faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stripe_has_forgotten_is_searched_for_and_not_sent_again() {
    let (stripe, world) = stripe().await;
    stripe.fails(&[Fault::Hang]);
    let order = world.submit("stripe_card", card("pm_card_visa")).await;
    stripe.requests(1).await;
    world.waits_at("stripe").await;
    // A day later Stripe has forgotten the key: the same request would be another payment.
    stripe.books().keys.clear();
    world.clock.leap(DAY + DAY / 24);
    world.goes_on("stripe").await;
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "settled", "{:?}", ended.incident);
    assert_eq!((stripe.intents().len(), stripe.captured()), (1, 1250), "it was searched for");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_secret_of_the_endpoint_is_replaced_both_are_believed_and_afterwards_one() {
    let former = "whsec_of_last_year";
    let (both, new) = (Secret::new(HOOK).beside(vec![Secret::new(former)]), Secret::new(HOOK));
    for (secrets, secret, believed) in [(&both, former, true), (&both, HOOK, true), (&new, former, false)] {
        let (stripe, world) = with_secret(secrets.clone()).await;
        let order = world.submit("stripe_card", card("pm_card_authenticationRequired")).await;
        world.comes_to(&order, "challenged").await;
        let intent = stripe.changes("pi_1", json!({"status": "requires_capture"}));
        assert!(tell(&world, "whsec_of_nobody", "evt_1", CAPTURABLE, &intent).await.is_err());
        match tell(&world, secret, "evt_2", CAPTURABLE, &intent).await {
            Ok(told) => assert!(matches!(told.as_slice(), [Hooked::Applied { .. }]) && believed, "{told:?}"),
            Err(refused) => assert!(matches!(refused, HookError::Unverified(_)) && !believed, "{refused:?}"),
        }
        assert_eq!(world.now(&order).await.state.as_str() == "challenged", !believed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_comes_before_the_answer_waits_or_comes_again() {
    let (stripe, world) = stripe().await;
    stripe.fails(&[Fault::Hang]);
    let order = world.submit("stripe_card", card("pm_card_authenticationRequired")).await;
    stripe.requests(1).await;
    let intent = stripe.changes("pi_1", json!({"status": "requires_capture"}));
    // Nobody knows Stripe's reference yet: it waits for that, or is to be sent again.
    while let Err(early) = tell(&world, HOOK, "evt_1", CAPTURABLE, &intent).await {
        assert!(matches!(early, HookError::TooEarly), "{early:?}");
    }
    assert_eq!((world.ends(&order).await.state.as_str(), stripe.captured()), ("settled", 1250));
}
