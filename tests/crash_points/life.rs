//! One run of a story, from its beginning or from a picture, to its end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use paystate::connector::{ConnectorConfig, Connectors};
use paystate::definition::ConnectorKind;
use paystate::executor::{Executor, Options, Refold};
use paystate::journal::{JournalOptions, Record, encode};
use paystate::machine::Snapshot;
use paystate::sim::Endings;
use paystate::store::{SledOptions, SledStore};
use paystate::types::Timestamp;
use tempfile::TempDir;

use crate::checks::{self, Books, Journals};
use crate::disk::TornDisk;
use crate::image::{Camera, Image, copy, hash, make_reserve, scratch};
use crate::probe::{Client, Probe};
use crate::provider::{self, Providers, StoryClock, after};
use crate::story::{Came, Story, Telling};

/// What a run leaves.
pub struct Ran {
    pub journals: Journals,
    pub order: Snapshot,
    pub books: Books,
    pub hits: BTreeMap<&'static str, u64>,
    pub camera: Camera,
}

/// What comes of one process.
enum Went {
    /// The next step is a crash.
    ToCrash,
    ToEnd {
        journals: Journals,
        order: Box<Snapshot>,
        books: Books,
    },
}

/// What a run goes by.
struct Course<'a> {
    story: &'a Story,
    probe: Arc<Probe>,
    /// There is no crash: everything must be as the scenario says.
    strict: bool,
    /// What it comes to without a crash, where that is known.
    expected: Option<&'a Ran>,
}

/// From the beginning, without a crash: it must be as the scenario says, and as it is simulated.
pub fn told(story: &Story, camera: Camera) -> Result<Ran, String> {
    let dir = scratch();
    make_reserve(dir.path()).map_err(|error| error.to_string())?;
    let holds = holds(&camera, &story.name, 0);
    let probe = Probe::new(Client::new(), Vec::new(), camera, holds);
    Course { story, probe, strict: true, expected: None }.run(dir, None)
}

/// From a picture of a run whose journals were `before`; `told` is what comes of the story without a crash.
pub fn after_crash(
    story: &Story,
    mut image: Image,
    before: &Journals,
    told: &Ran,
    camera: Camera,
) -> Result<Ran, String> {
    let dir = std::mem::replace(&mut image.dir, scratch());
    let holds = holds(&camera, &image.place.point, image.place.hit);
    image.client.crashes += 1;
    let probe = Probe::new(image.client.clone(), image.requests.clone(), camera, holds);
    Course { story, probe, strict: false, expected: Some(told) }.run(dir, Some((&image, before)))
}

/// The same for a process that will die: nothing is compared.
pub fn again(story: &Story, mut image: Image, camera: Camera) -> Result<Ran, String> {
    let dir = std::mem::replace(&mut image.dir, scratch());
    let holds = holds(&camera, &image.place.point, image.place.hit);
    image.client.crashes += 1;
    let probe = Probe::new(image.client, image.requests, camera, holds);
    Course { story, probe, strict: false, expected: None }.run(dir, None)
}

/// In every second run with pictures the working store stands still now and then: not where two runs are compared.
fn holds(camera: &Camera, name: &str, number: u64) -> Option<u64> {
    let compared = matches!(camera, Camera::Off | Camera::Abort { .. });
    Some(hash(1, name, number)).filter(|seed| !compared && seed.is_multiple_of(2))
}

