//! UnionPay's gateway 5.1.0, as its documentation describes it: forms signed over the digest of their sorted fields, answers
//! that are not encoded, orders known by their number and time, transactions whose end is told to those who ask.

mod emulation;
mod later;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use paystate::executor::{HookError, Hooked, Received};
use paystate::machine::{Snapshot, Status};
use paystate::types::Secret;
use serde_json::{Value, json};

use self::emulation::{CERT_ID, Deaf, Fault, Fields, MERCHANT, Trade, UnionPay, handle};
use super::{World, serve};

async fn unionpay(faults: &[Fault]) -> (UnionPay, World) {
    let gateway = UnionPay::new();
    let world = world(&gateway, Secret::new(gateway.certificate())).await;
    gateway.books().faults.extend(faults);
    (gateway, world)
}

/// What trusts these certificates of UnionPay's.
async fn world(gateway: &UnionPay, certificates: Secret) -> World {
    let url = serve(Router::new().fallback(handle).with_state(gateway.clone())).await;
    let env = [
        ("UNIONPAY_URL", url.as_str()),
        ("UNIONPAY_MERCHANT", MERCHANT),
        ("UNIONPAY_CERT_ID", CERT_ID),
        ("UNIONPAY_FRONT_URL", "https://shop.example/back"),
        ("UNIONPAY_BACK_URL", "https://shop.example/hooks/unionpay_gateway"),
    ];
    let secrets =
        [("unionpay_private_key", Secret::new(gateway.ours.private.as_str())), ("unionpay_certificate", certificates)];
    let clock = Arc::clone(&gateway.clock);
    World::on(clock, "unionpay_gateway", "unionpay_gateway_payment", &env, &secrets).await
}

