//! All crashes of a story, and a second one after each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::image::{Album, At, Camera, Pick, Seen, hash};
use crate::life::{self, Ran};
use crate::story::Story;

/// What is crashed.
#[derive(Clone, Debug)]
pub enum Plan {
    /// At one passing of each of these points, and once in the recovery.
    Points(Vec<&'static str>),
    /// Everywhere, and once in each recovery.
    Everywhere,
    /// Everywhere, and everywhere in each recovery.
    EveryPair,
}

/// Entries that the crash runs of one story may walk through: one that polls for weeks is cut at some places only.
const ENTRIES: usize = 100_000;

/// What came of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    pub stories: u64,
    /// Those that are too long to be cut everywhere.
    pub long: Vec<String>,
    /// Points that were passed as the stories were told, and in recoveries.
    pub passed: u64,
    pub passed_again: u64,
    /// Crashes that left something else than any other, and second ones.
    pub first: u64,
    pub second: u64,
    /// Stories whose process has really died, twice.
    pub processes: u64,
    pub points: BTreeMap<String, Point>,
    pub failures: Vec<String>,
}

/// How often a point was passed, how often the process died there, and how often that left what another place had left.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Point {
    pub passed: u64,
    pub died: u64,
    pub same: u64,
}

impl Sums {
    pub fn add(&mut self, other: Self) {
        self.stories += other.stories;
        self.long.extend(other.long);
        self.passed += other.passed;
        self.passed_again += other.passed_again;
        self.first += other.first;
        self.second += other.second;
        self.processes += other.processes;
        for (name, Point { passed, died, same }) in other.points {
            let point = self.points.entry(name).or_default();
            *point = Point { passed: point.passed + passed, died: point.died + died, same: point.same + same };
        }
        self.failures.extend(other.failures);
    }

    /// Counts what a run came by, and returns how often that was and the pictures that it took.
    fn take_in(&mut self, ran: &mut Ran) -> (u64, Album) {
        for (&point, hits) in &ran.hits {
            self.points.entry(point.to_owned()).or_default().passed += hits;
        }
        let album = match std::mem::replace(&mut ran.camera, Camera::Off) {
            Camera::Share(album) => album,
            Camera::Picks(picks) => {
                Album { images: picks.into_iter().filter_map(|pick| pick.image).collect(), ..Album::default() }
            }
            Camera::Off | Camera::Abort { .. } => Album::default(),
        };
        for image in &album.images {
            self.points.entry(image.place.point.clone()).or_default().died += 1;
        }
        for point in &album.same {
            self.points.entry(point.clone()).or_default().same += 1;
        }
        (ran.hits.values().sum(), album)
    }
}

pub fn explore(story: &Story, plan: &Plan, seed: u64) -> Sums {
    let (name, seen) = (&story.name, Seen::default());
    let mut sums = Sums { stories: 1, ..Sums::default() };
    let seed = hash(seed, name, 0);
    let share = |one_in| Camera::Share(Album { one_in, seed, seen: Seen::clone(&seen), ..Album::default() });
    let camera = match plan {
        Plan::Points(points) => Camera::Picks(points.iter().map(|&point| Pick::new(At::Point(point), seed)).collect()),
        Plan::Everywhere | Plan::EveryPair => {
            // About six crashes an entry leave something of their own.
            let one_in = (6 * story.entries() * story.entries() / ENTRIES).max(1) as u64;
            if one_in > 1 {
                sums.long.push(name.clone());
            }
            share(one_in)
        }
    };
    let mut told = match life::told(story, camera) {
        Ok(told) => told,
        Err(error) => {
            sums.failures.push(format!("{name}: without a crash: {error}"));
            return sums;
        }
    };
    let (passed, album) = sums.take_in(&mut told);
    (sums.passed, sums.first) = (passed, album.images.len() as u64);
    for image in album.images {
        let place = image.place.clone();
        let camera = if matches!(plan, Plan::EveryPair) {
            share(1)
        } else {
            let seed = hash(seed, &place.point, place.hit);
            let at = [At::Anywhere, At::First, At::Start].into_iter().nth(seed as usize % 3).expect("one of three");
            Camera::Picks(vec![Pick::new(at, seed)])
        };
        let mut again = match life::after_crash(story, image, &told.journals, &told, camera) {
            Ok(again) => again,
            Err(error) => {
                sums.failures.push(format!("{name}: {place}: {error}"));
                continue;
            }
        };
        let (passed, album) = sums.take_in(&mut again);
        sums.passed_again += passed;
        sums.second += album.images.len() as u64;
        for image in album.images {
            let second = image.place.clone();
            if let Err(error) = life::after_crash(story, image, &again.journals, &told, Camera::Off) {
                sums.failures.push(format!("{name}: {place}, then {second}: {error}"));
            }
        }
    }
    sums
}
