//! A crash at every fault point of every scenario, and again in the recovery.
//!
//! Each scenario is driven through the real executor on the real store, with virtual time and scripted providers. At a
//! fault point (src/fault.rs) a picture is taken of what a process that dies there leaves: its files, what the providers
//! have done, what the clients were told. From each picture a new executor starts and goes on with the story.
//!
//! `PAYSTATE_SOAK=1` crashes everywhere. Without it each story crashes at `PAYSTATE_CRASHES` points (two), and once in each
//! recovery; another `PAYSTATE_CRASH_SEED` takes other places. `PAYSTATE_CRASH_STORIES=refund/` takes only the stories with
//! this in their names.
#![allow(unreachable_pub, reason = "one binary: nothing in it is reachable from outside")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the figures go where a report can collect them")]

mod checks;
mod disk;
mod explore;
mod image;
mod life;
mod otherwise;
mod probe;
mod process;
mod provider;
mod story;
mod tales;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use paystate::fault::POINTS;
use serde::{Deserialize, Serialize};

use self::explore::{Plan, Point, Sums, explore};
use self::image::{SCRATCH, hash, scratch};
use self::story::Story;
use self::tales::Tales;

/// Where the sample is taken; printed, so that another one can be tried.
const SEED: u64 = 1;
/// The short form crashes each story at so many points, and lets processes die in one story of so many.
const SHORT_POINTS: usize = 2;
const SHORT_PROCESSES: u64 = 16;
const LONG_PROCESSES: u64 = 4;
/// A story with more entries than this is left to the long form.
const SHORT_ENTRIES: usize = 2_000;
const TASK: &str = "PAYSTATE_CRASH_SHARE";

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What is done with every story.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    /// Everywhere.
    all: bool,
    /// Otherwise at so many points of each story.
    points: usize,
    seed: u64,
    /// Each with its number among all.
    stories: Vec<(usize, String)>,
    /// Stories whose every second crash is tried.
    twice: BTreeSet<String>,
    /// Where everybody works. It has a file for each story that somebody has taken.
    folder: PathBuf,
}

#[test]
fn every_story_survives_a_crash_at_every_point_and_another_one_in_the_recovery() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let all = std::env::var("PAYSTATE_SOAK").is_ok_and(|text| text == "1");
    let points = number("PAYSTATE_CRASHES").map_or(SHORT_POINTS, |points| points as usize);
    let seed = number("PAYSTATE_CRASH_SEED").unwrap_or(SEED);
    let only = std::env::var("PAYSTATE_CRASH_STORIES").unwrap_or_default();
    let stories: Vec<(usize, String)> =
        tales::names().into_iter().enumerate().filter(|(_, name)| name.contains(&only)).collect();
    let twice = if all { Tales::default().of_every_kind() } else { BTreeSet::new() };
    let folder = scratch();
    let task = Task { all, points, seed, stories, twice, folder: folder.path().to_owned() };
    // The library has one set of points a process, so that a second core takes a second process.
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let workers: Vec<_> = (0..workers).map(|_| start(&task)).collect();
    let mut sums = Sums::default();
    workers.into_iter().for_each(|worker| sums.add(worker.join().expect("a worker does not panic")));
    tell(&task, &sums);
    assert!(sums.failures.is_empty(), "{} failures:\n{}", sums.failures.len(), sums.failures.join("\n"));
    assert_eq!(sums.stories, task.stories.len() as u64);
    // Whether a start finds a spare that is not whole is a matter of when the thread that fills it was cut off.
    let lucky = |name: &str| !all && name == "journal::before-tidying";
    let tried = |name: &str| sums.points.get(name).is_some_and(|point| point.died + point.same > 0);
    let never: Vec<&str> = points_of_crashes().filter(|name| !tried(name) && !lucky(name)).collect();
    assert!(never.is_empty() || !only.is_empty(), "nobody dies at {never:?}");
}

/// Every point at which a process can die.
fn points_of_crashes() -> impl Iterator<Item = &'static str> {
    POINTS.iter().map(|(name, _)| *name).filter(|name| *name != probe::WRITE_OUT).chain([disk::HALF])
}

