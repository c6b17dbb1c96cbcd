//! Metrics in the text format of OpenMetrics. Names and labels never hold an order's data.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::connector::BreakerState;
use crate::executor::{Executor, Tally};

/// Everything that is counted, as it stands now.
pub(super) fn text(executor: &Executor) -> String {
    let mut registry = Registry::with_prefix("paystate");
    let tally = executor.tally();
    counters(&mut registry, &tally);
    gauge(&mut registry, "calls_in_flight", "Requests on their way to a provider", executor.in_flight());
    gauge(
        &mut registry,
        "orders_resident",
        "Orders held in memory: those with a call under way, and some that wait",
        tally.resident,
    );
    gauge(&mut registry, "orders_timed", "Orders that a timer will wake, in memory or not", tally.timed);
    gauge(&mut registry, "calls_waiting", "Calls that wait for their turn at a provider", tally.queued);
    clock(&mut registry, executor);
    providers(&mut registry, executor);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        // Writing into a string does not fail; an empty page is better than none.
        Err(_) => String::new(),
    }
}

fn counters(registry: &mut Registry, tally: &Tally) {
    let counts = [
        ("orders_opened", "Orders accepted", tally.opened),
        ("orders_succeeded", "Orders that ended in success", tally.succeeded),
        ("orders_failed", "Orders that ended in failure", tally.failed),
        ("incidents_opened", "Orders that needed a person", tally.incidents),
        ("journal_entries", "Events that became durable", tally.entries),
        ("commits", "Groups that became durable together", tally.commits),
        ("events_refused", "Events that had no effect", tally.refused),
        ("events_duplicate", "Events recognised by their id", tally.duplicates),
    ];
    for (name, help, value) in counts {
        registry.register(name, help, ConstCounter::new(value));
    }
    let outcomes = Family::<Vec<(&'static str, &'static str)>, Counter>::default();
    for (outcome, value) in tally.outcomes() {
        outcomes.get_or_create(&vec![("outcome", outcome)]).inc_by(value);
    }
    registry.register("outcomes", "Answers of providers, as they were classified", outcomes);
}

fn gauge(registry: &mut Registry, name: &'static str, help: &'static str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn clock(registry: &mut Registry, executor: &Executor) {
    let (wall, told) = (executor.clock().wall(), executor.clock().now());
    let gauge = Gauge::<i64>::default();
    gauge.set(wall.unix_ms().saturating_sub(told.unix_ms()) / 1_000);
    let help = "How far the machine's clock is ahead of the time that orders go by; below 0 it is behind";
    registry.register_with_unit("clock_ahead", help, prometheus_client::registry::Unit::Seconds, gauge);
}

fn providers(registry: &mut Registry, executor: &Executor) {
    let open = Family::<Vec<(&'static str, String)>, Gauge>::default();
    for (name, status) in executor.connectors().status() {
        let closed = matches!(status.breaker, BreakerState::Closed);
        open.get_or_create(&vec![("connector", name.to_string())]).set(i64::from(!closed));
    }
    registry.register("breaker_open", "1 where a circuit breaker lets nothing through", open);
    let paused = Family::<Vec<(&'static str, String)>, Gauge>::default();
    for name in executor.pauses().into_keys() {
        paused.get_or_create(&vec![("connector", name.to_string())]).set(1);
    }
    registry.register("connector_paused", "1 where a person has paused a provider", paused);
}
