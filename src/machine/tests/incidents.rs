//! Incidents that are about an order as a whole: what a person can do about them.

use super::*;
use crate::machine::event::Resolution;
use crate::machine::snapshot::{Phase, Status};

fn retry() -> Event {
    Event::RetryRequested { id: "again".into(), by: "kim".to_owned(), note: String::new() }
}

fn resolve(resolution: Resolution) -> Event {
    Event::Resolved { id: "said".into(), by: "kim".to_owned(), note: "seen".to_owned(), resolution }
}

/// An order whose capture cannot be rendered until the event `key.chosen` has assigned what it needs.
fn unbegun() -> Story {
    let text = METHOD.replace(
        "with: { authorization: \"${input.amount}\", amount: \"${input.amount}\"",
        "with: { authorization: \"${data.chosen}\", amount: \"${input.amount}\"",
    );
    let text = text.replace("on: { ok: settled,", "on: { key.chosen: { assign: { chosen: 1 } }, ok: settled,");
    let mut story = Story::of(&text);
    story.settle(1, ok()).in_state("capturing");
    story
}

#[test]
fn what_comes_after_the_end_is_dismissed_and_not_tried_again() {
    let mut story = Story::new();
    story.settle(1, ok()).settle(2, ok()).settle(3, ok()).settle(4, ok()).in_state("notified");
    story.receive("customer.refused");
    let incident = story.order.incident.clone().expect("the rule says so");
    assert_eq!(incident.at_stake.map(|money| money.amount), Some(1000));
    let refused = story.try_apply(&retry());
    let said = refused.expect_err("nothing can be tried, and nothing is lost").to_string();
    assert_eq!(said, "`retry` does not fit this incident: resolve it as state or dismissed");
    story.apply(&resolve(Resolution::Dismissed)).in_state("notified");
    assert_eq!(story.order.status, Status::Succeeded);
    assert!(story.order.calls.is_empty(), "nobody is notified again");
}

#[test]
fn an_order_that_is_taken_up_again_late_has_a_deadline() {
    let mut story = Story::new();
    story.settle(1, declined()).in_state("declined");
    assert!(!story.order.timers.contains_key(&Timer::Deadline));
    story.receive("payment.succeeded").in_state("review");
    assert_eq!(story.due_in(Timer::Deadline), Duration::from_secs(7 * 86_400));
    story.receive("operator.agreed").in_state("declined");
    assert!(story.order.timers.is_empty());
}

#[test]
fn an_order_past_its_deadline_gets_the_same_time_again() {
    for event in [retry(), resolve(Resolution::Dismissed)] {
        let mut story = Story::new();
        story.settle(1, Outcome::ActionRequired { result: json!({}) }).in_state("waiting");
        story.apply(&Event::TimerFired { timer: Timer::Deadline });
        assert_eq!(story.order.status, Status::Incident);
        story.apply(&event).in_state("waiting");
        assert_eq!(story.order.status, Status::Waiting);
        assert_eq!(story.due_in(Timer::Deadline), Duration::from_secs(7 * 86_400));
    }
}

#[test]
fn a_state_whose_work_cannot_begin_begins_it_once_it_can() {
    let mut story = unbegun();
    assert_eq!(story.order.status, Status::Incident);
    assert!(story.order.calls.is_empty() && story.commands.iter().all(|c| !matches!(c, Command::Invoke { .. })));
    assert!(matches!(story.try_apply(&resolve(Resolution::Dismissed)), Err(Rejection::NotThatWay { .. })));
    story.apply(&retry()).in_state("capturing");
    assert_eq!(story.order.status, Status::Incident, "it still cannot");
    story.receive("key.chosen");
    story.apply(&retry());
    assert_eq!(story.order.status, Status::Running);
    assert_eq!(story.invoked(), [(2, 1)]);
    story.settle(2, ok()).in_state("settled");
}

#[test]
fn a_call_never_moves_less_than_nothing() {
    // Taken out of a list, of which the checker does not know what is in it.
    for amount in ["${0 - input.amount}", "${[string(input.amount)][0]}", "${[double(input.amount) / 3.0][0]}"] {
        let text = METHOD.replace(
            "with: { authorization: \"${input.amount}\", amount: \"${input.amount}\"",
            &format!("with: {{ authorization: \"${{input.amount}}\", amount: \"{amount}\""),
        );
        let mut story = Story::of(&text);
        story.settle(1, ok()).in_state("capturing");
        assert_eq!(story.order.status, Status::Incident, "{amount}");
        assert_eq!(story.invoked(), [], "{amount}");
    }
}

#[test]
fn an_order_is_not_about_less_than_nothing() {
    let input = json!({ "amount": -1, "currency": "CNY" });
    let started = start(&method(METHOD), OrderId::from_bytes([7; 16]), input, None, Timestamp::from_unix_ms(0));
    assert_eq!(started, Err(Rejection::NotAllowed("money: the amount is below zero".to_owned())));
}

