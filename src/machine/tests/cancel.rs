use super::*;
use crate::machine::Status;

#[test]
fn a_cancel_waits_until_the_outcome_is_known_and_then_undoes_it() {
    let mut story = Story::new();
    story.cancel().in_state("authorizing");
    assert_eq!(story.order.inbox.len(), 1);
    story.settle(1, unknown()).in_state("authorizing").fire().inquired(1, ok());
    story.in_state("cancelling");
    assert_eq!(story.invoked(), [(2, 1)], "what was found is undone before anything else is sent");
    story.settle(2, ok()).in_state("cancelled");
    assert_eq!((story.order.money.held, story.order.money.released), (0, 1000));
}

/// Undoing may read what the outcome's own way on assigns, though it is not taken.
#[test]
fn what_an_outcome_assigns_is_kept_when_a_cancel_waited_for_it() {
    let text = METHOD.replace("{ of: \"${call.key}\",", "{ of: \"${data.authorization}\",");
    let mut story = Story::of(&text);
    story.cancel().settle(1, unknown()).fire().inquired(1, ok()).in_state("cancelling");
    assert_eq!(story.order.data["authorization"], "a1");
    assert_eq!(story.order.calls[&CallId(2)].with["of"], "a1");
    story.settle(2, ok()).in_state("cancelled");
    // What cannot be assigned does not hold it up where undoing does without.
    let mut story = Story::of(&METHOD.replace("result.id", "result.id.of"));
    story.cancel().settle(1, ok()).in_state("cancelling").settle(2, ok()).in_state("cancelled");
}

#[test]
fn a_cancel_that_is_refused_leaves_the_outcome_its_own_way_on() {
    let text = METHOD.replace(
        "ok: { target: capturing, assign: { authorization: \"${result.id}\" } }",
        "cancel: { when: \"has(data.tries)\", assign: { cancel_refused: true } }
      ok: { target: capturing, assign: { tries: \"${has(data.tries) ? data.tries + 1 : 1}\" } }",
    );
    let mut story = Story::of(&text);
    story.cancel().settle(1, ok()).in_state("capturing");
    assert_eq!(*story.order.data, json!({ "tries": 1 }), "assigned once, and the cancel waits for its state");
    assert_eq!(story.order.inbox.len(), 1);
    let refusing = text.replace("when: \"has(data.tries)\", ", "incident: wants to cancel, ");
    let mut story = Story::of(&refusing);
    story.cancel().settle(1, ok()).in_state("capturing");
    assert_eq!(*story.order.data, json!({ "cancel_refused": true, "tries": 1 }));
    let called = |command: &&Command| matches!(command, Command::OpenIncident { .. });
    assert_eq!(story.commands.iter().filter(called).count(), 1);
    assert_eq!(story.order.inbox.len(), 0);
}

#[test]
fn a_cancel_while_waiting_is_taken_at_once() {
    let mut story = Story::new();
    story.settle(1, Outcome::ActionRequired { result: json!({}) }).in_state("waiting").cancel();
    story.in_state("cancelled");
    assert_eq!(story.order.status, Status::Failed);
}

#[test]
fn an_order_that_has_ended_cannot_be_cancelled() {
    let mut story = Story::new();
    story.settle(1, declined());
    let event = Event::CancelRequested { id: "c".into(), by: "kim".to_owned(), reason: String::new() };
    assert!(matches!(story.try_apply(&event), Err(Rejection::Finished { .. })));
}

#[test]
fn a_compensation_that_fails_is_an_incident_and_is_tried_again() {
    let mut story = Story::new();
    story.settle(1, ok()).settle(2, declined()).in_state("cancelling").settle(3, declined());
    assert_eq!(story.order.status, Status::Incident);
    assert_eq!(story.order.incident.clone().and_then(|incident| incident.at_stake).map(|m| m.amount), Some(1000));
    story.apply(&Event::RetryRequested { id: "r".into(), by: "kim".to_owned(), note: String::new() });
    story.settle(3, ok()).in_state("cancelled");
}
