//! Adyen, as its documentation describes it: a key is remembered with its answer, modifications are only received, and what
//! became of them is told by notifications whose items are each signed.

mod emulation;
mod later;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use paystate::executor::{HookError, Hooked};
use paystate::machine::{Snapshot, Status};
use paystate::types::Secret;
use serde_json::{Value, json};

use self::emulation::{API_KEY, Adyen, Fault, HMAC, MERCHANT, handle, signed, tell, told};
use super::{DAY, World, serve};

const FORMER: &str = "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF";

async fn adyen(faults: &[Fault]) -> (Adyen, World) {
    with_key(faults, Secret::new(HMAC)).await
}

async fn with_key(faults: &[Fault], hmac: Secret) -> (Adyen, World) {
    let adyen = Adyen::default();
    adyen.fails(faults);
    let url = serve(Router::new().fallback(handle).with_state(adyen.clone())).await;
    let env = [("ADYEN_URL", url.as_str()), ("ADYEN_MERCHANT", MERCHANT)];
    let secrets = [("adyen_api_key", Secret::new(API_KEY)), ("adyen_hmac", hmac)];
    let world = World::with("adyen", "adyen_card", &env, &secrets).await;
    (adyen, world)
}

async fn pay(world: &World, card: &str, then: &str) -> Arc<Snapshot> {
    let input = json!({"amount": 1200, "currency": "EUR", "card": card, "then": then});
    world.submit("adyen_card", input).await
}

