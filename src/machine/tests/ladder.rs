use super::*;
use crate::machine::{Phase, Resolution, Status};

const INQUIRE: Timer = Timer::Inquire { call: CallId(1) };
const RETRY: Timer = Timer::Retry { call: CallId(1) };

#[test]
fn what_was_not_sent_is_sent_again_under_the_same_key() {
    let mut story = Story::new();
    let key = story.key(1);
    story.settle(1, not_sent());
    assert_eq!(story.due_in(RETRY), Duration::from_secs(1));
    story.fire();
    assert_eq!((story.invoked(), story.key(1)), (vec![(1, 2)], key.clone()));
    story.settle(1, not_sent());
    assert_eq!(story.due_in(RETRY), Duration::from_secs(2));
    story.fire().settle(1, not_sent());
    assert_eq!(story.order.status, Status::Incident, "three attempts, and the state has no way on for `failed`");
    assert_eq!(story.key(1), key);
}

#[test]
fn a_wait_that_the_provider_asks_for_is_kept() {
    let mut story = Story::new();
    let busy = Outcome::NotSent { reason: "429".to_owned(), retry_after_ms: Some(30_000) };
    story.settle(1, busy);
    assert_eq!(story.due_in(RETRY), Duration::from_secs(30));
}

#[test]
fn unknown_is_asked_about_and_never_sent_again_blindly() {
    let mut story = Story::new();
    story.settle(1, unknown());
    assert_eq!(story.due_in(INQUIRE), Duration::from_secs(1));
    story.fire();
    assert_eq!(story.invoked(), []);
    story.inquired(1, ok()).in_state("capturing");
    assert_eq!(story.order.money.held, 1000);
}

#[test]
fn unknown_and_then_found_declined() {
    Story::new().settle(1, unknown()).fire().inquired(1, declined()).in_state("declined");
}

#[test]
fn not_found_is_final_only_after_the_time_in_flight_and_makes_a_new_key() {
    let mut story = Story::new();
    let key = story.key(1);
    story.settle(1, unknown()).fire().inquired(1, Outcome::NotFound);
    assert_eq!(story.due_in(INQUIRE), Duration::from_secs(5));
    story.fire().inquired(1, Outcome::NotFound).fire().inquired(1, Outcome::NotFound);
    assert_eq!(story.order.timers[&INQUIRE].since(story.order.created_at), Duration::from_secs(300));
    story.fire().inquired(1, Outcome::NotFound);
    assert!(matches!(story.order.calls[&CallId(1)].phase, Phase::Backoff));
    story.fire();
    assert_eq!(story.invoked(), [(1, 2)]);
    assert_ne!(story.key(1), key, "the last key is known to have done nothing");
}

#[test]
fn when_inquiries_lead_nowhere_the_same_key_is_sent_again_and_then_it_is_undone() {
    let mut story = Story::new();
    let key = story.key(1);
    for attempt in 1..=3 {
        assert_eq!(story.order.calls[&CallId(1)].attempt.0, attempt);
        story.settle(1, unknown());
        for _ in 0..3 {
            story.fire().inquired(1, unknown());
        }
        assert_eq!(story.key(1), key);
        if attempt < 3 {
            story.fire();
        }
    }
    assert_eq!(story.invoked(), [(2, 1)], "the reversal");
    assert_eq!(story.order.calls[&CallId(2)].with["of"], key, "by our own reference");
    story.settle(2, unknown()).fire().inquired(2, ok());
    assert!(story.order.calls[&CallId(1)].reversed, "acknowledged, and not yet confirmed");
    story.in_state("authorizing").fire().inquired(1, declined()).in_state("reversed");
    assert_eq!(story.order.money.held, 0);
}

#[test]
fn a_reversal_that_did_not_post_is_an_incident() {
    let mut story = reversed();
    story.fire().inquired(1, ok());
    assert_eq!(story.order.status, Status::Incident);
    let incident = story.order.incident.clone().expect("an incident");
    assert_eq!(incident.at_stake.map(|money| money.amount), Some(1000));
}