async fn submit(world: &World, more: Value) -> Arc<Snapshot> {
    let mut input = json!({"amount": 1250, "currency": "CNY"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.submit("unionpay_gateway_payment", input).await
}

/// The customer's browser posts the form that it was handed; gives our number of the order.
async fn opens(world: &World, order: &Snapshot) -> String {
    let shown = world.comes_to(order, "shown").await;
    let fields: Fields = serde_json::from_value(shown.data["fields"].clone()).unwrap();
    let form = reqwest::Url::parse_with_params("http://form.invalid/", &fields).unwrap();
    let post = reqwest::Client::new().post(shown.data["url"].as_str().unwrap());
    let post = post.header("content-type", "application/x-www-form-urlencoded");
    let answer = post.body(form.query().unwrap().to_owned()).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "<html>Cashier</html>");
    shown.data["order"].as_str().unwrap().to_owned()
}

async fn tell(world: &World, form: &str) -> Result<Received, HookError> {
    world.hook(&[("content-type", "application/x-www-form-urlencoded")], form).await
}

/// Pays at the cashier, and tells of it.
async fn pays(gateway: &UnionPay, world: &World, order: &Snapshot) -> Trade {
    let number = opens(world, order).await;
    let paid = gateway.pays(&number, "00");
    let told = tell(world, &gateway.notification(&paid)).await.unwrap();
    assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
    paid
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_handed_to_the_browser_and_the_payment_is_believed_when_it_is_asked_about() {
    let (gateway, world) = unionpay(&[]).await;
    let order = submit(&world, json!({})).await;
    let number = opens(&world, &order).await;
    let notice = gateway.notification(&gateway.pays(&number, "00"));
    for _ in 0..3 {
        let told = tell(&world, &notice).await.unwrap();
        assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
        assert_eq!((told.acknowledge.status, told.acknowledge.body.as_deref()), (200, Some("ok")));
    }
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.status), ("settled", Status::Succeeded), "{:?}", ended.incident);
    let books = gateway.books();
    assert_eq!((books.received(), books.trades.len(), books.queries), (1250, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_the_app_is_paid_once_whatever_happens_to_the_answers() {
    let cases: [&'static [Fault]; 8] = [
        &[],
        &[Fault::Hang],
        &[Fault::Lost],
        &[Fault::Forged],
        &[Fault::Page],
        &[Fault::Refused("06"), Fault::Forged],
        &[Fault::Unclear("04")],
        &[Fault::Lost, Fault::Hang],
    ];
    let all = cases.map(|faults| tokio::spawn(paid_in_the_app(faults)));
    for one in all {
        one.await.unwrap();
    }
}

async fn paid_in_the_app(faults: &[Fault]) {
    let (gateway, world) = unionpay(faults).await;
    let order = submit(&world, json!({"app": true})).await;
    let shown = world.comes_to(&order, "shown").await;
    // The number that was handed on is the one that the customer can pay: others, if there are, nobody knows.
    let trade = gateway.pays(shown.data["order"].as_str().unwrap(), "00");
    assert_eq!(shown.data["tn"], trade.id);
    tell(&world, &gateway.notification(&trade)).await.unwrap();
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "settled", "{faults:?} {:?}", ended.incident);
    assert_eq!(gateway.books().received(), 1250, "{faults:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_is_a_decline_and_a_page_that_nobody_pays_is_given_up_when_its_time_is_over() {
    let (gateway, world) = unionpay(&[Fault::Refused("33")]).await;
    let order = submit(&world, json!({"app": true})).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), &ended.data["reason"]), ("declined", &json!("33")));
    assert!(gateway.books().trades.is_empty());
    let mut orders = Vec::new();
    for (code, reason) in [(None, "34"), (Some("64"), "64")] {
        let order = submit(&world, json!({})).await;
        let number = opens(&world, &order).await;
        code.map(|code| gateway.pays(&number, code));
        orders.push((order, reason));
    }
    for (order, reason) in orders {
        let ended = world.ends(&order).await;
        assert_eq!((ended.state.as_str(), &ended.data["reason"]), ("declined", &json!(reason)), "{:?}", ended.incident);
    }
    assert_eq!(gateway.books().received(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_which_no_notification_comes_is_found() {
    let (gateway, world) = unionpay(&[]).await;
    let order = submit(&world, json!({})).await;
    let number = opens(&world, &order).await;
    // The bank takes its time, and the page says that it was refused at first: none of it is the end.
    gateway.pays(&number, "64");
    gateway.pays(&number, "00");
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "settled", "{:?}", ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_unionpay_has_not_signed_is_no_payment_and_no_refusal() {
    // Nothing is paid, and somebody else says that it is.
    let (gateway, world) = unionpay(&[]).await;
    gateway.books().deaf.extend([Deaf::SaysPaid; 4]);
    let order = submit(&world, json!({})).await;
    opens(&world, &order).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.status), ("declined", Status::Failed), "{:?}", ended.incident);
    assert!(gateway.books().deaf.is_empty() && gateway.books().received() == 0);
    // It is paid, and somebody else says that UnionPay knows nothing of it.
    gateway.books().deaf.extend([Deaf::SaysNothing; 4]);
    let order = submit(&world, json!({})).await;
    pays(&gateway, &world, &order).await;
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "settled", "{:?}", ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_is_forged_changed_or_a_lie_changes_nothing() {
    let (gateway, world) = unionpay(&[]).await;
    let order = submit(&world, json!({})).await;
    let number = opens(&world, &order).await;
    let unpaid = gateway.books().trades[0].clone();
    let lie = Trade { code: "00", ..unpaid };
    let changed = gateway.notification(&lie).replace("txnAmt=1250", "txnAmt=1");
    assert!(changed.contains("txnAmt=1&"));
    let bare = gateway.notification(&lie).split("&signature=").next().unwrap().to_owned();
    for form in [gateway.stranger().notification(&lie), changed, bare, String::new()] {
        let refused = tell(&world, &form).await;
        assert!(matches!(refused, Err(HookError::Unverified(_))), "{form}: {refused:?}");
    }
    assert_eq!(gateway.books().queries, 0, "what is not UnionPay's is not even asked about");
    // Authentic, and yet not paid: the customer may still do it, and does.
    tell(&world, &gateway.notification(&lie)).await.unwrap();
    world.comes_to(&order, "shown").await;
    let paid = gateway.pays(&number, "00");
    tell(&world, &gateway.notification(&Trade { id: "another".into(), ..paid })).await.unwrap();
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), gateway.books().received()), ("settled", 1250), "{:?}", ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_overtakes_the_answer_is_not_lost() {
    let (gateway, world) = unionpay(&[Fault::Slow]).await;
    let order = submit(&world, json!({"app": true})).await;
    let number = loop {
        if let Some(trade) = gateway.books().trades.first() {
            break trade.order.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let paid = gateway.pays(&number, "00");
    tell(&world, &gateway.notification(&paid)).await.unwrap();
    assert_eq!(world.now(&order).await.state.as_str(), "ordered", "no answer has come");
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), gateway.books().received()), ("settled", 1250), "{:?}", ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_back_once_whatever_happens_to_the_answers() {
    let cases: [&'static [Fault]; 9] = [
        &[],
        &[Fault::Hang],
        &[Fault::Lost],
        &[Fault::Forged],
        &[Fault::Page],
        &[Fault::Unclear("03")],
        &[Fault::Refused("06")],
        &[Fault::Refused("10"), Fault::Hang],
        &[Fault::Lost, Fault::Unclear("05")],
    ];
    // A few at a time: the clock does not wait for a machine that is busy.
    for (how, some) in ["refund", "void"].iter().flat_map(|how| cases.chunks(3).map(move |some| (how, some))) {
        let all: Vec<_> = some.iter().map(|faults| tokio::spawn(goes_back(how, faults))).collect();
        for one in all {
            one.await.unwrap();
        }
    }
}

async fn goes_back(how: &str, faults: &'static [Fault]) {
    let (gateway, world) = unionpay(&[]).await;
    let order = submit(&world, json!({ "take_back": how })).await;
    let number = opens(&world, &order).await;
    gateway.books().faults.extend(faults);
    let paid = gateway.pays(&number, "00");
    tell(&world, &gateway.notification(&paid)).await.unwrap();
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "cancelled", "{how} {faults:?}: {:?}", ended.incident);
    let books = gateway.books();
    let expected = if how == "void" { (1250, 0) } else { (0, 1250) };
    assert_eq!(books.went_back(), expected, "{how} {faults:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_undone_any_more_is_refunded_and_a_refund_that_fails_is_a_persons() {
    let (gateway, world) = unionpay(&[]).await;
    gateway.books().next_day = true;
    let order = submit(&world, json!({"take_back": "void"})).await;
    pays(&gateway, &world, &order).await;
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "cancelled", "{:?}", ended.incident);
    assert_eq!(gateway.books().went_back(), (0, 1250));
    // It was taken, and comes to nothing.
    gateway.books().refunds_end = Some("62");
    let order = submit(&world, json!({"take_back": "refund"})).await;
    pays(&gateway, &world, &order).await;
    let ended = world.ends(&order).await;
    assert_eq!(ended.status, Status::Incident);
    assert_eq!(gateway.books().refunded(), 1250, "of the first order alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_of_a_refund_is_heard_and_decides_nothing() {
    let (gateway, world) = unionpay(&[]).await;
    let order = submit(&world, json!({"take_back": "refund"})).await;
    pays(&gateway, &world, &order).await;
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "cancelled", "{:?}", ended.incident);
    let refund = gateway.books().of_kind("04").remove(0);
    for _ in 0..2 {
        let told = tell(&world, &gateway.notification(&refund)).await.unwrap();
        assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
    }
    let now = world.now(&order).await;
    assert_eq!((now.state.as_str(), now.status), ("cancelled", Status::Failed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_has_the_number_and_the_time_of_the_first() {
    let (gateway, world) = unionpay(&[]).await;
    let order = submit(&world, json!({"take_back": "refund"})).await;
    let number = opens(&world, &order).await;
    gateway.books().faults.extend([Fault::Refused("10"), Fault::Refused("13"), Fault::Refused("11")]);
    let paid = gateway.pays(&number, "00");
    tell(&world, &gateway.notification(&paid)).await.unwrap();
    world.ends(&order).await;
    let came = gateway.books().came.split_off(1);
    assert_eq!(came.len(), 4);
    assert!(came.iter().all(|one| *one == came[0]), "{came:?}");
    assert_ne!(came[0].1, "", "{came:?}");
    assert_eq!(gateway.books().refunded(), 1250);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_it_is_too_late_for_a_repeat_it_is_asked_about_until_it_is_known() {
    // Done, and nobody answers for longer than the time of a request may lie back.
    let (gateway, world) = unionpay(&[]).await;
    let order = submit(&world, json!({"take_back": "refund"})).await;
    let number = opens(&world, &order).await;
    gateway.books().faults.push_back(Fault::Hang);
    let paid = gateway.pays(&number, "00");
    tell(&world, &gateway.notification(&paid)).await.unwrap();
    while gateway.books().of_kind("04").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The next question comes an hour later.
    gateway.books().deaf.extend([Deaf::Away; 10]);
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "cancelled", "{:?}", ended.incident);
    let books = gateway.books();
    assert!(books.deaf.is_empty());
    assert_eq!((books.came.len(), books.refunded()), (2, 1250), "one form and one refund: {:?}", books.came);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_unionpay_never_had_is_made_anew_with_another_number_and_the_time_of_then() {
    let (gateway, world) = unionpay(&[]).await;
    let order = submit(&world, json!({"take_back": "refund"})).await;
    let number = opens(&world, &order).await;
    gateway.books().faults.push_back(Fault::Lost);
    let paid = gateway.pays(&number, "00");
    tell(&world, &gateway.notification(&paid)).await.unwrap();
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "cancelled", "{:?}", ended.incident);
    let books = gateway.books();
    let [(_, _), (first, begun), (second, anew)] = books.came.as_slice() else { panic!("{:?}", books.came) };
    assert!(first != second && begun < anew, "{:?}", books.came);
    assert_eq!(books.refunded(), 1250);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_certificate_replaces_another_both_are_believed_and_none_besides() {
    let gateway = UnionPay::new();
    let (new, next) = (gateway.renewed(), gateway.stranger());
    let both = Secret::new(new.certificate()).beside(vec![Secret::new(gateway.certificate())]);
    let world = world(&gateway, both).await;
    for signer in [&gateway, &new] {
        let order = submit(&world, json!({})).await;
        let number = opens(&world, &order).await;
        let notice = signer.notification(&gateway.pays(&number, "00"));
        tell(&world, &notice).await.unwrap();
        let ended = world.ends(&order).await;
        assert_eq!(ended.state.as_str(), "settled", "{:?}", ended.incident);
    }
    // One that is not configured yet.
    let order = submit(&world, json!({})).await;
    let number = opens(&world, &order).await;
    let paid = gateway.pays(&number, "00");
    let refused = tell(&world, &next.notification(&paid)).await;
    assert!(matches!(refused, Err(HookError::Unverified(_))), "{refused:?}");
    assert_eq!(world.ends(&order).await.state.as_str(), "settled", "it is asked about all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_was_taken_away_is_believed_no_more() {
    let old = UnionPay::new();
    let new = old.renewed();
    let world = world(&new, Secret::new(new.certificate())).await;
    let order = submit(&world, json!({})).await;
    let number = opens(&world, &order).await;
    let paid = new.pays(&number, "00");
    let refused = tell(&world, &old.notification(&paid)).await;
    assert!(matches!(refused, Err(HookError::Unverified(_))), "{refused:?}");
    assert_eq!((world.now(&order).await.state.as_str(), new.books().queries), ("shown", 0));
    tell(&world, &new.notification(&paid)).await.unwrap();
    assert_eq!(world.ends(&order).await.state.as_str(), "settled");
}
