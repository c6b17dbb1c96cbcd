//! The wall clock is set forward and back, by an hour and by ten years, and stands still, while orders wait for timers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use paystate::connector::{ConnectorConfig, Connectors};
use paystate::definition::{Sources, Workflow, load};
use paystate::executor::{
    Clock, Executor, Options, Readings, StartError, SteadyClock, Submission, SystemClock, instant,
};
use paystate::machine::Event;
use paystate::store::{MemoryStore, Store};
use paystate::types::{OrderId, Seq, Timestamp};
use serde_json::json;

use crate::support::soak;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const TEN_YEARS: i64 = 3_652 * DAY.cast_signed();
/// The timers that orders wait for, in seconds, each after the one before.
const TIMERS: [u64; 6] = [2 * MINUTE, 10 * MINUTE, 50 * MINUTE, 2 * HOUR, DAY, 30 * DAY];
/// The wall clock at the beginning.
const BEGIN: u64 = 1_800_000_000;

/// Clocks that are moved by hand.
#[derive(Default)]
struct Fake {
    passed: Mutex<Duration>,
    /// What the wall clock is ahead of what has passed, in seconds.
    ahead: Mutex<i64>,
    /// Where the wall clock stands still.
    frozen: Mutex<Option<Duration>>,
}

impl Fake {
    /// Lets time go on, but not beyond `target`; how much has passed.
    fn pass(&self, by: Duration, target: Duration) -> Duration {
        let mut passed = self.passed.lock().unwrap();
        *passed = (*passed + by).min(target).max(*passed);
        *passed
    }

    fn set(&self, jump: Jump) {
        let at = self.wall();
        match jump {
            Jump::By(ahead) => {
                *self.frozen.lock().unwrap() = None;
                *self.ahead.lock().unwrap() = ahead;
            }
            Jump::Frozen => *self.frozen.lock().unwrap() = Some(at),
        }
    }

    fn wall(&self) -> Duration {
        let runs = *self.passed.lock().unwrap() + Duration::from_secs(BEGIN);
        let ahead = *self.ahead.lock().unwrap();
        let by = Duration::from_secs(ahead.unsigned_abs());
        let runs = if ahead < 0 { runs.saturating_sub(by) } else { runs + by };
        self.frozen.lock().unwrap().unwrap_or(runs)
    }
}

/// What somebody does to the wall clock.
#[derive(Clone, Copy, Debug)]
enum Jump {
    /// So far ahead of what is right, in seconds.
    By(i64),
    Frozen,
}

struct OnFake(Arc<Fake>);

impl Readings for OnFake {
    fn wall(&self) -> Duration {
        self.0.wall()
    }

    fn passed(&self) -> Duration {
        *self.0.passed.lock().unwrap()
    }
}

/// The clock under test, which sleeps a moment only. It counts how often its loop has begun to sleep.
struct Watched {
    clock: SteadyClock<OnFake>,
    sleeps: AtomicU64,
}

#[async_trait]
impl Clock for Watched {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    fn not_before(&self, at: Timestamp) {
        self.clock.not_before(at);
    }

    async fn sleep_until(&self, _at: Timestamp) {
        self.sleeps.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn order_id(&self) -> OrderId {
        self.clock.order_id()
    }
}

fn workflows() -> Vec<Arc<Workflow>> {
    let one = |seconds: &u64| {
        let text = format!(
            "workflow: waits_{seconds}\ntitle: Waits\ninput: {{ type: object }}\ndeadline: 300d\ninitial: waits\nstates:\n  \
             waits: {{ on: {{ customer.confirmed: done }}, after: {{ {seconds}s: expired }} }}\n  done: {{ final: success \
             }}\n  expired: {{ final: failure }}\n"
        );
        let sources = Sources {
            path: "waits.yaml".to_owned(),
            workflow: text,
            connectors: BTreeMap::new(),
            schemas: BTreeMap::new(),
        };
        Arc::new(load(sources).unwrap())
    };
    TIMERS.iter().map(one).collect()
}

/// An executor on clocks that are moved by hand, and its orders.
struct Stage {
    fake: Arc<Fake>,
    store: Arc<MemoryStore>,
    clock: Arc<Watched>,
    executor: Executor,
    /// By the timer that they wait for.
    orders: BTreeMap<u64, Vec<OrderId>>,
}

impl Stage {
    async fn begin() -> Self {
        let (fake, store) = (Arc::<Fake>::default(), Arc::<MemoryStore>::default());
        let (clock, executor) = start(&fake, &store, false).await.unwrap();
        let mut stage = Self { fake, store, clock, executor, orders: BTreeMap::new() };
        let each = if soak() { 5_000 } else { 50 };
        for _ in 0..each {
            for seconds in TIMERS {
                let id = stage.open(seconds).await;
                stage.orders.entry(seconds).or_default().push(id);
            }
        }
        stage
    }