/// Whoever is called reads that the reversal was acknowledged, so as not to book as held what is not.
#[test]
fn a_reversal_that_is_not_confirmed_is_told_of() {
    let mut story = reversed();
    while story.order.incident.is_none() {
        story.fire().inquired(1, unknown());
    }
    let reason = story.order.incident.clone().expect("an incident").reason;
    assert!(
        reason.contains("its reversal by acquirer.void was acknowledged: `declined` if nothing is left"),
        "{reason}"
    );
}

/// An order whose authorisation has been reversed, and not confirmed.
fn reversed() -> Story {
    let mut story = reversing();
    story.settle(2, ok());
    story
}

/// An order whose authorisation is not known after all inquiries and tries, and is being reversed.
fn reversing() -> Story {
    let mut story = Story::new();
    for attempt in 1..=3 {
        story.settle(1, unknown());
        for _ in 0..3 {
            story.fire().inquired(1, unknown());
        }
        if attempt < 3 {
            story.fire();
        }
    }
    story
}

/// An order whose authorisation has been asked about in vain, and is to be sent again.
fn before_the_resend(text: &str) -> Story {
    let mut story = Story::of(text);
    story.settle(1, unknown());
    for _ in 0..3 {
        story.fire().inquired(1, unknown());
    }
    story
}

#[test]
fn a_resend_that_would_leave_after_the_window_is_none() {
    let slow = METHOD
        .replace("total: 1h", "total: 3d")
        .replace("attempts: 3, initial: 1s, factor: 2, max: 10s", "attempts: 3, schedule: [23h]");
    assert_eq!(before_the_resend(&slow.replace("23h", "20h")).due_in(RETRY), Duration::from_secs(20 * 3_600));
    assert_eq!(before_the_resend(&slow).invoked(), [(2, 1)], "the reversal, and at once");
}

/// Such as after an outage: the question comes first again.
#[test]
fn a_resend_whose_time_comes_after_the_window_is_a_question() {
    let mut story = before_the_resend(METHOD);
    story.now = story.now.plus(Duration::from_secs(2 * 86_400));
    story.fire();
    assert_eq!((story.invoked(), story.due_in(INQUIRE)), (vec![], Duration::from_secs(1)));
    let mut found = before_the_resend(METHOD);
    found.now = story.now;
    found.fire().fire().inquired(1, ok()).in_state("capturing");
    for _ in 0..3 {
        story.fire().inquired(1, unknown());
    }
    assert_eq!(story.invoked(), [(2, 1)], "the reversal");
}

/// What each kind of memory is good for: the key again, where that does the work once at the most.
#[test]
fn what_a_repeat_does_decides_whether_there_is_one() {
    for (replay, again) in [
        ("stored", true),
        ("stored_2xx", true),
        ("intent", true),
        ("complete", true),
        ("reject_duplicate", true),
        ("none", false),
    ] {
        let acquirer = ACQUIRER.replace("replay: stored", &format!("replay: {replay}"));
        let mut story = Story::on(method_at(METHOD, &acquirer));
        let key = story.key(1);
        story.settle(1, unknown());
        for _ in 0..3 {
            story.fire().inquired(1, unknown());
        }
        if again {
            story.fire();
            assert_eq!((story.invoked(), story.key(1)), (vec![(1, 2)], key), "{replay}");
        } else {
            assert_eq!(story.invoked(), [(2, 1)], "{replay}: it is undone");
        }
    }
}

/// It never reached the provider.
#[test]
fn what_was_certainly_not_sent_is_sent_however_late() {
    let mut story = Story::new();
    story.settle(1, not_sent());
    story.now = story.now.plus(Duration::from_secs(2 * 86_400));
    story.fire();
    assert_eq!(story.invoked(), [(1, 2)]);
}

#[test]
fn a_key_that_the_provider_may_have_forgotten_is_not_sent_again() {
    let mut story = Story::new();
    story.settle(1, unknown());
    story.now = story.now.plus(Duration::from_secs(23 * 3_600));
    for _ in 0..3 {
        story.fire().inquired(1, unknown());
    }
    assert_eq!(story.invoked(), [(2, 1)], "it goes to the reversal at once");
}

