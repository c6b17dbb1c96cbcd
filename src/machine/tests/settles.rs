//! What a provider says in its own time, of calls that wait to hear it.

use super::*;
use crate::machine::{Phase, Status};

/// A notification, as the executor hands it on.
fn told(name: &str, payload: Value) -> Event {
    let id = EventId::new(format!("acquirer:{name}:{payload}"));
    Event::Received { id, name: name.into(), payload, source: "hook:acquirer".to_owned() }
}

fn about(key: &str) -> Value {
    json!({ "call": key, "id": "a1", "amount": 1000 })
}

/// An order whose capture was accepted.
fn accepted() -> Story {
    let mut story = Story::new();
    story.settle(1, ok()).settle(2, pending()).in_state("capturing");
    story
}

#[test]
fn what_was_accepted_is_done_or_declined_when_the_provider_says_so() {
    let mut story = accepted();
    let key = story.key(2);
    story.apply(&told("capture.done", about(&key))).in_state("settled");
    assert_eq!((story.order.money.held, story.order.money.captured), (0, 1000));
    let mut story = accepted();
    story.apply(&told("capture.failed", about(&key)));
    assert_eq!((story.order.outcome.as_str(), story.order.money.captured), ("declined: capture.failed", 0));
    // By its own name for it, where it does not say ours.
    let mut story = accepted();
    story
        .apply(&told("capture.done", json!({ "call": story.order.id.to_string(), "reference": "p1" })))
        .in_state("settled");
}

#[test]
fn nothing_else_settles_it() {
    let mut story = accepted();
    let key = story.key(2);
    let other = key.replace("-2-1", "-2-2");
    story.apply(&told("capture.done", about(&other)));
    story.apply(&told("capture.done", json!({ "call": "p1", "reference": "p2" })));
    let Event::Received { id, name, payload, .. } = told("capture.done", about(&key)) else { return };
    story.apply(&Event::Received { id, name, payload, source: "api".to_owned() });
    story.in_state("capturing");
    assert_eq!((story.order.money.captured, story.order.inbox.len()), (0, 3));
}

#[test]
fn an_answer_under_way_comes_first() {
    let mut story = Story::new();
    story.settle(1, ok());
    let key = story.key(2);
    story.apply(&told("capture.done", about(&key))).in_state("capturing");
    assert_eq!((story.order.inbox.len(), story.order.money.captured), (1, 0));
    let mut lost =
        Story { workflow: Arc::clone(&story.workflow), order: story.order.clone(), commands: Vec::new(), ..story };
    story.settle(2, pending()).in_state("settled");
    // An answer that never comes is not asked about: it is known already.
    lost.settle(2, unknown()).in_state("settled");
    assert_eq!((lost.order.money.captured, lost.order.inbox.len()), (1000, 0));
}

#[test]
fn what_is_unknown_is_known_when_it_is_told_also_after_a_person_was_called() {
    let mut story = Story::new();
    let key = story.key(1);
    story.settle(1, unknown()).apply(&told("hold.done", about(&key))).in_state("capturing");
    assert_eq!((story.order.data["authorization"].as_str(), story.order.money.held), (Some("a1"), 1000));
    let mut story = accepted();
    let key = story.key(2);
    story.settle(2, unknown());
    while story.order.status != Status::Incident {
        match story.order.calls[&CallId(2)].phase {
            Phase::Unknown { asking: true } => story.inquired(2, unknown()),
            Phase::Sending => story.settle(2, unknown()),
            _ => story.fire(),
        };
    }
    story.apply(&told("capture.done", about(&key))).in_state("settled");
    assert!(story.order.incident.is_none());
}

#[test]
fn what_is_told_of_another_amount_is_for_a_person() {
    let mut story = accepted();
    let key = story.key(2);
    story.apply(&told("capture.done", json!({ "call": key, "amount": 10 }))).in_state("capturing");
    assert_eq!((story.order.status, story.order.money.captured), (Status::Incident, 0));
}

#[test]
fn what_is_being_undone_is_undone_whatever_is_told() {
    let mut story = Story::new();
    let key = story.key(1);
    while !matches!(story.order.calls[&CallId(1)].phase, Phase::Reversing { .. }) {
        match story.order.calls[&CallId(1)].phase {
            Phase::Unknown { asking: true } => story.inquired(1, unknown()),
            Phase::Sending => story.settle(1, unknown()),
            _ => story.fire(),
        };
    }
    story.apply(&told("hold.done", about(&key))).in_state("authorizing");
    assert_eq!((story.order.inbox.len(), story.order.money.held), (0, 0));
    story.settle(2, ok()).fire().inquired(1, declined()).in_state("reversed");
}

/// The provider carries a request out that it did not know when it was asked: it must not be sent again under a new key.
#[test]
fn a_success_under_an_earlier_key_is_one_of_the_call() {
    let (mut story, key) = gone();
    assert_eq!(story.order.calls[&CallId(1)].phase, Phase::Backoff);
    story.apply(&told("hold.done", about(&key))).in_state("capturing");
    assert_eq!(
        (story.order.money.held, story.order.undo[0].key.as_str()),
        (1000, key.as_str()),
        "what was done is undone"
    );
    story.apply(&told("hold.done", json!({ "call": key, "id": "again" })));
    assert_eq!(story.order.incident, None, "the same once more");
    // That the old one was declined says nothing of the new one, and is not lost.
    let (mut story, key) = gone();
    story.fire().apply(&told("capture.failed", about(&key))).settle(1, unknown()).in_state("authorizing");
    assert_eq!((story.order.inbox.len(), story.order.calls[&CallId(1)].doubtful), (1, true));
}