impl Course<'_> {
    fn run(&self, mut dir: TempDir, crash: Option<(&Image, &Journals)>) -> Result<Ran, String> {
        let (mut crash, probe) = (crash, &self.probe);
        loop {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            probe.begin(dir.path());
            let went = runtime.block_on(self.process(dir.path(), crash.take()));
            // A step that is a crash leaves what a crash would.
            let next = matches!(went, Ok(Went::ToCrash)).then(|| {
                let _gate = probe.settled_gate();
                copy(dir.path(), &mut Context::new(&SHA256))
            });
            probe.end();
            drop(runtime);
            match (went?, next) {
                (Went::ToEnd { journals, order, books }, _) => {
                    let mut gate = probe.gate();
                    let camera = std::mem::replace(&mut gate.camera, Camera::Off);
                    let hits = std::mem::take(&mut gate.hits);
                    return Ok(Ran { journals, order: *order, books, hits, camera });
                }
                (Went::ToCrash, Some(next)) => dir = next,
                (Went::ToCrash, None) => unreachable!("it was copied"),
            }
        }
    }

    /// From a start to the story's end, or to a step that is a crash.
    async fn process(&self, dir: &Path, crash: Option<(&Image, &Journals)>) -> Result<Went, String> {
        let (story, probe) = (self.story, &self.probe);
        let failed = |error: &dyn std::fmt::Display| format!("{}{error}", checks::UNOPENED);
        let refold = Arc::new(Refold::knowing(story.workflows.iter().map(Arc::clone)));
        let store = Arc::new(SledStore::open(dir, self.options(), refold).map_err(|error| failed(&error))?);
        if let Some((image, before)) = crash {
            checks::after_crash(&store, image, before).await?;
            if image.client.crashes > 1 {
                let journals = checks::journals(&store).await?;
                provider::forget_lost_inquiries(&mut probe.gate().requests, &journals);
            }
        }
        let clock = Arc::new(StoryClock::new(probe));
        let stage = Arc::new(after(&story.scenario, &probe.gate().requests));
        let providers = Arc::new(Providers { probe: Arc::clone(probe), stage: Arc::clone(&stage) });
        let now = Arc::clone(probe);
        let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(move || now.gate().client.now))));
        let executor = Executor::start(
            Arc::<SledStore>::clone(&store),
            Arc::<StoryClock>::clone(&clock),
            Arc::clone(&connectors),
            story.workflows.clone(),
            // Whatever waits leaves memory at once, and is loaded again.
            Options { shards: 1, keep_waiting: 0, limits: story.limits.clone(), believe_clock: true },
        );
        let executor = executor.await.map_err(|error| failed(&error))?;
        // Nothing has run since the start, so that nobody has been asked yet.
        for (name, connector) in story.workflows.iter().flat_map(|workflow| &workflow.connectors) {
            if story.simulated.is_some() || matches!(connector.kind, ConnectorKind::Http(_)) {
                connectors.register(name.clone(), Arc::<Providers>::clone(&providers));
            }
        }
        let strict = self.strict;
        let telling = Telling { story, executor: &executor, probe, clock: &clock, strict };
        let Came::ToEnd(order) = telling.go_on().await? else { return Ok(Went::ToCrash) };
        if let (true, Some((simulated, _))) = (strict, &story.simulated) {
            checks::as_simulated(simulated, &telling.journal(order).await?)?;
        }
        let own;
        let endings = match (&story.simulated, self.expected) {
            (Some((_, endings)), _) => endings,
            (None, Some(told)) => {
                own = Endings::at(told.order.clone());
                &own
            }
            (None, None) => {
                own = Endings::at(telling.snapshot(order).await?);
                &own
            }
        };
        let snapshot = telling.judge(endings, order, || stage.doubled()).await?;
        let client = probe.gate().client.clone();
        let books = checks::at_end(story, &store, &client).await?;
        if let (None, Some(told)) = (&story.simulated, self.expected)
            && told.books != books
        {
            return Err(format!("the books are {books:?}, and without a crash {:?}", told.books));
        }
        let journals = checks::journals(&store).await?;
        if strict {
            probe.release(true);
            executor.shutdown(Duration::from_secs(10)).await.map_err(|error| error.to_string())?;
        }
        Ok(Went::ToEnd { journals, order: Box::new(snapshot), books })
    }

    /// Small segments, so that the journal rolls, and a working store that falls in after every second entry.
    fn options(&self) -> SledOptions {
        let record = |workflow| {
            let mut bytes = Vec::new();
            encode(&Record::definition(workflow, Timestamp::default()), &mut bytes).expect("it can be encoded");
            bytes.len() as u64
        };
        let largest = self.story.workflows.iter().map(|workflow| record(workflow)).max().unwrap_or_default();
        SledOptions {
            journal: JournalOptions {
                segment_size: largest + 12 * 1024,
                disk: Arc::new(TornDisk(Arc::downgrade(&self.probe))),
                ..JournalOptions::default()
            },
            cache: 4 * 1024 * 1024,
            every: Duration::from_secs(24 * 3600),
            lag: 15,
            ..SledOptions::default()
        }
    }
}