#[test]
fn a_pending_call_is_polled_until_it_is_decided() {
    let mut story = Story::new();
    story.settle(1, pending());
    assert_eq!(story.due_in(INQUIRE), Duration::from_secs(10));
    story.fire().inquired(1, pending());
    assert_eq!(story.due_in(INQUIRE), Duration::from_secs(60));
    story.fire().inquired(1, pending());
    assert_eq!(story.due_in(INQUIRE), Duration::from_secs(60), "the last delay repeats");
    story.fire().inquired(1, ok()).in_state("capturing");
}

/// That nobody answered leads on; that another amount was answered is for a person.
#[test]
fn an_answer_about_other_money_is_not_the_same_as_none() {
    let text = METHOD.replace("acquirer.authorize", "acquirer.find").replace("reversed: reversed", "failed: declined");
    let differs = || Outcome::Unknown { reason: "integrity: amount differs".to_owned(), retry_after_ms: None };
    for (answer, ends) in [(unknown as fn() -> Outcome, "declined"), (differs, "authorizing")] {
        let mut story = Story::of(&text);
        story.settle(1, answer()).fire().settle(1, answer()).fire().settle(1, answer()).in_state(ends);
        assert_eq!(story.order.status == Status::Incident, ends == "authorizing");
    }
}

#[test]
fn a_deadline_leaves_no_pending_money_behind() {
    let text = METHOD.replace("deadline: 7d", "deadline: { after: 1h, target: cancelling }");
    let late = |says: fn() -> Outcome| {
        let mut story = Story::of(&text);
        story.settle(1, pending());
        story.apply(&Event::TimerFired { timer: Timer::Deadline }).in_state("authorizing");
        story.fire().inquired(1, says());
        story
    };
    // It is asked about once more, and what is known then is the order's; the deadline comes after it.
    let mut story = late(ok);
    story.in_state("capturing").settle(2, declined()).in_state("cancelling");
    assert_eq!(story.invoked(), [(3, 1)], "the hold is given back");
    late(declined).in_state("declined");
    // As long as it says nothing it is asked, a bounded number of times, and then undone as what is unknown is.
    let mut story = late(pending);
    for _ in 0..20 {
        if !story.invoked().is_empty() {
            break;
        }
        story.fire();
        match story.order.calls[&CallId(1)].phase {
            Phase::Sending => story.settle(1, pending()),
            _ => story.inquired(1, pending()),
        };
    }
    story.in_state("authorizing");
    assert_eq!(story.invoked(), [(2, 1)], "the reversal");
}

#[test]
fn an_inquiry_waits_as_long_as_the_provider_asks() {
    let busy = || Outcome::NotSent { reason: "busy".to_owned(), retry_after_ms: Some(900_000) };
    let mut story = Story::new();
    story.settle(1, unknown()).fire().inquired(1, busy());
    assert_eq!(story.due_in(INQUIRE), Duration::from_secs(900));
    story.fire().inquired(1, pending());
    story.fire().inquired(1, busy());
    assert_eq!(story.due_in(INQUIRE), Duration::from_secs(900));
}

#[test]
fn an_incident_is_resolved_by_a_person() {
    let stuck = || {
        let mut story = Story::new();
        story.settle(1, ok());
        for _ in 0..3 {
            story.settle(2, unknown()).fire().inquired(2, unknown());
            if story.order.incident.is_none() {
                story.fire();
            }
        }
        assert_eq!(story.order.status, Status::Incident, "a capture has nothing that undoes it here");
        story
    };
    let (id, by, note) = (EventId::from("r1"), "kim".to_owned(), "called the bank".to_owned());
    let resolve = |resolution| Event::Resolved { id: id.clone(), by: by.clone(), note: note.clone(), resolution };
    stuck().apply(&resolve(Resolution::Ok { result: json!({}) })).in_state("settled");
    stuck()
        .apply(&resolve(Resolution::State { state: "cancelled".into(), data: BTreeMap::new() }))
        .in_state("cancelled");
    let mut story = stuck();
    story.apply(&Event::RetryRequested { id: id.clone(), by: by.clone(), note: note.clone() });
    assert_eq!(story.order.incident, None);
    story.fire().inquired(2, ok()).in_state("settled");
    let again = Event::RetryRequested { id, by, note };
    assert_eq!(story.try_apply(&again), Err(Rejection::NoIncident));
}

