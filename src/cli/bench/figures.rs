//! What a run of the bench has measured, as text and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// Calls of one order that become durable steps.
const STEPS: f64 = 6.0;

#[derive(Debug)]
pub(super) struct Figures {
    pub(super) orders: u64,
    pub(super) concurrency: u64,
    pub(super) elapsed: Duration,
    /// Sorted.
    pub(super) latencies: Vec<Duration>,
    pub(super) entries: u64,
    pub(super) syncs: u64,
    pub(super) bytes: u64,
    pub(super) disk_bytes: u64,
    pub(super) limit_orders_per_s: f64,
}

impl Figures {
    pub(super) fn json(&self) -> Value {
        json!({
            "orders": self.orders,
            "concurrency": self.concurrency,
            "seconds": round(self.elapsed.as_secs_f64()),
            "orders_per_s": round(self.orders_per_s()),
            "steps_per_s": round(self.orders_per_s() * STEPS),
            "p50_ms": round(self.percentile(50)),
            "p99_ms": round(self.percentile(99)),
            "commits_per_s": round(self.per_second(self.entries)),
            "fdatasyncs_per_s": round(self.per_second(self.syncs)),
            "fdatasyncs_per_order": round(float(self.syncs) / float(self.orders)),
            "journal_bytes_per_order": self.bytes / self.orders.max(1),
            "disk_bytes": self.disk_bytes,
            "peak_memory_bytes": peak_memory(),
            "limit_orders_per_s": round(self.limit_orders_per_s),
            "limit_ratio": round(self.limit_ratio()),
        })
    }

    fn orders_per_s(&self) -> f64 {
        self.per_second(self.orders)
    }

    fn limit_ratio(&self) -> f64 {
        self.orders_per_s() / self.limit_orders_per_s.max(f64::EPSILON)
    }

    fn per_second(&self, count: u64) -> f64 {
        float(count) / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// In milliseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (self.latencies.len() * percent / 100).min(last);
        self.latencies.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        writeln!(f, "{} orders of six steps, {} at a time, in {seconds:.2} s", self.orders, self.concurrency)?;
        writeln!(f)?;
        writeln!(f, "  orders/s              {:>12.0}", self.orders_per_s())?;
        writeln!(f, "  durable steps/s       {:>12.0}", self.orders_per_s() * STEPS)?;
        writeln!(f, "  p50 of an order       {:>12.2} ms", self.percentile(50))?;
        writeln!(f, "  p99 of an order       {:>12.2} ms", self.percentile(99))?;
        writeln!(f, "  commits/s             {:>12.0}", self.per_second(self.entries))?;
        writeln!(f, "  fdatasyncs/s          {:>12.0}", self.per_second(self.syncs))?;
        writeln!(f, "  fdatasyncs per order  {:>12.3}", float(self.syncs) / float(self.orders))?;
        writeln!(f, "  journal per order     {:>12} bytes", self.bytes / self.orders.max(1))?;
        writeln!(f, "  on disk in all        {:>12} bytes", self.disk_bytes)?;
        writeln!(f, "  peak memory           {:>12} MiB", peak_memory() >> 20)?;
        writeln!(f)?;
        writeln!(f, "  a bare log with group commit, the same bytes, clients and disk:")?;
        writeln!(f, "  orders/s              {:>12.0}", self.limit_orders_per_s)?;
        writeln!(f, "  ratio to that         {:>12.3}", self.limit_ratio())
    }
}

/// The high-water mark of this process's memory, from /proc; zero where there is none.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "a figure is shown with three digits")]
fn float(value: u64) -> f64 {
    value as f64
}
