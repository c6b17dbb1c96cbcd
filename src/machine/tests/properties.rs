use proptest::prelude::*;

use super::*;
use crate::machine::{Resolution, Status};

/// What may come at any moment, sensible or not.
#[derive(Clone, Debug)]
enum Move {
    Settle(u32, u8),
    Inquired(u32, u8),
    Fire,
    Receive(u8),
    Cancel,
    Retry,
    Resolve(u8),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (1..8u32, 0..7u8).prop_map(|(call, outcome)| Move::Settle(call, outcome)),
        4 => (1..8u32, 0..7u8).prop_map(|(call, outcome)| Move::Inquired(call, outcome)),
        6 => Just(Move::Fire),
        2 => (0..5u8).prop_map(Move::Receive),
        1 => Just(Move::Cancel),
        1 => Just(Move::Retry),
        1 => (0..3u8).prop_map(Move::Resolve),
    ];
    proptest::collection::vec(one, 1..80)
}

fn outcome(which: u8) -> Outcome {
    match which {
        0 => ok(),
        1 => declined(),
        2 => unknown(),
        3 => not_sent(),
        4 => pending(),
        5 => Outcome::ActionRequired { result: json!({}) },
        _ => Outcome::NotFound,
    }
}

fn event(story: &mut Story, choice: &Move, number: usize) -> Option<Event> {
    let id = EventId::new(format!("m{number}"));
    let names = ["payment.succeeded", "customer.confirmed", "customer.refused", "operator.agreed", "nonsense"];
    let (by, note) = ("kim".to_owned(), String::new());
    Some(match *choice {
        Move::Settle(call, which) => {
            let call = CallId(call);
            let attempt = story.order.calls.get(&call).map_or(Attempt(1), |call| call.attempt);
            Event::Settled { call, attempt, outcome: outcome(which) }
        }
        Move::Inquired(call, which) => {
            let call = CallId(call);
            let inquiry = story.order.calls.get(&call).map_or(Attempt(1), |call| call.inquiries);
            Event::Inquired { call, inquiry, outcome: outcome(which) }
        }
        Move::Fire => {
            let (&timer, &at) = story.order.timers.iter().min_by_key(|&(timer, at)| (*at, *timer))?;
            story.now = story.now.max(at);
            Event::TimerFired { timer }
        }
        Move::Receive(name) => {
            let name = names[usize::from(name)].into();
            Event::Received { id, name, payload: json!({}), source: "test".to_owned() }
        }
        Move::Cancel => Event::CancelRequested { id, by, reason: note },
        Move::Retry => Event::RetryRequested { id, by, note },
        Move::Resolve(which) => {
            let resolution = match which {
                0 => Resolution::Ok { result: json!({}) },
                1 => Resolution::Declined { code: "said".to_owned() },
                _ => Resolution::State { state: "cancelled".into(), data: BTreeMap::new() },
            };
            Event::Resolved { id, by, note, resolution }
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order: the machine answers, breaks no invariant, decides the same twice, and an order
    /// that has ended stays ended unless a late rule or a person opens it.
    #[test]
    fn total_and_deterministic(moves in moves()) {
        let mut story = Story::new();
        for (number, choice) in moves.iter().enumerate() {
            let Some(event) = event(&mut story, choice, number) else { continue };
            let first = story.try_apply(&event);
            prop_assert_eq!(&first, &story.try_apply(&event));
            match first {
                Ok(decision) => {
                    prop_assert_eq!(decision.snapshot.seq, story.order.seq.next());
                    let text = serde_json::to_string(&decision.snapshot).expect("a snapshot is JSON");
                    let read: Snapshot = serde_json::from_str(&text).expect("and is read again");
                    prop_assert_eq!(&read, &decision.snapshot);
                    story.order = decision.snapshot;
                }
                Err(Rejection::Broken(why)) => prop_assert!(false, "{} after {:?}", why, event),
                Err(_) => {}
            }
            let money = story.order.money;
            prop_assert!(money.captured + money.held <= 3_000, "{:?}", money);
            if story.order.status == Status::Succeeded {
                prop_assert!(story.order.calls.is_empty() || story.order.state.as_str() == "notified");
            }
        }
    }
}