#[test]
fn a_pending_call_that_leads_nowhere_is_asked_about_and_waited_for() {
    let text = METHOD.replace(
        "action_required: waiting",
        "action_required: waiting\n      pending: { assign: { at: \"${result.reference}\" } }",
    );
    let mut story = Story::of(&text);
    story.settle(1, pending()).in_state("authorizing");
    assert_eq!(story.order.data["at"], json!("p1"));
    assert_eq!(story.due_in(INQUIRE), Duration::from_secs(10));
    story.cancel().in_state("authorizing");
    story.fire().inquired(1, ok()).in_state("cancelling");
    assert_eq!(story.invoked(), [(2, 1)], "the hold is given back");
    // What cannot be assigned is for a person to see, and the call is asked about all the same.
    let mut story = Story::of(&text.replace("result.reference", "result.id.of"));
    story.settle(1, pending());
    assert_eq!(story.order.status, Status::Incident);
    story.cancel().in_state("authorizing").fire().inquired(1, ok()).in_state("cancelling");
}

/// A wish of somebody, and a cancel that the state itself handles, do not leave money behind.
#[test]
fn nothing_overtakes_a_call_that_may_move_money() {
    let text = METHOD.replace(
        "action_required: waiting",
        "action_required: waiting\n      cancel: declined\n      shop.gave_up: declined",
    );
    for open in [unknown, pending] {
        let mut story = Story::of(&text);
        story.settle(1, open()).receive("shop.gave_up").in_state("authorizing");
        story.fire().inquired(1, ok()).in_state("capturing");
        let mut story = Story::of(&text);
        story.settle(1, open()).cancel().in_state("authorizing");
        story.fire().inquired(1, ok()).in_state("declined");
    }
    // A cancel that only says no leaves nothing behind, and says so at once.
    let mut story = Story::of(&text.replace("cancel: declined", "cancel: { assign: { cancel_refused: true } }"));
    story.settle(1, pending()).cancel().in_state("authorizing");
    assert_eq!(story.order.data["cancel_refused"], json!(true));
    assert_eq!(story.order.inbox.len(), 0);
}

#[test]
fn what_a_person_says_was_not_reversed_is_asked_about_again() {
    let mut story = reversing();
    story.settle(2, declined());
    assert_eq!(story.order.status, Status::Incident);
    story.apply(&Event::Resolved {
        id: "said".into(),
        by: "kim".to_owned(),
        note: "the bank keeps it".to_owned(),
        resolution: Resolution::Declined { code: "kept".to_owned() },
    });
    assert_eq!((story.order.incident.as_ref(), story.invoked()), (None, vec![]));
    story.fire().inquired(1, ok()).in_state("capturing");
    assert_eq!(story.order.money.held, 1000, "it is in the books");
}

/// A definite answer ends what the old key stood for.
#[test]
fn acceptance_under_an_old_key_says_nothing_of_a_new_one() {
    let text = METHOD.replace("attempts: 3,", "attempts: 3, on: [not_sent, soft_declined],");
    let soft = Outcome::Declined { code: "try_again".to_owned(), soft: true, result: Value::Null };
    let mut story = Story::of(&text);
    story.settle(1, pending());
    assert!(story.order.calls[&CallId(1)].accepted);
    story.fire().inquired(1, soft);
    let call = &story.order.calls[&CallId(1)];
    assert_eq!((call.epoch.0, call.accepted, call.doubtful), (2, false, false));
}

/// A new key would only make the question about the old one impossible.
#[test]
fn where_the_provider_goes_by_something_else_the_key_stays() {
    let mut story = Story::of(&METHOD.replace("acquirer.capture", "acquirer.take"));
    story.settle(1, ok()).in_state("capturing");
    let key = story.key(2);
    story.settle(2, unknown());
    while story.order.calls[&CallId(2)].phase != Phase::Sending {
        match story.order.calls[&CallId(2)].phase {
            Phase::Unknown { asking: true } => story.inquired(2, Outcome::NotFound),
            _ => story.fire(),
        };
    }
    assert_eq!(story.key(2), key);
    story.settle(2, ok()).in_state("settled");
}