#[test]
fn nothing_is_done_for_a_halted_order_until_a_person_says_so() {
    let halt = Event::Halted { reason: "entries are lost".to_owned() };
    for event in [retry(), resolve(Resolution::Dismissed)] {
        let mut story = Story::new();
        story.apply(&halt);
        assert_eq!(story.order.status, Status::Incident);
        assert_eq!(story.order.calls.values().next().map(|call| &call.phase), Some(&Phase::Parked { unknown: true }));
        let late = Event::Settled { call: CallId(1), attempt: Attempt(1), outcome: ok() };
        assert_eq!(story.try_apply(&late).err(), Some(Rejection::Stale), "whatever it says, it is not the latest");
        story.receive("customer.confirmed");
        story.apply(&Event::TimerFired { timer: Timer::Deadline });
        assert_eq!((story.order.inbox.len(), story.order.due.len(), story.invoked()), (1, 1, Vec::new()));
        assert!(matches!(
            story.try_apply(&resolve(Resolution::Declined { code: "no".to_owned() })),
            Err(Rejection::NotThatWay { .. })
        ));
        story.apply(&event);
        assert!(!story.order.is_halted());
        // What became of the call comes first.
        if story.order.incident.is_some() {
            story.apply(&resolve(Resolution::Declined { code: "no".to_owned() })).in_state("declined");
        } else {
            story.fire().inquired(1, Outcome::ActionRequired { result: json!({}) });
        }
        assert!(story.order.inbox.is_empty(), "what came meanwhile is heard");
    }
}

#[test]
fn the_call_of_a_halted_order_is_asked_about_first() {
    let mut story = Story::new();
    story.apply(&Event::Halted { reason: "entries are lost".to_owned() });
    story.apply(&retry());
    let call = story.order.calls.values().next().expect("its call");
    assert_eq!((&call.phase, call.doubtful), (&Phase::Unknown { asking: false }, true));
    let mut story = Story::new();
    story.apply(&Event::Halted { reason: "entries are lost".to_owned() });
    story.apply(&resolve(Resolution::Dismissed));
    let incident = story.order.incident.clone().expect("its call is still parked");
    assert_eq!((incident.call, incident.reason.as_str()), (Some(CallId(1)), "entries are lost"));
}

#[test]
fn an_order_that_is_led_to_its_end_still_holds_nothing_unseen() {
    let mut story = Story::new();
    story.settle(1, ok());
    for _ in 0..20 {
        if story.order.incident.is_some() {
            break;
        }
        story.settle(2, not_sent());
        if story.order.incident.is_none() {
            story.fire();
        }
    }
    let state = |name: &str| resolve(Resolution::State { state: name.into(), data: BTreeMap::new() });
    story.apply(&state("declined")).in_state("declined");
    let incident = story.order.incident.clone().expect("the hold is still there");
    let reason = "the order ends in declined as failed while 10.00 CNY are held and 0.00 CNY have been taken";
    assert!(incident.reason.starts_with(reason), "{}", incident.reason);
    story.apply(&resolve(Resolution::Dismissed)).in_state("declined");
    assert_eq!((story.order.incident.as_ref(), story.order.status), (None, Status::Failed));
}

/// Whatever leads there: the workflow has forgotten to give it back.
#[test]
fn an_order_that_fails_with_the_customers_money_is_for_a_person() {
    let text = METHOD.replace("ok: { target: capturing, assign: { authorization: \"${result.id}\" } }", "ok: declined");
    let mut story = Story::of(&text);
    story.settle(1, ok()).in_state("declined");
    let incident = story.order.incident.clone().expect("nobody else would look");
    assert!(incident.reason.contains("10.00 CNY are held"), "{}", incident.reason);
    story.apply(&resolve(Resolution::Dismissed)).in_state("declined");
    assert_eq!((story.order.incident.as_ref(), story.order.status), (None, Status::Failed));
    // A hold that lapses by itself is left on purpose.
    let purpose = |line: &str| match line.split_once("compensate: { call: acquirer.void") {
        Some((before, _)) => format!("{before}compensate: none\n"),
        None => format!("{line}\n"),
    };
    let left: String = text.lines().map(purpose).collect();
    let mut story = Story::of(&left);
    story.settle(1, ok()).in_state("declined");
    assert_eq!((story.order.incident.as_ref(), story.order.money.held), (None, 1000));
}