/// Adyen tells what becomes of everything, until the order has ended or needs a person.
async fn ends(adyen: &Adyen, world: &World, order: &Snapshot) -> Arc<Snapshot> {
    for _ in 0..2_000 {
        adyen.tells(world).await;
        let seen = world.now(order).await;
        if matches!(seen.status, Status::Succeeded | Status::Failed | Status::Incident) {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not end: {:?}", world.now(order).await)
}

/// A modification that Adyen has received, and told of to nobody.
async fn waits_for_word(adyen: &Adyen, world: &World, order: &Snapshot, state: &str, event: &str) -> Value {
    world.comes_to(order, state).await;
    for _ in 0..1_000 {
        if let Some(item) = adyen.has_to_tell(event) {
            return item;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("Adyen has no {event} to tell of");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_charged_once_whatever_becomes_of_the_answers() {
    use Fault::{Busy, Gateway, Hang, Lost, None, OtherAmount, UnderWay};
    let cases: [&'static [Fault]; 11] = [
        &[],
        &[Hang],
        &[Lost],
        &[Gateway],
        &[OtherAmount],
        &[Hang, UnderWay, UnderWay],
        &[Busy, Hang, Hang],
        // Of the capture.
        &[None, Hang],
        &[None, Lost, Lost],
        &[None, OtherAmount],
        &[None, Gateway, UnderWay, Busy],
    ];
    let all = cases.map(|faults| {
        tokio::spawn(async move {
            let (adyen, world) = adyen(faults).await;
            let order = pay(&world, "good", "keep").await;
            // Nothing is told before the order has asked for everything.
            let item = waits_for_word(&adyen, &world, &order, "capturing", "CAPTURE").await;
            adyen.books().outbox.push(item);
            let ended = ends(&adyen, &world, &order).await;
            let seen = (ended.state.as_str(), ended.money.held, ended.money.captured);
            assert_eq!(seen, ("settled", 0, 1200), "{faults:?} {:?}", ended.incident);
            assert_eq!((adyen.money(), adyen.books().payments.len()), ((0, 1200, 0), 1), "{faults:?}");
        })
    });
    for one in all {
        one.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_card_is_declined_and_nothing_is_held() {
    let (adyen, world) = adyen(&[Fault::Hang]).await;
    let order = pay(&world, "refused", "keep").await;
    world.comes_to(&order, "declined").await;
    let ended = ends(&adyen, &world, &order).await;
    assert_eq!((ended.state.as_str(), adyen.money()), ("declined", (0, 0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_adyen_answers_later_or_not_at_all_is_told_by_the_webhook() {
    for (card, state, captured) in [("slow", "settled", 1200), ("silent", "declined", 0)] {
        let (adyen, world) = adyen(&[]).await;
        let order = pay(&world, card, "keep").await;
        adyen.requests(1).await;
        let before = world.now(&order).await;
        assert_eq!((before.state.as_str(), before.money.held), ("submitted", 0), "{card}: it is not known yet");
        let ended = ends(&adyen, &world, &order).await;
        assert_eq!((ended.state.as_str(), ended.money.captured), (state, captured), "{card} {:?}", ended.incident);
        assert_eq!(adyen.money(), (0, captured, 0), "{card}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_is_booked_when_adyen_says_that_it_was_carried_out() {
    let (adyen, world) = adyen(&[]).await;
    let order = pay(&world, "good", "keep").await;
    let item = waits_for_word(&adyen, &world, &order, "capturing", "CAPTURE").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let received = world.now(&order).await;
    assert_eq!((received.money.held, received.money.captured), (1200, 0), "it is received, and no more");
    // Somebody with access to the API is not Adyen.
    let claim = json!({"call": item["merchantReference"], "reference": item["pspReference"], "amount": 1200, "currency": "EUR"});
    world.event(&order, "capture.done", claim).await;
    assert_eq!(world.now(&order).await.money.captured, 0);
    // Nor is what Adyen says of another amount taken for this capture.
    let mut other = item.clone();
    other["amount"]["value"] = json!(12);
    tell(&world, &[signed(HMAC, other)]).await.unwrap();
    let doubted = world.now(&order).await;
    assert_eq!((doubted.status, doubted.money.captured), (Status::Incident, 0));
    // A person has to look at it even so: an event counts once, by the reference that Adyen gives it.
    tell(&world, &[signed(HMAC, item)]).await.unwrap();
    assert_eq!(world.now(&order).await.status, Status::Incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_overtakes_the_answer_waits_for_it() {
    // The payment's, then the capture's.
    for faults in [&[Fault::Hang][..], &[Fault::None, Fault::Hang]] {
        let (adyen, world) = adyen(faults).await;
        let order = pay(&world, "good", "keep").await;
        adyen.requests(faults.len()).await;
        let before = world.now(&order).await;
        adyen.tells(&world).await;
        assert_eq!(world.now(&order).await.money, before.money, "{faults:?}: the answer comes first");
        let ended = ends(&adyen, &world, &order).await;
        assert_eq!(ended.state.as_str(), "settled", "{faults:?} {:?}", ended.incident);
        assert_eq!((adyen.money(), adyen.books().requests), ((0, 1200, 0), 2), "{faults:?}: nothing was asked again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_sent_away_and_comes_back_or_pays_and_does_not() {
    for (result, state, money) in [("good", "settled", (0, 1200, 0)), ("bad", "declined", (0, 0, 0))] {
        let (adyen, world) = adyen(&[Fault::None, Fault::Hang]).await;
        let order = pay(&world, "redirect", "keep").await;
        let away = world.comes_to(&order, "away").await;
        assert!(away.data["url"].as_str().unwrap().starts_with("https://checkout.example/"));
        world.event(&order, "customer.back", json!({ "redirect_result": result })).await;
        let ended = ends(&adyen, &world, &order).await;
        assert_eq!((ended.state.as_str(), adyen.money()), (state, money), "{:?}", ended.incident);
    }
    for (then, state, money) in [("keep", "settled", (0, 1200, 0)), ("cancel", "cancelled", (0, 0, 0))] {
        let (adyen, world) = adyen(&[]).await;
        let order = pay(&world, "redirect", then).await;
        world.comes_to(&order, "away").await;
        adyen.pays();
        let ended = ends(&adyen, &world, &order).await;
        assert_eq!((ended.state.as_str(), adyen.money()), (state, money), "{:?}", ended.incident);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_fails_gives_the_hold_back_and_one_that_fails_afterwards_is_taken_back_in_the_books() {
    let (adyen, world) = adyen(&[]).await;
    adyen.books().refuses = true;
    let order = pay(&world, "good", "keep").await;
    let ended = ends(&adyen, &world, &order).await;
    assert_eq!((ended.state.as_str(), ended.money.released, adyen.money()), ("cancelled", 1200, (0, 0, 0)));

    let (adyen, world) = self::adyen(&[]).await;
    let order = pay(&world, "good", "keep").await;
    let mut item = waits_for_word(&adyen, &world, &order, "capturing", "CAPTURE").await;
    tell(&world, &[signed(HMAC, item.clone())]).await.unwrap();
    assert_eq!(world.comes_to(&order, "settled").await.money.captured, 1200);
    item["eventCode"] = json!("CAPTURE_FAILED");
    tell(&world, &[signed(HMAC, item)]).await.unwrap();
    let failed = world.comes_to(&order, "failed").await;
    assert_eq!((failed.money.captured, failed.money.released), (0, 1200));
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_back_by_a_cancel_or_a_refund_and_once() {
    use Fault::{Hang, Lost, None};
    let cases: [(&str, &[Fault], _); 6] = [
        ("cancel", &[], (0, 0, 0)),
        ("cancel", &[None, Hang], (0, 0, 0)),
        ("cancel", &[None, Lost, Hang], (0, 0, 0)),
        ("refund", &[], (0, 1200, 1200)),
        ("refund", &[None, None, Hang], (0, 1200, 1200)),
        ("refund", &[None, None, Lost, Hang], (0, 1200, 1200)),
    ];
    for (then, faults, money) in cases {
        let (adyen, world) = adyen(faults).await;
        let order = pay(&world, "good", then).await;
        let ended = ends(&adyen, &world, &order).await;
        assert_eq!((ended.state.as_str(), ended.money.held), ("cancelled", 0), "{faults:?} {:?}", ended.incident);
        assert_eq!(adyen.money(), money, "{then} {faults:?}");
        assert_eq!(ended.money.captured - ended.money.refunded, 0, "{then} {faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_does_not_go_back_is_not_said_to_have_gone() {
    // A refund that is done, and returned some days later.
    let (adyen, world) = adyen(&[]).await;
    let order = pay(&world, "good", "refund").await;
    let capture = waits_for_word(&adyen, &world, &order, "capturing", "CAPTURE").await;
    adyen.books().outbox.push(capture);
    adyen.tells(&world).await;
    let mut refund = waits_for_word(&adyen, &world, &order, "undoing", "REFUND").await;
    assert_eq!(world.now(&order).await.money.refunded, 0, "it is received, and no more");
    tell(&world, &[signed(HMAC, refund.clone())]).await.unwrap();
    assert_eq!(world.comes_to(&order, "cancelled").await.money.refunded, 1200);
    refund["eventCode"] = json!("REFUND_FAILED");
    tell(&world, &[signed(HMAC, refund)]).await.unwrap();
    let returned = world.comes_to(&order, "refund_returned").await;
    assert_eq!((returned.money.captured, returned.money.refunded), (1200, 0), "the merchant has it again");
    // A cancel and a refund that Adyen has received, and does not carry out.
    for then in ["cancel", "refund"] {
        let (adyen, world) = self::adyen(&[]).await;
        let order = pay(&world, "good", then).await;
        if then == "refund" {
            let item = waits_for_word(&adyen, &world, &order, "capturing", "CAPTURE").await;
            adyen.books().refuses = true;
            tell(&world, &[signed(HMAC, item)]).await.unwrap();
        } else {
            adyen.requests(1).await;
        }
        let event = if then == "refund" { "REFUND" } else { "TECHNICAL_CANCEL" };
        let mut item = waits_for_word(&adyen, &world, &order, "undoing", event).await;
        item["success"] = json!("false");
        tell(&world, &[signed(HMAC, item)]).await.unwrap();
        let stuck = ends(&adyen, &world, &order).await;
        assert_eq!((stuck.state.as_str(), stuck.status), ("undoing", Status::Incident), "{then}");
        assert_eq!((stuck.money.released, stuck.money.refunded), (0, 0), "{then}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_adyen_has_not_signed_spoils_the_notification() {
    let (adyen, world) = adyen(&[]).await;
    let order = pay(&world, "good", "keep").await;
    let item = waits_for_word(&adyen, &world, &order, "capturing", "CAPTURE").await;
    let authentic = adyen.books().outbox.remove(0);
    let mut unsigned = signed(HMAC, item.clone());
    unsigned["NotificationRequestItem"]["additionalData"] = json!({});
    let mut moved = signed(HMAC, item.clone());
    moved["NotificationRequestItem"]["amount"]["value"] = json!(1);
    let mut turned = signed(
        HMAC,
        told("P2", None, item["merchantReference"].as_str().unwrap(), (1200, "EUR"), "CAPTURE", Some("no")),
    );
    turned["NotificationRequestItem"]["success"] = json!("true");
    for forged in [signed(&"FF".repeat(32), item), unsigned, moved, turned] {
        let refused = tell(&world, &[signed(HMAC, authentic.clone()), forged]).await;
        assert!(matches!(refused, Err(HookError::Unverified(_))), "{refused:?}");
    }
    let seen = world.now(&order).await;
    assert_eq!((seen.state.as_str(), seen.inbox.len(), seen.money.captured), ("capturing", 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_hmac_key_is_replaced_both_are_believed_and_afterwards_one() {
    let both = Secret::new(HMAC).beside(vec![Secret::new(FORMER)]);
    for (keys, key, believed) in [(&both, FORMER, true), (&both, HMAC, true), (&Secret::new(HMAC), FORMER, false)] {
        let (adyen, world) = with_key(&[], keys.clone()).await;
        let order = pay(&world, "good", "keep").await;
        let item = waits_for_word(&adyen, &world, &order, "capturing", "CAPTURE").await;
        match tell(&world, &[signed(key, item)]).await {
            Ok(received) => assert!(matches!(received.told.as_slice(), [Hooked::Applied { .. }]) && believed),
            Err(refused) => assert!(matches!(refused, HookError::Unverified(_)) && !believed, "{refused:?}"),
        }
        let captured = if believed { world.comes_to(&order, "settled").await.money.captured } else { 0 };
        assert_eq!(world.now(&order).await.money.captured, captured);
    }
}

/// An order whose payment may have been made, and whose key Adyen has forgotten.
async fn forgotten(fault: Fault) -> (Adyen, World, Arc<Snapshot>) {
    let (adyen, world) = adyen(&[fault]).await;
    let order = pay(&world, "good", "keep").await;
    adyen.requests(1).await;
    // Its answer is given up, and its repeat waits through the pause.
    world.waits_at("adyen").await;
    adyen.books().keys.clear();
    world.clock.leap(8 * DAY);
    (adyen, world, order)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_key_may_be_forgotten_is_not_sent_again() {
    // The webhook tells of it.
    let (adyen, world, order) = forgotten(Fault::Hang).await;
    adyen.tells(&world).await;
    world.goes_on("adyen").await;
    let ended = ends(&adyen, &world, &order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 1200), "{:?}", ended.incident);
    assert_eq!((adyen.money(), adyen.books().payments.len()), ((0, 1200, 0), 1));
    // No webhook comes: it is cancelled by our reference, and Adyen finds it.
    let (adyen, world, order) = forgotten(Fault::Hang).await;
    let late = adyen.books().outbox.pop().unwrap();
    world.goes_on("adyen").await;
    let ended = ends(&adyen, &world, &order).await;
    assert_eq!((ended.state.as_str(), ended.money.held), ("withdrawn", 0), "{:?}", ended.incident);
    assert_eq!((adyen.money(), adyen.books().payments.len()), ((0, 0, 0), 1));
    tell(&world, &[signed(HMAC, late)]).await.unwrap();
    assert_eq!(world.now(&order).await.status, Status::Incident, "a payment that is told of now is one too many");
    // Nothing was ever done: Adyen finds nothing to cancel, and cannot say whether it will come. A person decides.
    let (adyen, world, order) = forgotten(Fault::Lost).await;
    world.goes_on("adyen").await;
    let ended = ends(&adyen, &world, &order).await;
    assert_eq!((ended.state.as_str(), ended.status), ("submitted", Status::Incident));
    assert_eq!((adyen.money(), adyen.books().payments.len()), ((0, 0, 0), 0), "nothing was sent again");
}
