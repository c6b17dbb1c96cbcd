//! What is known of a running executor from outside of it: which points it has passed, whether it is busy, and where in
//! its story it is. All of it stands still while a picture is taken.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, RwLock};
use std::time::Duration;

use paystate::fault::POINTS;
use paystate::types::{EventId, OrderId, Seq, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::image::{Camera, hash};
use crate::provider::Request;

/// Whatever takes longer than this hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// What waits in the queue of the working store at most.
const WAKES: u64 = 4;
/// For `return`: it makes sled write its memory out, and is no place for a crash.
pub const WRITE_OUT: &str = "behind::write-out";

/// What the world outside of the process knows: it outlives a crash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Client {
    pub now: Timestamp,
    /// Ids that the clock has given out.
    pub ids: u8,
    /// The order, when its opening was acknowledged.
    pub order: Option<OrderId>,
    /// The step that is being taken.
    pub step: usize,
    /// Until when time is being let pass.
    pub until: Option<Timestamp>,
    /// How often the process has died.
    pub crashes: u8,
    /// The events that were acknowledged.
    pub acknowledged: Vec<EventId>,
    /// The last entry of the order that somebody was told of.
    pub seq: Seq,
}

impl Client {
    /// Before anything has happened, at the moment at which simulated worlds begin.
    pub fn new() -> Self {
        let (now, acknowledged) = (Timestamp::from_unix_ms(1_767_225_600_000), Vec::new());
        Self { now, ids: 0, order: None, step: 0, until: None, crashes: 0, acknowledged, seq: Seq(0) }
    }
}

pub struct Probe {
    gate: Mutex<Gate>,
    /// Something has changed that a thread may wait for.
    changed: Condvar,
    /// Something has gone on.
    pub moved: Notify,
}

/// Whoever holds it keeps every thread of the executor from passing a point, and the providers from doing anything.
pub struct Gate {
    pub client: Client,
    pub requests: Vec<Arc<Request>>,
    pub dir: PathBuf,
    pub camera: Camera,
    pub hits: BTreeMap<&'static str, u64>,
    /// Points passed by threads that do anything for an order.
    steps: u64,
    /// The loop waits for a message or a timer.
    waiting: bool,
    /// Open orders have been taken up.
    taken_up: bool,
    /// How often the working store was told to fall in, and how often it has begun to wait.
    told: u64,
    waits: u64,
    /// The working store stands still in the middle of a layer, until so many steps have been taken.
    held: Option<u64>,
    /// Whether it ever does; a seed of where.
    holds: Option<u64>,
    over: bool,
}

static CURRENT: RwLock<Option<Arc<Probe>>> = RwLock::new(None);

impl Probe {
    pub fn new(client: Client, requests: Vec<Arc<Request>>, camera: Camera, holds: Option<u64>) -> Arc<Self> {
        let gate = Gate {
            client,
            requests,
            dir: PathBuf::new(),
            camera,
            hits: BTreeMap::new(),
            steps: 0,
            waiting: false,
            taken_up: false,
            told: 0,
            waits: 0,
            held: None,
            holds,
            over: false,
        };
        Arc::new(Self { gate: Mutex::new(gate), changed: Condvar::new(), moved: Notify::new() })
    }

    /// A process begins on this directory: from now on the points tell this probe. The library knows one set of points
    /// a process.
    pub fn begin(self: &Arc<Self>, dir: &Path) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            for &(name, _) in POINTS.iter().filter(|(name, _)| *name != WRITE_OUT) {
                let tell = move || {
                    let current = CURRENT.read().unwrap_or_else(PoisonError::into_inner).clone();
                    if let Some(probe) = current {
                        probe.pass(name);
                    }
                };
                fail::cfg_callback(name, tell).expect("a callback can be set");
            }
            fail::cfg(WRITE_OUT, "return").expect("an action can be set");
        });
        {
            let mut gate = self.gate();
            gate.dir = dir.to_owned();
            (gate.waiting, gate.taken_up, gate.told, gate.waits, gate.held, gate.over) =
                (false, false, 0, 0, None, false);
        }
        *CURRENT.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(self));
    }

    /// The process is abandoned: whatever its threads still do is of no interest.
    pub fn end(&self) {
        self.gate().over = true;
        self.changed.notify_all();
        *CURRENT.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gate, when the working store is not being written: what the thread that writes it passes comes before
    /// whatever anybody else does, unless it is held.
    pub fn settled_gate(&self) -> MutexGuard<'_, Gate> {
        let waited = self.changed.wait_timeout_while(self.gate(), PATIENCE, |gate| gate.is_falling_in() && !gate.over);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The working store need not stand still any more.
    pub fn release(&self, for_good: bool) {
        let mut gate = self.gate();
        gate.held = None;
        if for_good {
            gate.holds = None;
        }
        drop(gate);
        self.changed.notify_all();
    }

    /// A point is passed.
    pub fn pass(&self, name: &'static str) {
        let thread = std::thread::current();
        let (behind, ahead) = (thread.name() == Some("store-behind"), thread.name() == Some("journal-ahead"));
        let mut gate = if behind { self.gate() } else { self.settled_gate() };
        if gate.over {
            return;
        }
        match name {
            "executor::before-waiting" => gate.waiting = true,
            "executor::woken" => gate.waiting = false,
            "recovery::taken-up" => gate.taken_up = true,
            "behind::waiting" => gate.waits += 1,
            _ => {}
        }
        let hits = gate.hits.entry(name).or_default();
        *hits += 1;
        let hit = *hits;
        gate.steps += u64::from(!ahead && !behind);
        gate.look(name, hit);
        if name == "store::before-wake" {
            // One that it works on, and those that its queue holds; while it stands still, more are not heard.
            gate.told = (gate.told + 1).min(gate.waits + WAKES);
        }
        if behind && name == "behind::before-row" {
            gate = self.hold(gate, hit);
        }
        drop(gate);
        self.changed.notify_all();
        self.moved.notify_one();
    }

    /// Now and then the working store stands still in the middle of a layer while everybody else goes on.
    fn hold<'a>(&'a self, mut gate: MutexGuard<'a, Gate>, hit: u64) -> MutexGuard<'a, Gate> {
        let Some(seed) = gate.holds.filter(|&seed| hash(seed, "hold", hit).is_multiple_of(3)) else { return gate };
        gate.held = Some(gate.steps + hash(seed, "steps", hit) % 300);
        self.changed.notify_all();
        self.moved.notify_one();
        let waits = |gate: &mut Gate| !gate.over && gate.held.is_some_and(|until| gate.steps < until);
        let mut gate = self.changed.wait_while(gate, waits).unwrap_or_else(PoisonError::into_inner);
        gate.held = None;
        gate
    }
}

impl Gate {
    fn is_falling_in(&self) -> bool {
        // It waits once before it is ever told, and once after each time.
        self.told > 0 && self.told + 1 > self.waits && self.held.is_none()
    }

    /// Nothing happens any more unless somebody does something or time passes.
    pub fn is_idle(&self) -> bool {
        self.waiting && self.taken_up && !self.is_falling_in()
    }

    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn look(&mut self, name: &'static str, hit: u64) {
        let mut camera = std::mem::replace(&mut self.camera, Camera::Off);
        camera.look(self, name, hit);
        self.camera = camera;
    }
}