#[test]
fn a_person_is_called_where_the_workflow_says_so_and_sees_it_when_the_order_has_ended() {
    let text = METHOD
        .replace(
            "assign: { authorization: \"${result.id}\" } }",
            "assign: { sure: true }, incident: somebody looks at it }",
        )
        .replace(
            "late: { payment.succeeded: ignore, customer.confirmed: incident, customer.refused: incident }",
            "late: { payment.succeeded: [{ when: has(event.again), incident: twice }, { assign: { seen: true } }], \
             customer.confirmed: ignore, customer.refused: ignore }",
        );
    let mut story = Story::of(&text);
    story.settle(1, ok()).in_state("capturing").settle(2, ok()).settle(3, ok()).settle(4, ok()).in_state("notified");
    assert_eq!((story.order.status, &story.order.data["sure"]), (Status::Incident, &json!(true)));
    assert_eq!(story.order.incident.as_ref().map(|incident| incident.reason.as_str()), Some("somebody looks at it"));
    // Something else that a person must see is seen by the same one.
    let again = |id: &str, payload: Value| {
        let (id, name) = (EventId::new(id), "payment.succeeded".into());
        Event::Received { id, name, payload, source: "test".to_owned() }
    };
    story.apply(&again("a", json!({ "again": true })));
    assert_eq!(story.order.incident.as_ref().unwrap().reason, "somebody looks at it; and: twice");
    story.apply(&resolve(Resolution::Dismissed)).in_state("notified");
    assert_eq!(story.order.status, Status::Succeeded);
    story.apply(&again("b", json!({})));
    assert_eq!((story.order.status, &story.order.data["seen"]), (Status::Succeeded, &json!(true)));
    story.apply(&again("c", json!({ "again": 1 })));
    assert_eq!(story.order.incident.as_ref().unwrap().reason, "twice");
}

#[test]
fn a_person_gives_what_the_next_state_needs() {
    let led = |data: Value| {
        let data = serde_json::from_value(data).expect("an object");
        resolve(Resolution::State { state: "capturing".into(), data })
    };
    let mut story = unbegun();
    assert!(matches!(story.try_apply(&led(json!({ "no name": 1 }))), Err(Rejection::NotAllowed(_))));
    assert_eq!(story.apply(&led(json!({}))).order.status, Status::Incident, "it still has nothing to go on with");
    story.apply(&led(json!({ "chosen": "a7" }))).in_state("capturing").settle(2, ok()).in_state("settled");
    assert_eq!(story.order.data["chosen"], "a7");
}

#[test]
fn what_became_of_a_call_comes_before_what_a_person_shall_see() {
    let text = METHOD.replace(
        "assign: { authorization: \"${result.id}\" } }",
        "assign: { authorization: \"${result.id}\" }, incident: somebody looks at it }",
    );
    let mut story = Story::of(&text);
    story.settle(1, ok()).settle(2, declined()).in_state("cancelling").settle(3, declined());
    let incident = story.order.incident.clone().expect("it could not be undone");
    assert_eq!(incident.call, Some(CallId(3)));
    assert!(incident.reason.contains("could not undo") && incident.reason.ends_with("; and: somebody looks at it"));
    story.apply(&retry()).settle(3, ok()).in_state("cancelled");
    let incident = story.order.incident.clone().expect("nobody has said that it was seen");
    assert_eq!((incident.call, incident.reason.as_str()), (None, "somebody looks at it"));
    story.apply(&resolve(Resolution::Dismissed));
    assert_eq!(story.order.status, Status::Failed);
}

#[test]
fn more_than_is_held_is_not_captured() {
    let capture = "with: { authorization: \"${input.amount}\", amount: \"${input.amount}\"";
    let text = METHOD.replace(capture, "with: { authorization: \"${input.amount}\", amount: \"${input.amount + 1}\"");
    let mut story = Story::of(&text);
    story.settle(1, ok()).in_state("capturing");
    assert_eq!((story.invoked(), story.order.status), (Vec::new(), Status::Incident));
    assert!(story.order.incident.as_ref().unwrap().reason.contains("1001 would be captured, and 1000 are held"));
}

/// A capture of a part, and the rest let go: undoing gives back the part alone.
#[test]
fn a_hold_of_which_nothing_is_left_is_not_undone() {
    let text = METHOD
        .replace("amount: \"${input.amount}\", currency: \"${input.currency}\" }\n      timeout: 10s", "amount: 600, currency: \"${input.currency}\" }\n      timeout: 10s")
        .replace("on: { ok: settled, declined: cancelling }", "on: { ok: letting, declined: cancelling }")
        .replace(
            "  settled:\n",
            "  letting:\n    invoke: { call: told.release, with: { amount: 400, currency: CNY } }\n    on: { ok: settled }\n  settled:\n",
        );
    let mut story = Story::of(&text);
    story.settle(1, ok()).settle(2, ok()).settle(3, ok()).in_state("settled");
    let money = story.order.money;
    assert_eq!((money.held, money.captured, money.released), (0, 600, 400));
    assert!(story.order.undo.is_empty(), "{:?}", story.order.undo);
}
