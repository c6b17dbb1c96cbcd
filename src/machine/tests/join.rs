use super::*;

const JOIN: &str = "
workflow: join
title: Two at once
input: { type: object }
deadline: 1d
initial: both
states:
  both:
    invoke:
      left: { call: acquirer.tell, with: { text: left } }
      right: { call: acquirer.tell, with: { text: right } }
    on:
      ok: { target: done, assign: { left: \"${result.left.id}\", right: \"${result.right.id}\" } }
      declined: stopped
      failed: stopped
  done: { final: success }
  stopped: { final: failure }
";

fn named(id: &str) -> Outcome {
    Outcome::Ok { result: json!({ "id": id }) }
}

#[test]
fn a_join_waits_for_every_branch() {
    let mut story = Story::of(JOIN);
    assert_eq!(story.invoked(), [(1, 1), (2, 1)]);
    story.settle(2, named("r")).in_state("both").settle(1, named("l")).in_state("done");
    assert_eq!((&story.order.data["left"], &story.order.data["right"]), (&json!("l"), &json!("r")));
}

#[test]
fn one_decline_declines_the_join_once_all_are_settled() {
    let mut story = Story::of(JOIN);
    story.settle(1, declined()).in_state("both").settle(2, named("r")).in_state("stopped");
}