/// Each key is a request that the provider may have carried out: where two of them may be, nobody passes over one.
#[test]
fn what_may_have_been_done_under_two_keys_is_for_a_person() {
    // While the next one is under way its answer comes first. Where none comes, both may have happened.
    let (mut story, key) = gone();
    story.fire().apply(&told("hold.done", about(&key))).in_state("authorizing");
    story.settle(1, unknown()).in_state("authorizing");
    let incident = story.order.incident.clone().expect("a person is called");
    assert!(incident.reason.contains(&key) && incident.at_stake.is_some(), "{}", incident.reason);
    // What the present key does is known, and the call has ended by it.
    for (outcome, state) in [(ok(), "capturing"), (declined(), "declined")] {
        for early in [true, false] {
            let (mut story, key) = gone();
            story.fire();
            if early {
                story.apply(&told("hold.done", about(&key)));
            }
            story.settle(1, outcome.clone());
            if !early {
                story.in_state(state).apply(&told("hold.done", about(&key)));
            }
            let incident = story.order.incident.clone().expect("a person is called");
            assert!(incident.reason.contains("money may have moved twice"), "{}", incident.reason);
            assert_eq!(story.order.inbox.len(), 0);
        }
    }
    // It is seen however the order goes on.
    let (mut story, key) = gone();
    story.fire().settle(1, ok()).apply(&told("hold.done", about(&key)));
    story.settle(2, ok()).settle(3, ok()).settle(4, ok()).in_state("notified");
    assert!(story.order.incident.is_some_and(|incident| incident.reason.contains("moved twice")));
    let (mut story, _) = gone();
    let key = story.fire().key(1);
    story.settle(1, ok()).apply(&told("hold.done", about(&key)));
    assert_eq!(story.order.incident.map(|incident| incident.reason), None, "the same key once more");
}

/// Nothing is sent a third time, and what is being undone is not what was done.
#[test]
fn what_was_done_under_an_earlier_key_is_not_forgotten() {
    let (mut story, key) = gone();
    story.fire().settle(1, unknown()).apply(&told("hold.done", about(&key)));
    let retry = Event::RetryRequested { id: "again".into(), by: "kim".to_owned(), note: String::new() };
    story.apply(&retry);
    assert_eq!(story.order.incident, None);
    while story.order.incident.is_none() {
        match story.order.calls[&CallId(1)].phase {
            Phase::Unknown { asking: true } => story.inquired(1, Outcome::NotFound),
            _ => story.fire(),
        };
        assert_eq!(story.invoked(), []);
    }
    assert!(story.order.incident.clone().is_some_and(|incident| incident.reason.contains(&key)));

    let (mut story, key) = gone();
    story.fire();
    while !matches!(story.order.calls[&CallId(1)].phase, Phase::Reversing { .. }) {
        match story.order.calls[&CallId(1)].phase {
            Phase::Unknown { asking: true } => story.inquired(1, unknown()),
            Phase::Sending => story.settle(1, unknown()),
            _ => story.fire(),
        };
    }
    story.apply(&told("hold.done", about(&key)));
    assert!(story.order.incident.is_some_and(|incident| incident.reason.contains(&key)));
}

/// A provider may give two calls the same name, such as that of the payment: whose key is said is meant.
#[test]
fn a_key_is_more_than_what_the_provider_calls_it() {
    let mut story = Story::new();
    let first = story.key(1);
    story.settle(1, ok()).settle(2, pending()).in_state("capturing");
    story.apply(&told("capture.done", json!({ "call": first, "reference": "p1" }))).in_state("capturing");
    assert_eq!(story.order.money.captured, 0);
}

/// An order whose first key was given up: what it stood for was not found in all the time that it could take.
fn gone() -> (Story, String) {
    let mut story = Story::new();
    let key = story.key(1);
    story.settle(1, unknown());
    while story.order.calls[&CallId(1)].epoch.0 == 1 {
        match story.order.calls[&CallId(1)].phase {
            Phase::Unknown { asking: true } => story.inquired(1, Outcome::NotFound),
            _ => story.fire(),
        };
    }
    assert_ne!(story.key(1), key);
    (story, key)
}

/// Acceptance is the last thing that the provider has said of it.
#[test]
fn what_was_accepted_never_counts_as_never_happened() {
    let mut story = Story::new();
    story.settle(1, pending());
    let mut sends = 0;
    while !matches!(story.order.calls[&CallId(1)].phase, Phase::Reversing { .. }) {
        match story.order.calls[&CallId(1)].phase {
            Phase::Unknown { asking: true } | Phase::Pending { asking: true, .. } => {
                story.inquired(1, Outcome::NotFound);
            }
            Phase::Sending => {
                sends += 1;
                story.settle(1, unknown());
            }
            _ => {
                story.fire();
            }
        }
        assert_eq!(story.order.calls[&CallId(1)].epoch.0, 1, "its key stays");
        assert!(sends < 10, "it ends");
    }
}