    async fn open(&self, seconds: u64) -> OrderId {
        let workflow = format!("waits_{seconds}").as_str().into();
        let submission = Submission { workflow, input: json!({}), key: None, child: None };
        self.executor.submit(submission).await.unwrap().snapshot.id
    }

    /// Lets time pass until so many seconds after the beginning, and the loop see it.
    async fn come_to(&self, seconds: f64) {
        let target = Duration::from_secs_f64(seconds);
        while self.fake.pass(Duration::from_secs(30 * 60), target) < target {
            // Clocks are read all the time, not only when something is due.
            self.clock.now();
        }
        self.seen().await;
    }

    /// Returns when the loop has looked at the clock, and nothing more is due by it. It sleeps while a timer is armed.
    async fn seen(&self) {
        loop {
            let (timed, before) = (self.executor.tally().timed, self.clock.sleeps.load(Ordering::SeqCst));
            let slept = || self.clock.sleeps.load(Ordering::SeqCst) >= before + 2;
            wait_until(|| slept() || self.executor.tally().timed == 0).await;
            if self.executor.tally().timed == timed {
                return;
            }
        }
    }

    /// How many of the orders that wait for a timer have had it.
    async fn fired(&self, seconds: u64) -> usize {
        let mut fired = 0;
        for &order in &self.orders[&seconds] {
            let entries = self.executor.journal(order, Seq(0), 100).await.unwrap();
            let times = entries.iter().filter(|entry| matches!(entry.event, Event::TimerFired { .. })).count();
            assert!(times <= 1, "a timer fired {times} times");
            assert!(entries.is_sorted_by_key(|entry| entry.at), "a history runs backwards");
            fired += times;
        }
        fired
    }

    /// Sees to it that every timer fires when its time has passed, while `jump` is done to the clock before each.
    async fn all_fire_in_time(&self, mut jump: impl FnMut(usize) -> Option<Jump>) {
        self.come_to(30.0).await;
        for (n, seconds) in TIMERS.into_iter().enumerate() {
            if let Some(jump) = jump(n) {
                self.fake.set(jump);
                self.seen().await;
            }
            #[expect(clippy::cast_precision_loss, reason = "a few million seconds")]
            let whole = seconds as f64;
            self.come_to(whole * 16.0 / 17.0 - 1.0).await;
            assert_eq!(self.fired(seconds).await, 0, "timers of {seconds} s fired early");
            self.come_to(whole * 16.0 / 15.0 + 1.0).await;
            self.all_fired(seconds).await;
        }
        wait_until(|| self.executor.tally().timed == 0).await;
        assert_eq!(self.store.open_orders(None, 1).await.unwrap(), []);
    }

