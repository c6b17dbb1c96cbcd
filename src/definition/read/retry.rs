//! Retry policies, and the policies of calls that name none.

use std::time::Duration;

use super::Ctx;
use crate::definition::document::{Kind, Node};
use crate::definition::rules;
use crate::definition::{Delays, RetryPolicy};

const KEYS: &[&str] = &["attempts", "initial", "factor", "max", "jitter", "within", "schedule", "on"];
const ATTEMPTS_MAX: u64 = 10_000;
/// The first delay, where a policy does not say it.
pub(in crate::definition) const INITIAL: Duration = Duration::from_millis(500);
/// The longest delay, where a policy does not say it.
pub(in crate::definition) const MAX: Duration = Duration::from_secs(30);

/// For a call that names no policy. Only what is known not to have been done is tried again, so that this is safe.
pub(super) fn of_calls() -> RetryPolicy {
    exponential(5, INITIAL, MAX)
}

/// An undo is retried until it is acknowledged: for about ten days.
pub(super) fn of_undoing() -> RetryPolicy {
    exponential(1_000, Duration::from_secs(1), Duration::from_secs(900))
}

/// For the effects of the outbox: the schedule that the Standard Webhooks specification recommends.
pub(super) fn of_effects() -> RetryPolicy {
    let seconds = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    RetryPolicy {
        attempts: 10,
        delays: Delays::Schedule(seconds.into_iter().map(Duration::from_secs).collect()),
        jitter: false,
        within: None,
        soft_declines: false,
    }
}

fn exponential(attempts: u32, initial: Duration, max: Duration) -> RetryPolicy {
    RetryPolicy {
        attempts,
        delays: Delays::Exponential { initial, factor: 2.0, max },
        jitter: true,
        within: None,
        soft_declines: false,
    }
}

impl Ctx<'_> {
    pub(super) fn retry_policy(&self, node: &Node, head: &std::ops::Range<usize>) -> Option<RetryPolicy> {
        let fields = self.fields(node, head, "a retry policy", KEYS)?;
        let mut policy = of_calls();
        if let Some(schedule) = fields.get("schedule") {
            for key in ["initial", "factor", "max"] {
                fields.exclusive(self, &["schedule", key]);
            }
            if let Some(delays) = self.durations(schedule, "`schedule`") {
                policy.attempts = u32::try_from(delays.len() + 1).unwrap_or(u32::MAX);
                policy.delays = Delays::Schedule(delays);
                policy.jitter = false;
            }
        }
        if let Delays::Exponential { initial, factor, max } = &mut policy.delays {
            let read = |key: &str| fields.get(key).and_then(|node| self.duration(node, &format!("`{key}`")));
            *initial = read("initial").unwrap_or(*initial);
            *max = read("max").unwrap_or(*max);
            *factor = fields.get("factor").and_then(|node| self.factor(node, "`factor`")).unwrap_or(*factor);
        }
        if let Some(attempts) = fields.get("attempts").and_then(|n| self.integer(n, "`attempts`", 1..=ATTEMPTS_MAX)) {
            policy.attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        }
        if let Some(jitter) = fields.get("jitter") {
            policy.jitter = self.word(jitter, "`jitter`", &[("full", true), ("none", false)]).unwrap_or(true);
        }
        policy.within = fields.get("within").and_then(|node| self.duration(node, "`within`"));
        policy.soft_declines = fields.get("on").is_some_and(|node| self.soft_declines(node));
        Some(policy)
    }

    fn soft_declines(&self, node: &Node) -> bool {
        let Kind::List(items) = &node.kind else {
            self.wrong_type(node, "`on` is a list");
            return false;
        };
        if items.is_empty() {
            self.report(rules::BAD_VALUE, &node.span, "`on` names what is tried again");
        }
        let words = [("not_sent", false), ("soft_declined", true)];
        // Every item is read, so that every problem is found.
        let read: Vec<bool> = items.iter().filter_map(|item| self.word(item, "what is tried again", &words)).collect();
        read.contains(&true)
    }
}
