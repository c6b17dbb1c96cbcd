use super::*;
use crate::machine::{Status, next_events};

#[test]
fn an_early_event_waits_for_its_state() {
    let mut story = Story::new();
    story.receive("customer.confirmed").in_state("authorizing");
    assert_eq!(story.order.inbox.len(), 1);
    story.settle(1, Outcome::ActionRequired { result: json!({}) }).in_state("capturing");
    assert_eq!(story.order.inbox.len(), 0);
}

/// What an event leads away from is not asked about any more: the outcome of a call that may have moved money comes first,
/// whoever brings the event.
#[test]
fn a_notification_waits_for_the_outcome_of_the_call() {
    for open in [unknown, pending] {
        let mut story = Story::new();
        story.receive("payment.succeeded").in_state("authorizing");
        story.settle(1, open()).in_state("authorizing").receive("payment.succeeded").in_state("authorizing");
        story.fire().inquired(1, ok()).in_state("capturing");
        assert_eq!(story.order.money.held, 1000, "it is in the books");
    }
    let mut story = Story::new();
    story.receive("payment.succeeded").settle(1, not_sent()).in_state("capturing");
}

#[test]
fn a_notification_has_a_pending_call_asked_about_at_once() {
    let mut story = Story::new();
    story.settle(1, pending());
    assert_eq!(story.due_in(Timer::Inquire { call: CallId(1) }), Duration::from_secs(10));
    story.receive("customer.confirmed");
    assert_eq!(story.due_in(Timer::Inquire { call: CallId(1) }), Duration::from_secs(10), "a wish of the customer");
    let told = |id: &str| Event::Received {
        id: id.into(),
        name: "payment.succeeded".into(),
        payload: json!({}),
        source: "hook:acquirer".to_owned(),
    };
    story.apply(&told("n1"));
    assert_eq!(story.due_in(Timer::Inquire { call: CallId(1) }), Duration::ZERO);
    story.fire().apply(&told("n2")).inquired(1, pending());
    assert_eq!(story.due_in(Timer::Inquire { call: CallId(1) }), Duration::from_secs(60), "one question, not two");
}

#[test]
fn a_late_event_follows_the_rule_of_the_final_state() {
    let mut story = Story::new();
    story.settle(1, declined()).receive("payment.succeeded").in_state("review");
    assert_eq!(story.order.status, Status::Waiting);
    story.fire().in_state("declined");
    let mut story = Story::new();
    story.settle(1, ok()).settle(2, ok()).settle(3, ok()).settle(4, ok()).receive("payment.succeeded");
    story.in_state("notified");
    assert_eq!(story.order.status, Status::Succeeded);
    story.receive("customer.refused");
    assert_eq!(story.order.status, Status::Incident);
}

#[test]
fn an_event_that_the_workflow_does_not_know_is_refused_with_those_it_knows() {
    let story = Story::new();
    let (id, payload, source) = (EventId::from("x"), json!({}), "test".to_owned());
    let refused = story.try_apply(&Event::Received { id, name: "customer.confirmd".into(), payload, source });
    let Err(Rejection::UnknownEvent { known, .. }) = refused else { panic!("{refused:?}") };
    let known: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
    let settling = known.iter().filter(|name| ["capture.done", "capture.failed", "hold.done"].contains(name));
    assert_eq!(settling.count(), 3, "what settles a call is known without a state that handles it");
    let handled: Vec<&str> =
        known.into_iter().filter(|name| !name.starts_with("capture.") && *name != "hold.done").collect();
    assert_eq!(handled, ["cancel", "customer.confirmed", "customer.refused", "operator.agreed", "payment.succeeded"]);
}

#[test]
fn a_timer_that_fires_while_an_outcome_is_open_waits_for_it() {
    let text = METHOD.replace(
        "      payment.succeeded: capturing\n",
        "      payment.succeeded: capturing\n    after: { 2s: cancelling }\n",
    );
    let mut story = Story::of(&text);
    story.settle(1, unknown());
    story.fire().inquired(1, unknown()).fire().in_state("authorizing");
    assert_eq!(story.order.due.len(), 1);
    story.fire().inquired(1, ok()).in_state("capturing");
    assert_eq!(story.order.due.len(), 0, "the state it belonged to is left");
}

#[test]
fn what_can_happen_next() {
    let mut story = Story::new();
    let names =
        |story: &Story| next_events(&story.workflow, &story.order).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&story), ["cancel", "payment.succeeded"]);
    story.settle(1, Outcome::ActionRequired { result: json!({}) });
    assert_eq!(names(&story), ["cancel", "customer.confirmed", "customer.refused"]);
}

#[test]
fn the_deadline_opens_an_incident() {
    let mut story = Story::new();
    story.settle(1, ok()).settle(2, ok()).in_state("settled");
    story.settle(3, ok());
    story.apply(&Event::TimerFired { timer: Timer::Deadline });
    assert_eq!(story.order.status, Status::Incident);
    story.settle(4, ok()).in_state("notified");
    assert_eq!(story.order.status, Status::Succeeded, "the order went on by itself");
}

#[test]
fn a_guard_that_cannot_be_evaluated_is_an_incident_and_loses_nothing() {
    let text = METHOD
        .replace("assign: { authorization: \"${result.id}\" }", "assign: { authorization: \"${result.nothing}\" }");
    let mut story = Story::of(&text);
    story.settle(1, ok()).in_state("authorizing");
    assert_eq!(story.order.status, Status::Incident);
    assert_eq!(story.order.money.held, 1000, "the money is held, and known to be");
}