    /// Returns when all that wait for this timer have had it. Those that are read again from the store take a while.
    async fn all_fired(&self, seconds: u64) {
        let begun = instant();
        while self.fired(seconds).await < self.orders[&seconds].len() {
            assert!(begun.elapsed() < Duration::from_secs(120), "timers of {seconds} s do not fire");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn count(&self) -> usize {
        self.orders.values().map(Vec::len).sum()
    }
}

async fn start(
    fake: &Arc<Fake>,
    store: &Arc<MemoryStore>,
    believe_clock: bool,
) -> Result<(Arc<Watched>, Executor), StartError> {
    let steady = SteadyClock::of(OnFake(Arc::clone(fake)));
    let clock = Arc::new(Watched { clock: steady, sleeps: AtomicU64::new(0) });
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    // One loop, so that the test sees when it has looked at the clock.
    let options = Options { shards: 1, keep_waiting: 64, believe_clock, ..Options::default() };
    let watched: Arc<dyn Clock> = Arc::<Watched>::clone(&clock);
    let executor = Executor::start(Arc::<MemoryStore>::clone(store), watched, connectors, workflows(), options).await?;
    Ok((clock, executor))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_fire_once_and_in_time_whatever_the_wall_clock_does() {
    let scripts: [(&str, &[Jump]); 6] = [
        ("an hour forward", &[Jump::By(HOUR.cast_signed())]),
        ("an hour back", &[Jump::By(-HOUR.cast_signed())]),
        ("ten years forward", &[Jump::By(TEN_YEARS)]),
        ("ten years back", &[Jump::By(-TEN_YEARS)]),
        ("frozen", &[Jump::Frozen]),
        (
            "back and forth",
            &[Jump::By(TEN_YEARS), Jump::By(-3_600), Jump::Frozen, Jump::By(-TEN_YEARS), Jump::By(3_600), Jump::By(0)],
        ),
    ];
    for (name, jumps) in scripts {
        let stage = Stage::begin().await;
        stage.all_fire_in_time(|n| jumps.get(n).copied()).await;
        println!("clock, {name}: {} timers, 0 early, 0 late, 0 twice", stage.count());
        stage.executor.shutdown(Duration::from_secs(10)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_on_a_clock_that_is_behind_goes_on_from_the_journal() {
    for jump in [Jump::By(-3_600), Jump::By(-TEN_YEARS), Jump::Frozen] {
        let mut stage = Stage::begin().await;
        stage.fake.set(jump);
        stage.come_to(11.0 * 60.0).await;
        stage.all_fired(10 * MINUTE).await;
        let newest = stage.open(DAY).await;
        stage.executor.shutdown(Duration::from_secs(10)).await.unwrap();
        let last = stage.store.last_at().await.unwrap().unwrap();
        (stage.clock, stage.executor) = start(&stage.fake, &stage.store, false).await.unwrap();
        assert!(stage.clock.now() >= last, "{jump:?}");
        assert!(stage.open(DAY).await > newest, "{jump:?}: ids are sorted by when they were made");

        stage.come_to(45.0 * 60.0).await;
        assert_eq!(stage.fired(50 * MINUTE).await, 0, "{jump:?}");
        stage.come_to(55.0 * 60.0).await;
        stage.all_fired(50 * MINUTE).await;
        // It is set right: time is the wall clock's again, at once.
        stage.fake.set(Jump::By(0));
        stage.come_to(100.0 * 60.0).await;
        assert_eq!(stage.clock.now(), stage.clock.wall(), "{jump:?}");
        assert_eq!(stage.fired(2 * HOUR).await, 0, "{jump:?}");
        stage.come_to(121.0 * 60.0).await;
        stage.all_fired(2 * HOUR).await;
        println!("clock, restart after {jump:?}: {} timers, 0 early, 0 late", stage.count());
        stage.executor.shutdown(Duration::from_secs(10)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_clock_that_is_years_ahead_is_refused_while_timers_would_fire_by_it() {
    let mut stage = Stage::begin().await;
    stage.come_to(30.0).await;
    stage.executor.shutdown(Duration::from_secs(10)).await.unwrap();
    let written = stage.store.entries().len();
    stage.fake.set(Jump::By(TEN_YEARS));
    let refused = start(&stage.fake, &stage.store, false).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::Clock { .. }), "{refused}");
    assert_eq!(stage.store.entries().len(), written, "nothing has happened");

    // An hour may have passed while nothing ran: that is believed.
    stage.fake.set(Jump::By(3_600));
    (stage.clock, stage.executor) = start(&stage.fake, &stage.store, false).await.unwrap();
    assert_eq!(stage.clock.now(), stage.clock.wall());
    wait_until(|| stage.executor.tally().timed == 3 * stage.orders[&DAY].len() as u64).await;
    stage.executor.shutdown(Duration::from_secs(10)).await.unwrap();

    // A person has said that the ten years have passed.
    stage.fake.set(Jump::By(TEN_YEARS));
    (stage.clock, stage.executor) = start(&stage.fake, &stage.store, true).await.unwrap();
    wait_until(|| stage.store.entries().len() == written + stage.count()).await;
    for seconds in TIMERS {
        assert_eq!(stage.fired(seconds).await, stage.orders[&seconds].len());
    }
    stage.executor.shutdown(Duration::from_secs(10)).await.unwrap();
    // Nothing waits any more: the clock may say what it likes.
    stage.fake.set(Jump::By(3 * TEN_YEARS));
    let (_, executor) = start(&stage.fake, &stage.store, false).await.unwrap();
    executor.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[test]
fn ids_stay_unique_and_sorted_while_the_clock_is_set() {
    let jumps = [Jump::By(TEN_YEARS), Jump::By(-3_600), Jump::Frozen, Jump::By(-TEN_YEARS), Jump::By(0)];
    let fake = Arc::<Fake>::default();
    let clock = SteadyClock::of(OnFake(Arc::clone(&fake)));
    let mut ids = Vec::new();
    for n in 0..100_000_usize {
        if n.is_multiple_of(1_000) {
            fake.set(jumps[n / 1_000 % jumps.len()]);
        }
        if n.is_multiple_of(10) {
            fake.pass(Duration::from_millis(1), Duration::MAX);
        }
        ids.push(clock.order_id());
    }
    assert!(ids.is_sorted_by(|one, next| one < next));
}

async fn wait_until(done: impl Fn() -> bool) {
    let begun = instant();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(120), "it does not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