/// A process that takes stories until all are taken; it tells what came of each.
fn start(task: &Task) -> std::thread::JoinHandle<Sums> {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "worker", "--ignored", "--nocapture"])
        .env(TASK, serde_json::to_string(task).expect("it is plain"))
        .env(SCRATCH, &task.folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a worker starts");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    std::thread::spawn(move || {
        let mut sums = Sums::default();
        for line in output.lines().map_while(Result::ok) {
            match line.strip_prefix("story ").map(serde_json::from_str::<Sums>) {
                Some(one) => sums.add(one.expect("a worker tells sums")),
                // The rest is what the test harness says about a test.
                None if line.starts_with("FAILED") || line.starts_with("left to") => println!("{line}"),
                None => {}
            }
        }
        let ended = child.wait().expect("a worker ends");
        assert!(ended.success(), "a worker has failed: {ended}");
        sums
    })
}

#[test]
#[ignore = "started by another test"]
fn worker() {
    let Ok(task) = std::env::var(TASK) else { return };
    let task: Task = serde_json::from_str(&task).expect("a task");
    let tales = Tales::default();
    for (number, name) in task.stories.iter().filter(|(number, _)| take(&task.folder, *number)) {
        let story = tales.story(name);
        let sums = if task.all || story.entries() <= SHORT_ENTRIES {
            explored(&task, *number, &story)
        } else {
            println!("left to the long form: {name}");
            Sums { stories: 1, ..Sums::default() }
        };
        sums.failures.iter().for_each(|failure| println!("FAILED {failure}"));
        println!("story {}", serde_json::to_string(&sums).expect("it is plain"));
    }
}

fn explored(task: &Task, number: usize, story: &Story) -> Sums {
    let plan = match (task.all, task.twice.contains(&story.name)) {
        (true, true) => Plan::EveryPair,
        (true, false) => Plan::Everywhere,
        // Nobody else's orders open others; and the points are shared out among the stories.
        (false, _) if story.simulated.is_none() => Plan::Points(points_of_crashes().collect()),
        (false, _) => Plan::Points(share(number, task)),
    };
    let mut sums = explore(story, &plan, task.seed);
    let dies = if task.all { LONG_PROCESSES } else { SHORT_PROCESSES };
    if hash(task.seed, &story.name, 0).is_multiple_of(dies) {
        sums.processes += 1;
        if let Err(error) = process::twice(story, task.seed ^ number as u64) {
            sums.failures.push(format!("{}: processes: {error}", story.name));
        }
    }
    sums
}

/// Those of the points that every start and every order passes of which it is this story's turn.
fn share(number: usize, task: &Task) -> Vec<&'static str> {
    let points: Vec<&str> = points_of_crashes().collect();
    let first = number * task.points + hash(task.seed, "turn", 0) as usize % points.len();
    (first..first + task.points.min(points.len())).map(|turn| points[turn % points.len()]).collect()
}

fn take(folder: &Path, number: usize) -> bool {
    File::create_new(folder.join(number.to_string())).is_ok()
}

fn tell(task: &Task, sums: &Sums) {
    let Sums { stories, long, passed, passed_again, first, second, processes, .. } = sums;
    if task.all || task.points > SHORT_POINTS {
        println!("point | passed | died there | left what another place left");
        for (name, Point { passed, died, same }) in &sums.points {
            println!("{name} | {passed} | {died} | {same}");
        }
        println!("every second crash in {:?}; too long to be cut everywhere: {long:?}", task.twice);
    }
    let count = |kind: &str| sums.failures.iter().filter(|failure| failure.contains(kind)).count();
    let (lost, doubled, unopened) = (count(checks::LOST), count(checks::DOUBLED), count(checks::UNOPENED));
    println!(
        "crash points: seed {}; {stories} stories pass {} points {passed} times, and {passed_again} times in recoveries; {first} \
         crashes, {second} second ones in the recovery; {processes} stories whose process died twice; {lost} lost, {doubled} \
         doubled, {unopened} do not open, {} otherwise wrong",
        task.seed,
        sums.points.len(),
        sums.failures.len() - lost - doubled - unopened,
    );
}

/// The list of points is that of the source: each is there once, and no other.
#[test]
fn the_points_are_those_of_the_source() {
    let mut found = Vec::new();
    collect(&root().join("src"), &mut found);
    found.sort();
    let mut listed: Vec<&str> = POINTS.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(found, listed);
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let names = text.split("fault_point!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
}
